"""Two estimates of a height become one, and weak places take the height of their surroundings."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from defocus_backend.filters import CellGrid, box_mean, cell_mean
from defocus_backend.filters.box import accumulation_dtype
from defocus_backend.filters.fill import fill_from_surroundings
from defocus_backend.fusion.strips import strips

_MISFIT_SCORE, _MISFIT_SIGMA = 0.07, 1.0
"""Error in steps that no amount of evidence takes away, since neither curve is quite a parabola: measured there."""
_GUIDE_EPS = 1e-2
"""Regularisation of what windows foretell of the height by the guide, in its squared units."""
_INDEPENDENT = 7
"""Independent values in a window: errors of pixels nearer than five to each other go together."""
_TINY = 1e-6
"""Weight that counts as none: an error of a thousand steps, far above what rounding leaves of sums over windows."""


@dataclass(frozen=True)
class Height:
    """Height of every pixel, as tensors (H, W).

    Attributes
    ----------
    height : float32
        In the unit of the z positions; NaN where nothing is known.
    error : float32
        Standard error in the same unit.
    inferred : bool
        True where the pixel's own evidence is weaker than half a slice and its surroundings decided.
    lens : float32 or None
        Sigma in px that the lens adds in the sharpest slice, ``sqrt(a) |z - z0|``; NaN unless sigma rises clearly
        on both sides of it.
    """

    height: Tensor
    error: Tensor
    inferred: Tensor
    lens: Tensor | None = None


def combine(by_score: Height, by_sigma: Height, step: float) -> Height:
    """Mean of both heights weighed by their inverse variances; where one is unknown, the other.

    To each error is added what its curve's misfit leaves however much is averaged.
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
    """Let the surroundings speak where a pixel's own evidence is weak.

    The surroundings foretell a height (a linear function of the guide, fitted in each window with the inverse
    variances as weights) and how far they can be trusted (the scatter about it that the errors do not explain:
    small on a smooth surface, large at an edge in depth). Foretold and measured height are combined by their
    variances, so that what is well measured stays and edges stay sharp. What has nothing firm within reach is
    continued smoothly from further away.

    Parameters
    ----------
    found : Height
        Measured, with NaN where unknown.
    guide : (H, W) tensor
        The fused image, gray, unit range.
    step : float
        Mean distance of neighbouring slices.
    radius : int
        Of the windows that are the surroundings, in pixels of the maps.

    Returns
    -------
    Height
        Known everywhere if it was known anywhere; `inferred` as it was.
    """
    shape = int(guide.shape[0]), int(guide.shape[1])
    count = int(found.height.isfinite().sum())
    if not count:
        return found
    # In units of steps from the mean, far from the ends of float32.
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
        # What the fits share is not averaged away.
        error[rows] = both.reciprocal_().add_(_MISFIT_SCORE**2).sqrt_()
        trust = _trust(error[rows])
        for cells, part in zip(known, (mean[rows] * trust, trust), strict=True):
            cells[_cell_rows(rows, coarse)] = cell_mean(part, coarse.subsample)
    # A cell that knows a little is as good as one that knows all.
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
    """Weight from 1 to 0 of a height whose error is given in steps; 1/2 at half a step."""
    return (2 * error).square_().square_().add_(1).reciprocal_()


def _cell_rows(rows: slice, grid: CellGrid) -> slice:
    return slice(rows.start // grid.subsample, -(-rows.stop // grid.subsample))


def _surroundings(sums: Tensor, radius: int) -> Tensor:
    """What windows foretell: factor and offset of the guide and inverse variance, (3, H, W).

    Guided filter whose windows are fitted by weighted least squares.

    Parameters
    ----------
    sums : (7, H, W) tensor
        Whether known, weight w, w guide, w height, w guide^2, w guide height, w height^2.
    radius : int
        Of the windows.
    """
    w, wg, wh, wgg, wgh, whh = sums[1:]
    expected, total = box_mean(sums[:2], radius)
    total.clamp_min_(_TINY)
    mean_guide, mean_height = box_mean(sums[2:4], radius).div_(total)
    variance, covariance = box_mean(sums[4:6], radius).div_(total)
    variance = variance.sub_(mean_guide.square()).clamp_min_(0)
    a = covariance.sub_(mean_guide * mean_height).div_(variance.add_(_GUIDE_EPS))
    b = mean_height.sub_(a * mean_guide)
    # Windows speak for their pixels in proportion to what they know.
    share = box_mean(total, radius).clamp_min_(_TINY)
    a, b = box_mean(torch.stack([total * a, total * b]), radius).div_(share)
    # The weighted squares of what is left about a * guide + b.
    left = whh - 2 * (a * wgh + b * wh) + a * (a * wgg + 2 * b * wg) + b * b * w
    scatter = box_mean(left.clamp_min_(0), radius)
    # The mean of weight * error^2 is the share of known pixels: what exceeds it is true relief.
    spread = (scatter - expected).clamp_min_(0).add_(expected, alpha=1 / _INDEPENDENT).clamp_min_(_TINY)
    prior = torch.where(total > 10 * _TINY, total / spread, 0)
    return torch.stack([a, b, prior])
