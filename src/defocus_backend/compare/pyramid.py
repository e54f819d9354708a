"""Fusion of Laplacian pyramids by the largest coefficient (Burt and Adelson 1983; Burt and Kolczynski 1993)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from defocus_backend.arrays import Float64, as_float64_stack
from defocus_backend.errors import InputError

_KERNEL = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
_LEAST_SIDE = 8


def _smooth(image: Float64, kernel: Float64) -> Float64:
    for axis in (0, 1):
        image = ndimage.correlate1d(image, kernel, axis=axis, mode="mirror")
    return image


def _reduce(image: Float64) -> Float64:
    return _smooth(image, _KERNEL)[::2, ::2]


def _expand(image: Float64, shape: tuple[int, ...]) -> Float64:
    spread = np.zeros(shape)
    spread[::2, ::2] = image
    return _smooth(spread, 2 * _KERNEL)


def _levels(shape: tuple[int, ...]) -> int:
    """How often the smaller side can be halved and stay at 8 pixels or more."""
    levels, side = 0, min(shape[:2])
    while (side + 1) // 2 >= _LEAST_SIDE:
        levels, side = levels + 1, (side + 1) // 2
    return levels


def laplacian_pyramid(
    sources: Iterable[Any],
    *,
    levels: int | None = None,
    channel_axis: int | None = None,
    value_range: tuple[float, float] | None = None,
) -> NDArray[Any]:
    """Fuse in the Laplacian pyramid: at each place and scale the coefficient of largest size, the mean at the top.

    Colour coefficients are chosen together, by the sum of their sizes over the channels; ties go to the first source.

    Parameters
    ----------
    sources : iterable of (H, W[, C]) array_like
        Two or more images of one shape and dtype.
    levels : int, optional
        Number of halvings; by default until the smaller side would fall below 8 pixels. 0 is the mean.
    channel_axis : int, optional
        Axis of the channels within one image; None for gray.
    value_range : (float, float), optional
        Values of black and white, see `arrays.as_float64`.

    Returns
    -------
    (H, W[, C]) ndarray
        In the sources' dtype; integers rounded half up and clipped, floats neither rounded nor clipped.

    Raises
    ------
    InputError
        If the sources do not fit each other or cannot be read, or `levels` is below 0.

    References
    ----------
    .. [1] P. J. Burt and E. H. Adelson, "The Laplacian pyramid as a compact image code", IEEE TCOM 31 (1983).
    .. [2] P. J. Burt and R. J. Kolczynski, "Enhanced image capture through fusion", ICCV 1993.
    """
    picture = as_float64_stack(sources, "sources", at_least=2, channel_axis=channel_axis, value_range=value_range)
    if levels is not None and levels < 0:
        raise InputError("levels", repr(levels), "a number of halvings, 0 or more")
    count = _levels(picture.values.shape[1:]) if levels is None else levels
    coarse = list(picture.values)
    details = []
    for _ in range(count):
        if max(coarse[0].shape[:2]) == 1:
            break
        smaller = [_reduce(image) for image in coarse]
        bands = np.stack([one - _expand(less, one.shape) for one, less in zip(coarse, smaller, strict=True)])
        choice = np.abs(bands).sum(axis=-1).argmax(axis=0)
        details.append(np.take_along_axis(bands, choice[None, ..., None], axis=0)[0])
        coarse = smaller
    fused: Float64 = np.mean(coarse, axis=0)
    for band in reversed(details):
        fused = _expand(fused, band.shape) + band
    return picture.restore(fused)
