"""Weighted guided filter (Li et al. 2015): the guided filter with less smoothing at the guide's edges.

The regularisation is divided by the ratio of the variance of the guide's 3x3 neighbourhood to that of the rest of
the image. Edges stay sharp and without halos; flat regions are smoothed more.

For an image too large for memory: `cell_mean` strip by strip, `smooth_guide_model` and
`weighted_statistics` on the cells, and `LocalLinearModel.rows` strip by strip. The functions on whole images
take the same steps.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from defocus_backend.errors import InputError
from defocus_backend.filters.box import accumulation_dtype, box_mean, check_image
from defocus_backend.filters.cells import CellGrid, cell_mean, check_count
from defocus_backend.filters.guided import GuideStatistics, LocalLinearModel, centre, check_eps, filter_image


@torch.no_grad()
def edge_weight(guide: Tensor, *, value_range: float = 1.0) -> Tensor:
    """Edge-aware weight of each pixel: above 1 at edges, below 1 where the guide is flat.

    ``Gamma(p) = mean over all q of (var(p) + e) / (var(q) + e)``, with the variance of 3x3 windows (clipped
    at the border) and ``e = (0.001 * value_range)^2``.

    Parameters
    ----------
    guide : (..., H, W) tensor of float32 or float64
        Gray guides; the weight of each image depends on that image alone.
    value_range : float
        The L of the paper: the width of the guide's range of values, above 0.

    Returns
    -------
    (..., H, W) tensor
        Positive numbers without unit, 1 everywhere for a constant guide; dtype and device of the guide.

    Raises
    ------
    InputError
        If an argument cannot be used.

    References
    ----------
    Z. Li, J. Zheng, Z. Zhu, W. Yao, S. Wu, "Weighted Guided Image Filtering", IEEE TIP 24(1), 2015.
    """
    check_image("guide", guide)
    if not 0 < value_range < float("inf"):
        raise InputError("value_range", repr(value_range), "a finite number above 0")
    centred = centre(guide)[0].to(accumulation_dtype(guide))
    mean = box_mean(centred, 1)
    variance = box_mean(centred * centred, 1).sub_(mean * mean).clamp_(min=0)
    variance += (0.001 * value_range) ** 2
    return (variance * variance.reciprocal().mean(dim=(-2, -1), keepdim=True)).to(guide.dtype)


@torch.no_grad()
def weighted_statistics(guide: Tensor, grid: CellGrid, *, radius: int, eps: float) -> GuideStatistics:
    """Statistics of a guide on a grid of cells for the weighted filter, to be used for any number of inputs.

    Parameters
    ----------
    guide : (..., h, w) tensor of float32 or float64
        Cell means of a gray guide in 0..1, as from `cell_mean`.
    grid : CellGrid
        The cells and the image they lie on.
    radius : int
        Radius of the window in pixels of the image.
    eps : float
        Regularisation (lambda of the paper) in squared units of the guide, above 0.

    Returns
    -------
    GuideStatistics
        Its `model` filters an input's cells, to be rendered by `LocalLinearModel.rows`.

    Raises
    ------
    InputError
        If an argument cannot be used.
    """
    check_eps(eps)
    return GuideStatistics.of(guide, grid, radius=radius, eps=eps / edge_weight(guide))


def weighted_guided_filter(
    guide: Tensor, src: Tensor, *, radius: int, eps: float, subsample: int = 1, iterations: int = 1
) -> Tensor:
    """Guided filter whose ``a = cov(G, P) / (var_G + eps / Gamma)``.

    Parameters
    ----------
    guide : (..., H, W) tensor of float32 or float64
        Gray guide in 0..1.
    src : (..., H, W) tensor
        Images to filter, on the grid and in the type of the guide; leading dimensions broadcast.
    radius : int
        The windows span ``2 * radius + 1`` pixels, clipped at the border. The cost does not depend on it.
    eps : float
        Regularisation (lambda of the paper) in squared units of the guide, above 0.
    subsample : int
        Find the coefficients on cells of this many pixels a side, the radius divided by as many.
    iterations : int
        How often the output is filtered again by the same guide. With `subsample` all but the last filtering
        stay on the cells.

    Returns
    -------
    (..., H, W) tensor
        In units of `src`, dtype and device of the inputs. Gradients are not tracked.

    Raises
    ------
    InputError
        If an argument cannot be used.

    References
    ----------
    Z. Li, J. Zheng, Z. Zhu, W. Yao, S. Wu, "Weighted Guided Image Filtering", IEEE TIP 24(1), 2015.
    """
    return filter_image(
        weighted_statistics, guide, src, radius=radius, eps=eps, subsample=subsample, iterations=iterations
    )


@torch.no_grad()
def smooth_guide_model(cells: Tensor, grid: CellGrid, *, radius: int, eps: float, iterations: int) -> LocalLinearModel:
    """`smooth_guide` on a grid of cells, to be rendered strip by strip.

    Parameters
    ----------
    cells : (..., h, w) tensor of float32 or float64
        Cell means of a gray image in 0..1, as from `cell_mean`.
    grid : CellGrid
        The cells and the image they lie on.
    radius : int
        Radius of the window in pixels of the image.
    eps : float
        Regularisation in squared units of the image, above 0.
    iterations : int
        Number of links of the chain.

    Returns
    -------
    LocalLinearModel
        Its `rows` turns rows of the image into rows of the smooth guide, its `on_cells` the image's cells
        into the smooth guide's.

    Raises
    ------
    InputError
        If an argument cannot be used.
    """
    return LocalLinearModel(grid, tuple(_smoothing(cells, grid, radius=radius, eps=eps, iterations=iterations)))


@torch.no_grad()
def smooth_guide(image: Tensor, *, radius: int, eps: float, iterations: int, subsample: int = 1) -> Tensor:
    """Smooth an image by iterating the weighted filter on itself, which removes texture and preserves large edges.

    Each output is the input and the guide of the next iteration, with new edge weights.

    Parameters
    ----------
    image : (..., H, W) tensor of float32 or float64
        Gray images in 0..1.
    radius : int
        The windows span ``2 * radius + 1`` pixels, clipped at the border.
    eps : float
        Regularisation in squared units of the image, above 0.
    iterations : int
        1 or more; 7 in Galetto and Deng 2021, with a radius of 16 and an eps of 0.005.
    subsample : int
        Iterate on cells of this many pixels a side and apply the coefficients of all iterations, one after
        the other, to the full-resolution image.

    Returns
    -------
    (..., H, W) tensor
        In units of `image`, same dtype and device. Gradients are not tracked.

    Raises
    ------
    InputError
        If an argument cannot be used.

    References
    ----------
    F. J. Galetto, G. Deng, "Single image deep defocus estimation and its applications", 2021, section 3.3.
    """
    check_image("image", image)
    grid = CellGrid(image.shape[-2], image.shape[-1], subsample)
    centred, origin = centre(image)
    cells = cell_mean(centred, subsample)
    if subsample > 1:
        return smooth_guide_model(cells, grid, radius=radius, eps=eps, iterations=iterations).rows(centred) + origin
    # Cells are pixels: apply each link at once instead of storing the chain for later rendering.
    for a, b in _smoothing(cells, grid, radius=radius, eps=eps, iterations=iterations):
        centred = torch.addcmul(b, a, centred)
    return centred + origin


def _smoothing(
    cells: Tensor, grid: CellGrid, *, radius: int, eps: float, iterations: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """The links ``(a, b)`` of the self-guided chain, computed on the cells."""
    check_count("iterations", iterations)
    for _ in range(iterations):
        a, b = weighted_statistics(cells, grid, radius=radius, eps=eps).coefficients(cells)
        yield a, b
        cells = torch.addcmul(b, a, cells)
