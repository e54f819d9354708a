"""Weighted mean of slices, separately for each octave of detail, in one pass and clipped to the range of the slices.

Weights that vary from pixel to pixel cause clouds in flat areas where two slices differ in brightness, and grain where
blurred light is beside dark detail. Here, each slice is split into octaves of detail (Burt and Adelson 1983,
doi:10.1145/245.247) with separate weights: coarse brightness has smooth weights, and fine detail has sharp ones. Five
octaves are enough; with three, pale patches of 30 px remain.
"""

from __future__ import annotations

import torch
from torch import Tensor

from defocus_backend.filters.octave import double, halve
from defocus_backend.fusion.blend import Blend, blurred_weight
from defocus_backend.fusion.running import soft_weights
from defocus_backend.fusion.strips import strips
from defocus_backend.params import BlendParams

OCTAVES = 5
"""Number of octaves of detail with separate weights. The rest, on cells of 32 pixels, has its own weights too."""
_INVALID = -1e4
"""Score of a pixel that is missing in a slice."""
_COVERED = 0.5
"""A slice is used in a cell if at least this share of the cell is valid."""
_MISSING = 1e-11
"""A pixel counts as missing in a slice if its weight is below this."""
_LEAST = 1e-12
"""Weight of an octave where all slices are missing."""


def octave_reach(octaves: int = OCTAVES) -> int:
    """Distance in pixels, along an axis, over which a change of one pixel affects the blend, in whole cells."""
    return int(4 * 2**octaves)


class FrameRange:
    """Smallest and largest value of the slices at every pixel and channel, to which a fused picture is clipped.

    Parameters
    ----------
    shape : (int, int, int)
        Channels, height and width.
    device : torch.device
    """

    def __init__(self, shape: tuple[int, int, int], device: torch.device) -> None:
        self._low = torch.full(shape, torch.inf, device=device)
        self._high = torch.full(shape, -torch.inf, device=device)

    def add(self, pixels: Tensor, valid: Tensor | None = None) -> None:
        """Add one slice (C, H, W) and its mask of valid pixels (H, W)."""
        for rows in strips((int(pixels.shape[1]), int(pixels.shape[2])), pixels.device):
            part = pixels[:, rows]
            low, high = self._low[:, rows], self._high[:, rows]
            if valid is None:
                torch.minimum(low, part, out=low)
                torch.maximum(high, part, out=high)
            else:
                low.copy_(torch.where(valid[rows], torch.minimum(low, part), low))
                high.copy_(torch.where(valid[rows], torch.maximum(high, part), high))

    def clamp_(self, fused: Tensor) -> Tensor:
        """Clip a picture (C, H, W) to the range, in place; pixels that are missing in all slices are not changed."""
        for rows in strips((int(fused.shape[1]), int(fused.shape[2])), fused.device):
            low, high = self._low[:, rows], self._high[:, rows]
            part = fused[:, rows]
            part.copy_(torch.where(low <= high, torch.maximum(torch.minimum(part, high), low), part))
        return fused


class OctaveSum:
    """Weighted mean of the slices in each octave, with weights ``exp(firmness * score)``.

    Every octave stores its best score, the sum of weights and the weighted sum. Memory is 4/3 of that of one plane and
    does not grow with the number of slices.

    Parameters
    ----------
    firmness : float
        A slice whose score is 1 / firmness below the best has 1 / e of its weight.
    channels : int
    shape : (int, int)
        Height and width.
    device : torch.device
    octaves : int
        Number of octaves: how often the picture is halved.
    """

    def __init__(
        self,
        firmness: float,
        channels: int,
        shape: tuple[int, int],
        device: torch.device,
        octaves: int = OCTAVES,
    ) -> None:
        self._firmness = firmness
        sizes = [shape]
        for _ in range(octaves):
            height, width = sizes[-1]
            sizes.append((-(-height // 2), -(-width // 2)))
        self._sums = [torch.zeros((channels, *size), device=device) for size in sizes]
        self._weights = [torch.zeros(size, device=device) for size in sizes]
        self._best = [torch.full(size, _INVALID, device=device) for size in sizes]

    @property
    def best(self) -> Tensor:
        """The best score so far, (H, W)."""
        return self._best[0]

    def add(self, pixels: Tensor, score: Tensor, valid: Tensor | None = None) -> None:
        """Add one slice.

        Parameters
        ----------
        pixels : (C, H, W) tensor
        score : (H, W) tensor
            Focus score of the slice; only used where it is valid.
        valid : (H, W) bool tensor or None
            Valid pixels of the slice; by default all.
        """
        shares = None
        if valid is not None:
            shares = [valid.to(pixels)]
            pixels, score = pixels * shares[0], torch.where(valid, score, 0)
        levels, scores = [pixels], [score]
        for _ in self._sums[1:]:
            levels.append(halve(levels[-1]))
            scores.append(halve(scores[-1]))
            if shares is not None:
                shares.append(halve(shares[-1]))
        if shares is not None:
            levels, scores = _filled(levels, scores, shares)
        for number, (level, one) in enumerate(zip(levels, scores, strict=True)):
            self._add_octave(number, level, levels[number + 1] if number + 1 < len(levels) else None, one)

    def _add_octave(self, number: int, level: Tensor, low: Tensor | None, score: Tensor) -> None:
        total, weights, best = self._sums[number], self._weights[number], self._best[number]
        for rows in strips((int(score.shape[0]), int(score.shape[1])), score.device, 2):
            rise = score[rows] - best[rows]
            better = rise > 0
            less = rise.abs().mul_(-self._firmness).exp_()
            # Weights are relative to the best slice so far, to avoid overflow.
            fade, weight = torch.where(better, less, 1), torch.where(better, 1, less)
            band = level[:, rows]
            if low is not None:
                band = band - double(low, int(level.shape[2]), rows)
            total[:, rows].mul_(fade).addcmul_(band, weight)
            weights[rows].mul_(fade).add_(weight)
            torch.maximum(best[rows], score[rows], out=best[rows])

    def coarse(self) -> Tensor:
        """The fused image of the slices so far at half the size, (C, h, w); more can be added."""
        fused: Tensor | None = None
        for total, weights in zip(self._sums[:0:-1], self._weights[:0:-1], strict=True):
            mean = total / weights.clamp(min=_LEAST)
            if fused is not None:
                mean += double(fused, int(mean.shape[2]), slice(0, int(mean.shape[1])))
            fused = mean
        assert fused is not None
        return fused

    def result(self) -> Tensor:
        """The fused image (C, H, W); no slice can be added afterwards."""
        fused: Tensor | None = None
        while self._sums:
            total, weights = self._sums.pop(), self._weights.pop()
            total.div_(weights.clamp_(min=_LEAST))
            if fused is not None:
                height, width = int(total.shape[1]), int(total.shape[2])
                for rows in strips((height, width), total.device, 2):
                    total[:, rows] += double(fused, width, rows)
            fused = total
        assert fused is not None
        return fused


def _filled(levels: list[Tensor], scores: list[Tensor], shares: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Octaves of a slice with missing pixels: means over valid pixels; missing cells are filled from coarser ones."""
    planes = []
    for level, score, share in zip(levels, scores, shares, strict=True):
        known = share.clamp_min(_LEAST)
        planes.append(level / known)
        score.div_(known).masked_fill_(share < _COVERED, _INVALID)
    for number in reversed(range(len(planes) - 1)):
        height, width = planes[number].shape[1:]
        around = double(planes[number + 1], int(width), slice(0, int(height)))
        planes[number] = torch.where(shares[number] > 0, planes[number], around)
    return planes, scores


class OctaveBlend:
    """Blends slices in octaves by their scores and clips to their range, see `fusion.blend.ScoreBlend`."""

    def __init__(
        self,
        params: BlendParams,
        front: str,
        channels: int,
        shape: tuple[int, int],
        device: torch.device,
        keep: bool,
    ) -> None:
        self._sum = OctaveSum(params.firmness, channels, shape, device)
        self._range = FrameRange((channels, *shape), device)
        self._by_lead, self._firmness = front != "none", params.firmness
        self._leads: list[Tensor] | None = [] if keep else None

    def add(self, pixels: Tensor, score: Tensor, lead: Tensor) -> None:
        """Add one slice (C, H, W) with its score and lead (H, W)."""
        known = score.isfinite()
        valid = None if bool(known.all()) else known
        # Only the lead includes the preference for the front.
        self._sum.add(pixels, self._sum.best + lead if self._by_lead else score, valid)
        self._range.add(pixels, valid)
        if self._leads is not None:
            self._leads.append(lead)

    def coarse(self) -> Tensor:
        """The fused image of the slices so far at half the size, (C, h, w)."""
        return self._sum.coarse()

    def result(self) -> Tensor:
        """The fused image (C, H, W)."""
        return self._range.clamp_(self._sum.result())

    def weights(self) -> Tensor:
        """Weight of every slice in the finest octave, (N, H, W)."""
        assert self._leads is not None, "the weights were not kept"
        return soft_weights(torch.stack(self._leads), self._firmness)


class KnownOctaves:
    """Blends slices in octaves by known weights, see `defocus_backend.fusion.blend.WeightedBlend`.

    In every octave, the logarithms of the weights are averaged over the cells.
    """

    def __init__(self) -> None:
        self._parts: tuple[OctaveSum, FrameRange] | None = None

    def add(self, pixels: Tensor, weight: Tensor) -> None:
        """Add one slice (C, H, W) with its unnormalised weight (H, W); weights up to 1e-12 count as missing."""
        if self._parts is None:
            channels, height, width = (int(n) for n in pixels.shape)
            blend = OctaveSum(1.0, channels, (height, width), pixels.device)
            self._parts = blend, FrameRange((channels, height, width), pixels.device)
        there = weight > _MISSING
        valid = None if bool(there.all()) else there
        self._parts[0].add(pixels, weight.log(), valid)
        self._parts[1].add(pixels, valid)

    def result(self) -> Tensor:
        """The fused image (C, H, W)."""
        assert self._parts is not None
        return self._parts[1].clamp_(self._parts[0].result())


OCTAVE_BLEND = Blend(
    weigh=blurred_weight,
    known=KnownOctaves,
    scored=OctaveBlend,
    reach=lambda _: octave_reach(),
    cell=2**OCTAVES,
)
