"""Box filter: sums and means over square windows, at a cost that does not depend on their size."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from defocus_backend.errors import InputError

# Prefix sums in float64, taken along one axis and then the other, over slabs that stay in cache.
# Milliseconds for 1 megapixel of float32 on one CPU thread, r = 4 / r = 64:
#   prefix sums by slabs, columns summed in place   7.9 / 7.6   (this file)
#   the same, second pass on transposed slabs      12.0 / 12.2
#   the same, second pass on a transposed image    20 at r = 16
#   prefix sums of the whole image at once           31 / 31    (page faults of 8 MiB temporaries)
#   avg_pool2d along each axis                       28 / 440   (linear in r)
#   sums of lengths 1, 2, 4, ... in float32         2.5 / 4.5   (before any care for the border; grows with
#                                                                log r, and 5.9 / 11 in float64)
_SLAB = 1 << 17
"""Elements of a float64 temporary on the CPU: 1 MiB, which fits in the second-level cache."""

_MIN_COLUMNS = 64
"""Least width of a slab of columns: 512 bytes a row, below which the memory bus is wasted."""


def check_image(argument: str, x: Tensor) -> None:
    """Raise `InputError` unless `x` is a tensor (..., H, W) of float32 or float64 with at least one pixel.

    Raises
    ------
    InputError
        Naming `argument`.
    """
    if not isinstance(x, Tensor):
        raise InputError(argument, type(x).__name__, "a torch tensor (..., H, W)")
    if x.dtype not in (torch.float32, torch.float64):
        raise InputError(argument, f"dtype {x.dtype}", "float32 or float64")
    if x.ndim < 2 or x.shape[-1] < 1 or x.shape[-2] < 1:
        raise InputError(argument, f"shape {tuple(x.shape)}", "(..., H, W) with H and W at least 1")


def is_whole(value: object, *, at_least: int) -> bool:
    """Whether a value is a whole number, of any numeric type but bool, from `at_least` on."""
    return (
        isinstance(value, int | float | np.number)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and bool(int(value) == value)
        and int(value) >= at_least
    )


def check_radius(radius: int) -> int:
    """Return the radius as an int; raise `InputError` unless it is a whole number of pixels, 0 or more.

    Raises
    ------
    InputError
        Naming ``radius``.
    """
    if not is_whole(radius, at_least=0):
        raise InputError("radius", repr(radius), "a whole number of pixels, 0 or more")
    return int(radius)


def accumulation_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype for sums over `x`: float64, except on Apple's GPUs, which lack it."""
    return torch.float32 if x.device.type == "mps" else torch.float64


def box_sum(x: Tensor, radius: int) -> Tensor:
    """Return the sum over the square window around each pixel, clipped at the border.

    Parameters
    ----------
    x : (..., H, W) tensor of float32 or float64
        Finite values: a NaN would spread along its whole row and column.
    radius : int
        The window spans ``2 * radius + 1`` pixels; it may be larger than the image.

    Returns
    -------
    (..., H, W) tensor
        Same dtype and device as `x`; pixels outside the image count as 0. Gradients are not tracked.

    Raises
    ------
    InputError
        If `x` or `radius` cannot be used.
    """
    check_image("x", x)
    return _filter(x, check_radius(radius), mean=False)


def box_mean(x: Tensor, radius: int) -> Tensor:
    """Return the mean over the square window around each pixel, clipped at the border.

    Parameters
    ----------
    x : (..., H, W) tensor of float32 or float64
        Finite values: a NaN would spread along its whole row and column.
    radius : int
        The window spans ``2 * radius + 1`` pixels; it may be larger than the image.

    Returns
    -------
    (..., H, W) tensor
        Same dtype and device as `x`. The sum is divided by the true number of pixels, so that a constant
        stays constant up to the border. Gradients are not tracked.

    Raises
    ------
    InputError
        If `x` or `radius` cannot be used.
    """
    check_image("x", x)
    return _filter(x, check_radius(radius), mean=True)


@torch.no_grad()
def _filter(x: Tensor, radius: int, *, mean: bool) -> Tensor:
    if radius == 0:
        return x.clone()
    # reshape, not view: it copies only where the leading dimensions cannot be merged.
    images = x.reshape(-1, *x.shape[-2:])
    rows = torch.empty(images.shape, dtype=x.dtype, device=x.device)
    for slab in _slabs(images, axis=1, least=1):
        rows[slab] = _window_sums(images[slab], radius, dim=2, mean=mean)
    # A slab of columns reads nothing outside itself, so it can be overwritten.
    for slab in _slabs(rows, axis=2, least=_MIN_COLUMNS):
        rows[slab] = _window_sums(rows[slab], radius, dim=1, mean=mean)
    return rows.view(x.shape)


def _slabs(images: Tensor, *, axis: int, least: int) -> Iterator[tuple[slice, ...]]:
    """Indices that cut (N, H, W) into pieces of about `_SLAB` elements, larger images along `axis`."""
    count, lines = images.shape[0], images.shape[axis]
    size = images.shape[1] * images.shape[2]
    # On a GPU small pieces do not pay: each costs a few kernel launches.
    budget = _SLAB if images.device.type == "cpu" else 256 * _SLAB
    together = max(1, budget // size)
    step = lines if size <= budget else max(least, budget * lines // size)
    for n in range(0, count, together):
        for i in range(0, lines, step):
            images_here, piece = slice(n, n + together), slice(i, i + step)
            yield (images_here, piece) if axis == 1 else (images_here, slice(None), piece)


def _window_sums(x: Tensor, radius: int, *, dim: int, mean: bool) -> Tensor:
    """Sums (or means) along `dim` over ``i - radius .. i + radius``, as differences of prefix sums."""
    n = x.shape[dim]
    r = min(radius, n - 1)
    prefix = x.cumsum(dim, dtype=accumulation_dtype(x))
    out = torch.empty_like(prefix)
    # out[i] = prefix[min(i + r, n - 1)] - (prefix[i - r - 1] where i > r)
    out.narrow(dim, 0, n - r).copy_(prefix.narrow(dim, r, n - r))
    if r:
        out.narrow(dim, n - r, r).copy_(prefix.narrow(dim, n - 1, 1).expand_as(out.narrow(dim, n - r, r)))
    if n - r > 1:
        out.narrow(dim, r + 1, n - r - 1).sub_(prefix.narrow(dim, 0, n - r - 1))
    if mean:
        i = torch.arange(n, device=x.device)
        count = (i + r).clamp(max=n - 1) - (i - r).clamp(min=0) + 1
        out *= count.to(out.dtype).reciprocal().view(-1, *(1,) * (x.ndim - 1 - dim))
    return out
