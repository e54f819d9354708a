"""Combine two estimates of the height, and regularise weak pixels by their neighbourhood."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from defocus_backend.filters import CellGrid, box_mean, cell_mean
from defocus_backend.filters.box import accumulation_dtype
from defocus_backend.filters.fill import fill_from_surroundings
from defocus_backend.fusion.strips import strips

_MISFIT_SCORE, _MISFIT_SIGMA = 0.07, 1.0
"""Error in steps that averaging cannot reduce, because neither curve is exactly a parabola; measured on stacks with
ground truth."""
_GUIDE_EPS = 1e-2
"""Regularisation of the linear prediction of the height from the guide, in squared units of the guide."""
_INDEPENDENT = 7
"""Number of independent values in a window; errors of pixels closer than five pixels are correlated."""
_TINY = 1e-6
"""Weight that counts as zero: an error of a thousand steps, far above the rounding errors of sums over windows."""


@dataclass(frozen=True)
class Height:
    """Height of every pixel, as tensors (H, W).

    Attributes
    ----------
    height : float32
        Height in the unit of the z positions; NaN where it is unknown.
    error : float32
        Standard error in the same unit.
    inferred : bool
        True where the error of the pixel's own measurement is above half a slice, so that the neighbourhood decides.
    lens : float32 or None
        Blur of the lens in the sharpest slice, ``sqrt(a) |z - z0|``, as sigma in px; NaN unless sigma increases clearly
        on both sides of it.
    """

    height: Tensor
    error: Tensor
    inferred: Tensor
    lens: Tensor | None = None


def combine(by_score: Height, by_sigma: Height, step: float) -> Height:
    """Mean of both heights, weighted by their inverse variances; where one is unknown, the other.

    The misfit error of each curve, which averaging cannot reduce, is added to its error.
    """
    value, total = torch.zeros_like(by_score.height), torch.zeros_like(by_score.height)
    for part, misfit in ((by_score, _MISFIT_SCORE * step), (by_sigma, _MISFIT_SIGMA * step)):
        weight = part.error.square().add_(misfit**2).reciprocal_()
        weight.masked_fill_(~part.height.isfinite(), 0)
        value.addcmul_(part.height.nan_to_num(0), weight)
        total += weight
    unknown = total == 0
    value.div_(total)
    error = total.rsqrt_().masked_fill_(unknown, torch.nan)
    return Height(height=value, error=error, inferred=unknown | (error > step / 2))


def regularise(found: Height, guide: Tensor, step: float, *, radius: int) -> Height:
    """Use the neighbourhood where a pixel's own measurement is weak.

    In each window, the height is predicted as a linear function of the guide, fitted with inverse variances as weights.
    The variance of the prediction is the scatter that the errors do not explain: small on a smooth surface, large at a
    depth edge. Predicted and measured heights are combined with their inverse variances as weights, so that good
    measurements are preserved and edges stay sharp. Pixels without reliable measurements nearby are filled smoothly
    from further away.

    Parameters
    ----------
    found : Height
        Measured height, with NaN where unknown.
    guide : (H, W) tensor
        The fused image, gray, in the unit range.
    step : float
        Mean distance between neighbouring slices.
    radius : int
        Radius of the windows, in pixels of the maps.

    Returns
    -------
    Height
        Known everywhere if it was known anywhere; `inferred` is unchanged.
    """
    shape = int(guide.shape[0]), int(guide.shape[1])
    count = int(found.height.isfinite().sum())
    if not count:
        return found
    # Heights are computed in steps from the mean, to stay within the range and precision of float32.
    origin = float(found.height.nansum(dtype=accumulation_dtype(found.height))) / count
    coarse = CellGrid(*shape, 2)
    sums = torch.empty((7, *shape), device=guide.device)
    for rows in strips(shape, guide.device):
        height, weight = _measured(found, rows, origin, step)
        wg, wh, tint = weight * guide[rows], weight * height, guide[rows]
        parts = (weight > 0, weight, wg, wh, wg * tint, wg * height, wh * height)
        for plane, part in zip(sums, parts, strict=True):
            plane[rows] = part
    model = _surroundings(sums, radius)
    del sums
    mean, error = torch.empty_like(found.height), torch.empty_like(found.height)
    known = torch.empty((2, *coarse.shape), device=guide.device)
    for rows in strips(shape, guide.device, coarse.subsample):
        height, weight = _measured(found, rows, origin, step)
        a, b, prior = model[:, rows]
        both = (weight + prior).clamp_min_(_TINY)
        mean[rows] = a.mul_(guide[rows]).add_(b).mul_(prior).addcmul_(weight, height).div_(both)
        # The common misfit of the fits is not reduced by averaging.
        error[rows] = both.reciprocal_().add_(_MISFIT_SCORE**2).sqrt_()
        trust = _trust(error[rows])
        for cells, part in zip(known, (mean[rows] * trust, trust), strict=True):
            cells[_cell_rows(rows, coarse)] = cell_mean(part, coarse.subsample)
    # A cell with a quarter of the weight counts fully.
    around = fill_from_surroundings((known[0] / known[1].clamp_min(_TINY))[None], (4 * known[1]).clamp_(max=1))[0]
    for rows in strips(shape, guide.device):
        filled = coarse.interpolate(around, rows.start, rows.stop)
        mean[rows] = filled.lerp(mean[rows], _trust(error[rows])).mul_(step).add_(origin)
    return Height(mean, error.mul_(step), found.inferred)


def _measured(found: Height, rows: slice, origin: float, step: float) -> tuple[Tensor, Tensor]:
    """Height in steps from the origin, and inverse variance in the same unit; both 0 where unknown."""
    height = found.height[rows]
    weight = (step / found.error[rows]).square_().masked_fill_(~height.isfinite(), 0)
    return (height - origin).div_(step).nan_to_num_(0), weight


def _trust(error: Tensor) -> Tensor:
    """Weight of a height from its error in steps: 1 for no error, 1/2 at half a step, 0 for large errors."""
    return (2 * error).square_().square_().add_(1).reciprocal_()


def _cell_rows(rows: slice, grid: CellGrid) -> slice:
    return slice(rows.start // grid.subsample, -(-rows.stop // grid.subsample))


def _surroundings(sums: Tensor, radius: int) -> Tensor:
    """Prediction from the windows: factor and offset of the guide and inverse variance, (3, H, W).

    Guided filter whose windows are fitted by weighted least squares.

    Parameters
    ----------
    sums : (7, H, W) tensor
        Mask of known pixels, weight w, w guide, w height, w guide^2, w guide height, w height^2.
    radius : int
        Radius of the windows.
    """
    w, wg, wh, wgg, wgh, whh = sums[1:]
    expected, total = box_mean(sums[:2], radius)
    total.clamp_min_(_TINY)
    mean_guide, mean_height = box_mean(sums[2:4], radius).div_(total)
    variance, covariance = box_mean(sums[4:6], radius).div_(total)
    variance = variance.sub_(mean_guide.square()).clamp_min_(0)
    a = covariance.sub_(mean_guide * mean_height).div_(variance.add_(_GUIDE_EPS))
    b = mean_height.sub_(a * mean_guide)
    # Windows contribute to their pixels in proportion to their total weight.
    share = box_mean(total, radius).clamp_min_(_TINY)
    a, b = box_mean(torch.stack([total * a, total * b]), radius).div_(share)
    # Weighted squared residuals of a * guide + b.
    left = whh - 2 * (a * wgh + b * wh) + a * (a * wgg + 2 * b * wg) + b * b * w
    scatter = box_mean(left.clamp_min_(0), radius)
    # The expected mean of weight * error^2 is the share of known pixels; any excess is true relief.
    spread = (scatter - expected).clamp_min_(0).add_(expected, alpha=1 / _INDEPENDENT).clamp_min_(_TINY)
    prior = torch.where(total > 10 * _TINY, total / spread, 0)
    return torch.stack([a, b, prior])
