"""Decision for whole regions, without small islands, so that pixels are copied from the slices.

For pairs and short stacks whose fused picture shall consist of unmodified pixels of the slices. The focus measure and
the removal of islands are those of Qiu, Li, Zhang and Yuan (2019), extended by sigma and to any number of slices.
Objects thinner than the window of the measure get the decision of their surroundings; use the combined decision if thin
objects matter.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from defocus_backend.compare.gfdf import without_small
from defocus_backend.filters import box_mean, guided_filter
from defocus_backend.fusion.decision import Decision, Detail, sigma_of_pixels
from defocus_backend.params import DecisionParams

_MEAN_RADIUS = 3
_GATHER_RADIUS, _GATHER_EPS = 5, 0.3
"""Radius of the window of the local mean; radius and regularisation of the filter that averages the distances to this
mean."""
_LEAST_DISTANCE = 1e-3
"""Added to the mean distance, in the unit range; slices with smaller distances score about the same."""
_SIGMA_SHARE = 0.25
"""Weight of sigma relative to the logarithm of an averaged distance, as a fraction of `sigma_weight`."""
_SHARE = 0.02
"""Area of the smallest island that is kept, relative to the mean area per slice."""


def region_score(gray: Tensor, sigma: Tensor, sigma_weight: float) -> Tensor:
    """Focus score of a slice around every pixel.

    Parameters
    ----------
    gray : (H, W) tensor
        The slice, in the unit range.
    sigma : (H, W) tensor
        Defocus map of the slice in pixels.
    sigma_weight : float
        See `DecisionParams`.

    Returns
    -------
    (H, W) tensor
    """
    distance = (gray - box_mean(gray, _MEAN_RADIUS)).abs_()
    gathered = guided_filter(gray, distance, radius=_GATHER_RADIUS, eps=_GATHER_EPS).clamp_min_(0)
    return gathered.add_(_LEAST_DISTANCE).log_().sub_(sigma, alpha=_SIGMA_SHARE * sigma_weight)


def without_islands(index: Tensor, count: int) -> Tensor:
    """Replace small islands of a decision by their surroundings.

    Parameters
    ----------
    index : (H, W) integer tensor
        Number of a slice at every pixel.
    count : int
        Number of slices. With two, islands smaller than 1 % of the picture are replaced.

    Returns
    -------
    (H, W) tensor
        The decision, in the same dtype; unchanged if it consists only of islands.
    """
    numbers: NDArray[np.integer] = index.cpu().numpy()
    least = _SHARE * numbers.size / count
    small = np.zeros(numbers.shape, dtype=bool)
    for number in np.unique(numbers):
        here = numbers == number
        small |= here & ~without_small(here, least)
    if small.all() or not small.any():
        return index
    rows, columns = ndimage.distance_transform_edt(small, return_distances=False, return_indices=True)
    return torch.from_numpy(numbers[rows, columns]).to(index)


def _score(detail: Detail, sigma: Tensor, params: DecisionParams, pooling: int) -> Tensor:
    return region_score(detail.gray, sigma_of_pixels(detail, sigma, pooling), params.sigma_weight)


REGION = Decision(score=_score, settle=without_islands)
