"""Focus measures of other programs, for comparison: each is one number for a whole picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

_LEAST_RADIUS = 2
_RADII = 8
"""The slope is fitted up to this fraction of the shorter side, to exclude the corners of the spectrum."""


def power_slope(gray: NDArray[np.float32]) -> float:
    """Slope of the log power spectrum over the log frequency, as reported by CellProfiler.

    Parameters
    ----------
    gray : (H, W) float array
        Gray values in any unit, which does not affect the slope.

    Returns
    -------
    float
        Slope; more negative for a more blurred picture; 0 for a constant picture or one smaller than 32 px.

    References
    ----------
    M.-A. Bray et al., "Workflow and metrics for image quality control in large-scale high-content screens", Journal
    of Biomolecular Screening 17, 2012: the power is summed over rings one frequency wide, up to an eighth of the
    shorter side.
    """
    height, width = gray.shape
    spectrum = fft.rfft2(gray - gray.mean(dtype=np.float64).astype(np.float32))
    power = spectrum.real**2 + spectrum.imag**2
    # Each frequency of the half spectrum also represents its mirror image.
    twice = np.full(power.shape[1], 2.0)
    twice[0] = 1.0
    if width % 2 == 0:
        twice[-1] = 1.0
    rows = np.minimum(np.arange(height), height - np.arange(height))
    most = min(height, width) // _RADII
    labels = np.arange(_LEAST_RADIUS, most)
    if len(labels) < 2:
        return 0.0
    near = np.flatnonzero(rows < most)
    ring = np.floor(np.hypot(rows[near, None], np.arange(min(most, power.shape[1]))[None, :])).astype(np.intp) + 1
    weighed = power[near, : ring.shape[1]] * twice[: ring.shape[1]]
    total = np.bincount(ring.ravel(), weighed.ravel().astype(np.float64), minlength=most)[labels]
    seen = total > 0
    if seen.sum() < 2 or gray.min() == gray.max():
        return 0.0
    return float(np.polyfit(np.log(labels[seen]), np.log(total[seen]), 1)[0])


def laplacian_variance(gray: NDArray[np.float32]) -> float:
    """Variance of the 4-neighbour Laplacian of a gray picture (H, W); larger for sharper or noisier pictures.

    References
    ----------
    J. L. Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy: a comparative study", ICPR 2000,
    doi:10.1109/ICPR.2000.903548
    """
    if min(gray.shape) < 3:
        return 0.0
    inner = gray[1:-1, 1:-1]
    curvature = gray[:-2, 1:-1] + gray[2:, 1:-1] + gray[1:-1, :-2] + gray[1:-1, 2:] - 4 * inner
    return float(np.var(curvature, dtype=np.float64))
