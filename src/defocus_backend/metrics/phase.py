"""QP: whether the fused image preserves the features that phase congruency finds in the sources (Zhao et al.)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy import ndimage

from defocus_backend.metrics.gray import Gray, gray_case
from defocus_backend.metrics.parallel import each

# Kovesi's phase congruency, as the public code of the metric calls it: four scales by six orientations.
_SCALES, _ORIENTATIONS = 4, 6
_SHORTEST, _STEP = 3.0, 2.1
_BANDWIDTH = 0.55
_ANGULAR_SIGMA = math.pi / _ORIENTATIONS / 1.2
_LOW_PASS, _LOW_PASS_ORDER = 0.45, 15
_NOISE_DEVIATIONS, _NOISE_RESCALE = 2.0, 1.7
_SPREAD_CENTRE, _SPREAD_SLOPE = 0.5, 10.0
_EPSILON = 1e-4
# Zhao: features are where phase congruency passes the threshold; compared in 11 x 11 Gaussian windows.
_FEATURE = 0.1
_CONSTANT = 1e-4
# Pixels per block, so that their responses at all scales fit in the cache.
_BLOCK = 8192
# The filters are cached for images of the same size, up to this number of pixels.
_KEPT_PIXELS = 2**20
_WINDOW = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
_WINDOW /= _WINDOW.sum()


class _Features(NamedTuple):
    """Phase congruency of one image and the greater and lesser moment of its covariance, each (H, W)."""

    congruency: Gray
    edge: Gray
    corner: Gray


class _Bank(NamedTuple):
    """Log-Gabor filters: radial (scales, H, W) times angular (orientations, H, W), and the noise that they pass.

    `noise` is, for each orientation, the summed noise energy of all scales per unit of mean squared amplitude of the
    finest one.
    """

    radial: Gray
    angular: Gray
    noise: tuple[float, ...]


def _frequencies(n: int, *, full_range: bool) -> Gray:
    """DFT frequencies in cycles a pixel; `full_range` stretches an odd count to +-0.5, as Kovesi's grid does."""
    span = n - 1 if full_range and n % 2 and n > 1 else n
    return np.asarray(scipy.fft.fftfreq(n) * (n / span))


def _even_power(spectrum: Gray) -> float:
    """Power of the even part of a real (H, W) transfer function: that of its impulse response's real part."""
    mirrored = np.roll(spectrum[::-1, ::-1], (1, 1), (0, 1))
    return float(np.square((spectrum + mirrored) / 2).sum())


def _filters(rows: int, columns: int) -> _Bank:
    return _kept_bank(rows, columns) if rows * columns <= _KEPT_PIXELS else _bank(rows, columns)


@lru_cache(maxsize=1)
def _kept_bank(rows: int, columns: int) -> _Bank:
    return _bank(rows, columns)


def _bank(rows: int, columns: int) -> _Bank:
    y, x = _frequencies(rows, full_range=True)[:, None], _frequencies(columns, full_range=True)[None, :]
    squared = x * x + y * y
    squared[0, 0] = 1.0
    v, u = _frequencies(rows, full_range=False), _frequencies(columns, full_range=False)
    # The public code centres this filter one sample off if a side is odd, and so do the published figures.
    v, u = np.roll(v, -(rows % 2))[:, None], np.roll(u, -(columns % 2))[None, :]
    low_pass = 1.0 / (1.0 + ((u * u + v * v) / _LOW_PASS**2) ** _LOW_PASS_ORDER)
    wavelengths = _SHORTEST * _STEP ** np.arange(_SCALES)
    logarithm = np.log(squared) / 2 + np.log(wavelengths)[:, None, None]
    radial = np.exp(-(logarithm**2) / (2 * math.log(_BANDWIDTH) ** 2)) * low_pass
    radial[:, 0, 0] = 0.0

    theta = np.arctan2(-y, x)
    angular = np.empty((_ORIENTATIONS, rows, columns))
    for k in range(_ORIENTATIONS):
        turn = np.abs(theta - k * math.pi / _ORIENTATIONS)
        turn = np.minimum(turn, 2 * math.pi - turn)
        angular[k] = np.exp(-(turn**2) / (2 * _ANGULAR_SIGMA**2))

    # Of Gaussian noise the median squared amplitude is ln 2 of the mean. By Parseval the noise energy in all scales
    # together is the power of the even part of their sum, so no impulse response is computed.
    every = radial.sum(axis=0)
    noise = []
    for spread in angular:
        finest = float(np.square(radial[0] * spread).sum())
        noise.append(2 * _even_power(every * spread) / (math.log(2) * finest) if finest > 0 else 0.0)
    return _Bank(radial, angular, tuple(noise))


def _oriented_energy(
    spectrum: npt.NDArray[np.complex128], bank: _Bank, k: int, scratch: npt.NDArray[np.complex128]
) -> tuple[Gray, Gray]:
    """Phase-congruent energy of one orientation beyond noise, and the summed amplitude; both (H, W).

    `scratch` (scales, H, W) is overwritten.
    """
    np.multiply(spectrum * bank.angular[k], bank.radial, out=scratch)
    responses = scipy.fft.ifft2(scratch, overwrite_x=True)
    finest = responses[0]
    rayleigh = math.sqrt(float(np.median(finest.real**2 + finest.imag**2)) * bank.noise[k] / 2)
    noise = rayleigh * (math.sqrt(math.pi / 2) + _NOISE_DEVIATIONS * math.sqrt(2 - math.pi / 2)) / _NOISE_RESCALE
    energy, summed = np.empty(spectrum.shape), np.empty(spectrum.shape)
    rows = max(1, _BLOCK // spectrum.shape[1])
    for start in range(0, len(energy), rows):
        block = np.s_[start : start + rows]
        part, its_sum = _congruent_energy(responses[:, block], noise)
        energy[block], summed[block] = part, its_sum
    return energy, summed


def _congruent_energy(responses: npt.NDArray[np.complex128], noise: float) -> tuple[Gray, Gray]:
    """Energy beyond noise and summed amplitude of a block of rows, from the responses (scales, H, W)."""
    even, odd = responses.real.copy(), responses.imag.copy()
    total_even, total_odd = even.sum(axis=0), odd.sum(axis=0)
    amplitude = np.sqrt(even * even + odd * odd)
    summed, largest = amplitude.sum(axis=0), amplitude.max(axis=0)
    squared = total_even * total_even + total_odd * total_odd
    # Along the mean phase less the absolute part across it, over the scales.
    even *= total_odd
    odd *= total_even
    even -= odd
    energy: Gray = squared - np.abs(even, out=even).sum(axis=0)
    energy /= np.sqrt(squared) + _EPSILON
    energy -= noise
    np.maximum(energy, 0.0, out=energy)
    width = summed / (largest + _EPSILON) / _SCALES
    energy /= 1.0 + np.exp(_SPREAD_SLOPE * (_SPREAD_CENTRE - width))
    return energy, summed


def _features(image: Gray, bank: _Bank) -> _Features:
    spectrum = scipy.fft.fft2(image)
    scratch = np.empty(bank.radial.shape, dtype=np.complex128)
    energies, amplitudes = np.zeros(image.shape), np.zeros(image.shape)
    xx, yy, xy = np.zeros(image.shape), np.zeros(image.shape), np.zeros(image.shape)
    for k in range(_ORIENTATIONS):
        energy, amplitude = _oriented_energy(spectrum, bank, k, scratch)
        energies += energy
        amplitudes += amplitude
        squared = np.square(energy / np.where(amplitude > 0, amplitude, 1.0))
        cosine, sine = math.cos(k * math.pi / _ORIENTATIONS), math.sin(k * math.pi / _ORIENTATIONS)
        xx += squared * (cosine * cosine)
        yy += squared * (sine * sine)
        xy += squared * (cosine * sine)
    xx, yy, xy = xx * (2 / _ORIENTATIONS), yy * (2 / _ORIENTATIONS), xy / _ORIENTATIONS
    spread = np.sqrt(xy * xy + (xx - yy) ** 2) + _EPSILON
    total = xx + yy
    return _Features(energies / (amplitudes + _EPSILON), (total + spread) / 2, (total - spread) / 2)


def _windowed(image: Gray) -> Gray:
    rows = ndimage.correlate1d(image, _WINDOW, axis=0, mode="constant")
    return np.asarray(ndimage.correlate1d(rows, _WINDOW, axis=1, mode="constant"))


def _best_correlation(references: list[Gray], masks: list[Gray], own: Gray) -> float:
    """Mean over the last mask of the best local correlation of `own` to any reference within its mask."""
    mean, best = _windowed(own), np.full(own.shape, -np.inf)
    variance = _windowed(own * own) - mean * mean
    for reference, mask in zip(references, masks, strict=True):
        kept = reference * mask
        its_mean = _windowed(kept)
        its_variance = _windowed(kept * kept) - its_mean * its_mean
        covariance = _windowed(kept * own) - its_mean * mean
        bound = np.sqrt(np.abs(its_variance * variance))
        # Outside its mask a reference counts as 0, also where every correlation is below 0.
        best = np.maximum(best, mask * ((covariance + _CONSTANT) / (bound + _CONSTANT)))
    return float(best.sum() / masks[-1].sum())


def qp(
    fused: Any,
    sources: Iterable[Any],
    *,
    channel_axis: int | None = None,
    value_range: tuple[float, float] | None = None,
) -> float:
    """Zhao's fusion quality QP from phase congruency.

    Phase congruency marks features whatever their contrast. It and the two moments of its covariance (edges, corners)
    are correlated locally with those of each source and of their union (at each pixel the source of largest phase
    congruency); the best of these counts. QP is the product of the three means over the union's features. The union
    and the best are taken over all sources, so that the definition also holds for more than two.

    If no source has any feature, the result is 1 where the fused image has none either, and otherwise 0.

    Parameters
    ----------
    fused, sources, channel_axis, value_range
        See `metrics.evaluate`; colour is scored on gray.

    Returns
    -------
    float
        Near 0 to 1.

    Raises
    ------
    InputError
        If the images do not fit each other or cannot be read.

    References
    ----------
    .. [1] J. Zhao, R. Laganiere, Z. Liu, "Performance assessment of combinative pixel-level image fusion based on an
       absolute feature measurement", Int. J. Innovative Computing, Information and Control 3 (2007).
    .. [2] P. Kovesi, "Phase congruency detects corners and edges", DICTA 2003.
    """
    image, stack = gray_case(fused, sources, channel_axis=channel_axis, value_range=value_range)
    bank = _filters(*image.shape)
    own, *found = each(lambda one: _features(one, bank), [image, *stack])
    congruency = np.stack([one.congruency for one in found])
    # Ties go to the last source, as in the public code.
    chosen = len(found) - 1 - congruency[::-1].argmax(axis=0)
    masks = [(one > _FEATURE).astype(np.float64) for one in congruency]
    union = (congruency.max(axis=0) > _FEATURE).astype(np.float64)
    if not union.any():
        return 0.0 if (own.congruency > _FEATURE).any() else 1.0

    def score(name: str) -> float:
        maps = [getattr(one, name) for one in found]
        joined = np.take_along_axis(np.stack(maps), chosen[None], axis=0)[0]
        return _best_correlation([*maps, joined], [*masks, union], getattr(own, name))

    return math.prod(each(score, _Features._fields))
