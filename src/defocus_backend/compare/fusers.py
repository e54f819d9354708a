"""The published fusion methods by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from defocus_backend.methods import FUSION_METHODS


def fuse_with(
    name: str,
    sources: Iterable[Any],
    *,
    channel_axis: int | None = None,
    value_range: tuple[float, float] | None = None,
    **parameters: Any,
) -> NDArray[Any]:
    """Fuse with a published method.

    Parameters
    ----------
    name : str
        Key of `FUSION_METHODS`.
    sources : iterable of (H, W[, C]) array_like
        Two or more images of one shape and dtype.
    channel_axis : int, optional
        Axis of the channels within one image; None for gray.
    value_range : (float, float), optional
        Values of black and white, see `arrays.as_float64`.
    **parameters
        Parameters of the method; by default those of its paper.

    Returns
    -------
    (H, W[, C]) ndarray
        In the sources' dtype.

    Raises
    ------
    InputError
        If the name is unknown or the sources cannot be used.
    """
    method = FUSION_METHODS[name].function
    fused: NDArray[Any] = method(sources, channel_axis=channel_axis, value_range=value_range, **parameters)
    return fused
