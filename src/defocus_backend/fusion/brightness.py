"""Brightness of the slices of a stack against each other: a lamp that flickers, a camera that sets its own exposure.

Defocus moves light between pixels but loses none, so the means of wide windows hardly depend on it: their ratios say
how much brighter one slice is than another. In a stack of optical sections the ratios differ from window to window;
then there is no common gain, and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from defocus_backend.arrays import Image
from defocus_backend.errors import InputError
from defocus_backend.filters import cell_mean

_SIDE = 64
"""Longest side in cells of the small slices that are compared."""
_WIDE = 4.0
"""Sigma in cells of the windows whose means are compared: a sixteenth of the picture, far wider than any defocus."""
_SATURATED = 0.97
"""Value above which a cell may be clipped; in the unit range."""
_DARK = 0.02
"""Value below which a ratio depends on the black level."""
_LEAST_SHARE = 0.1
"""Share of the cells that must be usable."""
_NOTICEABLE = 0.01
"""Logarithm of a gain below which a slice counts as equally bright."""
_SCATTER, _MOST_SCATTER = 0.25, 0.1
"""Most scatter of the logarithms of the ratios at which they are a gain: relative to it, and at all."""
LARGEST_GAIN = 4.0
"""Gains beyond it, or below its reciprocal, are not corrected: such a slice is another picture."""


def slice_gains(slices: Iterable[Image]) -> NDArray[np.float64]:
    """How much brighter every slice is than the one of median brightness.

    Parameters
    ----------
    slices : iterable of Image
        All slices in order, read once; they need not be aligned.

    Returns
    -------
    (N,) float64 array
        Gains; exactly 1 where a slice is equally bright, or where no common gain explains the difference.
    """
    small = [_small(image) for image in slices]
    if len(small) < 2:
        return np.ones(len(small))
    means = [float(values[known > 0].mean()) if (known > 0).any() else 0.0 for values, known in small]
    reference = int(np.argsort(means)[len(means) // 2])
    return np.array([_gain(*small[reference], *other) for other in small])


def checked_gains(gains: ArrayLike, count: int) -> NDArray[np.float64]:
    """Gains that a caller gives; raise `InputError` unless they are one positive number for each slice."""
    found = np.asarray(gains, dtype=np.float64)
    if found.shape != (count,) or not (np.isfinite(found) & (found > 0)).all():
        raise InputError("gains", f"{found.tolist()!r:.60}", f"{count} positive numbers, one for each slice")
    return found


def _small(image: Image) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cell means of a gray slice, and the share of usable pixels of each cell."""
    side = max(1, -(-max(image.shape) // _SIDE))
    gray = image.gray
    top = image.pixels.amax(0)
    usable = (top < _SATURATED) if image.valid is None else (top < _SATURATED) & image.valid
    cells = cell_mean(torch.stack([gray, usable.to(gray)]), side).cpu().numpy().astype(np.float64)
    return cells[0], cells[1]


def _gain(
    reference: NDArray[np.float64], known: NDArray[np.float64], other: NDArray[np.float64], also: NDArray[np.float64]
) -> float:
    """Median ratio of the windows' means that both slices have unclipped; 1 if there is none, or no common one."""
    weight = np.where((known > 0.99) & (also > 0.99), 1.0, 0.0)
    if weight.mean() < _LEAST_SHARE:
        return 1.0
    planes = (reference * weight, other * weight, weight)
    a, b, share = (ndimage.gaussian_filter(plane, _WIDE, mode="constant") for plane in planes)
    there = (weight > 0) & (share > 0.2)
    a, b = a[there] / share[there], b[there] / share[there]
    bright = (a > _DARK) & (b > _DARK)
    if not bright.any() or bright.mean() < _LEAST_SHARE:
        return 1.0
    ratio = np.log(b[bright] / a[bright])
    gain = float(np.median(ratio))
    scatter = float(np.median(np.abs(ratio - gain)))
    common = scatter <= min(_SCATTER * abs(gain), _MOST_SCATTER)
    return float(np.exp(gain)) if common and _NOTICEABLE <= abs(gain) <= np.log(LARGEST_GAIN) else 1.0
