"""Defocus from the gradients at edges (Zhuo and Sim 2011), spread over the picture by the matting Laplacian."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from defocus_backend.arrays import Float64
from defocus_backend.compare.checks import check_gray, check_number
from defocus_backend.compare.matting import spread_values

RATIO = 1.5
"""Ratio of the second re-blur to the first."""
_LEAST_RATIO = 1.01
_SPATIAL = 5.0
_RANGE = 0.1


def edge_sigma(ratio: Float64, sigma1: float, sigma2: float) -> Float64:
    """Blur of a step edge from the ratio of its gradients after two re-blurs.

    The gradient in the middle of a step blurred by sigma falls as ``1 / sqrt(sigma^2 + s^2)`` with the
    re-blur s, hence ``sigma^2 = (R^2 sigma1^2 - sigma2^2) / (1 - R^2)``.

    Parameters
    ----------
    ratio : array
        Gradient after the first re-blur over that after the second.
    sigma1, sigma2 : float
        The re-blurs in pixels, the smaller first.

    Returns
    -------
    array
        Sigma in pixels; NaN where the ratio is not in (1.01, sigma2 / sigma1], as no step has such a ratio.
    """
    square = np.full(np.shape(ratio), np.nan)
    inside = (ratio > _LEAST_RATIO) & (ratio <= sigma2 / sigma1)
    kept = ratio[inside] ** 2
    square[inside] = (kept * sigma1**2 - sigma2**2) / (1 - kept)
    return np.asarray(np.sqrt(np.maximum(square, 0, where=inside, out=square)))


def sparse_sigma(gray: Float64, *, edge_threshold: float, sigma: float, max_blur: float) -> Float64:
    """Sigma in pixels at the Canny edges of a picture (H, W) in the unit range; NaN elsewhere."""
    from scipy import ndimage

    edges = _canny(gray, edge_threshold)
    strong, weak = (ndimage.gaussian_gradient_magnitude(gray, s, mode="nearest") for s in (sigma, RATIO * sigma))
    ratio = np.divide(strong, weak, out=np.zeros_like(strong), where=edges & (weak > 0))
    return np.minimum(edge_sigma(ratio, sigma, RATIO * sigma), max_blur)


def _canny(gray: Float64, threshold: float) -> NDArray[np.bool_]:
    """Canny edges with thresholds relative to the steepest gradient, the lower 0.4 of the upper, as in MATLAB."""
    from scipy import ndimage
    from skimage.feature import canny

    if min(gray.shape) < 3 or np.ptp(gray) < 1e-9:
        return np.zeros(gray.shape, dtype=bool)
    smooth = ndimage.gaussian_filter(gray, 1, mode="nearest")
    steepest = float(np.hypot(ndimage.sobel(smooth, 0), ndimage.sobel(smooth, 1)).max())
    high = threshold * steepest
    return np.asarray(canny(gray, sigma=1, low_threshold=0.4 * high, high_threshold=high, mode="nearest"))


def smooth_sparse(values: Float64, gray: Float64, *, spatial: float, reach: float) -> Float64:
    """Joint bilateral mean over the known neighbours of every known pixel, with larger weights for small blurs.

    Parameters
    ----------
    values : (H, W) array
        NaN where unknown, in pixels.
    gray : (H, W) array
        Unit range.
    spatial, reach : float
        Standard deviations over distance in pixels and over gray values.

    Returns
    -------
    (H, W) array
        NaN where `values` is.
    """
    radius = round(2 * spatial)
    known = np.isfinite(values)
    y, x = np.nonzero(known)
    filled, guide = (np.pad(part, radius, mode="edge") for part in (np.where(known, values, np.inf), gray))
    total, weight = np.zeros(len(y)), np.zeros(len(y))
    centre = gray[known]
    for dy in range(2 * radius + 1):
        for dx in range(2 * radius + 1):
            near = filled[y + dy, x + dx]
            seen = np.isfinite(near)
            far = ((dy - radius) ** 2 + (dx - radius) ** 2) / (2 * spatial**2)
            unlike = (guide[y + dy, x + dx] - centre) ** 2 / (2 * reach**2)
            # The authors also weight by exp(-blur), so that a wrong large value does not propagate.
            share = np.exp(-far - unlike - np.where(seen, near, np.inf))
            weight += share
            total += share * np.where(seen, near, 0)
    result = np.full(values.shape, np.nan)
    result[known] = total / weight
    return result


def zhuo_sim_map(
    gray: ArrayLike,
    *,
    edge_threshold: float = 0.01,
    sigma: float = 1.0,
    strength: float = 0.001,
    max_blur: float = 10.0,
) -> Float64:
    """Defocus map from gradient ratios at edges, in pixels of sigma.

    Parameters
    ----------
    gray : (H, W) array_like
        Gray values 0..255.
    edge_threshold : float
        Upper threshold of the Canny detector as a share of the steepest gradient; e of the paper.
    sigma : float
        First re-blur in pixels; the second is 1.5 times as large.
    strength : float
        Weight of the edges' values when they are spread; lambda of the paper.
    max_blur : float
        Largest sigma in pixels; M of the paper.

    Returns
    -------
    (H, W) float64 array
        Sigma in pixels, 0 to `max_blur`; `max_blur` everywhere in a picture without a usable edge.

    Raises
    ------
    InputError
        If an argument cannot be used.

    References
    ----------
    S. Zhuo, T. Sim, "Defocus map estimation from a single image", Pattern Recognition 44(9), 2011; parameters
    of Fig. 8 of Galetto and Deng 2021.
    """
    check_number("edge_threshold", edge_threshold, above=0, at_most=1)
    check_number("sigma", sigma, above=0)
    check_number("strength", strength, above=0)
    check_number("max_blur", max_blur, above=0)
    unit = check_gray(gray) / 255
    sparse = sparse_sigma(unit, edge_threshold=edge_threshold, sigma=sigma, max_blur=max_blur)
    known = np.isfinite(sparse)
    if not known.any():
        return np.full(unit.shape, float(max_blur))
    sparse = smooth_sparse(sparse, unit, spatial=_SPATIAL, reach=_RANGE * max_blur)
    return np.clip(spread_values(unit, sparse, known, strength=strength), 0, max_blur)
