"""Decision between slices: the scores by which the sharpest slice is found (eq 14, with extensions).

Sigma alone is right at a coarse scale but misses thin objects: a network does not detect a wire or a hair, or detects
it some pixels away. Between slices of the same scene, fine detail can be compared at every pixel, because the
contribution of the object is the same in all slices. The score of a slice is therefore

    sum over octaves o of  2^-o log(detail energy_o + floor_o)  -  sigma_weight * sigma^2 / 4 px

Near the best focus, detail is more precise than sigma, and sigma has little influence. Far from it, the blurred detail
of a strong edge covers its surroundings, and sigma decides. The energy expected from noise at this brightness is
subtracted first, so that noisy slices have no advantage. The floor is a multiple of the noise energy in the octave:
where all slices contain only noise, their scores are equal, and coarser octaves and sigma decide. Where sigma is
uninformative, the same value is used for all slices.

The height of the surface is computed from a separate score. A few pixels beside a strong edge, a blurred slice has more
detail than the sharp one, because blur spreads the edge. For the fused picture, either slice is acceptable there, but
for the height it is an error of many slices. In a window that includes the edge, the sharp slice has the best score.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from defocus_backend.filters import CellGrid, cell_mean, gaussian_blur
from defocus_backend.fusion.noise import OCTAVES, SIGNAL_SIDE, NoiseModel, octaves_of, signal
from defocus_backend.params import DecisionParams

_OCTAVES, _OCTAVES_HEIGHT = OCTAVES, 2
"""Numbers of octaves that are used for the picture and for the height."""
_WITHIN = 1.0
"""Sigma of the Gaussian over which the energy of an octave is averaged, in pixels of the octave."""
_WITHIN_HEIGHT = 2.5
"""Sigma of the Gaussian over which the energies for the height are averaged, in pixels."""
_WITHIN_TYPICAL, _TYPICAL = 2.0, 0.4
"""Sigma of the Gaussian over which logarithms of energies are averaged for the height, and the weight of this mean."""
_CORRELATED = 1.85
"""Number of cells of an octave per independent value of the noise energy (sum of its squared autocorrelation)."""
_UNTOLD = 4.0
"""Sigma in pixels that is used where the map is uninformative, so that its guesses have no influence, and above which
sigma counts for more than itself. It is the best of 3 to 15 on stacks with ground truth, and of 2 to 8 if real stacks
are included."""


@dataclass(frozen=True)
class Detail:
    """Fine detail of a slice: squared Laplacian in each octave.

    Attributes
    ----------
    gray : (H, W) tensor
        The slice, in the unit range.
    noise : NoiseModel
        Noise of the stack.
    octaves : tuple of pairs of tensors
        Intensity and energy of the slice, and of its means over cells of 2, 4, ... pixels.
    signal, fine : (h, w) tensors
        Signal of the slice above the noise, see `defocus_backend.fusion.noise.signal`.
    """

    gray: Tensor
    noise: NoiseModel
    octaves: tuple[tuple[Tensor, Tensor], ...]
    signal: Tensor
    fine: Tensor
    _scores: dict[tuple[int, float], Tensor] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, gray: Tensor, noise: NoiseModel) -> Detail:
        """Compute the detail of a slice (H, W) of a stack with this noise."""
        octaves = tuple(octaves_of(gray, range(noise.finest + _OCTAVES)))
        return cls(gray, noise, octaves, *signal(octaves[:_OCTAVES], noise))

    @property
    def judged(self) -> range:
        """Octaves that are used for the picture."""
        return range(self.noise.finest, self.noise.finest + _OCTAVES)

    def score(self, octave: int, noise_floor: float) -> Tensor:
        """Logarithm of the energy around every cell of an octave, multiplied by the weight of the octave.

        It is computed once; do not change it in place.
        """
        key = octave, noise_floor
        if key not in self._scores:
            intensity, energy = self.octaves[octave]
            energy = gaussian_blur(energy, _WITHIN)
            self._scores[key] = self._weighted_log(energy, intensity, octave, noise_floor)
        return self._scores[key]

    def on_cells(self, octave: int, pooling: int, noise_floor: float) -> Tensor:
        """Weighted logarithm of the energy on cells of `pooling` pixels, in the window for the height."""
        side, parts = 2**octave, self.octaves[octave]
        intensity, energy = (self._on(part, side, pooling) for part in parts)
        total = self._weighted_log(self._average(energy, _WITHIN_HEIGHT, pooling), intensity, octave, noise_floor)
        # One strong edge in the window does not hide the rest in the mean of logarithms.
        logarithms = self._on(self.score(octave, noise_floor), side, pooling)
        return total.lerp_(self._average(logarithms, _WITHIN_TYPICAL, pooling), _TYPICAL)

    def _average(self, values: Tensor, within: float, pooling: int) -> Tensor:
        """Mean over a Gaussian of `within` cells of the finest octave, on cells of `pooling` pixels."""
        # The averaging over the cells is a part of the window.
        window = (within * 2**self.noise.finest) ** 2
        return gaussian_blur(values, max(0.0, window - (pooling**2 - 1) / 12) ** 0.5 / pooling)

    def deviation_on_cells(self, pooling: int) -> Tensor:
        """Standard deviation of `height_score` due to noise, on cells of `pooling` pixels.

        The energy of a window with N independent values of detail S and noise n has the variance (2 n^2 + 4 S n) / N.
        The variance of its logarithm follows to first order.
        """
        side = 2**self.noise.finest
        intensity, energy = (self._on(part, side, pooling) for part in self.octaves[self.noise.finest])
        energy = self._average(energy, _WITHIN_HEIGHT, pooling)
        expected = self.noise.energy(self.noise.finest, intensity)
        detail = (energy - expected).clamp_min_(expected * 0.1)
        count = 4 * np.pi * _WITHIN_HEIGHT**2 / _CORRELATED
        return (expected * (2 * expected + 4 * detail) / count).sqrt_().div_(detail)

    def _on(self, values: Tensor, side: int, pooling: int) -> Tensor:
        """Convert values on cells of `side` pixels to cells of `pooling` pixels."""
        if side <= pooling:
            return cell_mean(values, pooling // side)
        rows, columns = CellGrid(int(self.gray.shape[0]), int(self.gray.shape[1]), pooling).shape
        return CellGrid(rows, columns, side // pooling).interpolate(values, 0, rows)

    def signal_on_cells(self, pooling: int) -> Tensor:
        """`signal` on cells of `pooling` pixels."""
        return self._spread(self.signal, pooling)

    def fine_on_cells(self, pooling: int) -> Tensor:
        """`fine` on cells of `pooling` pixels."""
        return self._spread(self.fine, pooling)

    def _spread(self, values: Tensor, pooling: int) -> Tensor:
        if pooling >= SIGNAL_SIDE:
            return cell_mean(values, pooling // SIGNAL_SIDE)
        rows, columns = CellGrid(int(self.gray.shape[0]), int(self.gray.shape[1]), pooling).shape
        return CellGrid(rows, columns, SIGNAL_SIDE // pooling).interpolate(values, 0, rows)

    def _weighted_log(self, energy: Tensor, intensity: Tensor, octave: int, noise_floor: float) -> Tensor:
        expected = self.noise.energy(octave, intensity)
        excess = (energy - expected).clamp_min_(0)
        # If the excess is as large as the noise, half of it may be chance.
        excess = excess.square().div_(excess + expected)
        floor = noise_floor * self.noise.typical_energy(octave)
        return excess.div_(floor).log1p_().div_(2 ** (octave - self.noise.finest))


def weighed_sigma(sigma: Tensor, confidence: Tensor, pooling: int) -> Tensor:
    """Blur term of the scores, from sigma on cells of `pooling` pixels.

    The square of sigma divided by 4 px. Half a cell is subtracted from sigma first, because smaller values depend on
    noise, and detail alone is then more reliable. Where sigma is unknown, the same value is used for all slices.
    """
    blind = pooling / 2
    unknown = (_UNTOLD - blind) ** 2 / _UNTOLD
    return torch.lerp(
        torch.full_like(sigma, unknown), (sigma - blind).clamp_min_(0).square_().div_(_UNTOLD), confidence
    )


class Score(Protocol):
    """Focus score of a slice at every pixel; larger is sharper. Only comparable between slices of a stack."""

    def __call__(self, detail: Detail, sigma: Tensor, params: DecisionParams, pooling: int) -> Tensor:
        """Score one slice.

        Parameters
        ----------
        detail : Detail
            Detail of the slice (H, W).
        sigma : (ceil(H / pooling), ceil(W / pooling)) tensor
            Defocus map in pixels of the slice or, if the decision has `weighed`, the result of `weighed_sigma`.
        params : DecisionParams
            `sigma_weight` and `noise_floor`.
        pooling : int
            Side of the cells of `sigma` in pixels, a power of 2.

        Returns
        -------
        (H, W) tensor
        """


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A method for deciding between slices.

    Attributes
    ----------
    score : callable
        Focus score of a slice at every pixel, see `Score`.
    weighed : bool
        Whether `score` expects the result of `weighed_sigma` instead of sigma in pixels.
    by_height : bool
        Whether weak pixels use the slice nearest to the height predicted from their neighbourhood.
    settle : callable or None
        Function that modifies the finished decision (H, W), given the number of slices. It needs the whole plane and
        one slice per pixel, so large planes are not split into bands, and slices are blended by the finished decision.
    """

    score: Score
    weighed: bool = False
    by_height: bool = False
    settle: Callable[[Tensor, int], Tensor] | None = None


def sigma_score(detail: Detail, sigma: Tensor, params: DecisionParams, pooling: int) -> Tensor:  # noqa: ARG001
    """Minus sigma (eq 14), see `Score`."""
    return -sigma_of_pixels(detail, sigma, pooling)


def sigma_of_pixels(detail: Detail, sigma: Tensor, pooling: int) -> Tensor:
    """Expand sigma from cells to every pixel (H, W) of a slice."""
    height, width = int(detail.gray.shape[0]), int(detail.gray.shape[1])
    return CellGrid(height, width, pooling).interpolate(sigma, 0, height)


def combined_score(detail: Detail, sigma: Tensor, params: DecisionParams, pooling: int) -> Tensor:
    """Combine sigma and the detail of all octaves, see `Score` and the top of this module."""
    height, width = int(detail.gray.shape[0]), int(detail.gray.shape[1])
    total = detail.score(detail.judged[-1], params.noise_floor)
    # From coarse to fine: each sum is expanded to cells of half the side.
    for octave in reversed(range(detail.judged[-1])):
        finer = CellGrid(-(-height // 2**octave), -(-width // 2**octave), 2)
        total = finer.interpolate(total, 0, finer.height)
        if octave in detail.judged:
            total += detail.score(octave, params.noise_floor)
    total *= detail.signal_on_cells(1)
    return total.sub_(sigma_of_pixels(detail, sigma, pooling), alpha=params.sigma_weight)


def height_score(detail: Detail, sigma: Tensor, params: DecisionParams, *, pooling: int = 1) -> Tensor:
    """Focus score of a slice on cells of `pooling` pixels, for the height.

    It combines two octaves in a wider window with sigma, for every kind of decision. Parameters as in `Score`.

    Returns
    -------
    (ceil(H / pooling), ceil(W / pooling)) tensor
    """
    parts = [detail.on_cells(octave, pooling, params.noise_floor) for octave in detail.judged[:_OCTAVES_HEIGHT]]
    total = sum(parts[1:], parts[0]).mul_(detail.signal_on_cells(pooling))
    return total.sub_(sigma, alpha=params.sigma_weight)


def nearest_slice(height: Tensor, z: NDArray[np.float64]) -> Tensor:
    """Number of the slice nearest to a height (H, W), int32; the positions increase or decrease."""
    order = np.argsort(z)
    middles = torch.from_numpy((z[order][1:] + z[order][:-1]) / 2).to(height)
    numbers = torch.from_numpy(order.astype(np.int32)).to(height.device)
    return numbers[torch.bucketize(height, middles)]


COMBINED = Decision(score=combined_score, weighed=True, by_height=True)
SIGMA = Decision(score=sigma_score)
