"""Exposure and white balance of one frame relative to another, independent of their focus."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from defocus_backend.align.motion import Matrix, half_side

_WIDE = 8.0
"""Sigma of the windows in which brightness is compared, in blocks; much wider than any defocus."""
_SATURATED = 0.98
_PLATEAU = 0.25
"""If a larger share of the blocks is near the brightest value, they are the background and not highlights."""
_LEAST_BLOCKS = 16
_WIDEST = 4.0


def exposure_gain(
    reference: NDArray[np.float32], frame: NDArray[np.float32], matrix: Matrix
) -> NDArray[np.float64] | None:
    """Brightness of a frame relative to its reference, for each channel.

    Defocus spreads light but loses none, so the means over wide windows hardly depend on it. The gain is the median of
    the ratios of these means, weighted by brightness; moved highlights and occluded backgrounds have little influence
    on it. An additional offset is not estimated, because blur reduces contrast just as an offset does.

    Saturated highlights are ignored. If there is a bright background, only the background is compared: blur spreads its
    light over darker objects, and more so where it is clipped, so the ratios there increase with the blur. If the
    background is clipped in both frames, the gain is 1, so that it is not tinted.

    Parameters
    ----------
    reference, frame : (h, w, C) arrays
        Block means.
    matrix : (3, 3) array
        Transform from the centred coordinates of the reference to those of the frame.

    Returns
    -------
    (C,) array or None
        Gain of every channel; None if too little can be compared, or if the gain is implausible.
    """
    height, width, channels = reference.shape
    unit = half_side((height, width))
    y, x = np.mgrid[:height, :width]
    points = np.stack([(x - (width - 1) / 2) / unit, (y - (height - 1) / 2) / unit, np.ones(x.shape)])
    moved = np.tensordot(matrix, points, 1)
    where = moved[1::-1] / moved[2] * unit + np.array([(height - 1) / 2, (width - 1) / 2])[:, None, None]
    seen = (where[0] >= 0) & (where[0] <= height - 1) & (where[1] >= 0) & (where[1] <= width - 1)
    gains = np.ones(channels)
    for channel in range(channels):
        a = reference[..., channel].astype(np.float64)
        b = ndimage.map_coordinates(frame[..., channel], where, order=1, mode="nearest", output=np.float64)
        usable = seen & (a > 0) & (b > 0)
        bright_a, bright_b = a >= _SATURATED * a.max(), b >= _SATURATED * b.max()
        background = bright_a & bright_b & usable
        usable = background if background.sum() >= _PLATEAU * usable.sum() else usable & ~bright_a & ~bright_b
        if usable.sum() < _LEAST_BLOCKS:
            return None
        wide_a, wide_b = (ndimage.gaussian_filter(v * usable, _WIDE, mode="constant")[usable] for v in (a, b))
        gains[channel] = _weighted_median(wide_b / wide_a, wide_a)
    return gains if (gains < _WIDEST).all() and (gains > 1 / _WIDEST).all() else None


def _weighted_median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
