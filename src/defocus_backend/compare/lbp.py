"""Sharpness from local binary patterns (Yi and Eramian 2016).

In a blurred region, few pixels are darker than most of their neighbours by more than a threshold.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from defocus_backend.arrays import Float64, as_bytes
from defocus_backend.compare.checks import check_gray, check_number, check_whole
from defocus_backend.compare.matting import spread_values
from defocus_backend.errors import InputError

_SHARP, _BLURRED = 0.3, 0.01
_SWEEPS = 100
_CONVERGED = 1e-4


def lbp_codes(gray: NDArray[np.uint8], *, threshold: float = 0.016) -> NDArray[np.uint8]:
    """Rotation-invariant uniform codes of 8 neighbours at radius 1.

    A neighbour counts where it is brighter than the pixel by more than ``255 * threshold``. The diagonal neighbours are
    on the circle: they are interpolated between four pixels and truncated to whole gray values.

    Parameters
    ----------
    gray : (H, W) uint8 array
        Repeated beyond its border.
    threshold : float
        As a share of the range.

    Returns
    -------
    (H, W) uint8 array
        Number of brighter neighbours, 0 to 8; 9 where they are not in one run around the circle.
    """
    padded = np.pad(gray.astype(np.float64), 1, mode="edge")
    height, width = gray.shape

    def shifted(dy: int, dx: int) -> Float64:
        return padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]

    share = math.sqrt(0.5)
    brighter = []
    for dy, dx in ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1)):
        neighbour = shifted(dy, dx)
        if dy and dx:
            beside = (1 - share) * shifted(0, 0) + share * shifted(0, dx)
            above = (1 - share) * shifted(dy, 0) + share * neighbour
            # The small offset prevents round-off from lowering a constant neighbourhood by one gray value.
            neighbour = np.floor((1 - share) * beside + share * above + 1e-9)
        brighter.append(neighbour - shifted(0, 0) > 255 * threshold)
    bits = np.stack(brighter).astype(np.int8)
    changes = np.abs(bits - np.roll(bits, 1, axis=0)).sum(axis=0)
    return np.where(changes <= 2, bits.sum(axis=0), 9).astype(np.uint8)


def lbp_sharpness(gray: NDArray[np.uint8], *, window: int, threshold: float = 0.016) -> Float64:
    """Share of codes of 6 and more in a window around each pixel, stretched to 0..1 over the picture."""
    from scipy import ndimage

    many = (lbp_codes(gray, threshold=threshold) >= 6).astype(np.float64)
    share = ndimage.uniform_filter(many, window, mode="nearest")
    # A running sum leaves 1e-16 where all codes are 0.
    share = np.rint(share * window**2) / window**2
    span = np.ptp(share)
    return np.asarray((share - share.min()) / span if span > 0 else share)


def multiscale_belief(scores: Float64, *, beta: float) -> Float64:
    """Belief that a pixel is sharp, at the last scale, from scores at all scales.

    Each pixel and scale has two states, with energies ``|1 - h|`` (sharp) and ``|h|`` (blurred) of the
    standardised score h and ``beta`` for every pair of unlike neighbours: four in the picture, one at
    each adjacent scale. Solved by sum-product message passing.

    Parameters
    ----------
    scores : (S, H, W) array
        0 (blurred) to 1 (sharp), the finest scale first.
    beta : float
        Cost of unlike neighbours.

    Returns
    -------
    (H, W) array
        Probability 0..1.
    """
    spread = scores.std(ddof=1) if scores.size > 1 else 0.0
    standard = (scores - scores.mean()) / spread if spread > 0 else scores
    # Messages as log-odds of sharp against blurred; `received[a][0]` from the pixel before on axis a.
    own = np.abs(standard) - np.abs(1 - standard)
    received = np.zeros((3, 2, *scores.shape))
    for _ in range(_SWEEPS):
        total = own + received.sum(axis=(0, 1))
        sent = np.zeros_like(received)
        for axis in range(3):
            later, earlier = _ends(axis)
            sent[axis, 0][later] = _message((total - received[axis, 1])[earlier], beta)
            sent[axis, 1][earlier] = _message((total - received[axis, 0])[later], beta)
        change = np.abs(sent - received).max()
        received = sent
        if change < _CONVERGED:
            break
    total = own + received.sum(axis=(0, 1))
    return np.asarray(0.5 * (1 + np.tanh(total[-1] / 2)))


def _ends(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Indices of all but the first and of all but the last along an axis."""
    before = (slice(None),) * axis
    return (*before, slice(1, None)), (*before, slice(None, -1))


def _message(odds: Float64, beta: float) -> Float64:
    return np.asarray(2 * np.arctanh(math.tanh(beta / 2) * np.tanh(odds / 2)))


def lbp_map(
    gray: ArrayLike, *, threshold: float = 0.016, windows: tuple[int, ...] = (11, 15, 21), beta: float = 0.5
) -> Float64:
    """Belief that each pixel is blurred, from local binary patterns at three scales; relative.

    Parameters
    ----------
    gray : (H, W) array_like
        Gray values 0..255; floats are rounded to whole values.
    threshold : float
        How much brighter a neighbour must be, as a share of the range. In Galetto and Deng 2021 0.025
        (Fig. 8) and 0.005 (Fig. 9).
    windows : tuple of int
        Odd sides of the windows in pixels, the smallest first; 7, 11, 15 in Fig. 8.
    beta : float
        Smoothness between neighbours and scales; 0.25 in Fig. 8.

    Returns
    -------
    (H, W) float64 array
        0 (sharp) to 1 (blurred), relative to the sharpest and most blurred region of the same image.

    Raises
    ------
    InputError
        If an argument cannot be used.

    References
    ----------
    X. Yi, M. Eramian, "LBP-based segmentation of defocus blur", IEEE TIP 25(4), 2016. The scores are
    standardised before the inference, as in the authors' public code.
    """
    check_number("threshold", threshold, above=0, at_most=1)
    check_number("beta", beta, above=0, at_most=30)  # beyond, the beliefs overflow
    if not windows:
        raise InputError("windows", repr(windows), "at least one window")
    sides = [check_whole("windows", side, at_least=1) for side in windows]
    if any(side % 2 == 0 for side in sides):
        raise InputError("windows", repr(windows), "odd sides")
    pixels = as_bytes(check_gray(gray))
    scores = np.stack([_matted(pixels, side, threshold) for side in sides])
    return 1 - multiscale_belief(scores, beta=beta)


def _matted(pixels: NDArray[np.uint8], window: int, threshold: float) -> Float64:
    """Sharpness whose intermediate values are replaced by the matting of its extreme ones."""
    sharpness = lbp_sharpness(pixels, window=window, threshold=threshold)
    sharp, blurred = sharpness > _SHARP, sharpness < _BLURRED
    known = sharp | blurred
    if not known.any():
        return sharpness
    spread = spread_values(pixels / 255, sharp.astype(np.float64), known, strength=math.inf)
    return np.clip(spread, 0, 1)
