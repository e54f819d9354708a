"""The noise of a stack as a function of brightness, estimated from the stack itself, and what stands out of it.

A camera's noise grows with the light (photon transfer): variance = read noise + gain * intensity. One number taken
from the dark part of a picture makes the noise of its bright part look like detail. Noise that neighbouring pixels
share, as after line averaging, demosaicing or denoising, has more energy in the coarser octaves than white noise.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from defocus_backend.arrays import Image
from defocus_backend.filters import cell_mean, gaussian_blur, laplacian
from defocus_backend.stacks.samples import SAMPLE_ROWS

OCTAVES = 3
"""Octaves of detail, on cells of 1, 2 and 4 pixels a side."""
BEFORE = 0.8
"""Sigma in cells of an octave of the Gaussian before the Laplacian."""
_GAIN = 0.370
"""Variance of the Laplacian of white noise of variance 1 that was blurred by `BEFORE`."""
_LEAST = (0.3 / 255) ** 2
"""Variance of the rounding to 8 bits: no stack is taken to be cleaner."""
_WINDOW = 2.0
"""Sigma in cells of the windows over which energies are gathered for the estimate."""
_MEDIAN_OF_NORMAL = 0.6745
"""Median of the absolute value of a standard normal variable."""
_LOW, _LOW_OF_NOISE = 0.05, 0.62
"""Quantile of the energies taken as noise, and what it is of their mean where there is noise alone."""
_BINS, _FEW = 16, 64
"""Bins of intensity, half of them for the brightest tenth, and the fewest windows in one."""
_JUDGED = 8.0
"""Energy over that of noise which the finest octave must reach somewhere to be judged at all."""
_STRUCTURE = 0.02
"""Share of the windows with structure that must reach it."""
SIGNAL_SIDE = 4
"""Side in pixels of the cells on which signal and noise are distinguished."""
_FINE = 1
"""Coarsest octave whose detail counts as fine, where a finer one stands out of the noise."""
_SATURATED = 0.985
"""Intensity from which values may be cut off, and their noise with them."""
_AROUND = 1.0
"""Sigma in such cells of the window around each."""
_NOISE_ALONE, _SIGNAL = 2.5, 5.0
"""Energy over that of noise up to which it may be noise alone, and from which it is signal."""
_CLEAR = 2.0
"""Variance over that of rounding from which the octaves of the noise are compared."""
_MOST_SHARED = (1.0, 4.0, 7.0)
"""Energy of an octave against that of white noise above which it is texture, not noise that neighbours share."""


@dataclass(frozen=True)
class NoiseModel:
    """Variance of the noise, ``offset + slope * intensity``, in the unit range.

    Attributes
    ----------
    offset, slope : float
        That of white noise with the same detail in the finest octave.
    shared : tuple of float
        Energy of each octave against that of this white noise; 1 where neighbours share no noise.
    level : float
        Typical intensity of the stack, 0 to 1.
    finest : int
        The finest octave in which the stack has more than noise: on cells of ``2 ** finest`` pixels focus is judged.
    """

    offset: float = _LEAST
    slope: float = 0.0
    shared: tuple[float, ...] = (1.0,) * OCTAVES
    level: float = 0.5
    finest: int = 0

    @classmethod
    def white(cls, deviation: float) -> NoiseModel:
        """White noise of one standard deviation at every intensity."""
        return cls(offset=deviation**2)

    def energy(self, octave: int, intensity: Tensor) -> Tensor:
        """Mean square of the Laplacian of noise alone in an octave, at these intensities."""
        gain = self._gain(octave)
        return intensity.clamp_min(0).mul_(gain * self.slope).add_(gain * self.offset)

    def typical_energy(self, octave: int) -> float:
        """The same at the typical intensity."""
        return self._gain(octave) * (self.offset + self.slope * self.level)

    def _gain(self, octave: int) -> float:
        share: float = self.shared[min(octave, OCTAVES - 1)] / 4.0**octave
        return _GAIN * share


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
    least: float = _LEAST**0.5
    return max(least, min(found, default=0.0))


def octaves_of(gray: Tensor, octaves: Iterable[int] = range(OCTAVES)) -> list[tuple[Tensor, Tensor]]:
    """Intensity and square of the Laplacian on the cells of some octaves of a slice (H, W)."""
    found = []
    for octave in octaves:
        smooth = gaussian_blur(cell_mean(gray, 2**octave), BEFORE)
        found.append((smooth, laplacian(smooth).square_()))
    return found


def estimate_noise(images: Iterable[Image]) -> NoiseModel:
    """The noise of a stack from a sample of its slices.

    In bins of equal intensity the windows with the least detail are taken to hold noise alone: what is out of focus
    or empty. A line is drawn through them from below, since texture can only add.

    Parameters
    ----------
    images : iterable of Image
        Some slices, or strips of `SAMPLE_ROWS` rows of them.

    Returns
    -------
    NoiseModel
        At least the rounding of 8-bit values.
    """
    parts: list[list[tuple[Tensor, Tensor]]] = [[] for _ in range(OCTAVES)]
    for image in images:
        for strip in image.gray.split(SAMPLE_ROWS):
            for octave, (intensity, energy) in enumerate(octaves_of(strip)):
                parts[octave].append((gaussian_blur(intensity, _WINDOW), gaussian_blur(energy, _WINDOW)))
    if not parts[0]:
        return NoiseModel()
    flat = [[np.concatenate([p[k][::2, ::2].cpu().numpy().ravel() for p in part]) for k in (0, 1)] for part in parts]
    level = float(np.median(flat[0][0]))
    shares = np.concatenate([np.linspace(0, 0.9, _BINS // 2), 1 - np.geomspace(0.1, 0.001, _BINS // 2)[1:], [1.0]])
    edges = np.quantile(flat[0][0], shares)
    lows = [
        _low_energies(both[0], both[1], edges) * (4**octave / (_GAIN * _LOW_OF_NOISE))
        for octave, both in enumerate(flat)
    ]
    places = np.array([np.mean(pair) for pair in itertools.pairwise(edges)])
    known = np.isfinite(lows[0])
    if not known.any():
        return NoiseModel(level=level)
    offset, slope = _line_from_below(places[known], lows[0][known])
    shared = [1.0]
    for octave in range(1, OCTAVES):
        noisy = known & np.isfinite(lows[octave]) & (lows[0] > _CLEAR * _LEAST)
        ratio = lows[octave][noisy] / lows[0][noisy]
        # The same in every bin if it is noise: the bin with the least texture decides.
        least = float(np.quantile(ratio, 0.1)) if ratio.size else 1.0
        shared.append(max(1.0, least) if least <= _MOST_SHARED[octave] else shared[-1])
    model = NoiseModel(max(offset, _LEAST), slope, tuple(shared), level)
    return replace(model, finest=_finest(parts, model))


def _finest(parts: list[list[tuple[Tensor, Tensor]]], model: NoiseModel) -> int:
    """The finest octave that stands out of the noise where the coarsest one does."""
    ratios = [
        torch.cat([_on_coarsest(e / model.energy(o, i), o).flatten() for i, e in part]) for o, part in enumerate(parts)
    ]
    structured = ratios[-1] > _JUDGED
    if not bool(structured.any()):
        return 0
    for octave in range(OCTAVES - 1):
        if float(ratios[octave][structured].float().quantile(1 - _STRUCTURE)) >= _JUDGED:
            return octave
    return OCTAVES - 1


def _on_coarsest(values: Tensor, octave: int) -> Tensor:
    """Values of an octave's cells at the cells of the coarsest."""
    return cell_mean(values, 2 ** (OCTAVES - 1 - octave))


def signal(octaves: Sequence[tuple[Tensor, Tensor]], noise: NoiseModel) -> tuple[Tensor, Tensor]:
    """How far a slice stands out of the noise around every cell of 4 pixels, 0 (noise alone) to 1.

    Parameters
    ----------
    octaves : sequence of pairs of (h, w) tensors
        From `octaves_of`, the first three.
    noise : NoiseModel

    Returns
    -------
    any, fine : (H / 4, W / 4) tensors
        By detail of any size; and by fine detail alone, which the glow of what is far out of focus does not have.
    """
    found: list[Tensor] = []
    for octave, (intensity, energy) in enumerate(octaves):
        around = gaussian_blur(cell_mean(energy, SIGNAL_SIDE // 2**octave), _AROUND)
        found.append(around / noise.energy(octave, cell_mean(intensity, SIGNAL_SIDE // 2**octave)))
    fine = torch.stack(found[: max(noise.finest, _FINE) + 1]).amax(0)
    both = torch.stack([torch.stack(found).amax(0), fine])
    every, fine = both.sub_(_NOISE_ALONE).div_(_SIGNAL - _NOISE_ALONE).clamp_(0, 1)
    return every, fine


def _low_energies(
    intensity: NDArray[np.float32], energy: NDArray[np.float32], edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Low quantile of the energies in every bin of intensity; NaN in bins with few windows."""
    found = np.full(len(edges) - 1, np.nan)
    for number, (low, high) in enumerate(itertools.pairwise(edges)):
        inside = energy[(intensity >= low) & (intensity <= min(high, _SATURATED))]
        if inside.size >= _FEW:
            found[number] = np.quantile(inside, _LOW)
    return found


def _line_from_below(places: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[float, float]:
    """Offset and slope, neither below 0, of the line under which a quarter of the values lie, by relative error."""
    best = (np.inf, float(values.min()), 0.0)
    span = float(np.ptp(places)) or 1.0
    for slope in (0.0, *np.geomspace(1e-3, 1, 60) * float(values.max()) / span):
        offset = max(0.0, float(np.quantile(values - slope * places, 0.25)))
        error = np.log((values + _LEAST) / (offset + slope * np.maximum(places, 0) + _LEAST))
        loss = float(np.where(error > 0, 0.25 * error, -0.75 * error).mean())
        if loss < best[0] - 1e-9:
            best = (loss, offset, float(slope))
    return best[1], best[2]
