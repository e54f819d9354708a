"""Blending of slices into one picture, by their scores as they are read or by a known decision (eqs 13, 15, 16).

To add a blend, define a `Blend` in a separate file and register it in `defocus_backend.methods.BLENDS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from defocus_backend.filters import gaussian_blur, guided_filter
from defocus_backend.params import BlendParams

_SOFT_EDGE = 1.0
"""Sigma of the Gaussian that smooths a decision for the blend pixels, in px."""


class WeightedBlend(Protocol):
    """Accumulates every slice with its weight, then returns the fused image."""

    def add(self, pixels: Tensor, weight: Tensor) -> None:
        """Add one slice (C, H, W) with its unnormalised weight (H, W)."""

    def result(self) -> Tensor:
        """The fused image (C, H, W)."""


class ScoreBlend(Protocol):
    """Accumulates every slice with its score, without knowing later slices, then returns the fused image."""

    def add(self, pixels: Tensor, score: Tensor, lead: Tensor) -> None:
        """Add the next slice.

        Parameters
        ----------
        pixels : (C, H, W) tensor
            The slice in the unit range; missing pixels have the value of a nearby pixel.
        score : (H, W) tensor
            Score of the slice, larger where it is sharper; NaN where pixels are missing.
        lead : (H, W) tensor
            Margin of the score over the best score so far, see `RunningBest.update`.
        """

    def result(self) -> Tensor:
        """The fused image (C, H, W); no slice can be added afterwards."""

    def weights(self) -> Tensor:
        """Weight of every slice (N, H, W), which add up to 1; only available with `keep`."""


Weigh = Callable[[Tensor, Tensor, BlendParams], Tensor]
"""Function that returns an unnormalised weight (H, W) from a decision (H, W) bool, the gray slice (H, W) and the
options."""

ScoreBlendMaker = Callable[[BlendParams, str, int, tuple[int, int], torch.device, bool], ScoreBlend]
"""Creates a `ScoreBlend` from the options, the `front`, channels, (H, W), device, and whether to keep the weights."""


@dataclass(frozen=True, kw_only=True)
class Blend:
    """A method for blending slices.

    Attributes
    ----------
    weigh : callable
        Weight of a slice from a known decision, see `Weigh`.
    known : callable
        Returns a new `WeightedBlend`, which uses these weights.
    scored : callable or None
        Returns a new `ScoreBlend` for a fusion in one pass, see `ScoreBlendMaker`. With None, `fuse` reads the slices a
        second time and blends them by the finished decision.
    reach : callable
        Distance in pixels, along rows and columns, over which a change of the decision affects the blend; a function of
        the options.
    cell : int
        Side of the coarsest cells in pixels. Regions that are blended separately must begin at multiples of it.
    """

    weigh: Weigh
    known: Callable[[], WeightedBlend]
    scored: ScoreBlendMaker | None = None
    reach: Callable[[BlendParams], int]
    cell: int = 1


class WeightedSum:
    """Weighted sum of eq 13, with weights normalised as in eq 16."""

    def __init__(self) -> None:
        self._sum: Tensor | None = None
        self._weight: Tensor | None = None

    def add(self, pixels: Tensor, weight: Tensor) -> None:
        """Add one slice (C, H, W) with its unnormalised weight (H, W)."""
        if self._sum is None or self._weight is None:
            self._sum, self._weight = pixels * weight, weight.clone()
        else:
            self._sum.addcmul_(pixels, weight)
            self._weight += weight

    def result(self) -> Tensor:
        """The fused image (C, H, W)."""
        assert self._sum is not None
        assert self._weight is not None
        return self._sum / self._weight


def guided_weight(decision: Tensor, guide: Tensor, params: BlendParams) -> Tensor:
    """Weight of a slice by eqs 15 and 16: its decision, smoothed by the guided filter and clipped, plus `least_weight`.

    Parameters
    ----------
    decision : (H, W) bool tensor
        D of eq 14.
    guide : (H, W) tensor
        The gray slice, in the unit range.
    params : BlendParams
        `radius`, `edge_tolerance` and `least_weight`.

    Returns
    -------
    (H, W) tensor
    """
    if not bool(decision.any()):
        # The filter of a zero map is zero. In a long stack, this is true for most slices of a tile.
        return torch.full_like(guide, params.least_weight)
    filtered = guided_filter(guide, decision.to(guide), radius=params.radius, eps=params.edge_tolerance)
    return filtered.clamp(0, 1) + params.least_weight


def blurred_weight(decision: Tensor, guide: Tensor, params: BlendParams) -> Tensor:
    """Weight of a slice: its decision smoothed by a Gaussian of 1 px, plus `least_weight`; see `guided_weight`."""
    if not bool(decision.any()):
        return torch.full_like(guide, params.least_weight)
    return gaussian_blur(decision.to(guide), _SOFT_EDGE).add_(params.least_weight)


PIXELS = Blend(weigh=blurred_weight, known=WeightedSum, reach=lambda _: round(4 * _SOFT_EDGE))
DECISION = Blend(weigh=guided_weight, known=WeightedSum, reach=lambda params: 2 * params.radius)
