"""Height between slices: defocus is linear in z, so sigma squared is a parabola with its minimum at the surface.

``sigma^2(z) = a (z - z0)^2 + c``: the lens adds ``a (z - z0)^2``, and softness of the object itself adds ``c``. Only
slices near the minimum determine it, so a window of slices is stored per pixel, for stacks of any length.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from defocus_backend.filters import CellGrid, box_mean, cell_mean
from defocus_backend.filters.box import accumulation_dtype
from defocus_backend.fusion.parabola import fit_parabola
from defocus_backend.fusion.peak import SCORE_NOISE, peak_height
from defocus_backend.fusion.positions import mean_step
from defocus_backend.fusion.regularise import Height, combine, regularise
from defocus_backend.fusion.running import RunningBest
from defocus_backend.fusion.strips import spread_cells, strips

_REACH = 2
"""Number of slices stored on either side of the sharpest one."""
_MOST_GROUPS = 16
"""Longer stacks are averaged over groups of neighbouring slices; the mean of a parabola is the same parabola plus a
constant."""
_SATURATED = 15.0
"""Sigma above which the map no longer grows with the blur, px."""
_NEAR = 6.0
"""A slice is near the minimum if its sigma exceeds the smallest sigma by less than this, px."""
_SOFTENING = 0.5
"""Constant added to sigma in the weight of a slice, px, because the precision of sigma does not improve near 0."""
_TYPICAL_NOISE = 0.25
"""Typical standard deviation of sigma on textured pixels, px, for fits without residuals."""
_CLIMB = 0.5
"""A minimum is reliable if sigma increases by this on both sides of the sharpest slice, px."""
_SHARP = 1.5
"""Largest blur of the lens, as sigma in px, that still counts as in focus."""
_POOL = 4
"""Radius of the neighbourhood with a common noise estimate, px."""
_PRIOR_FREEDOM = 0.02
"""Weight of the typical noise relative to the residuals, in degrees of freedom per pixel."""
_TELLS = 0.1
"""Smallest mean confidence at which an increase of sigma at the end of the stack is trusted."""
_LEAST_TRUST = 0.01
"""Confidence that is used for a slice where the map is uninformative."""
_FLAT = 6 * SCORE_NOISE
"""If the range of the scores over all slices is below this, the choice may depend on noise alone."""
_SMOOTH = 6
"""Radius of the neighbourhood with which a height is compared, px."""


class HeightAccumulator:
    """Stores sigma and confidence of the sharpest slice and of its neighbours at every pixel, slice by slice.

    Memory does not grow with the number of slices: it stores five values of sigma and of confidence per pixel, in half
    precision (0.01 px at 19 px).

    Parameters
    ----------
    shape : (int, int)
        Height and width.
    z : (N,) float64 array
        Position of every slice, see `z_positions`.
    device : torch.device
    """

    def __init__(self, shape: tuple[int, int], z: NDArray[np.float64], device: torch.device) -> None:
        self.z = z
        self._size = max(1, -(-len(z) // _MOST_GROUPS))
        groups = [z[n : n + self._size].mean() for n in range(0, len(z), self._size)]
        slots = 2 * _REACH + 1
        self._sigma = torch.zeros((slots, *shape), dtype=torch.float16, device=device)
        self._group_z = torch.tensor(groups, dtype=accumulation_dtype(self._sigma), device=device)
        self._trust = torch.zeros_like(self._sigma)
        self._recent: list[tuple[Tensor, Tensor]] = []
        self._best = torch.zeros(shape, dtype=torch.int16, device=device)
        self._since = torch.full(shape, slots, dtype=torch.int16, device=device)
        self._least = torch.full(shape, torch.inf, device=device)
        self._seen = 0
        self._group: _Group | None = None

    @property
    def step(self) -> float:
        """Mean distance between neighbouring slices."""
        return mean_step(self.z)

    @property
    def spread(self) -> float:
        """Standard error of a height that is uniformly distributed over the stack."""
        return max(float(np.ptp(self.z)), self.step) / 12**0.5

    @property
    def seen(self) -> Tensor:
        """Mask (H, W) of pixels that are valid in any slice."""
        return (self._trust > 0).any(0)

    def update(self, sigma: Tensor, confidence: Tensor, better: Tensor | None = None) -> None:
        """Add the next slice.

        Parameters
        ----------
        sigma, confidence : (H, W) tensors
            Sigma in pixels, NaN where invalid, and confidence from 0 to 1.
        better : (H, W) bool tensor or None
            Where the slice is the sharpest so far; by default, where its sigma is the smallest so far.
        """
        if better is None:
            better = sigma < self._least
            self._least = torch.where(better, sigma, self._least)
        group = self._group or _Group(sigma.shape, sigma.device)
        group.add(sigma, confidence, better)
        self._seen += 1
        self._group = group
        if group.count == self._size or self._seen == len(self.z):
            self._take(*group.mean(), group.better)
            self._group = None

    def _take(self, sigma: Tensor, trust: Tensor, better: Tensor) -> None:
        number = -(-self._seen // self._size) - 1
        for slot in range(_REACH):
            back = _REACH - slot
            if back <= len(self._recent):
                before = self._recent[-back]
                self._sigma[slot] = torch.where(better, before[0], self._sigma[slot])
                self._trust[slot] = torch.where(better, before[1], self._trust[slot])
            else:
                self._trust[slot].masked_fill_(better, 0)
        self._since = torch.where(better, 0, self._since + 1).clamp_(max=2 * _REACH + 1)
        for after in range(_REACH + 1):
            here = self._since == after
            slot = _REACH + after
            self._sigma[slot] = torch.where(here, sigma, self._sigma[slot])
            self._trust[slot] = torch.where(here, trust, self._trust[slot].masked_fill(better, 0))
        self._best = torch.where(better, number, self._best).to(torch.int16)
        self._recent = [*self._recent, (sigma, trust)][-_REACH:]

    def fit(self) -> Height:
        """Height from the parabola of sigma squared alone, without smoothing.

        The noise of sigma is estimated from the residuals of the fits in a small neighbourhood, so that the error is
        right for the local texture. Where the parabola has no minimum, the height is unknown. At the ends of the stack
        it is then that of the first or last slice, with an error of half a step.

        Returns
        -------
        Height
        """
        shape = int(self._best.shape[0]), int(self._best.shape[1])
        parts = [self._fit_rows(rows) for rows in strips(shape, self._best.device)]
        vertex, unit_error, residual, freedom, trust, rise, lens = (torch.cat(p) for p in zip(*parts, strict=True))
        noise = _pooled_noise(residual, freedom).maximum(_TYPICAL_NOISE * (1 - trust))
        scale = self._scale
        error = unit_error * noise * scale
        place = self._group_z[self._best.long()]
        found = place + vertex.to(place) * scale
        low, high = float(self.z.min()), float(self.z.max())
        margin = scale / 2
        good = vertex.isfinite() & error.isfinite() & (found >= low - margin) & (found <= high + margin)
        # Sharpest in the first or last slice and clearly less sharp in the next one: the surface is at the end of the
        # range, or beyond.
        ended = ~good & ((self._best == 0) | (self._best == len(self._group_z) - 1)) & (rise > _TYPICAL_NOISE)
        ended &= trust > _TELLS
        found = torch.where(ended, torch.where(place < (low + high) / 2, low, high), found).clamp(low, high)
        error = torch.where(good, error.clamp(max=self.spread), self.step / 2)
        known = self.seen & (good | ended)
        return Height(
            height=found.float().masked_fill(~known, torch.nan),
            error=error.float().masked_fill(~known, torch.nan),
            inferred=~known | (error > self.step / 2),
            lens=lens.masked_fill(~good, torch.nan),
        )

    @property
    def _scale(self) -> float:
        """Unit of z in the fit: the distance between neighbouring groups."""
        return float(self._group_z.diff().abs().mean()) if len(self._group_z) > 1 else self.step

    def _fit_rows(self, rows: slice) -> tuple[Tensor, ...]:
        sigma, trust = self._sigma[:, rows].float(), self._trust[:, rows].float()
        best = self._best[rows].long()
        offsets = torch.arange(-_REACH, _REACH + 1, device=best.device)[:, None, None]
        numbers = best + offsets
        inside = (numbers >= 0) & (numbers < len(self._group_z))
        place = self._group_z[numbers.clamp(0, len(self._group_z) - 1)]
        t = ((place - self._group_z[best]) / self._scale).float()
        least = torch.where(inside & (trust > 0), sigma, torch.inf).amin(0)
        # The sharpest slice and its neighbours are always used, because in a coarse stack no others are near.
        near = (sigma <= least + _NEAR) | (offsets.abs() <= 1)
        near &= inside & (trust > 0) & (sigma < _SATURATED)
        trust = torch.where(near, trust, 0)
        y = sigma.square()
        # The variance of sigma squared is 4 sigma^2 var(sigma), first with the measured sigma, then with the fitted
        # one.
        first = fit_parabola(t, y, trust / (y + _SOFTENING**2))
        smooth = torch.where(first.curvature > 0, first.at(t).clamp_min(0), y).nan_to_num(0)
        found = fit_parabola(t, y, trust / (4 * (torch.where(near, smooth, 0) + _SOFTENING**2)))
        rising = found.curvature > 0
        climb = torch.where(near, sigma - sigma[_REACH], 0)
        enclosed = rising & (climb[:_REACH].amax(0) > _CLIMB) & (climb[_REACH + 1 :].amax(0) > _CLIMB)
        lens = found.curvature.clamp_min(0).sqrt() * found.vertex.abs()
        return (
            found.vertex.masked_fill(~rising, torch.nan),
            found.unit_error.masked_fill(~rising, torch.nan),
            found.residual.masked_fill(~rising, 0).nan_to_num(0),
            found.freedom.masked_fill(~rising, 0).float(),
            trust.sum(0) / near.sum(0).clamp_min(1),
            torch.where(best == 0, sigma[_REACH + 1], sigma[_REACH - 1]) - sigma[_REACH],
            lens.masked_fill(~enclosed, torch.nan),
        )


class _Group:
    """Running mean of sigma squared and confidence over neighbouring slices."""

    def __init__(self, shape: torch.Size, device: torch.device) -> None:
        self.count = 0
        self.better = torch.zeros(shape, dtype=torch.bool, device=device)
        self._square = torch.zeros(shape, device=device)
        self._trust = torch.zeros(shape, device=device)
        self._valid = torch.zeros(shape, device=device)

    def add(self, sigma: Tensor, confidence: Tensor, better: Tensor) -> None:
        valid = sigma.isfinite()
        self._square += torch.where(valid, sigma, 0).square()
        self._trust += torch.where(valid, confidence.clamp_min(_LEAST_TRUST), 0)
        self._valid += valid
        self.better |= better
        self.count += 1

    def mean(self) -> tuple[Tensor, Tensor]:
        """Root mean square of sigma and mean confidence, in half precision; confidence 0 where nothing was valid."""
        count = self._valid.clamp_min(1)
        return (self._square / count).sqrt().half(), (self._trust / count).half()


@dataclass(frozen=True)
class Relief(Height):
    """Height with the mask of pixels that are never in focus.

    Attributes
    ----------
    never : (H, W) bool tensor
        Mask of pixels that are not sharp in any slice.
    """

    never: Tensor = field(kw_only=True)


def find_height(
    accumulator: HeightAccumulator,
    guide: Tensor,
    never: Tensor,
    best: RunningBest | None = None,
    *,
    subsample: int = 1,
    seen: Tensor | None = None,
    empty: Tensor | None = None,
    score_noise: Tensor | None = None,
) -> Relief:
    """Regularised height from scores and sigma, with NaN where no slice is sharp.

    Parameters
    ----------
    accumulator : HeightAccumulator
        Accumulator after the last slice, on cells of `subsample` pixels.
    guide : (H, W) tensor
        The fused image, gray, in the unit range.
    never : (h, w) bool tensor
        Cells where no slice is in focus according to the smallest sigma. Cells with a reliable minimum of sigma within
        the stack are removed, because there the object itself is soft.
    best : RunningBest or None
        Best scores for the height, on the same cells.
    subsample : int
        Side of the cells in pixels.
    seen : (H, W) bool tensor or None
        Pixels that are valid in any slice; by default, those of all cells with a sigma.

    empty : (h, w) bool tensor or None
        Cells where no slice has fine detail above the noise; their own measurements are ignored.
    score_noise : (h, w) tensor or None
        Standard deviation of the score in the best slice due to noise.

    Returns
    -------
    Relief
    """
    step, z = accumulator.step, accumulator.z
    shape = int(guide.shape[0]), int(guide.shape[1])
    grid = CellGrid(*shape, subsample)
    found = accumulator.fit()
    if found.lens is not None:
        never = never & ~(found.lens < _SHARP)
    if best is None:
        by_score = replace(found, height=torch.full_like(found.height, torch.nan))
    else:
        by_score = peak_height(z, best.index, best.below, best.above)
        by_score.height.masked_fill_(best.best - best.least < _FLAT, torch.nan)
    found = combine(by_score, found, step)
    # Pixels that are never in focus must not take the height of their neighbours.
    found = replace(found, height=found.height.masked_fill(never, torch.nan))
    if empty is not None:
        found = replace(found, height=found.height.masked_fill(empty, torch.nan), inferred=found.inferred | empty)
    smooth = regularise(found, cell_mean(guide, subsample), step, radius=grid.radius(_SMOOTH))
    stated = smooth.error
    if score_noise is not None:
        # This only changes the stated error. In the weights, it would increase the influence of the neighbourhood and
        # reduce the accuracy.
        stated = stated * (score_noise / SCORE_NOISE).square().add(1).sqrt()
    height, error = grid.interpolate(torch.stack([smooth.height, stated]), 0, shape[0])
    nowhere = spread_cells(never, subsample, shape)
    unknown = nowhere | ~(spread_cells(accumulator.seen, subsample, shape) if seen is None else seen)
    return Relief(
        height=height.clamp_(float(z.min()), float(z.max())).masked_fill_(unknown, torch.nan),
        error=error.clamp_(max=accumulator.spread).masked_fill_(unknown, torch.nan),
        inferred=spread_cells(smooth.inferred, subsample, shape) & ~unknown,
        never=nowhere,
    )


def _pooled_noise(residual: Tensor, freedom: Tensor) -> Tensor:
    """Standard deviation of a sigma with weight 1, from the residuals of the fits around each pixel."""
    squares, count = box_mean(residual, _POOL), box_mean(freedom, _POOL)
    # The typical noise has a small weight, so that it only matters where there are few residuals.
    return ((squares + _TYPICAL_NOISE**2 * _PRIOR_FREEDOM) / (count + _PRIOR_FREEDOM)).sqrt()
