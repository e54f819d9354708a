"""Weighted sums of slices, one slice at a time (eq 13), plain or on Laplacian pyramids."""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

_COARSEST = 8


class Blend(Protocol):
    """Takes slices with their weights one by one and gives the fused image at the end."""

    def add(self, pixels: Tensor, weight: Tensor) -> None:
        """Take in one slice (C, H, W) and its unnormalised weight (H, W)."""

    def result(self) -> Tensor:
        """The fused image (C, H, W)."""


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


def new_blend(kind: str) -> Blend:
    """An empty blend of the kind ``"decision"`` or ``"pyramid"``."""
    return PyramidSum() if kind == "pyramid" else WeightedSum()
