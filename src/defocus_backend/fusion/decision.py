"""Which slice is sharpest where (eq 14) and how much each contributes (eqs 15 and 16)."""

from __future__ import annotations

import torch
from torch import Tensor

from defocus_backend.filters import guided_filter
from defocus_backend.params import FusionParams


class RunningMinimum:
    """The least sigma over the slices seen so far and the slice that has it; ties go to the lowest.

    Attributes
    ----------
    sigma : (H, W) tensor
        Least sigma in pixels; infinite where no slice was valid.
    index : (H, W) int32 tensor
        Slice of the least sigma; 0 where no slice was valid.
    confidence : (H, W) tensor
        Confidence of that slice's sigma.
    """

    def __init__(self, shape: tuple[int, int], device: torch.device) -> None:
        self.sigma = torch.full(shape, torch.inf, device=device)
        self.index = torch.zeros(shape, dtype=torch.int32, device=device)
        self.confidence = torch.zeros(shape, device=device)
        self._seen = 0

    def update(self, sigma: Tensor, confidence: Tensor) -> None:
        """Take in the next slice's maps (H, W); NaN never wins."""
        better = sigma < self.sigma
        self.sigma = torch.where(better, sigma, self.sigma)
        self.confidence = torch.where(better, confidence, self.confidence)
        self.index = torch.where(better, self._seen, self.index)
        self._seen += 1


def decision_weight(decision: Tensor, guide: Tensor, params: FusionParams) -> Tensor:
    """Unnormalised weight of one slice: eq 15, clamped to [0, 1], plus delta of eq 16.

    Parameters
    ----------
    decision : (H, W) bool tensor
        D of eq 14.
    guide : (H, W) tensor
        The slice itself, gray, unit range.
    params : FusionParams
        Radius and eps of the guided filter, delta.

    Returns
    -------
    (H, W) tensor
    """
    if not bool(decision.any()):
        # The filter of an all-zero map is zero: most slices of a long stack, tile by tile.
        return torch.full_like(guide, params.delta)
    filtered = guided_filter(guide, decision.to(guide), radius=params.radius, eps=params.eps)
    return filtered.clamp(0, 1) + params.delta
