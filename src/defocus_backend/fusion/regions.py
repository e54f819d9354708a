"""A decision over whole regions: each source's own pixels, without islands.

For pairs and short stacks of which a picture is wanted that is made of the sources as they are: the measure and the
removal of islands are those of Qiu, Li, Zhang and Yuan (2019), sigma joins in, and any number of slices can take part.
What is thinner than the measure's window goes with its surroundings; where thin things matter, the combined decision
is the one to take.
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
"""Window of the local mean, radius and regularisation of the filter that gathers the distances to it."""
_LEAST_DISTANCE = 1e-3
"""Added to the mean distance, in the unit range: below it all slices are alike."""
_SIGMA_SHARE = 0.25
"""Weight of sigma against the logarithm of a gathered distance, in units of its weight against that of an energy."""
_SHARE = 0.02
"""Area of the smallest island that stays, of the area that each slice has on average."""


def region_score(gray: Tensor, sigma: Tensor, sigma_weight: float) -> Tensor:
    """How well a slice is in focus around every pixel.

    Parameters
    ----------
    gray : (H, W) tensor
        The slice, unit range.
    sigma : (H, W) tensor
        Its defocus map in pixels.
    sigma_weight : float
        As of `DecisionParams`.

    Returns
    -------
    (H, W) tensor
    """
    distance = (gray - box_mean(gray, _MEAN_RADIUS)).abs_()
    gathered = guided_filter(gray, distance, radius=_GATHER_RADIUS, eps=_GATHER_EPS).clamp_min_(0)
    return gathered.add_(_LEAST_DISTANCE).log_().sub_(sigma, alpha=_SIGMA_SHARE * sigma_weight)


def without_islands(index: Tensor, count: int) -> Tensor:
    """Give the islands of a decision to what surrounds them.

    Parameters
    ----------
    index : (H, W) integer tensor
        Number of a slice at every pixel.
    count : int
        Number of slices; with two, islands of less than a hundredth of the picture go.

    Returns
    -------
    (H, W) tensor
        Of the same dtype; unchanged if nothing but islands is there.
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
