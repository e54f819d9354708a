"""Guided filter (He, Sun and Tang 2013) and its fast form on a coarse grid (He and Sun 2015).

In each window the output is a linear function of the guide, ``q = a I + b``; the value of a pixel is the mean of the
functions of all windows that contain it. With ``subsample = s`` the functions are found on cells of s x s pixels
and read at full resolution by bilinear interpolation, so that every edge of the guide is preserved.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from defocus_backend.errors import InputError
from defocus_backend.filters.box import accumulation_dtype, box_mean, check_image, check_radius
from defocus_backend.filters.cells import CellGrid, cell_mean, check_count

_STRIP = 1 << 20
"""Pixels rendered at a time, which limits the temporaries of a large image to a few times 4 MiB of float32."""


def check_eps(eps: float) -> None:
    """Raise `InputError` unless a regularisation is above 0: in a constant window ``a`` is finite only because of it.

    Raises
    ------
    InputError
        Naming ``eps``.
    """
    if not (math.isfinite(eps) and eps > 0):
        raise InputError("eps", repr(eps), "a finite number above 0, in squared units of the guide")


def check_pair(guide: Tensor, src: Tensor) -> None:
    """Raise `InputError` unless a guide and an input have the same grid, dtype and device.

    Raises
    ------
    InputError
        If they do not match; the message names ``guide`` or ``src``.
    """
    check_image("guide", guide)
    check_image("src", src)
    if guide.shape[-2:] != src.shape[-2:]:
        raise InputError("src", f"{tuple(src.shape[-2:])} pixels", f"those of the guide, {tuple(guide.shape[-2:])}")
    try:
        torch.broadcast_shapes(guide.shape, src.shape)
    except RuntimeError as error:
        raise InputError(
            "src",
            f"leading dimensions {tuple(src.shape[:-2])}",
            f"some that broadcast against the guide's {tuple(guide.shape[:-2])}",
        ) from error
    if guide.dtype != src.dtype or guide.device != src.device:
        raise InputError("src", f"{src.dtype} on {src.device}", f"{guide.dtype} on {guide.device}, as the guide")


@dataclass(frozen=True)
class LocalLinearModel:
    """A filter's output as a chain of functions of the guide, ``g <- a g + b``, stored on a coarse grid.

    It renders any rows of the full-resolution output from the same rows of the guide. An image that is too large
    for memory can thus be filtered strip by strip, with the same result.

    Attributes
    ----------
    grid : CellGrid
        The cells and the image they lie on.
    coefficients : tuple of (a, b)
        Mean ``a`` and mean ``b`` (..., h, w) of each link of the chain.
    """

    grid: CellGrid
    coefficients: tuple[tuple[Tensor, Tensor], ...]

    def on_cells(self, guide: Tensor) -> Tensor:
        """The output on the coarse grid (..., h, w), given the guide's cell means (..., h, w)."""
        _check_cells("guide", guide, self.grid)
        for a, b in self.coefficients:
            guide = a * guide + b
        return guide

    @torch.no_grad()
    def rows(self, guide: Tensor, *, start: int = 0) -> Tensor:
        """Output for full-resolution rows ``start .. start + n - 1``.

        Parameters
        ----------
        guide : (..., n, W) tensor
            Those rows of the guide, in the dtype of the model.
        start : int
            Number of the first of them in the image.

        Returns
        -------
        (..., n, W) tensor
            The same numbers for any division of the image into strips.

        Raises
        ------
        InputError
            If the rows are not in the image.
        """
        check_image("guide", guide)
        n, width = guide.shape[-2:]
        if width != self.grid.width:
            raise InputError("guide", f"{width} columns", f"{self.grid.width}")
        if start < 0 or start + n > self.grid.height:
            raise InputError("start", f"rows {start} .. {start + n - 1}", f"rows within 0 .. {self.grid.height - 1}")
        shape = torch.broadcast_shapes(guide.shape[:-2], *(b.shape[:-2] for _, b in self.coefficients))
        out = torch.empty((*shape, n, width), dtype=guide.dtype, device=guide.device)
        step = max(1, _STRIP * n // max(out.numel(), 1))
        for y in range(0, n, step):
            value = guide[..., y : y + step, :]
            first, last = start + y, start + y + value.shape[-2]
            for a, b in self.coefficients:
                slope = self.grid.interpolate(a, first, last)
                value = torch.addcmul(self.grid.interpolate(b, first, last), slope, value)
            out[..., y : y + step, :] = value
        return out


@dataclass(frozen=True)
class GuideStatistics:
    """Statistics of a guide on a grid of cells, computed once for any number of inputs.

    Attributes
    ----------
    grid : CellGrid
        The cells and the image they lie on.
    radius : int
        Radius of the window in cells.
    guide, mean, denominator : (..., h, w) tensors
        The guide's cell means, their window means, and their window variance plus the regularisation;
        float64, because variances are small differences of large sums.
    """

    grid: CellGrid
    radius: int
    guide: Tensor
    mean: Tensor
    denominator: Tensor

    @classmethod
    def of(cls, guide: Tensor, grid: CellGrid, *, radius: int, eps: float | Tensor) -> GuideStatistics:
        """Statistics of cell means (..., h, w); `radius` in pixels, `eps` one number or (..., h, w)."""
        _check_cells("guide", guide, grid)
        cells = grid.radius(radius)
        guide = guide.to(accumulation_dtype(guide))
        mean = box_mean(guide, cells)
        variance = box_mean(guide * guide, cells).sub_(mean * mean).clamp_(min=0)
        return cls(grid, cells, guide, mean, variance.add_(eps))

    def coefficients(self, src: Tensor) -> tuple[Tensor, Tensor]:
        """Mean ``a`` and mean ``b`` (..., h, w) for the cell means of an input, in its type."""
        _check_cells("src", src, self.grid)
        given, src = src.dtype, src.to(self.guide.dtype)
        mean = box_mean(src, self.radius)
        a = box_mean(self.guide * src, self.radius).sub_(self.mean * mean).div_(self.denominator)
        b = mean - a * self.mean
        return box_mean(a, self.radius).to(given), box_mean(b, self.radius).to(given)

    @torch.no_grad()
    def model(self, src: Tensor, *, iterations: int = 1) -> LocalLinearModel:
        """Filter the cell means (..., h, w) of an input; each iteration filters the output of the one before.

        The output is a function of the guide alone, so only the last coefficients are stored.
        """
        check_count("iterations", iterations)
        a, b = self.coefficients(src)
        for _ in range(iterations - 1):
            a, b = self.coefficients((a * self.guide + b).to(src.dtype))
        return LocalLinearModel(self.grid, ((a, b),))


def _check_cells(argument: str, x: Tensor, grid: CellGrid) -> None:
    check_image(argument, x)
    if tuple(x.shape[-2:]) != grid.shape:
        raise InputError(argument, f"{tuple(x.shape[-2:])} cells", f"{grid.shape}")


def centre(x: Tensor) -> tuple[Tensor, Tensor]:
    """Subtract the mean of the images, which improves precision; return the difference and the mean (..., 1, 1)."""
    origin = x.mean(dim=(-2, -1), keepdim=True)
    return x - origin, origin


@torch.no_grad()
def filter_image(
    statistics: Callable[..., GuideStatistics],
    guide: Tensor,
    src: Tensor,
    *,
    radius: int,
    eps: float,
    subsample: int,
    iterations: int,
) -> Tensor:
    """Filter whole images as `guided_filter` does, with `GuideStatistics.of` or its weighted form."""
    check_pair(guide, src)
    check_eps(eps)
    grid = CellGrid(guide.shape[-2], guide.shape[-1], subsample)
    guide, _ = centre(guide)
    src, origin = centre(src)
    found = statistics(cell_mean(guide, subsample), grid, radius=radius, eps=eps)
    return found.model(cell_mean(src, subsample), iterations=iterations).rows(guide).add_(origin)


@torch.no_grad()
def guided_coefficients(guide: Tensor, src: Tensor, *, radius: int, eps: float) -> tuple[Tensor, Tensor]:
    """Mean coefficients of the guided filter: its output is ``mean_a * guide + mean_b``.

    Parameters
    ----------
    guide : (..., H, W) tensor of float32 or float64
        Gray guide in 0..1.
    src : (..., H, W) tensor
        Images to filter, on the grid and in the type of the guide; leading dimensions broadcast.
    radius : int
        The windows span ``2 * radius + 1`` pixels, clipped at the border.
    eps : float
        Regularisation in squared units of the guide, above 0.

    Returns
    -------
    mean_a, mean_b : (..., H, W) tensors
        In units of `src` per unit of guide, and of `src`; dtype and device of the inputs.

    Raises
    ------
    InputError
        If an argument cannot be used.

    References
    ----------
    K. He, J. Sun, X. Tang, "Guided Image Filtering", IEEE TPAMI 35(6), 2013.
    """
    check_pair(guide, src)
    check_eps(eps)
    guide, guide_origin = centre(guide)
    src, origin = centre(src)
    grid = CellGrid(guide.shape[-2], guide.shape[-1])
    a, b = GuideStatistics.of(guide, grid, radius=radius, eps=eps).coefficients(src)
    return a, b + origin - a * guide_origin


def guided_filter(guide: Tensor, src: Tensor, *, radius: int, eps: float, subsample: int = 1) -> Tensor:
    """Smooth `src` except where the guide has edges.

    Parameters
    ----------
    guide : (..., H, W) tensor of float32 or float64
        Gray guide in 0..1.
    src : (..., H, W) tensor
        Images to filter, on the grid and in the type of the guide; leading dimensions broadcast.
    radius : int
        The windows span ``2 * radius + 1`` pixels, clipped at the border. The cost does not depend on it.
    eps : float
        Regularisation in squared units of the guide, above 0: variance far below it is smoothed away.
    subsample : int
        Find the coefficients on cells of this many pixels a side (fast guided filter), the radius divided
        by as many.

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
    K. He, J. Sun, X. Tang, "Guided Image Filtering", IEEE TPAMI 35(6), 2013.
    K. He, J. Sun, "Fast Guided Filter", arXiv:1505.00996, 2015.
    """
    check_pair(guide, src)
    rows = max(16 * check_radius(radius), _STRIP // guide.shape[-1])
    if subsample != 1 or rows >= guide.shape[-2]:
        return filter_image(GuideStatistics.of, guide, src, radius=radius, eps=eps, subsample=subsample, iterations=1)
    out = torch.empty(torch.broadcast_shapes(guide.shape, src.shape), dtype=src.dtype, device=src.device)
    for top in range(0, guide.shape[-2], rows):
        # A pixel depends on the windows that contain it, and these extend one radius further.
        first, last = max(0, top - 2 * radius), top + rows + 2 * radius
        strip = filter_image(
            GuideStatistics.of,
            guide[..., first:last, :],
            src[..., first:last, :],
            radius=radius,
            eps=eps,
            subsample=1,
            iterations=1,
        )
        out[..., top : top + rows, :] = strip[..., top - first : top - first + rows, :]
    return out
