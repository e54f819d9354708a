"""Noise of a stack as a function of brightness, estimated from the stack itself, and the signal above it.

The noise of a camera grows with the light (photon transfer): variance = read noise + gain * intensity. With a single
value from the dark parts of a picture, noise in the bright parts would look like detail. Noise that is correlated
between neighbouring pixels, as after line averaging, demosaicing or denoising, has more energy in coarse octaves than
white noise. Texture has too, but texture is similar in neighbouring slices and noise is not.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor

from defocus_backend.arrays import Image
from defocus_backend.filters import cell_mean, gaussian_blur, laplacian
from defocus_backend.stacks.samples import SAMPLE_ROWS

OCTAVES = 3
"""Number of octaves of detail, on cells of 1, 2 and 4 pixels."""
_ESTIMATED = 4
"""Number of octaves whose noise is estimated. Where the first three contain only noise, coarser detail is used."""
BEFORE = 0.8
"""Sigma of the Gaussian before the Laplacian, in cells of an octave."""
_GAIN = 0.370
"""Variance of the Laplacian of white noise with variance 1, after the Gaussian of `BEFORE`."""
_LEAST = (0.3 / 255) ** 2
"""Smallest noise variance: that of rounding to 8 bits."""
_WINDOW = 2.0
"""Sigma of the windows over which energies are averaged for the estimate, in cells."""
_MEDIAN_OF_NORMAL = 0.6745
"""Median of the absolute value of a standard normal variable."""
_LOW, _NEXT = 0.05, 0.25
"""Quantile of the energies that is taken as noise, and a second quantile. Their ratio shows how many independent values
of noise a window has, and thus how far the lower quantile is below the mean."""
_LOW_OF_NOISE, _LEAST_OF_NOISE = 0.62, 0.35
"""Ratio of the lower quantile to the mean for pure noise: white noise, and noise that is correlated over many
pixels."""
_BINS, _FEW = 16, 64
"""Number of intensity bins, half of them for the brightest tenth, and smallest number of windows in a bin."""
_JUDGED = 8.0
"""The finest octave is used only if its energy reaches this multiple of the noise energy somewhere."""
_STRUCTURE = 0.02
"""Share of the windows with structure that must reach `_JUDGED`."""
SIGNAL_SIDE = 4
"""Side of the cells on which signal and noise are distinguished, in pixels."""
_FINE = 1
"""Coarsest octave that counts as fine detail, if a finer one exceeds the noise."""
_SATURATED = 0.985
"""Intensity above which values and their noise may be clipped."""
_AROUND = 1.0
"""Sigma of the window around each cell for white noise, in cells."""
_NOISE_ALONE, _SIGNAL = 2.5, 5.0
"""Ratio of energy to noise energy below which it may be noise alone, and above which it is signal."""
_MOST_REACH = 2.5
"""Largest factor by which a window is widened for correlated noise."""
_CLEAR = 2.0
"""The octaves of the noise are compared only if its variance exceeds this multiple of the rounding variance."""
_QUIETEST, _ALIKE = 0.1, 0.35
"""Slices are compared in this share of the windows with the least detail. Above this correlation, their detail is
texture: noise, correlated or not, has up to 0.25, smooth texture has 0.5 and more."""
_MOST_SHARED = (1.0, 4.0, 7.0, 10.0)
"""Ratio of the energy of an octave to that of white noise above which it counts as texture if there is only one
slice."""


@dataclass(frozen=True)
class NoiseModel:
    """Variance of the noise, ``offset + slope * intensity``, in the unit range.

    Attributes
    ----------
    offset, slope : float
        Parameters of white noise with the same energy in the finest octave whose noise exceeds the rounding to 8 bits.
    shared : tuple of float
        Ratio of the energy of each octave to that of this white noise; 1 for uncorrelated noise, and below 1 in octaves
        that are finer than the noise.
    level : float
        Typical intensity of the stack, 0 to 1.
    finest : int
        Finest octave in which the stack has detail above the noise. Focus is estimated on cells of ``2 ** finest``
        pixels.
    """

    offset: float = _LEAST
    slope: float = 0.0
    shared: tuple[float, ...] = (1.0,) * _ESTIMATED
    level: float = 0.5
    finest: int = 0

    @classmethod
    def white(cls, deviation: float) -> NoiseModel:
        """White noise with the same standard deviation at every intensity."""
        return cls(offset=deviation**2)

    def energy(self, octave: int, intensity: Tensor) -> Tensor:
        """Expected mean square of the Laplacian of noise in an octave, at the given intensities."""
        gain, share = _GAIN / 4.0**octave, self._share(octave)
        variance = intensity.clamp_min(0).mul_(gain * share * self.slope).add_(gain * share * self.offset)
        return variance.clamp_min_(gain * _LEAST)

    def typical_energy(self, octave: int) -> float:
        """Expected energy of noise in an octave, at the typical intensity."""
        variance = self._share(octave) * (self.offset + self.slope * self.level)
        return _GAIN / 4.0**octave * max(variance, _LEAST)

    @property
    def reach(self) -> float:
        """Factor, at least 1, by which windows are widened to average as many independent values as for white noise."""
        # For noise smoothed by a Gaussian of variance g, the energy of an octave of variance s grows as (s + g)^-3.
        grains = [0.0]
        for octave, (finer, coarser) in enumerate(itertools.pairwise(self.shared[:OCTAVES])):
            ratio = min((coarser / (64 * finer)) ** (1 / 3), 0.999)
            grains.append((4 * ratio - 1) / (1 - ratio) * 4**octave)
        widened: float = (1 + max(grains) / 4 ** (OCTAVES - 1)) ** 0.5
        return min(widened, _MOST_REACH)

    def _share(self, octave: int) -> float:
        return self.shared[min(octave, len(self.shared) - 1)]


def noise_level(images: Iterable[Image]) -> float:
    """Standard deviation of the noise of a stack, in the unit range.

    Median absolute value of the finest diagonal detail (Donoho and Johnstone 1994) in the slice with the smallest
    value, because out-of-focus parts have no such detail.

    Parameters
    ----------
    images : iterable of Image
        Some slices.

    Returns
    -------
    float
        Standard deviation; at least that of rounding to 8 bits.
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
    """Intensity and squared Laplacian of a slice (H, W), on the cells of some octaves."""
    return [(smooth, detail.square_()) for smooth, detail in (_detail(gray, octave) for octave in octaves)]


def _detail(gray: Tensor, octave: int) -> tuple[Tensor, Tensor]:
    """Intensity and Laplacian of a slice or of strips (..., H, W), on the cells of an octave."""
    smooth = gaussian_blur(cell_mean(gray, 2**octave), BEFORE)
    return smooth, laplacian(smooth)


def estimate_noise(images: Iterable[Image]) -> NoiseModel:
    """Estimate the noise of a stack from a sample of its slices.

    In each intensity bin, the windows with the least detail are assumed to contain only noise, because they are out of
    focus or empty. A line is fitted to their energies from below, because texture can only add energy.

    Parameters
    ----------
    images : iterable of Image
        Some slices, or strips of `SAMPLE_ROWS` rows of them.

    Returns
    -------
    NoiseModel
        The noise; at least that of rounding to 8 bits.
    """
    seen = [_Windows() for _ in range(_ESTIMATED)]
    for image in images:
        strips = _strips(image.gray)
        for octave, windows in enumerate(seen):
            windows.add(strips, octave)
    if not seen[0].parts:
        return NoiseModel()
    flat = [[np.concatenate([_some(p[k]) for p in one.parts]) for k in (0, 1)] for one in seen]
    level = float(np.median(flat[0][0]))
    shares = np.concatenate([np.linspace(0, 0.9, _BINS // 2), 1 - np.geomspace(0.1, 0.001, _BINS // 2)[1:], [1.0]])
    edges = np.quantile(flat[0][0], shares)
    alike = [one.correlation for one in seen]
    lows = [
        _noise_energies(both[0], both[1], edges, shared=octave > 0 and alike[octave] < _ALIKE) * (4**octave / _GAIN)
        for octave, both in enumerate(flat)
    ]
    places = np.array([np.mean(pair) for pair in itertools.pairwise(edges)])
    if not np.isfinite(lows[0]).any():
        return NoiseModel(level=level)
    usual = [float(np.nanmedian(low)) if np.isfinite(low).any() else 0.0 for low in lows]
    clear = [n for n in range(_ESTIMATED) if usual[n] > _CLEAR * _LEAST and (not n or alike[n] < _ALIKE)]
    first = clear[0] if clear else 0
    known = np.isfinite(lows[first])
    offset, slope = _line_from_below(places[known], lows[first][known])
    shared: list[float] = []
    for octave in range(_ESTIMATED):
        noisy = known & np.isfinite(lows[octave]) & (lows[first] > _CLEAR * _LEAST)
        ratio = lows[octave][noisy] / lows[first][noisy]
        # For noise, the ratio is the same in every bin, so the bin with the least texture is used.
        least = float(np.quantile(ratio, 0.1)) if ratio.size else 1.0
        if octave <= first:
            shared.append(1.0 if octave == first else min(1.0, least))
        else:
            by_ratio = np.isnan(alike[octave]) and least <= _MOST_SHARED[octave]
            shared.append(max(1.0, least) if by_ratio or alike[octave] < _ALIKE else shared[-1])
    model = NoiseModel(max(offset, _LEAST), slope, tuple(shared), level)
    return replace(model, finest=_finest([one.parts for one in seen[:OCTAVES]], model))


class _Windows:
    """Detail of an octave in the windows of some slices.

    Attributes
    ----------
    parts : list of pairs of (N, h, w) tensors
        Intensity and energy of strips of equal height, a pair or two for each slice.
    correlation : float
        Correlation of the detail of neighbouring slices where both have the least detail; NaN for a single slice.
    """

    def __init__(self) -> None:
        self.parts: list[tuple[Tensor, Tensor]] = []
        self._before: list[tuple[Tensor, Tensor]] = []
        self._correlations: list[float] = []

    def add(self, strips: Sequence[Tensor], octave: int) -> None:
        """Add the strips of rows of the next slice, see `_strips`."""
        here = []
        for strip in strips:
            smooth, detail = _detail(strip, octave)
            energy = gaussian_blur(detail.square(), _WINDOW)
            self.parts.append((gaussian_blur(smooth, _WINDOW), energy))
            here.append((detail, energy))
        if [d.shape for d, _ in here] == [d.shape for d, _ in self._before]:
            self._compare(here)
        self._before = here

    def _compare(self, here: Sequence[tuple[Tensor, Tensor]]) -> None:
        both = list(zip(here, self._before, strict=True))
        common = np.concatenate([_some(gaussian_blur(a * b, _WINDOW)) for (a, _), (b, _) in both])
        size = np.concatenate([_some((a * b).sqrt()) for (_, a), (_, b) in both])
        quiet = (size > 0) & (size <= np.quantile(size, _QUIETEST))
        self._correlations.append(float(common[quiet].sum() / size[quiet].sum()) if quiet.any() else 1.0)

    @property
    def correlation(self) -> float:
        return float(np.median(self._correlations)) if self._correlations else float("nan")


def _strips(gray: Tensor) -> list[Tensor]:
    """Split a slice (H, W) into strips (N, `SAMPLE_ROWS`, W) of rows, and the remaining rows (1, h, W).

    Strips of equal height are filtered together, in half the time, because the overhead of a small filter is large.
    """
    whole = gray.shape[0] // SAMPLE_ROWS * SAMPLE_ROWS
    parts = (gray[:whole].reshape(-1, SAMPLE_ROWS, gray.shape[1]), gray[whole:][None])
    return [part for part in parts if part.numel()]


def _some(values: Tensor) -> NDArray[np.float32]:
    """Every second row and column of planes (N, h, w), as a flat array."""
    return np.asarray(values[:, ::2, ::2].cpu().numpy().ravel())


def _finest(parts: list[list[tuple[Tensor, Tensor]]], model: NoiseModel) -> int:
    """Finest octave that exceeds the noise where the coarsest one does."""
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
    """Values on the cells of an octave, reduced to the cells of the coarsest octave."""
    return cell_mean(values, 2 ** (OCTAVES - 1 - octave))


def signal(octaves: Sequence[tuple[Tensor, Tensor]], noise: NoiseModel) -> tuple[Tensor, Tensor]:
    """Signal of a slice above the noise around every cell of 4 pixels, 0 (only noise) to 1.

    Parameters
    ----------
    octaves : sequence of pairs of (h, w) tensors
        The first three octaves from `octaves_of`.
    noise : NoiseModel

    Returns
    -------
    any, fine : (H / 4, W / 4) tensors
        Signal of detail of any size, and signal of fine detail alone, which objects far out of focus do not have.
    """
    found: list[Tensor] = []
    for octave, (intensity, energy) in enumerate(octaves):
        around = gaussian_blur(cell_mean(energy, SIGNAL_SIDE // 2**octave), _AROUND * noise.reach)
        found.append(around / noise.energy(octave, cell_mean(intensity, SIGNAL_SIDE // 2**octave)))
    fine = torch.stack(found[: max(noise.finest, _FINE) + 1]).amax(0)
    both = torch.stack([torch.stack(found).amax(0), fine])
    every, fine = both.sub_(_NOISE_ALONE).div_(_SIGNAL - _NOISE_ALONE).clamp_(0, 1)
    return every, fine


def _noise_energies(
    intensity: NDArray[np.float32], energy: NDArray[np.float32], edges: NDArray[np.float64], *, shared: bool
) -> NDArray[np.float64]:
    """Mean energy of the noise in every intensity bin, from the windows with the least energy; NaN if there are few.

    With `shared`, the noise may be correlated between neighbours, so that the windows differ more.
    """
    found, apart = np.full((2, len(edges) - 1), np.nan)
    for number, (low, high) in enumerate(itertools.pairwise(edges)):
        inside = energy[(intensity >= low) & (intensity <= min(high, _SATURATED))]
        if inside.size >= _FEW:
            found[number], after = np.quantile(inside, (_LOW, _NEXT))
            apart[number] = found[number] / max(after, np.finfo(np.float32).tiny)
    if not shared or not np.isfinite(apart).any():
        return found / _LOW_OF_NOISE
    # The energy of noise has a gamma distribution. Texture increases the distance of the quantiles, so the closest pair
    # is used.
    shapes = np.geomspace(0.5, 100, 60)
    lower, upper = special.gammaincinv(shapes[:, None], (_LOW, _NEXT)).T
    of_mean = np.interp(np.nanmax(apart), lower / upper, lower / shapes)
    return found / float(np.clip(of_mean, _LEAST_OF_NOISE, _LOW_OF_NOISE))


def _line_from_below(places: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[float, float]:
    """Offset and slope, both at least 0, of the line with a quarter of the values below it, by relative error."""
    best = (np.inf, float(values.min()), 0.0)
    span = float(np.ptp(places)) or 1.0
    for slope in (0.0, *np.geomspace(1e-3, 1, 60) * float(values.max()) / span):
        offset = max(0.0, float(np.quantile(values - slope * places, 0.25)))
        error = np.log((values + _LEAST) / (offset + slope * np.maximum(places, 0) + _LEAST))
        loss = float(np.where(error > 0, 0.25 * error, -0.75 * error).mean())
        if loss < best[0] - 1e-9:
            best = (loss, offset, float(slope))
    return best[1], best[2]
