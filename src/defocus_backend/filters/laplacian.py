"""The Laplacian, and its variance as a measure of how sharp a patch is."""

from __future__ import annotations

import torch
from torch import Tensor

from defocus_backend.filters.box import check_image
from defocus_backend.filters.gaussian import check_mode


def laplacian(x: Tensor, *, mode: str = "reflect") -> Tensor:
    """Sum of the four neighbours minus four times the pixel; the same numbers as `scipy.ndimage.laplace`.

    Parameters
    ----------
    x : (..., H, W) tensor of float32 or float64
        Images.
    mode : {"reflect", "mirror", "nearest"}
        Continuation of the image beyond its border, as in `scipy.ndimage`.

    Returns
    -------
    (..., H, W) tensor
        In units of `x` per square pixel; same dtype and device as `x`.

    Raises
    ------
    InputError
        If an argument cannot be used.
    """
    check_image("x", x)
    check_mode(mode)
    return _second_difference(x, -2, mode) + _second_difference(x, -1, mode)


def laplacian_variance(patches: Tensor) -> Tensor:
    """Variance of the Laplacian of each slightly smoothed patch (Galetto and Deng 2021, eq 5).

    The 3x3 Gaussian is the binomial kernel [1, 2, 1] / 4 along each axis, which OpenCV uses for its
    3x3 Gaussian blur with its default sigma (0.8 pixels). Both filters mirror the patch half a sample
    outside its border, so the result depends on the patch alone.

    Parameters
    ----------
    patches : (..., H, W) tensor of float32 or float64
        Gray values on the scale 0..255; in the paper 32x32, where a value above 1000 means sharp.

    Returns
    -------
    (...) tensor
        Population variance over the pixels of each patch, in squared gray values; same dtype as `patches`.

    Raises
    ------
    InputError
        If `patches` cannot be used.
    """
    check_image("patches", patches)
    smooth = patches
    for dim in (-2, -1):
        # [1, 2, 1] / 4 is the identity plus a quarter of [1, -2, 1].
        smooth = smooth + 0.25 * _second_difference(smooth, dim, "reflect")
    return laplacian(smooth).var(dim=(-2, -1), correction=0)


def _second_difference(x: Tensor, dim: int, mode: str) -> Tensor:
    """[1, -2, 1] along an axis, as the difference of the differences.

    Differences come first because sums of values near 255 would round away small second derivatives, and
    because a half-sample mirrored border is then simply a difference of 0.
    """
    n = x.shape[dim]
    out = torch.zeros(x.shape, dtype=x.dtype, device=x.device)
    if n == 1:
        return out
    step = x.diff(dim=dim)
    out.narrow(dim, 0, n - 1).add_(step)
    out.narrow(dim, 1, n - 1).sub_(step)
    if mode == "mirror":
        out.narrow(dim, 0, 1).add_(step.narrow(dim, 0, 1))
        out.narrow(dim, n - 1, 1).sub_(step.narrow(dim, n - 2, 1))
    return out
