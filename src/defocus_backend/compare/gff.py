"""Image fusion with guided filtering (GFF; Li, Kang and Hu 2013)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from defocus_backend.arrays import Float64, as_float64_stack, half_up
from defocus_backend.filters import guided_filter

_SALIENCY_SIGMA, _SALIENCY_RADIUS = 5.0, 5
_BASE_SIZE = 31
# Prevents a division by 0 where all weights are 0.
_LEAST = 1e-12


def guided(guide: Float64, source: Float64, *, radius: int, eps: float) -> Float64:
    """`filters.guided_filter` of (H, W) arrays in float64."""
    filtered = guided_filter(torch.from_numpy(guide), torch.from_numpy(source), radius=radius, eps=eps)
    return np.asarray(filtered.numpy())


def _saliency(gray: Float64) -> Float64:
    """Absolute Laplacian smoothed by an 11 x 11 Gaussian of sigma 5, (H, W)."""
    detail = np.abs(ndimage.laplace(gray, mode="nearest"))
    return np.asarray(ndimage.gaussian_filter(detail, _SALIENCY_SIGMA, mode="nearest", radius=_SALIENCY_RADIUS))


def _weights(grays: Float64, choice: NDArray[np.intp], radius: int, eps: float, quantised: bool) -> Float64:
    """Guided decision maps (N, H, W) that sum to 1."""
    maps = np.stack(
        [guided(gray, (choice == n).astype(np.float64), radius=radius, eps=eps) for n, gray in enumerate(grays)]
    )
    maps = np.clip(maps, 0.0, 1.0)
    if quantised:
        maps = half_up(maps * 255) / 255
    maps += _LEAST
    return np.asarray(maps / maps.sum(axis=0))


def gff(
    sources: Iterable[Any],
    *,
    base: tuple[int, float] = (45, 0.3),
    detail: tuple[int, float] = (7, 1e-6),
    quantised: bool = True,
    channel_axis: int | None = None,
    value_range: tuple[float, float] | None = None,
) -> NDArray[Any]:
    """Fuse by guided filtering in two scales.

    The source of the largest saliency is chosen at each pixel (ties to the first); the choice is filtered with
    each source's gray as guide, with the large window for the 31 x 31 means and with the small one for the remainder.

    Parameters
    ----------
    sources : iterable of (H, W[, C]) array_like
        Two or more images of one shape and dtype.
    base, detail : (int, float)
        Radius and eps (of gray in 0..1) of the two guided filters.
    quantised : bool
        Round the weights to 8 bits, as the published program does.
    channel_axis : int, optional
        Axis of the channels within one image; None for gray.
    value_range : (float, float), optional
        Values of black and white, see `arrays.as_float64`.

    Returns
    -------
    (H, W[, C]) ndarray
        In the sources' dtype; integers rounded half up, floats neither rounded nor clipped.

    Raises
    ------
    InputError
        If the sources do not fit each other or cannot be read.

    References
    ----------
    .. [1] S. Li, X. Kang, J. Hu, "Image fusion with guided filtering", IEEE TIP 22 (2013).
    """
    picture = as_float64_stack(sources, "sources", at_least=2, channel_axis=channel_axis, value_range=value_range)
    grays = picture.rounded_gray
    # Normalised as in the published program: two saliencies that differ by round-off are a tie.
    saliency = np.stack([_saliency(gray) for gray in grays]) + _LEAST
    choice = (saliency / saliency.sum(axis=0)).argmax(axis=0)
    wide = _weights(grays, choice, *base, quantised)
    close = _weights(grays, choice, *detail, quantised)
    low, high = np.zeros(picture.values.shape[1:]), np.zeros(picture.values.shape[1:])
    for n, values in enumerate(picture.values):
        mean = ndimage.uniform_filter(values, (_BASE_SIZE, _BASE_SIZE, 1), mode="nearest")
        low += mean * wide[n, ..., None]
        high += (values - mean) * close[n, ..., None]
    return picture.restore(low + high)
