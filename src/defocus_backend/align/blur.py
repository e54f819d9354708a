"""Blur that one frame has more than another, place by place, and pictures brought to the same blur.

A blur that differs between two frames moves light outwards from every edge, which a registration takes for a
change of scale. Each frame is therefore blurred where the other one is less sharp. The amount is that of a few
Gaussians after which the details of the two agree best in a window around each pixel.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

_SIGMAS = (0.0, 0.8, 1.2, 1.7, 2.4, 3.4, 4.8)
"""Gaussians that are tried, px. Wider ones belong to a coarser level of the pyramid."""
_WIDER = (6.8, 9.6, 13.6, 19.2)
"""Further ones that `blurred` has, for amounts found on coarser levels."""
_BLOCK = 4
"""Details are compared in blocks of this side, px."""
_WINDOW = 7
"""Side of the window around each block, blocks."""
_COARSE = 24.0
"""Sigma of the Gaussian that is subtracted before details are compared, px: brightness may differ."""
_EVEN = 1.5
"""Sigma by which the amounts are smoothed, blocks: neighbours have about the same blur."""
_BETTER = 0.97
"""A blur is preferred to none where it leaves less than this share of the difference."""
_TINY = 1e-12


def blur_difference(template: Plane, frame: Plane, where: NDArray[np.bool_]) -> Plane:
    """Return how much sharper the template is than a frame that lies on it.

    Parameters
    ----------
    template, frame : (h, w) float32 arrays
        Two gray pictures of the same thing.
    where : (h, w) bool array
        Pixels that both have.

    Returns
    -------
    (h, w) float32 array
        Sigma of a Gaussian in px. Positive where the template must be blurred by it to look like the frame,
        negative where the frame must be.
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
        # Relative to what there is: a blur that leaves nothing leaves no difference either.
        left = energy(theirs[b] - gain * ours[a]) / (theirs_energy[b] + gain**2 * ours_energy[a] + _TINY)
        better = left < best
        best[better] = left[better] * (_BETTER if step == 0 else 1)
        amount[better] = np.sign(step) * _SIGMAS[abs(step)]
    if not amount.any():
        return np.zeros_like(template)
    amount = np.asarray(cv2.GaussianBlur(amount, (0, 0), _EVEN, borderType=cv2.BORDER_REFLECT))
    return np.asarray(cv2.resize(amount, (width, height), interpolation=cv2.INTER_LINEAR))


def blurred(pixels: Plane, amount: Plane) -> Plane:
    """Return a picture (h, w) blurred place by place; `amount` holds sigmas in px, and below 0 nothing is done."""
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
    """The picture after each of the Gaussians, the first of which is none."""
    import cv2

    series = [pixels]
    for before, sigma in itertools.pairwise(sigmas):
        more = float(np.sqrt(sigma**2 - before**2))
        series.append(np.asarray(cv2.GaussianBlur(series[-1], (0, 0), more, borderType=cv2.BORDER_REFLECT)))
    return series
