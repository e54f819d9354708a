"""Weighted least-squares parabolas through a few values per pixel, with the position of their vertex."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_FLATTEST = 1e-9
"""A parabola has no vertex if its curvature is below this, relative to the largest that the weights allow."""


@dataclass(frozen=True)
class Parabola:
    """Parabola ``y = curvature (t - vertex)^2 + extreme`` at every pixel, with its error.

    Attributes
    ----------
    vertex : (H, W) tensor
        Position of the extreme in units of ``t``; NaN where there is none.
    unit_error : (H, W) tensor
        Standard error of the vertex for values with a standard deviation of 1 at weight 1.
    curvature, extreme : (H, W) tensors
        In units of ``y / t^2`` and ``y``.
    residual : (H, W) tensor
        Weighted sum of the squared residuals.
    freedom : (H, W) tensor
        Degrees of freedom: number of values with weight, minus three; at least 0.
    """

    vertex: Tensor
    unit_error: Tensor
    curvature: Tensor
    extreme: Tensor
    residual: Tensor
    freedom: Tensor

    def at(self, t: Tensor) -> Tensor:
        """Values (K, H, W) of the parabola at the positions (K, H, W)."""
        return torch.addcmul(self.extreme, self.curvature, (t - self.vertex).square())


def fit_parabola(t: Tensor, y: Tensor, weight: Tensor) -> Parabola:
    """Fit one parabola per pixel by weighted least squares.

    Positions are taken relative to their weighted mean, which makes the normal equations well conditioned and their
    inverse simple. The error of the vertex follows to first order from the covariance of the coefficients.

    Parameters
    ----------
    t, y, weight : (K, H, W) tensors
        Positions, values, and the inverse variances of the values up to a common factor. Values with weight 0 are
        ignored.

    Returns
    -------
    Parabola
        The parabolas. The vertex is a minimum where the curvature is positive, and NaN with fewer than three positions.
    """
    weight = weight.clamp_min(0)
    total = weight.sum(0)
    safe = total.clamp_min(torch.finfo(t.dtype).tiny)
    centre = (weight * t).sum(0) / safe
    u = t - centre
    wu = weight * u
    wuu = wu * u
    s2, s3, s4 = wuu.sum(0), (wuu * u).sum(0), (wuu * u * u).sum(0)
    t0, t1, t2 = (weight * y).sum(0), (wu * y).sum(0), (wuu * y).sum(0)
    determinant = total * (s2 * s4 - s3 * s3) - s2**3
    # By the Cauchy-Schwarz inequality, it is between 0 and total * s2 * s4. Near 0, there are fewer than three
    # positions.
    solvable = determinant > 1e-6 * total * s2 * s4
    inverse = torch.where(solvable, 1 / torch.where(solvable, determinant, 1.0), torch.nan)
    i00, i01, i02 = (s2 * s4 - s3 * s3) * inverse, s2 * s3 * inverse, -s2 * s2 * inverse
    i11, i12, i22 = (total * s4 - s2 * s2) * inverse, -total * s3 * inverse, total * s2 * inverse
    b0 = i00 * t0 + i01 * t1 + i02 * t2
    b1 = i01 * t0 + i11 * t1 + i12 * t2
    b2 = i02 * t0 + i12 * t1 + i22 * t2
    bent = b2.abs() > _FLATTEST * (t0.abs() / s2.clamp_min(torch.finfo(t.dtype).tiny))
    b2_safe = torch.where(bent, b2, torch.nan)
    place = -b1 / (2 * b2_safe)
    d1, d2 = -0.5 / b2_safe, -place / b2_safe
    variance = d1 * d1 * i11 + 2 * d1 * d2 * i12 + d2 * d2 * i22
    residual = (weight * (y - b0 - u * (b1 + u * b2)).square()).sum(0)
    return Parabola(
        vertex=centre + place,
        unit_error=variance.clamp_min(0).sqrt(),
        curvature=b2,
        extreme=b0 + b1 * place / 2,
        residual=residual,
        freedom=((weight > 0).sum(0) - 3).clamp_min(0),
    )
