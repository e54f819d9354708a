"""How far a fused picture is to be trusted: detail that it lost, detail that it made up, values that no slice has.

Blocks are compared by the root mean square of their Laplacian, an idea of MacroStack's regression gate. A block is
*soft* where it has less than 0.7 of the detail of the sharpest slice, *made up* where it has over 1.5 times that of
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
"""Multiple of the noise's own energy below which a block has no detail that could be lost or made up."""
_BINS = 16
"""Classes of brightness that have a noise of their own each: light is the noisier, the brighter it is."""
_CALM = 0.5
"""Share of the blocks of a brightness that hold noise alone: at most places most slices are out of focus."""
_LEAST_BLOCKS = 32
"""Fewest blocks that the noise at a brightness is estimated from."""
_NOISIER = 9.0
"""Most energy of the noise at any brightness, against that of the whole slice: else it may be detail."""


@dataclass(frozen=True)
class Audit:
    """What a fused picture lost and made up.

    Attributes
    ----------
    ratio : (h, w) float32 array
        Detail of the fused picture divided by that of the sharpest slice, block by block; 1 where it is noise alone.
    soft, made_up : float
        Share of the blocks that lost detail, and that have detail of their own.
    outside : float
        Share of the pixels that lie outside the range of all slices.
    block : int
        Side of a block in pixels.
    """

    ratio: NDArray[np.float32]
    soft: float
    made_up: float
    outside: float
    block: int = BLOCK

    def to_dict(self) -> dict[str, Any]:
        """The shares as plain numbers."""
        return {"soft": self.soft, "made_up": self.made_up, "outside": self.outside, "block": self.block}

    def report(self) -> str:
        """The shares in words."""
        return (
            f"{self.soft:.1%} of the blocks are soft, {self.made_up:.1%} are made up; "
            f"{self.outside:.2%} of the pixels lie outside the range of the slices"
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
        """Take in one slice (H, W), unit range."""
        self._energies.append(block_energy(gray, self.block).cpu().numpy())
        self._means.append(cell_mean(gray, self.block).cpu().numpy())

    def audit(self, fused: Tensor, noise: float, outside: float = 0.0) -> Audit:
        """Compare a fused picture (H, W), unit range, with the slices.

        Parameters
        ----------
        fused : (H, W) tensor
        noise : float
            Standard deviation of the noise of one slice, unit range.
        outside : float
            Share of the pixels outside the range of the slices.

        Returns
        -------
        Audit
        """
        own = block_energy(fused, self.block).cpu().numpy()
        energies = np.stack(self._energies)
        floors = self._noise_energy(energies, _NOISE_GAIN * noise**2)
        # A mean over slices has less noise than each of them: what counts as lost is what lies above the noise.
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
        """Energy (N, h, w) that the noise alone has in each block by its brightness, `base` or more."""
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
    """Mean square of the Laplacian of a picture (H, W) in blocks; narrower last blocks count what they have."""
    return cell_mean(laplacian(gray).square_(), block)


def audit(
    fused: ArrayLike,
    stack: StackLike,
    *,
    channel_axis: int | None = None,
    value_range: tuple[float, float] | None = None,
    block: int = BLOCK,
) -> Audit:
    """Audit of a fused picture, whoever made it.

    Parameters
    ----------
    fused : (H, W[, C]) array_like
    stack : (N, H, W[, C]) array_like, list, dask array, re-iterable or callable
        The slices, aligned with the picture.
    channel_axis : int or None
        Channel axis of the picture and of one slice; not needed for a stack that knows it.
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
        If the picture does not fit the slices.
    """
    if not isinstance(block, int | np.integer) or block < 4:
        raise InputError("block", repr(block), "a whole number of pixels, 4 or more")
    slices = as_source(stack, channel_axis=channel_axis, value_range=value_range)
    picture = as_image(fused, channel_axis=slices.channel_axis, value_range=slices.value_range, argument="fused")
    given = (int(picture.pixels.shape[0]), *picture.shape)
    wanted = (slices.colours, *slices.plane_shape)
    if given != wanted:
        raise InputError("fused", f"{given} (C, H, W)", f"{wanted} as the slices have")
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
