"""Which slice is sharpest where, and how much each contributes (eqs 14 to 16, and past them).

Sigma alone is right in the large but blind to thin things: a network sees a wire or a hair not at all, or some pixels
beside it. Between slices of one scene the finest detail can be compared pixel by pixel, since what the object adds is
the same in all of them. The score of a slice is therefore

    sum over octaves o of  2^-o log(detail energy_o + floor_o)  -  sigma_weight * sigma^2 / 4 px

Near the best focus, where the detail tells more finely than any sigma, sigma so counts for little; far from it, where
the detail of a strong edge reaches over its surroundings, it decides.
The floor is a multiple of the energy that the noise alone has in that octave: where a slice holds nothing but noise,
all slices score alike there, and coarser octaves and the sigma decide. Where the map cannot tell sigma, one value
stands for all slices.

The height of the surface is read from a score of its own. Some pixels beside a strong edge a blurred picture of the
edge has more detail than the sharp one, which does not reach that far; for a fused picture it hardly matters which of
the two is taken there, for a height it is an error of many slices. In windows that hold the edge itself the sharp
slice wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from defocus_backend.arrays import Image
from defocus_backend.filters import CellGrid, cell_mean, gaussian_blur, laplacian
from defocus_backend.params import DecisionParams

_OCTAVES, _OCTAVES_HEIGHT = 3, 2
"""Octaves of detail that decide on the picture and on the height."""
_BEFORE, _WITHIN = 0.8, 1.0
"""Sigmas in pixels of an octave: of the Gaussian before the Laplacian, and of the one that gathers its energy."""
_WITHIN_HEIGHT = 2.5
"""Sigma in pixels of the Gaussian that gathers the energies for the height."""
_NOISE_GAIN = 0.370
"""Variance of the Laplacian of white noise of variance 1 that was blurred by `_BEFORE`."""
_LEAST_NOISE = 0.3 / 255
"""Rounding to 8 bits: no stack is taken to be cleaner."""
_MEDIAN_OF_NORMAL = 0.6745
"""Median of the absolute value of a standard normal variable."""
_UNTOLD = 4.0
"""Sigma in pixels that counts where the map cannot tell, so that its guesses decide nothing, and beyond which sigma
counts for more than itself: the best of 3 to 15 on stacks with truth, and of 2 to 8 with real ones beside them."""


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


@dataclass(frozen=True)
class Detail:
    """The finest detail of a slice: squares of the Laplacian by octave.

    Attributes
    ----------
    gray : (H, W) tensor
        The slice, unit range.
    energies : tuple of tensors
        Of the slice, and of its means over cells of 2, 4, ... pixels a side.
    """

    gray: Tensor
    energies: tuple[Tensor, ...]

    @classmethod
    def of(cls, gray: Tensor) -> Detail:
        """Look at a slice (H, W)."""
        cells = (cell_mean(gray, 2**octave) for octave in range(_OCTAVES))
        return cls(gray, tuple(laplacian(gaussian_blur(c, _BEFORE)).square_() for c in cells))

    def score(self, octave: int, noise: float, noise_floor: float) -> Tensor:
        """Logarithm of the energy around every cell of an octave, with the octave's weight."""
        return _weighted_log(gaussian_blur(self.energies[octave], _WITHIN), octave, noise, noise_floor)

    def on_cells(self, octave: int, pooling: int, noise: float, noise_floor: float) -> Tensor:
        """The same around every cell of `pooling` pixels a side, in the window for the height."""
        energy, side = self.energies[octave], 2**octave
        if side > pooling:
            rows, columns = CellGrid(int(self.gray.shape[0]), int(self.gray.shape[1]), pooling).shape
            energy = CellGrid(rows, columns, side // pooling).interpolate(energy, 0, rows)
        else:
            energy = cell_mean(energy, pooling // side)
        # What the cells themselves gather is part of the window.
        within = (_WITHIN_HEIGHT**2 - (pooling**2 - 1) / 12) ** 0.5 / pooling
        return _weighted_log(gaussian_blur(energy, within), octave, noise, noise_floor)


def _weighted_log(energy: Tensor, octave: int, noise: float, noise_floor: float) -> Tensor:
    side = 2**octave
    # The mean of side * side pixels has as many times less noise.
    floor = noise_floor * _NOISE_GAIN * (noise / side) ** 2
    return energy.add_(floor).log_().div_(side)


def weighed_sigma(sigma: Tensor, confidence: Tensor) -> Tensor:
    """Sigma as it counts in the scores: its square over 4 px; where it is not known, one value for all slices."""
    return torch.lerp(torch.full_like(sigma, _UNTOLD), sigma.square().div_(_UNTOLD), confidence)


class Score(Protocol):
    """How well a slice is in focus at every pixel, larger where it is better, to be compared with the other slices."""

    def __call__(self, detail: Detail, sigma: Tensor, noise: float, params: DecisionParams, pooling: int) -> Tensor:
        """Score one slice.

        Parameters
        ----------
        detail : Detail
            Of the slice (H, W).
        sigma : (ceil(H / pooling), ceil(W / pooling)) tensor
            Its defocus map in pixels of the slice, or what `weighed_sigma` made of it, as the decision wants it.
        noise : float
            From `noise_level`.
        params : DecisionParams
            `sigma_weight` and `noise_floor`.
        pooling : int
            Side in pixels of the cells for which sigma is given, a power of 2.

        Returns
        -------
        (H, W) tensor
        """


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What decides between slices.

    Attributes
    ----------
    score : callable
        How well a slice is in focus at every pixel, see `Score`.
    weighed : bool
        Whether sigma comes as `weighed_sigma` makes it, instead of in pixels.
    by_height : bool
        Whether weak pixels take the slice that is nearest to the height of their neighbourhood.
    settle : callable or None
        Changes the finished decision (H, W), given the number of slices. It needs the whole plane, and one slice per
        pixel: large planes are then not cut into bands, and slices are blended by the finished decision.
    """

    score: Score
    weighed: bool = False
    by_height: bool = False
    settle: Callable[[Tensor, int], Tensor] | None = None


def sigma_score(detail: Detail, sigma: Tensor, noise: float, params: DecisionParams, pooling: int) -> Tensor:  # noqa: ARG001
    """Minus sigma (eq 14), see `Score`."""
    return -sigma_of_pixels(detail, sigma, pooling)


def sigma_of_pixels(detail: Detail, sigma: Tensor, pooling: int) -> Tensor:
    """Sigma (H, W) of every pixel of a slice from that of its cells."""
    height, width = int(detail.gray.shape[0]), int(detail.gray.shape[1])
    return CellGrid(height, width, pooling).interpolate(sigma, 0, height)


def combined_score(detail: Detail, sigma: Tensor, noise: float, params: DecisionParams, pooling: int) -> Tensor:
    """Sigma and the detail of every octave together, see `Score` and the head of this module."""
    height, width = int(detail.gray.shape[0]), int(detail.gray.shape[1])
    total: Tensor | None = None
    # From coarse to fine, each sum carried over to cells of half the side.
    for octave in reversed(range(max(_OCTAVES, pooling.bit_length()))):
        side = 2**octave
        parts = []
        if total is not None:
            finer = CellGrid(-(-height // side), -(-width // side), 2)
            parts.append(finer.interpolate(total, 0, finer.height))
        if octave < _OCTAVES:
            parts.append(detail.score(octave, noise, params.noise_floor))
        if side == pooling:
            parts.append(sigma * -params.sigma_weight)
        total = parts[0]
        for part in parts[1:]:
            total += part
    assert total is not None
    return total


def height_score(detail: Detail, sigma: Tensor, noise: float, params: DecisionParams, *, pooling: int = 1) -> Tensor:
    """How well a slice is in focus around every cell of `pooling` pixels a side, for the height.

    Two octaves in a wider window, and sigma; whatever decides on the picture. Parameters as for `Score`.

    Returns
    -------
    (ceil(H / pooling), ceil(W / pooling)) tensor
    """
    total = sigma * -params.sigma_weight
    for octave in range(_OCTAVES_HEIGHT):
        total += detail.on_cells(octave, pooling, noise, params.noise_floor)
    return total


def nearest_slice(height: Tensor, z: NDArray[np.float64]) -> Tensor:
    """Number of the slice whose position is nearest to a height (H, W), int32; the positions rise or fall."""
    order = np.argsort(z)
    middles = torch.from_numpy((z[order][1:] + z[order][:-1]) / 2).to(height)
    numbers = torch.from_numpy(order.astype(np.int32)).to(height.device)
    return numbers[torch.bucketize(height, middles)]


COMBINED = Decision(score=combined_score, weighed=True, by_height=True)
SIGMA = Decision(score=sigma_score)
