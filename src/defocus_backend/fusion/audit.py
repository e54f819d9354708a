"""Audit of a fused picture: lost detail, made-up detail, and values outside the range of the slices.

Blocks are compared by the root mean square of their Laplacian, as in MacroStack's regression gate. A block is *soft* if
it has less than 0.7 times the detail of the sharpest slice, and *made up* if it has more than 1.5 times the detail of
every slice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from defocus_backend.arrays import as_image
from defocus_backend.errors import InputError
from defocus_backend.filters import cell_mean, laplacian
from defocus_backend.fusion.noise import noise_level
from defocus_backend.stacks import StackLike, as_source

BLOCK = 32
"""Side of a block in pixels."""
_SOFT, _MADE_UP = 0.7, 1.5
_NOISE_GAIN = 20.0
"""Variance of the Laplacian of white noise of variance 1."""
_ABOVE_NOISE = 2.0
"""A block has no significant detail if its energy is below this multiple of the noise energy."""
_BINS = 16
"""Number of brightness classes with separate noise estimates, because noise increases with brightness."""
_CALM = 0.5
"""Share of the blocks of a brightness that are assumed to contain only noise, because most slices are out of focus at
most places."""
_LEAST_BLOCKS = 32
"""Smallest number of blocks for a noise estimate at one brightness."""
_NOISIER = 9.0
"""Largest noise energy at any brightness, relative to the whole slice; higher values may be detail."""


@dataclass(frozen=True)
class Audit:
    """Lost and made-up detail of a fused picture.

    Attributes
    ----------
    ratio : (h, w) float32 array
        Detail of the fused picture divided by that of the sharpest slice, for each block; 1 for blocks that contain
        only noise.
    soft, made_up : float
        Share of the blocks that lost detail, and of those with made-up detail.
    outside : float
        Share of the pixels outside the range of all slices.
    block : int
        Side of a block in pixels.
    """

    ratio: NDArray[np.float32]
    soft: float
    made_up: float
    outside: float
    block: int = BLOCK

    def to_dict(self) -> dict[str, Any]:
        """The shares as a dictionary of numbers."""
        return {"soft": self.soft, "made_up": self.made_up, "outside": self.outside, "block": self.block}

    def report(self) -> str:
        """The shares as a sentence."""
        return (
            f"{self.soft:.1%} of the blocks are soft, {self.made_up:.1%} are made up; "
            f"{self.outside:.2%} of the pixels are outside the range of the slices"
        )


class DetailBlocks:
    """Detail and brightness of every slice in each block.

    Parameters
    ----------
    block : int
        Side of a block in pixels.
    """

    def __init__(self, block: int = BLOCK) -> None:
        self.block = block
        self._energies: list[NDArray[np.float32]] = []
        self._means: list[NDArray[np.float32]] = []

    def add(self, gray: Tensor) -> None:
        """Add one slice (H, W), in the unit range."""
        self._energies.append(block_energy(gray, self.block).cpu().numpy())
        self._means.append(cell_mean(gray, self.block).cpu().numpy())

    def audit(self, fused: Tensor, noise: float, outside: float = 0.0) -> Audit:
        """Compare a fused picture (H, W), in the unit range, with the slices.

        Parameters
        ----------
        fused : (H, W) tensor
        noise : float
            Standard deviation of the noise of one slice, in the unit range.
        outside : float
            Share of the pixels outside the range of the slices.

        Returns
        -------
        Audit
        """
        own = block_energy(fused, self.block).cpu().numpy()
        energies = np.stack(self._energies)
        floors = self._noise_energy(energies, _NOISE_GAIN * noise**2)
        # A mean over slices has less noise than each of them, so only energy above the noise counts as lost detail.
        signals = (energies - floors).clip(0)
        best = signals.argmax(0)[None]
        signal, floor, most = (np.take_along_axis(maps, best, 0)[0] for maps in (signals, floors, energies))
        soft = (own < _SOFT**2 * signal) & (signal > _ABOVE_NOISE * floor)
        made_up = (own > _MADE_UP**2 * energies.max(0)) & (own > _ABOVE_NOISE * floors.min(0))
        quiet = np.maximum(own, most) <= (1 + _ABOVE_NOISE) * floor
        ratio = np.sqrt(own / np.maximum(most, np.finfo(np.float32).tiny))
        return Audit(
            ratio=np.where(quiet, 1, ratio).astype(np.float32),
            soft=float(soft.mean()),
            made_up=float(made_up.mean()),
            outside=outside,
            block=self.block,
        )

    def _noise_energy(self, energies: NDArray[np.float32], base: float) -> NDArray[np.float64]:
        """Noise energy (N, h, w) of each block according to its brightness; at least `base`."""
        means = np.stack(self._means)
        number = np.clip((means * _BINS).astype(int), 0, _BINS - 1)
        middles, found = [], []
        for one in range(_BINS):
            ours = energies[number == one]
            if ours.size >= _LEAST_BLOCKS:
                middles.append((one + 0.5) / _BINS)
                found.append(np.quantile(ours, _CALM))
        if not found:
            return np.full(means.shape, base)
        return np.asarray(np.interp(means, middles, np.clip(found, base, _NOISIER * base)))


def block_energy(gray: Tensor, block: int = BLOCK) -> Tensor:
    """Mean square of the Laplacian of a picture (H, W) in blocks; the last blocks may be narrower."""
    return cell_mean(laplacian(gray).square_(), block)


def audit(
    fused: ArrayLike,
    stack: StackLike,
    *,
    channel_axis: int | None = None,
    value_range: tuple[float, float] | None = None,
    block: int = BLOCK,
) -> Audit:
    """Audit a fused picture from any program.

    Parameters
    ----------
    fused : (H, W[, C]) array_like
        The fused picture.
    stack : (N, H, W[, C]) array_like, list, dask array, re-iterable or callable
        The slices, aligned with the picture.
    channel_axis : int or None
        Channel axis of the picture and of one slice; not needed for a stack that already has one.
    value_range : (float, float) or None
        Values that count as 0 and 1, as in `fuse`.
    block : int
        Side of a block in pixels.

    Returns
    -------
    Audit

    Raises
    ------
    InputError
        If the shape or the channels of the picture do not match the slices.
    """
    if not isinstance(block, int | np.integer) or block < 4:
        raise InputError("block", repr(block), "a whole number of pixels, 4 or more")
    slices = as_source(stack, channel_axis=channel_axis, value_range=value_range)
    picture = as_image(fused, channel_axis=slices.channel_axis, value_range=slices.value_range, argument="fused")
    given = (int(picture.pixels.shape[0]), *picture.shape)
    wanted = (slices.colours, *slices.plane_shape)
    if given != wanted:
        raise InputError("fused", f"{given} (C, H, W)", f"{wanted}, as in the slices")
    with torch.inference_mode():
        blocks, noises = DetailBlocks(block), []
        low, high = torch.full_like(picture.pixels, torch.inf), torch.full_like(picture.pixels, -torch.inf)
        for image in slices.images():
            blocks.add(image.gray)
            noises.append(noise_level([image]))
            torch.minimum(low, image.pixels, out=low)
            torch.maximum(high, image.pixels, out=high)
        outside = ((picture.pixels < low) | (picture.pixels > high)).any(0).float().mean()
        return blocks.audit(picture.gray, min(noises), float(outside))
