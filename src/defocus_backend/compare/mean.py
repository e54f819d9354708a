"""The mean of the sources: the baseline that every fusion must exceed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from defocus_backend.arrays import as_float64_stack


def mean(
    sources: Iterable[Any], *, channel_axis: int | None = None, value_range: tuple[float, float] | None = None
) -> NDArray[Any]:
    """Average the sources.

    Parameters
    ----------
    sources : iterable of (H, W[, C]) array_like
        Two or more images of one shape and dtype.
    channel_axis : int, optional
        Axis of the channels within one image; None for gray.
    value_range : (float, float), optional
        Values of black and white, see `arrays.as_float64`.

    Returns
    -------
    (H, W[, C]) ndarray
        In the sources' dtype; integers rounded half up.

    Raises
    ------
    InputError
        If the sources do not fit each other or cannot be read.
    """
    picture = as_float64_stack(sources, "sources", at_least=2, channel_axis=channel_axis, value_range=value_range)
    return picture.restore(picture.values.mean(axis=0))
