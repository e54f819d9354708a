"""Refinement of a map of any unit, so that its edges follow the edges of the image (paper, section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor

from defocus_backend.filters import CellGrid, cell_mean, smooth_guide_model, weighted_statistics
from defocus_backend.filters.fill import fill_from_surroundings
from defocus_backend.params import MapParams

_LEAST_CONFIDENCE = 0.01
"""Weight of an uninformative pixel: small compared with other weights, but large enough to divide by."""
_TELLS = (0.2, 0.5)
"""Confidence up to which the sigma of a pixel is ignored, and from which it is fully used."""


def refine_map(
    sigma: Tensor, gray: Tensor, params: MapParams, *, confidence: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Refine a map so that its edges follow the edges of its image (paper, section 3.3).

    The guide is the image, smoothed by the iterated weighted guided filter with itself as the guide, so that its
    texture does not appear in the map. With a confidence c, uninformative pixels are first filled from their
    surroundings, at any distance. The refined map is then GF(c M) / GF(c), so that confident pixels determine their
    neighbours.

    Parameters
    ----------
    sigma : (H, W) tensor
        Map in pixels.
    gray : (H, W) tensor
        The image, in the unit range.
    params : MapParams
        `refine_radius`, `refine_edge_tolerance`, `refine_iterations` and `refine_subsample`.
    confidence : (H, W) tensor or None
        Between 0 and 1.

    Returns
    -------
    sigma, guide : (H, W) tensors
        The refined map, within the range of the input map, and the guide in the unit range.
    """
    grid = CellGrid(int(gray.shape[0]), int(gray.shape[1]), params.refine_subsample)
    radius, eps, iterations = params.refine_radius, params.refine_edge_tolerance, params.refine_iterations
    origin = gray.mean()
    cells = cell_mean(gray - origin, params.refine_subsample)
    smoother = smooth_guide_model(cells, grid, radius=radius, eps=eps, iterations=iterations)
    statistics = weighted_statistics(smoother.on_cells(cells), grid, radius=radius, eps=eps)
    guide = smoother.rows(gray - origin)
    if confidence is None:
        source = cell_mean(sigma[None], params.refine_subsample)
        refined = statistics.model(source, iterations=iterations).rows(guide)[0]
    else:
        low, high = _TELLS
        known = ((confidence - low) / (high - low)).clamp(0, 1)
        sigma = fill_from_surroundings(sigma[None], known)[0]
        trust = confidence.clamp_min(_LEAST_CONFIDENCE)
        source = torch.stack(
            [cell_mean(sigma * trust, params.refine_subsample), cell_mean(trust, params.refine_subsample)]
        )
        weighted, weight = statistics.model(source, iterations=iterations).rows(guide)
        refined = weighted / weight.clamp_min(_LEAST_CONFIDENCE / 2)
    return refined.clamp_(float(sigma.min()), float(sigma.max())), guide + origin
