"""Which slice is sharpest where, and how much each contributes (eqs 14 to 16, and past them).

Sigma alone is right in the large but blind to thin things: a network sees a wire or a hair not at all, or some pixels
beside it. Between slices of one scene the finest detail can be compared pixel by pixel, since what the object adds is
the same in all of them. The score of a slice is therefore

    sum over octaves o of  2^-o log(detail energy_o + floor_o)  -  sigma_weight * sigma^2 / 4 px

Near the best focus, where the detail tells more finely than any sigma, sigma so counts for little; far from it, where
the detail of a strong edge reaches over its surroundings, it decides.
What noise alone has at that brightness is taken out of the energy first, so that the noisiest slice gains nothing by
its noise. The floor is a multiple of the energy of the noise in that octave: where no slice holds more than noise, all
score alike, and coarser octaves and the sigma decide. Where sigma is uninformative, one value stands for all slices.

The height of the surface is read from a score of its own. Some pixels beside a strong edge a blurred picture of the
edge has more detail than the sharp one, which does not reach that far; for a fused picture it hardly matters which of
the two is taken there, for a height it is an error of many slices. In windows that hold the edge itself the sharp
slice wins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from defocus_backend.filters import CellGrid, cell_mean, gaussian_blur
from defocus_backend.fusion.noise import OCTAVES, SIGNAL_SIDE, NoiseModel, octaves_of, signal
from defocus_backend.params import DecisionParams

_OCTAVES, _OCTAVES_HEIGHT = OCTAVES, 2
"""Octaves of detail that decide on the picture and on the height."""
_WITHIN = 1.0
"""Sigma in pixels of an octave of the Gaussian that gathers its energy."""
_WITHIN_HEIGHT = 2.5
"""Sigma in pixels of the Gaussian that gathers the energies for the height."""
_CORRELATED = 1.85
"""Cells of an octave that share one independent value of the energy of noise (its squared autocorrelation, summed)."""
_UNTOLD = 4.0
"""Sigma in pixels that counts where the map cannot tell, so that its guesses decide nothing, and beyond which sigma
counts for more than itself: the best of 3 to 15 on stacks with truth, and of 2 to 8 with real ones beside them."""


@dataclass(frozen=True)
class Detail:
    """The finest detail of a slice: squares of the Laplacian by octave.

    Attributes
    ----------
    gray : (H, W) tensor
        The slice, unit range.
    noise : NoiseModel
        Of the stack.
    octaves : tuple of pairs of tensors
        Intensity and energy of the slice, and of its means over cells of 2, 4, ... pixels a side.
    signal, fine : (h, w) tensors
        How far the slice stands out of the noise, see `defocus_backend.fusion.noise.signal`.
    """

    gray: Tensor
    noise: NoiseModel
    octaves: tuple[tuple[Tensor, Tensor], ...]
    signal: Tensor
    fine: Tensor

    @classmethod
    def of(cls, gray: Tensor, noise: NoiseModel) -> Detail:
        """Look at a slice (H, W) of a stack with this noise."""
        octaves = tuple(octaves_of(gray, range(noise.finest + _OCTAVES)))
        return cls(gray, noise, octaves, *signal(octaves[:_OCTAVES], noise))

    @property
    def judged(self) -> range:
        """The octaves that decide on the picture."""
        return range(self.noise.finest, self.noise.finest + _OCTAVES)

    def score(self, octave: int, noise_floor: float) -> Tensor:
        """Logarithm of the energy around every cell of an octave, with the octave's weight."""
        intensity, energy = self.octaves[octave]
        return self._weighted_log(gaussian_blur(energy, _WITHIN), intensity, octave, noise_floor)

    def on_cells(self, octave: int, pooling: int, noise_floor: float) -> Tensor:
        """The same around every cell of `pooling` pixels a side, in the window for the height."""
        side, parts = 2**octave, self.octaves[octave]
        intensity, energy = (self._on(part, side, pooling) for part in parts)
        # What the cells themselves gather is part of the window.
        window = (_WITHIN_HEIGHT * 2**self.noise.finest) ** 2
        within = max(0.0, window - (pooling**2 - 1) / 12) ** 0.5 / pooling
        return self._weighted_log(gaussian_blur(energy, within), intensity, octave, noise_floor)

    def deviation_on_cells(self, pooling: int) -> Tensor:
        """Standard deviation that the noise gives to `height_score` on the cells of `pooling` pixels a side.

        The energy of a window with N independent values of detail S and noise n has the variance
        (2 n^2 + 4 S n) / N; that of its logarithm follows to first order.
        """
        side = 2**self.noise.finest
        intensity, energy = (self._on(part, side, pooling) for part in self.octaves[self.noise.finest])
        window = _WITHIN_HEIGHT * side
        energy = gaussian_blur(energy, max(0.0, window**2 - (pooling**2 - 1) / 12) ** 0.5 / pooling)
        expected = self.noise.energy(self.noise.finest, intensity)
        detail = (energy - expected).clamp_min_(expected * 0.1)
        count = 4 * np.pi * _WITHIN_HEIGHT**2 / _CORRELATED
        return (expected * (2 * expected + 4 * detail) / count).sqrt_().div_(detail)

    def _on(self, values: Tensor, side: int, pooling: int) -> Tensor:
        """Values on cells of `side` pixels as those on cells of `pooling` pixels."""
        if side <= pooling:
            return cell_mean(values, pooling // side)
        rows, columns = CellGrid(int(self.gray.shape[0]), int(self.gray.shape[1]), pooling).shape
        return CellGrid(rows, columns, side // pooling).interpolate(values, 0, rows)

    def signal_on_cells(self, pooling: int) -> Tensor:
        """`signal` on the cells of `pooling` pixels a side."""
        return self._spread(self.signal, pooling)

    def fine_on_cells(self, pooling: int) -> Tensor:
        """`fine` on the cells of `pooling` pixels a side."""
        return self._spread(self.fine, pooling)

    def _spread(self, values: Tensor, pooling: int) -> Tensor:
        if pooling >= SIGNAL_SIDE:
            return cell_mean(values, pooling // SIGNAL_SIDE)
        rows, columns = CellGrid(int(self.gray.shape[0]), int(self.gray.shape[1]), pooling).shape
        return CellGrid(rows, columns, SIGNAL_SIDE // pooling).interpolate(values, 0, rows)

    def _weighted_log(self, energy: Tensor, intensity: Tensor, octave: int, noise_floor: float) -> Tensor:
        expected = self.noise.energy(octave, intensity)
        excess = (energy - expected).clamp_min_(0)
        # Half of an excess of the size of the noise may be chance.
        excess = excess.square().div_(excess + expected)
        floor = noise_floor * self.noise.typical_energy(octave)
        return excess.div_(floor).log1p_().div_(2 ** (octave - self.noise.finest))


def weighed_sigma(sigma: Tensor, confidence: Tensor, pooling: int) -> Tensor:
    """Sigma as it counts in the scores, found on cells of `pooling` pixels a side.

    Its square over 4 px. Half a cell is taken off first: noise decides on what is less, and detail alone is then the
    better judge. Where sigma is not known, one value for all slices.
    """
    blind = pooling / 2
    unknown = (_UNTOLD - blind) ** 2 / _UNTOLD
    return torch.lerp(
        torch.full_like(sigma, unknown), (sigma - blind).clamp_min_(0).square_().div_(_UNTOLD), confidence
    )


class Score(Protocol):
    """How well a slice is in focus at every pixel, larger where it is better, to be compared with the other slices."""

    def __call__(self, detail: Detail, sigma: Tensor, params: DecisionParams, pooling: int) -> Tensor:
        """Score one slice.

        Parameters
        ----------
        detail : Detail
            Of the slice (H, W).
        sigma : (ceil(H / pooling), ceil(W / pooling)) tensor
            Its defocus map in pixels of the slice, or what `weighed_sigma` made of it, as the decision wants it.
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


def sigma_score(detail: Detail, sigma: Tensor, params: DecisionParams, pooling: int) -> Tensor:  # noqa: ARG001
    """Minus sigma (eq 14), see `Score`."""
    return -sigma_of_pixels(detail, sigma, pooling)


def sigma_of_pixels(detail: Detail, sigma: Tensor, pooling: int) -> Tensor:
    """Sigma (H, W) of every pixel of a slice from that of its cells."""
    height, width = int(detail.gray.shape[0]), int(detail.gray.shape[1])
    return CellGrid(height, width, pooling).interpolate(sigma, 0, height)


def combined_score(detail: Detail, sigma: Tensor, params: DecisionParams, pooling: int) -> Tensor:
    """Sigma and the detail of every octave together, see `Score`; see the head of this module."""
    height, width = int(detail.gray.shape[0]), int(detail.gray.shape[1])
    total = detail.score(detail.judged[-1], params.noise_floor)
    # From coarse to fine, each sum carried over to cells of half the side.
    for octave in reversed(range(detail.judged[-1])):
        finer = CellGrid(-(-height // 2**octave), -(-width // 2**octave), 2)
        total = finer.interpolate(total, 0, finer.height)
        if octave in detail.judged:
            total += detail.score(octave, params.noise_floor)
    total *= detail.signal_on_cells(1)
    return total.sub_(sigma_of_pixels(detail, sigma, pooling), alpha=params.sigma_weight)


def height_score(detail: Detail, sigma: Tensor, params: DecisionParams, *, pooling: int = 1) -> Tensor:
    """How well a slice is in focus around every cell of `pooling` pixels a side, for the height.

    Two octaves in a wider window, and sigma; whatever decides on the picture. Parameters as for `Score`.

    Returns
    -------
    (ceil(H / pooling), ceil(W / pooling)) tensor
    """
    parts = [detail.on_cells(octave, pooling, params.noise_floor) for octave in detail.judged[:_OCTAVES_HEIGHT]]
    total = sum(parts[1:], parts[0]).mul_(detail.signal_on_cells(pooling))
    return total.sub_(sigma, alpha=params.sigma_weight)


def nearest_slice(height: Tensor, z: NDArray[np.float64]) -> Tensor:
    """Number of the slice whose position is nearest to a height (H, W), int32; the positions rise or fall."""
    order = np.argsort(z)
    middles = torch.from_numpy((z[order][1:] + z[order][:-1]) / 2).to(height)
    numbers = torch.from_numpy(order.astype(np.int32)).to(height.device)
    return numbers[torch.bucketize(height, middles)]


COMBINED = Decision(score=combined_score, weighed=True, by_height=True)
SIGMA = Decision(score=sigma_score)
