"""Two estimates of a height become one, and weak places take the height of their surroundings."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from defocus_backend.filters import box_mean
from defocus_backend.filters.fill import fill_from_surroundings

_MISFIT_SCORE, _MISFIT_SIGMA = 0.09, 0.25
"""Error in steps that no amount of evidence takes away, since neither curve is quite a parabola: measured there."""
_SMOOTH = 6
"""Radius in px of the neighbourhood that a pixel's height is compared with."""
_GUIDE_EPS = 1e-2
"""Regularisation of that comparison, in squared units of the guide."""
_INDEPENDENT = 7
"""Independent values in that neighbourhood: errors of pixels nearer than five to each other go together."""
_TINY = 1e-12


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
    parts = ((by_score, _MISFIT_SCORE * step), (by_sigma, _MISFIT_SIGMA * step))
    weights = [torch.where(h.height.isfinite(), 1 / (h.error.square() + misfit**2), 0) for h, misfit in parts]
    total = weights[0] + weights[1]
    value = (by_score.height.nan_to_num(0) * weights[0] + by_sigma.height.nan_to_num(0) * weights[1]) / total
    error = total.rsqrt()
    unknown = total == 0
    return Height(
        height=value.masked_fill(unknown, torch.nan),
        error=error.masked_fill(unknown, torch.nan),
        inferred=unknown | (error > step / 2),
    )


def regularise(found: Height, guide: Tensor, step: float) -> Height:
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

    Returns
    -------
    Height
        Known everywhere if it was known anywhere; `inferred` as it was.
    """
    known = found.height.isfinite()
    if not bool(known.any()):
        return found
    origin = found.height[known].mean()
    height = torch.where(known, found.height - origin, 0)
    weight = torch.where(known, found.error.square().reciprocal(), 0)
    # In units of the firmest pixel, far from the ends of float32.
    largest = weight.max()
    weight = weight / largest
    total = box_mean(weight, _SMOOTH).clamp_min(_TINY)
    foretold = _foretell(height, weight, total, guide)
    scatter = box_mean(weight * (height - foretold).square(), _SMOOTH)
    # The mean of weight * error^2 is the share of known pixels: what exceeds it is true relief.
    expected = box_mean(known.to(weight), _SMOOTH) / largest
    spread = (scatter - expected).clamp_min(0) + expected / _INDEPENDENT
    prior = torch.where(total > 10 * _TINY, total / (spread * largest).clamp_min(_TINY), 0)
    both = (weight + prior).clamp_min(_TINY)
    mean = (weight * height + prior * foretold) / both
    # What the fits share is not averaged away.
    error = ((both * largest).reciprocal() + (_MISFIT_SCORE * step) ** 2).sqrt()
    trust = torch.where(known | (prior > 0), 1 / (1 + (2 * error / step) ** 4), 0)
    filled = fill_from_surroundings(mean[None], trust)[0]
    return Height(filled + origin, error, found.inferred)


def _foretell(height: Tensor, weight: Tensor, total: Tensor, guide: Tensor) -> Tensor:
    """Guided filter whose windows are fitted by weighted least squares, ``total`` being their mean weight."""
    mean_guide = box_mean(weight * guide, _SMOOTH) / total
    mean_height = box_mean(weight * height, _SMOOTH) / total
    variance = (box_mean(weight * guide * guide, _SMOOTH) / total - mean_guide.square()).clamp_min(0)
    covariance = box_mean(weight * guide * height, _SMOOTH) / total - mean_guide * mean_height
    a = covariance / (variance + _GUIDE_EPS)
    b = mean_height - a * mean_guide
    # Windows speak for their pixels in proportion to what they know.
    share = box_mean(total, _SMOOTH)
    return box_mean(total * a, _SMOOTH) / share * guide + box_mean(total * b, _SMOOTH) / share
