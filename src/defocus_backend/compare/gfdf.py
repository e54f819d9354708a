"""Guided filter-based focus region detection (GFDF; Qiu, Li, Zhang and Yuan 2019)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from defocus_backend.arrays import Float64, as_float64_stack
from defocus_backend.compare.gff import guided
from defocus_backend.errors import InputError

_EIGHT = np.ones((3, 3), dtype=np.intp)


def without_small(mask: NDArray[np.bool_], area: float) -> NDArray[np.bool_]:
    """Drop 8-connected components of fewer than `area` pixels from a mask (H, W)."""
    labels, _ = ndimage.label(mask, structure=_EIGHT)
    large = np.bincount(labels.ravel()) >= area
    large[0] = False
    return np.asarray(large[labels])


def _pair(
    first: Float64,
    second: Float64,
    gray1: Float64,
    gray2: Float64,
    *,
    radius: int,
    eps: float,
    window: int,
    share: float,
) -> tuple[Float64, Float64]:
    """Fuse two images (H, W, C) and their luma (H, W)."""
    focus1, focus2 = (
        guided(gray, np.abs(gray - ndimage.uniform_filter(gray, window, mode="nearest")), radius=radius, eps=eps)
        for gray in (gray1, gray2)
    )
    area = math.ceil(share * gray1.size)
    chosen = without_small(focus1 > focus2, area)
    chosen = ~without_small(~chosen, area)
    weight = guided(np.where(chosen, gray1, gray2), chosen.astype(np.float64), radius=radius, eps=eps)
    fused = first * weight[..., None] + second * (1 - weight[..., None])
    return fused, gray1 * weight + gray2 * (1 - weight)


def gfdf(
    sources: Iterable[Any],
    *,
    radius: int = 5,
    eps: float = 0.3,
    window: int = 7,
    share: float = 0.01,
    channel_axis: int | None = None,
    value_range: tuple[float, float] | None = None,
) -> NDArray[Any]:
    """Fuse by a focus map from the guided filter.

    The focus measure is the distance to the local mean, filtered with the image as guide. Small islands and holes are
    removed from the map of where the first source has the larger measure. The map is then filtered with the first
    fusion as guide, and used as the weight of the sources. The method is for two sources; further ones are fused one
    after the other.

    Parameters
    ----------
    sources : iterable of (H, W[, C]) array_like
        Two or more images of one shape and dtype.
    radius : int
        Radius of both guided filters.
    eps : float
        Regularisation of both guided filters, for gray in 0..1.
    window : int
        Side of the local mean, odd.
    share : float
        Islands and holes below this share of the image's area are removed, 0 to 1.
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
        If the sources do not fit each other or cannot be read, or a parameter is out of its range.

    References
    ----------
    .. [1] X. Qiu, M. Li, L. Zhang, X. Yuan, "Guided filter-based multi-focus image fusion through focus region
       detection", Signal Processing: Image Communication 72 (2019).
    """
    if window < 1 or window % 2 == 0:
        raise InputError("window", repr(window), "an odd number of pixels")
    if not 0 <= share <= 1:
        raise InputError("share", repr(share), "a share of the area, 0 to 1")
    picture = as_float64_stack(sources, "sources", at_least=2, channel_axis=channel_axis, value_range=value_range)
    fuse = partial(_pair, radius=radius, eps=eps, window=window, share=share)
    grays = picture.gray
    fused, gray = picture.values[0], grays[0]
    for values, its_gray in zip(picture.values[1:], grays[1:], strict=True):
        fused, gray = fuse(fused, values, gray, its_gray)
    return picture.restore(fused)
