"""Where the contrast of transparent objects reverses: the focus of brightfield pictures of living cells.

A thin object that only delays light is dark on one side of the focus and bright on the other (Teague 1983,
doi:10.1364/JOSA.73.001434). In focus its contrast is least: neither detail nor sigma finds that slice, the reversal
does. It finds it to within two slices of drawn stacks: where the object absorbs a little too, the contrast reverses
beside the focus. Blur alone does not reverse the coarse contrast of a photograph or of a fluorescing or stained
specimen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from defocus_backend.filters import cell_mean, gaussian_blur

_SIDE, _FINE, _COARSE = 2, 0.8, 2.0
"""Side in pixels of the cells, and the sigmas in cells between which the detail lies that is compared."""
_FEWEST = 5
"""Slices under which nothing is said."""
_MOST = 0.4
"""Least share of the detail of all slices that one picture, dark here and bright there, must explain."""
_REVERSED = -0.3
"""Correlation with that picture which a slice on the other side of the focus must have."""
_OPPOSITE = -0.2
"""Least correlation of two slices, at most: photographs of near and far things have -0.16, phase objects -0.25 to
-0.8."""


def contrast_reversal(slices: Sequence[Tensor]) -> float | None:
    """Place between slices where the contrast of the whole field changes its sign.

    The detail of all slices is that of one picture with a factor for each slice, as far as one picture can explain it
    (their first principal component); the factor goes through zero in focus.

    Parameters
    ----------
    slices : sequence of (H, W) tensors
        Gray slices in order, or the same rows of each.

    Returns
    -------
    float or None
        In slices from the first one; None where the contrast does not reverse, or does so more than once, as for
        photographs, fluorescence and optical sections.
    """
    if len(slices) < _FEWEST:
        return None
    cells = [cell_mean(one, _SIDE) for one in slices]
    detail = torch.stack([(gaussian_blur(c, _FINE) - gaussian_blur(c, _COARSE)).flatten() for c in cells])
    products = (detail @ detail.T).double().cpu().numpy()
    sizes = np.sqrt(np.diag(products))
    if not (sizes > 0).all():
        return None
    correlations = products / np.outer(sizes, sizes)
    if correlations.min() > _OPPOSITE:
        return None
    values, vectors = np.linalg.eigh(correlations)
    factors = vectors[:, -1] * np.sqrt(values[-1])
    factors *= np.sign(factors[np.abs(factors).argmax()])
    changes = np.flatnonzero(np.diff(np.sign(factors)))
    if len(changes) != 1 or values[-1] < _MOST * len(slices) or factors.min() > _REVERSED:
        return None
    before, after = factors[changes[0]], factors[changes[0] + 1]
    return float(changes[0] + before / (before - after))
