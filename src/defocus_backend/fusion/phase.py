"""Reversal of the contrast of transparent objects, which marks the focus in brightfield pictures of living cells.

A thin object that only delays light (a phase object) is dark on one side of the focus and bright on the other (Teague
1983, doi:10.1364/JOSA.73.001434). Its contrast is smallest in focus, so neither detail nor sigma indicates this slice,
but the reversal of contrast does. On synthetic stacks, the result is right within two slices: if the object also
absorbs a little, the contrast reverses beside the focus. Blur alone does not reverse the coarse contrast of a
photograph or of a fluorescent or stained specimen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from defocus_backend.filters import cell_mean, gaussian_blur

_SIDE, _FINE, _COARSE = 2, 0.8, 2.0
"""Side of the cells in pixels, and the two sigmas, in cells, of the band-pass filter of the compared detail."""
_FEWEST = 5
"""Smallest number of slices for a result."""
_MOST = 0.4
"""Smallest share of the detail of all slices that a single picture, with positive and negative factors, must
explain."""
_REVERSED = -0.3
"""Largest correlation with this picture for a slice on the other side of the focus."""
_OPPOSITE = -0.2
"""Two slices must have a correlation below this. Photographs of near and far objects reach -0.16, phase objects -0.25
to -0.8."""


def contrast_reversal(slices: Sequence[Tensor]) -> float | None:
    """Position between slices at which the contrast of the whole field changes its sign.

    The detail of all slices is approximated by one picture with a factor for each slice (the first principal
    component). The factor crosses zero in focus.

    Parameters
    ----------
    slices : sequence of (H, W) tensors
        Gray slices in order, or the same rows of each.

    Returns
    -------
    float or None
        Position in slices, from the first one. None if the contrast does not reverse or reverses more than once, as for
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
