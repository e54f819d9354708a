"""Local difference in blur between two frames, and its compensation.

A difference in blur spreads light outwards from every edge, which a registration mistakes for a change of scale. Each
frame is therefore blurred where the other one is less sharp. From a few Gaussians, the one is chosen for which the
details of both frames agree best in a window around each pixel.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

_SIGMAS = (0.0, 0.8, 1.2, 1.7, 2.4, 3.4, 4.8)
"""Sigmas of the tested Gaussians, px. Larger blurs are measured on coarser levels of the pyramid."""
_WIDER = (6.8, 9.6, 13.6, 19.2)
"""Further sigmas in `blurred`, for amounts from coarser levels."""
_BLOCK = 4
"""Side of the blocks in which details are compared, px."""
_WINDOW = 7
"""Side of the window around each block, in blocks."""
_COARSE = 24.0
"""Sigma of the Gaussian that is subtracted before details are compared, because brightness may differ, px."""
_EVEN = 1.5
"""Sigma of the smoothing of the amounts, in blocks; neighbouring blocks have about the same blur."""
_BETTER = 0.97
"""A blur is used only if it reduces the difference below this fraction."""
_TINY = 1e-12


def blur_difference(template: Plane, frame: Plane, where: NDArray[np.bool_]) -> Plane:
    """Return how much sharper the template is than an aligned frame.

    Parameters
    ----------
    template, frame : (h, w) float32 arrays
        Two gray, aligned pictures of the same scene.
    where : (h, w) bool array
        Pixels that are valid in both.

    Returns
    -------
    (h, w) float32 array
        Sigma of a Gaussian in px. Where it is positive, the template must be blurred to match the frame; where it is
        negative, the frame must be blurred.
    """
    import cv2

    mask = where.astype(np.float32)
    height, width = template.shape
    small = (-(-width // _BLOCK), -(-height // _BLOCK))

    def details(pixels: Plane) -> Plane:
        return (pixels - cv2.GaussianBlur(pixels, (0, 0), _COARSE, borderType=cv2.BORDER_REFLECT)) * mask

    def energy(pixels: Plane) -> Plane:
        blocks = cv2.resize(pixels * pixels, small, interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.blur(blocks, (_WINDOW, _WINDOW), borderType=cv2.BORDER_REFLECT))

    ours, theirs = _series(details(template), _SIGMAS), _series(details(frame), _SIGMAS)
    ours_energy, theirs_energy = [energy(p) for p in ours], [energy(p) for p in theirs]
    amount = np.zeros(small[::-1], np.float32)
    best = np.full(small[::-1], np.inf, np.float32)
    for step in (0, *(s * n for n in range(1, len(_SIGMAS)) for s in (1, -1))):
        a, b = max(step, 0), max(-step, 0)
        size = float(np.vdot(ours[a], ours[a]))
        gain = float(np.vdot(ours[a], theirs[b])) / size if size > _TINY else 0.0
        # Relative to the remaining detail, because a blur that removes all detail also removes all difference.
        left = energy(theirs[b] - gain * ours[a]) / (theirs_energy[b] + gain**2 * ours_energy[a] + _TINY)
        better = left < best
        best[better] = left[better] * (_BETTER if step == 0 else 1)
        amount[better] = np.sign(step) * _SIGMAS[abs(step)]
    if not amount.any():
        return np.zeros_like(template)
    amount = np.asarray(cv2.GaussianBlur(amount, (0, 0), _EVEN, borderType=cv2.BORDER_REFLECT))
    return np.asarray(cv2.resize(amount, (width, height), interpolation=cv2.INTER_LINEAR))


def blurred(pixels: Plane, amount: Plane) -> Plane:
    """Return a picture (h, w) with spatially varying blur; `amount` is sigma in px, and values below 0 mean no blur."""
    most = float(amount.max())
    if most <= 0:
        return pixels
    sigmas: tuple[float, ...] = (*_SIGMAS, *_WIDER)
    sigmas = sigmas[: int(np.searchsorted(sigmas, most)) + 1]
    position = np.interp(amount, sigmas, np.arange(len(sigmas))).astype(np.float32)
    result = np.zeros_like(pixels)
    for step, blur in enumerate(_series(pixels, sigmas)):
        result += blur * np.maximum(0, 1 - np.abs(position - np.float32(step)))
    return result


def _series(pixels: Plane, sigmas: tuple[float, ...]) -> list[Plane]:
    """The picture without blur, then after each of the Gaussians."""
    import cv2

    series = [pixels]
    for before, sigma in itertools.pairwise(sigmas):
        more = float(np.sqrt(sigma**2 - before**2))
        series.append(np.asarray(cv2.GaussianBlur(series[-1], (0, 0), more, borderType=cv2.BORDER_REFLECT)))
    return series
