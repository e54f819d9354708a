"""Which slice is sharpest where, and how much each contributes (eqs 14 to 16, and past them).

Sigma alone is right in the large but blind to thin things: a network sees a wire or a hair not at all, or some pixels
beside it. Between slices of one scene the finest detail can be compared pixel by pixel, since what the object adds is
the same in all of them. The score of a slice is therefore

    sum over octaves o of  2^-o log(detail energy_o + floor_o)  -  sigma_weight * sigma

The floor is a multiple of the energy that the noise alone has in that octave: where a slice holds nothing but noise,
all slices score alike there, and coarser octaves and the sigma decide.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from defocus_backend.arrays import Image
from defocus_backend.filters import CellGrid, cell_mean, gaussian_blur, guided_filter, laplacian
from defocus_backend.params import FusionParams

_OCTAVES = 3
_BEFORE, _WITHIN = 0.8, 1.0
"""Sigmas in pixels of an octave: of the Gaussian before the Laplacian, and of the one that gathers its energy."""
_NOISE_GAIN = 0.370
"""Variance of the Laplacian of white noise of variance 1 that was blurred by `_BEFORE`."""
_LEAST_NOISE = 0.3 / 255
"""Rounding to 8 bits: no stack is taken to be cleaner."""
_MEDIAN_OF_NORMAL = 0.6745
"""Median of the absolute value of a standard normal variable."""
_INVALID = -1e4
"""Score of a pixel that a slice does not have."""
_SOFT_EDGE = 1.0
"""Sigma in pixels by which a painted decision is softened."""


def noise_level(images: Iterable[Image]) -> float:
    """Standard deviation of the noise of a stack, in the unit range.

    The median size of the finest diagonal detail (Donoho and Johnstone 1994), in the slice where it is least: what
    is out of focus has no such detail of its own.

    Parameters
    ----------
    images : iterable of Image
        Some slices.

    Returns
    -------
    float
        At least the rounding of 8-bit values.
    """
    found = []
    for image in images:
        gray = image.gray[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
        if gray.numel():
            rows = gray[::2] - gray[1::2]
            found.append(float((rows[:, ::2] - rows[:, 1::2]).abs().median()) / (2 * _MEDIAN_OF_NORMAL))
    return max(_LEAST_NOISE, min(found, default=0.0))


def slice_score(gray: Tensor, sigma: Tensor, noise: float, params: FusionParams) -> Tensor:
    """How well a slice is in focus at every pixel, to be compared with the other slices' scores.

    Parameters
    ----------
    gray : (H, W) tensor
        The slice, unit range.
    sigma : (H, W) tensor
        Its defocus map in pixels; NaN where the slice is invalid.
    noise : float
        From `noise_level`.
    params : FusionParams
        `decision`, `sigma_weight` and `noise_floor`.

    Returns
    -------
    (H, W) tensor
        NaN where sigma is.
    """
    score = sigma * -params.sigma_weight
    if params.decision == "sigma":
        return -sigma
    for octave in range(_OCTAVES):
        side = 2**octave
        grid = CellGrid(int(gray.shape[0]), int(gray.shape[1]), side)
        cells = cell_mean(gray, side)
        energy = gaussian_blur(laplacian(gaussian_blur(cells, _BEFORE)).square_(), _WITHIN)
        # The mean of side * side pixels has as many times less noise.
        floor = params.noise_floor * _NOISE_GAIN * (noise / side) ** 2
        detail = energy.add_(floor).log_()
        score.add_(grid.interpolate(detail, 0, grid.height), alpha=1 / side)
    return score


class RunningBest:
    """The best score over the slices seen so far and its neighbours, and the least sigma.

    The two need not belong to one slice: the score finds the slice to take, the least sigma tells whether any is sharp.

    Attributes
    ----------
    index : (H, W) int32 tensor
        Slice of the best score; the lowest of equals, 0 where no slice was valid.
    below, best, above : (H, W) tensors
        Score of the slice before that one, of itself and of the one after; NaN where there is none.
    sigma, confidence : (H, W) tensors
        The least sigma in pixels, infinite where no slice was valid, and its confidence.
    """

    def __init__(self, shape: tuple[int, int], device: torch.device) -> None:
        self.index = torch.zeros(shape, dtype=torch.int32, device=device)
        self.below = torch.full(shape, torch.nan, device=device)
        self.best = torch.full(shape, torch.nan, device=device)
        self.above = torch.full(shape, torch.nan, device=device)
        self.sigma = torch.full(shape, torch.inf, device=device)
        self.confidence = torch.zeros(shape, device=device)
        self._before: Tensor | None = None
        self._seen = 0

    def update(self, score: Tensor, sigma: Tensor, confidence: Tensor) -> Tensor:
        """Take in the next slice's maps (H, W), NaN where invalid; True where it is the best so far."""
        better = (score > self.best) | (self.best.isnan() & ~score.isnan())
        if self._before is not None:
            follows = self.index == self._seen - 1
            self.above = torch.where(follows & self.best.isfinite(), score, self.above)
            self.below = torch.where(better, self._before, self.below)
        self.above.masked_fill_(better, torch.nan)
        self.best = torch.where(better, score, self.best)
        lower = sigma < self.sigma
        self.sigma = torch.where(lower, sigma, self.sigma)
        self.confidence = torch.where(lower, confidence, self.confidence)
        self.index = torch.where(better, self._seen, self.index)
        self._before = score
        self._seen += 1
        return better


class SoftSum:
    """Mean of the slices with weights ``exp(firmness * score)``, in one pass.

    Where a slice is clearly the sharpest it is taken alone; where the scores are alike, in flat places, the mean
    of many slices has less noise than any of them.

    Parameters
    ----------
    firmness : float
        A slice whose score is 1 / firmness below the best has 1 / e of its weight.
    """

    def __init__(self, firmness: float) -> None:
        self._firmness = firmness
        self._best: Tensor | None = None
        self._sum = torch.zeros(0)
        self._weight = torch.zeros(0)

    def add(self, pixels: Tensor, score: Tensor) -> None:
        """Take in one slice (C, H, W) and its score (H, W), NaN where the slice is invalid."""
        score = torch.where(score.isnan(), _INVALID, score)
        if self._best is None:
            self._best, self._sum, self._weight = score, pixels.clone(), torch.ones_like(score)
            return
        best = torch.maximum(self._best, score)
        # All weights are relative to the best score so far, so that none overflows.
        fade = self._best.sub_(best).mul_(self._firmness).exp_()
        weight = score.sub_(best).mul_(self._firmness).exp_()
        self._sum.mul_(fade).addcmul_(pixels, weight)
        self._weight.mul_(fade).add_(weight)
        self._best = best

    def result(self) -> Tensor:
        """The fused image (C, H, W)."""
        return self._sum / self._weight


def soft_weights(scores: Tensor, firmness: float) -> Tensor:
    """The weights of `SoftSum` for the scores (N, H, W) of all slices; they add up to 1."""
    return torch.where(scores.isnan(), _INVALID, scores).mul_(firmness).softmax(0)


def nearest_slice(height: Tensor, z: NDArray[np.float64]) -> Tensor:
    """Number of the slice whose position is nearest to a height (H, W), int32; the positions rise or fall."""
    order = np.argsort(z)
    middles = torch.from_numpy((z[order][1:] + z[order][:-1]) / 2).to(height)
    numbers = torch.from_numpy(order.astype(np.int32)).to(height.device)
    return numbers[torch.bucketize(height, middles)]


def decision_weight(decision: Tensor, guide: Tensor, params: FusionParams) -> Tensor:
    """Unnormalised weight of one slice by a decision that is known.

    Parameters
    ----------
    decision : (H, W) bool tensor
        D of eq 14.
    guide : (H, W) tensor
        The slice itself, gray, unit range.
    params : FusionParams
        With the blends "decision" and "pyramid": eq 15, the guided filter of `radius` and `eps`, clamped to [0, 1];
        with "soft" a Gaussian of one pixel. Plus `delta` of eq 16.

    Returns
    -------
    (H, W) tensor
    """
    if not bool(decision.any()):
        # The filter of an all-zero map is zero: most slices of a long stack, tile by tile.
        return torch.full_like(guide, params.delta)
    if params.blend == "soft":
        return gaussian_blur(decision.to(guide), _SOFT_EDGE).add_(params.delta)
    filtered = guided_filter(guide, decision.to(guide), radius=params.radius, eps=params.eps)
    return filtered.clamp(0, 1) + params.delta
