"""How slices become one picture: by their scores while they come, or by a decision that is known (eqs 13, 15, 16).

To add a blend, write a `Blend` in a file of its own and name it in `defocus_backend.methods.BLENDS`.
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
"""Sigma in pixels by which a painted decision is softened."""


class WeightedBlend(Protocol):
    """Takes every slice once with its weight, then gives the fused image."""

    def add(self, pixels: Tensor, weight: Tensor) -> None:
        """Take in one slice (C, H, W) and its unnormalised weight (H, W)."""

    def result(self) -> Tensor:
        """The fused image (C, H, W)."""


class ScoreBlend(Protocol):
    """Takes every slice once with its score, while later slices are still unknown, then gives the fused image."""

    def add(self, pixels: Tensor, score: Tensor, lead: Tensor) -> None:
        """Take in the next slice.

        Parameters
        ----------
        pixels : (C, H, W) tensor
            The slice in the unit range; missing pixels hold the value of a near one.
        score : (H, W) tensor
            How well it is in focus, NaN where it is missing.
        lead : (H, W) tensor
            By how much its score exceeds the best score before it, see `RunningBest.update`.
        """

    def result(self) -> Tensor:
        """The fused image (C, H, W); no slice can be added afterwards."""

    def weights(self) -> Tensor:
        """Weight of every slice (N, H, W), which add up to 1; only if it was made with `keep`."""


Weigh = Callable[[Tensor, Tensor, BlendParams], Tensor]
"""Unnormalised weight (H, W) from a decision (H, W) bool, the gray slice (H, W) and the options."""

ScoreBlendMaker = Callable[[BlendParams, str, int, tuple[int, int], torch.device, bool], ScoreBlend]
"""A new `ScoreBlend` for the options, the `front`, channels, (H, W), device, and whether to keep the weights."""


@dataclass(frozen=True, kw_only=True)
class Blend:
    """One way to blend slices.

    Attributes
    ----------
    weigh : callable
        Weight of a slice by a decision that is known, see `Weigh`.
    known : callable
        Returns a new `WeightedBlend`, which takes those weights.
    scored : callable or None
        Returns a new `ScoreBlend` for a fusion that reads every slice once, see `ScoreBlendMaker`. With None, `fuse`
        reads the slices a second time and blends them by the finished decision.
    reach : callable
        How far in pixels, along rows and columns, the blend carries a change of the decision, given the options.
    cell : int
        Side in pixels of its coarsest cells; regions that are blended apart begin at multiples of it.
    """

    weigh: Weigh
    known: Callable[[], WeightedBlend]
    scored: ScoreBlendMaker | None = None
    reach: Callable[[BlendParams], int]
    cell: int = 1


class WeightedSum:
    """Eq 13 with the weights normalised as in eq 16."""

    def __init__(self) -> None:
        self._sum: Tensor | None = None
        self._weight: Tensor | None = None

    def add(self, pixels: Tensor, weight: Tensor) -> None:
        """Take in one slice (C, H, W) and its unnormalised weight (H, W)."""
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
    """Weight of a slice by eqs 15 and 16: the guided filter of its decision, clamped to [0, 1], plus `least_weight`.

    Parameters
    ----------
    decision : (H, W) bool tensor
        D of eq 14.
    guide : (H, W) tensor
        The slice itself, gray, unit range.
    params : BlendParams
        `radius`, `edge_tolerance` and `least_weight`.

    Returns
    -------
    (H, W) tensor
    """
    if not bool(decision.any()):
        # The filter of an all-zero map is zero: most slices of a long stack, tile by tile.
        return torch.full_like(guide, params.least_weight)
    filtered = guided_filter(guide, decision.to(guide), radius=params.radius, eps=params.edge_tolerance)
    return filtered.clamp(0, 1) + params.least_weight


def blurred_weight(decision: Tensor, guide: Tensor, params: BlendParams) -> Tensor:
    """Weight of a slice by its decision smoothed with a Gaussian of 1 px, plus `least_weight`; parameters as above."""
    if not bool(decision.any()):
        return torch.full_like(guide, params.least_weight)
    return gaussian_blur(decision.to(guide), _SOFT_EDGE).add_(params.least_weight)


PIXELS = Blend(weigh=blurred_weight, known=WeightedSum, reach=lambda _: round(4 * _SOFT_EDGE))
DECISION = Blend(weigh=guided_weight, known=WeightedSum, reach=lambda params: 2 * params.radius)
