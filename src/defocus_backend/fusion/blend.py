"""How slices become one picture: by their scores while they come, or by a decision that is known (eqs 13, 15, 16).

To add a blend, write a `Blend` in a file of its own and name it in `defocus_backend.methods.BLENDS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from defocus_backend.filters import gaussian_blur, guided_filter
from defocus_backend.fusion.running import SoftSum, soft_weights
from defocus_backend.params import FusionParams

_COARSEST = 8
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


Weigh = Callable[[Tensor, Tensor, FusionParams], Tensor]
"""Unnormalised weight (H, W) from a decision (H, W) bool, the gray slice (H, W) and the options."""

ScoreBlendMaker = Callable[[FusionParams, int, tuple[int, int], torch.device, bool], ScoreBlend]
"""A new `ScoreBlend` for the options, channels, (H, W), device, and whether to keep the weights."""


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
    """

    weigh: Weigh
    known: Callable[[], WeightedBlend]
    scored: ScoreBlendMaker | None = None


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


class PyramidSum:
    """The same weights applied band by band (Burt and Adelson 1983), which hides seams between slices."""

    def __init__(self) -> None:
        self._levels: list[WeightedSum] = []

    def add(self, pixels: Tensor, weight: Tensor) -> None:
        """Take in one slice (C, H, W) and its unnormalised weight (H, W)."""
        bands, weights = laplacian_pyramid(pixels), gaussian_pyramid(weight[None])
        self._levels = self._levels or [WeightedSum() for _ in bands]
        for level, band, share in zip(self._levels, bands, weights, strict=True):
            level.add(band, share[0])

    def result(self) -> Tensor:
        """The fused image (C, H, W)."""
        return collapse([level.result() for level in self._levels])


def gaussian_pyramid(image: Tensor) -> list[Tensor]:
    """Halve an image (C, H, W) until its short side is under 16 pixels; finest first."""
    levels = [image]
    while min(levels[-1].shape[-2:]) >= 2 * _COARSEST:
        levels.append(_reduce(levels[-1]))
    return levels


def laplacian_pyramid(image: Tensor) -> list[Tensor]:
    """Differences between the levels of the Gaussian pyramid, finest first; the last is the rest."""
    levels = gaussian_pyramid(image)
    bands = [fine - _expand(coarse, fine) for fine, coarse in pairwise(levels)]
    return [*bands, levels[-1]]


def collapse(bands: list[Tensor]) -> Tensor:
    """The image of a Laplacian pyramid."""
    image = bands[-1]
    for band in reversed(bands[:-1]):
        image = band + _expand(image, band)
    return image


def _binomial(image: Tensor) -> Tensor:
    """Separable 1-4-6-4-1 smoothing with replicated borders."""
    channels = image.shape[0]
    row = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], dtype=image.dtype, device=image.device) / 16
    padded = functional.pad(image[None], (2, 2, 2, 2), mode="replicate")
    across = functional.conv2d(padded, row.view(1, 1, 1, 5).expand(channels, 1, 1, 5), groups=channels)
    return functional.conv2d(across, row.view(1, 1, 5, 1).expand(channels, 1, 5, 1), groups=channels)[0]


def _reduce(image: Tensor) -> Tensor:
    return _binomial(image)[:, ::2, ::2].contiguous()


def _expand(coarse: Tensor, like: Tensor) -> Tensor:
    """Back to the size of `like`: coarse pixels lie on its even pixels, the others midway between them."""
    height, width = like.shape[-2:]
    rows, columns = 2 * coarse.shape[-2] - 1, 2 * coarse.shape[-1] - 1
    spread = functional.interpolate(coarse[None], size=(rows, columns), mode="bilinear", align_corners=True)
    return functional.pad(spread, (0, width - columns, 0, height - rows), mode="replicate")[0]


class SoftBlend:
    """Mean of the slices with weights ``exp(firmness * score)``, see `SoftSum`."""

    def __init__(
        self, params: FusionParams, channels: int, shape: tuple[int, int], device: torch.device, keep: bool
    ) -> None:
        self._sum = SoftSum(params.firmness, channels, shape, device)
        self._firmness = params.firmness
        self._leads: list[Tensor] | None = [] if keep else None

    def add(self, pixels: Tensor, score: Tensor, lead: Tensor) -> None:  # noqa: ARG002
        """Take in one slice (C, H, W) by its lead (H, W)."""
        self._sum.add(pixels, lead)
        if self._leads is not None:
            self._leads.append(lead)

    def result(self) -> Tensor:
        """The fused image (C, H, W)."""
        return self._sum.result()

    def weights(self) -> Tensor:
        """Weight of every slice (N, H, W)."""
        assert self._leads is not None, "made to keep the weights"
        return soft_weights(torch.stack(self._leads), self._firmness)


def guided_weight(decision: Tensor, guide: Tensor, params: FusionParams) -> Tensor:
    """Weight of a slice by eqs 15 and 16: the guided filter of its decision, clamped to [0, 1], plus `delta`.

    Parameters
    ----------
    decision : (H, W) bool tensor
        D of eq 14.
    guide : (H, W) tensor
        The slice itself, gray, unit range.
    params : FusionParams
        `radius`, `eps` and `delta`.

    Returns
    -------
    (H, W) tensor
    """
    if not bool(decision.any()):
        # The filter of an all-zero map is zero: most slices of a long stack, tile by tile.
        return torch.full_like(guide, params.delta)
    filtered = guided_filter(guide, decision.to(guide), radius=params.radius, eps=params.eps)
    return filtered.clamp(0, 1) + params.delta


def blurred_weight(decision: Tensor, guide: Tensor, params: FusionParams) -> Tensor:
    """Weight of a slice by its decision smoothed with a Gaussian of 1 px, plus `delta`; parameters as above."""
    if not bool(decision.any()):
        return torch.full_like(guide, params.delta)
    return gaussian_blur(decision.to(guide), _SOFT_EDGE).add_(params.delta)


SOFT = Blend(weigh=blurred_weight, known=WeightedSum, scored=SoftBlend)
DECISION = Blend(weigh=guided_weight, known=WeightedSum)
PYRAMID = Blend(weigh=guided_weight, known=PyramidSum)
