"""The plain average of the sources: the floor that every fusion must beat."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from defocus_backend.compare.pictures import read_pictures


def mean(sources: Iterable[Any], *, channel_axis: int | None = None, data_range: float | None = None) -> NDArray[Any]:
    """Average the sources.

    Parameters
    ----------
    sources : iterable of (H, W[, C]) array_like
        Two or more images of one shape and dtype.
    channel_axis : int, optional
        Axis of the channels within one image; None for gray.
    data_range : float, optional
        The value of white; by default 255 for float images and the largest value of an integer type.

    Returns
    -------
    (H, W[, C]) ndarray
        In the sources' dtype; integers rounded half up.

    Raises
    ------
    InputError
        If the sources do not fit each other or cannot be read.
    """
    picture = read_pictures(sources, "sources", at_least=2, channel_axis=channel_axis, data_range=data_range)
    return picture.restore(picture.values.mean(axis=0))
