"""What a fusion keeps from slice to slice: the best score and the least sigma so far."""

from __future__ import annotations

import torch
from torch import Tensor

from defocus_backend.fusion.strips import strips

_INVALID = -1e4
"""Score of a pixel that a slice does not have."""
FRONT_MARGIN = 1.0
"""Lead in score from which a peak behind wins over one in front; 0.13 is the scatter from slice to slice."""
FRONT_VALLEY = 1.0
"""Depth of the valley between two scores that makes them two peaks."""


class RunningBest:
    """The best score over the slices seen so far, its slice, and how far its neighbours stay behind.

    Parameters
    ----------
    shape : (int, int)
        Height and width.
    device : torch.device
    front : {"none", "first", "last"}
        The end of the stack that is nearest to the viewer. Where the score has two separate peaks whose heights
        differ by less than `FRONT_MARGIN`, the one nearer to that end is kept instead of the higher one.
    neighbours : bool
        Whether to keep the scores of the neighbours and the least of all.

    Attributes
    ----------
    index : (H, W) int16 tensor
        Slice of the score that is kept; the lowest of equals, 0 where no slice was valid.
    best : (H, W) tensor
        That score; NaN where no slice was valid.
    least : (H, W) tensor
        The lowest score; infinite where no slice was valid, empty without neighbours.
    below, above : (H, W) half-precision tensors
        Score of the slice before that one, and of the one after, less its own; NaN where there is none. Empty
        without neighbours.
    """

    def __init__(
        self, shape: tuple[int, int], device: torch.device, front: str = "none", *, neighbours: bool = True
    ) -> None:
        self.index = torch.zeros(shape, dtype=torch.int16, device=device)
        kept = shape if neighbours else (0, 0)
        self.below = torch.full(kept, torch.nan, dtype=torch.float16, device=device)
        self.above = torch.full_like(self.below, torch.nan)
        self.least = torch.full(kept, torch.inf, device=device)
        self._best = torch.full(shape, _INVALID, device=device)
        self._front = front
        # The least score since the one kept, and the largest of all.
        self._dip = torch.full_like(self._best, torch.inf) if front != "none" else None
        self._most = torch.full_like(self._best, _INVALID) if front == "last" else None
        # Made now, like all that lives long: among what a network frees it would leave holes that nothing fits.
        self._before = torch.full(kept, torch.nan, device=device)
        self._seen = 0

    @property
    def best(self) -> Tensor:
        """The score that is kept, (H, W)."""
        return self._best.masked_fill(~_real(self._best), torch.nan)

    def update(self, score: Tensor) -> Tensor:
        """Take in the next slice.

        Parameters
        ----------
        score : (H, W) tensor
            NaN where the slice is invalid.

        Returns
        -------
        (H, W) tensor
            By how much it exceeds what was kept before, or what it would have to exceed; above 0 where the slice is
            kept now.
        """
        lead = torch.empty_like(score)
        for rows in strips((int(score.shape[0]), int(score.shape[1])), score.device):
            lead[rows] = self._update(rows, score[rows].nan_to_num(nan=_INVALID))
        self._seen += 1
        return lead

    def _update(self, rows: slice, score: Tensor) -> Tensor:
        index, best = self.index[rows], self._best[rows]
        rise = score - best
        lead = self._lead(rows, score, rise)
        better = lead > 0
        if self._before.numel():
            above, below = self.above[rows], self.below[rows]
            after = (index == self._seen - 1) & _real(best) & _real(score)
            above.copy_(torch.where(after, rise.half(), above))
            above.masked_fill_(better, torch.nan)
            fall = self._before[rows] - score
            fall.masked_fill_(~_real(fall), torch.nan)
            below.copy_(torch.where(better, fall.half(), below))
            self._before[rows] = score
            least = self.least[rows]
            least.copy_(torch.where(_real(score), torch.minimum(score, least), least))
        index.masked_fill_(better, self._seen)
        best.copy_(torch.where(better, score, best))
        if self._dip is not None:
            dip = self._dip[rows]
            dip.copy_(torch.where(better, score, torch.where(_real(score), torch.minimum(dip, score), dip)))
        if self._most is not None:
            torch.maximum(self._most[rows], score, out=self._most[rows])
        return lead

    def _lead(self, rows: slice, score: Tensor, rise: Tensor) -> Tensor:
        if self._dip is None:
            return rise
        valley = torch.minimum(score, self._best[rows]) - self._dip[rows]
        apart = (valley > FRONT_VALLEY) & _real(score)
        if self._most is None:
            return torch.where(apart, rise - FRONT_MARGIN, rise)
        # Against the largest of all: a series of ever lower peaks must not lead down step by step.
        return torch.where(apart, score - self._most[rows] + FRONT_MARGIN, rise)


def _real(score: Tensor) -> Tensor:
    """Whether a score, or the difference of one to a valid one, is that of a valid pixel."""
    return score > _INVALID / 2


class LeastSigma:
    """The least sigma over the slices seen so far; it need not be that of the slice with the best score.

    The score finds the slice to take, the least sigma tells whether any is sharp.

    Attributes
    ----------
    sigma, confidence : (H, W) tensors
        In pixels, infinite where no slice was valid; and how sure it is.
    """

    def __init__(self, shape: tuple[int, int], device: torch.device) -> None:
        self.sigma = torch.full(shape, torch.inf, device=device)
        self.confidence = torch.zeros(shape, device=device)

    def update(self, sigma: Tensor, confidence: Tensor) -> None:
        """Take in the next slice's maps (H, W), sigma NaN where it is invalid."""
        lower = sigma < self.sigma
        self.sigma = torch.where(lower, sigma, self.sigma)
        self.confidence = torch.where(lower, confidence, self.confidence)


def soft_weights(leads: Tensor, firmness: float) -> Tensor:
    """Weights ``exp(firmness * score)`` from the leads (N, H, W) that `RunningBest.update` gave; they add up to 1."""
    rise, later = leads.clamp_min(0), torch.zeros_like(leads)
    later[:-1] = rise[1:].flip(0).cumsum(0).flip(0)
    return (leads.clamp_max(0) - later).mul_(firmness).softmax(0)
