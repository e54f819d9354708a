"""Running results of a fusion: the best score and the smallest sigma so far."""

from __future__ import annotations

import torch
from torch import Tensor

from defocus_backend.fusion.strips import strips

_INVALID = -1e4
"""Score of a pixel that is missing in a slice."""
FRONT_MARGIN = 1.0
"""A peak at the back is preferred to one in front if its score is higher by this; the scatter between slices is
0.13."""
FRONT_VALLEY = 1.0
"""Two scores are separate peaks if the valley between them is at least this deep."""


class RunningBest:
    """The best score over the slices so far, its slice, and the scores of the neighbouring slices.

    Parameters
    ----------
    shape : (int, int)
        Height and width.
    device : torch.device
    front : {"none", "first", "last"}
        End of the stack that is nearest to the viewer. Where the score has two separate peaks that differ by less than
        `FRONT_MARGIN`, the one nearer to this end is used instead of the higher one.
    neighbours : bool
        Whether to store the scores of the neighbours and the lowest score.

    Attributes
    ----------
    index : (H, W) int16 tensor
        Slice with the best score; the first of equal ones, 0 where no slice was valid.
    best : (H, W) tensor
        The best score; NaN where no slice was valid.
    least : (H, W) tensor
        The lowest score; infinite where no slice was valid, empty without neighbours.
    below, above : (H, W) half-precision tensors
        Scores of the previous and of the next slice, minus the best score; NaN where there is none. Empty without
        neighbours.
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
        # The lowest score since the best one, and the highest of all.
        self._dip = torch.full_like(self._best, torch.inf) if front != "none" else None
        self._most = torch.full_like(self._best, _INVALID) if front == "last" else None
        # Allocated early, like all long-lived arrays, to avoid heap fragmentation.
        self._before = torch.full(kept, torch.nan, device=device)
        self._seen = 0

    @property
    def best(self) -> Tensor:
        """The best score, (H, W)."""
        return self._best.masked_fill(~_real(self._best), torch.nan)

    def update(self, score: Tensor) -> Tensor:
        """Add the next slice.

        Parameters
        ----------
        score : (H, W) tensor
            Score of the slice; NaN where it is invalid.

        Returns
        -------
        (H, W) tensor
            Signed margin of the score to the best score so far; above 0 where this slice is now the best.
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
        # Compare with the highest score of all, so that a series of ever lower peaks does not lead downwards step by
        # step.
        return torch.where(apart, score - self._most[rows] + FRONT_MARGIN, rise)


def _real(score: Tensor) -> Tensor:
    """Whether a score, or its difference to a valid score, belongs to a valid pixel."""
    return score > _INVALID / 2


class LeastSigma:
    """The smallest sigma over the slices so far, which may belong to another slice than the best score.

    The score selects the slice; the smallest sigma shows whether any slice is sharp.

    Attributes
    ----------
    sigma, confidence : (H, W) tensors
        Smallest sigma in pixels, infinite where no slice was valid, and its confidence.
    """

    def __init__(self, shape: tuple[int, int], device: torch.device) -> None:
        self.sigma = torch.full(shape, torch.inf, device=device)
        self.confidence = torch.zeros(shape, device=device)

    def update(self, sigma: Tensor, confidence: Tensor) -> None:
        """Add the maps (H, W) of the next slice; sigma is NaN where it is invalid."""
        lower = sigma < self.sigma
        self.sigma = torch.where(lower, sigma, self.sigma)
        self.confidence = torch.where(lower, confidence, self.confidence)


def soft_weights(leads: Tensor, firmness: float) -> Tensor:
    """Weights ``exp(firmness * score)`` from the leads (N, H, W) of `RunningBest.update`; they add up to 1."""
    rise, later = leads.clamp_min(0), torch.zeros_like(leads)
    later[:-1] = rise[1:].flip(0).cumsum(0).flip(0)
    return (leads.clamp_max(0) - later).mul_(firmness).softmax(0)
