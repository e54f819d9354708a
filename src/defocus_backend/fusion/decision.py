"""Which slice is sharpest where, and how much each contributes (eqs 14 to 16, and past them).

Sigma alone is right in the large but blind to thin things: a network sees a wire or a hair not at all, or some pixels
beside it. Between slices of one scene the finest detail can be compared pixel by pixel, since what the object adds is
the same in all of them. The score of a slice is therefore

    sum over octaves o of  2^-o log(detail energy_o + floor_o)  -  sigma_weight * sigma

The floor is a multiple of the energy that the noise alone has in that octave: where a slice holds nothing but noise,
all slices score alike there, and coarser octaves and the sigma decide.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from defocus_backend.arrays import Image
from defocus_backend.filters import CellGrid, cell_mean, gaussian_blur, guided_filter, laplacian
from defocus_backend.fusion.regions import region_score
from defocus_backend.params import FusionParams

_COARSEST = 4
"""Side in pixels of the cells of the coarsest octave."""
_BEFORE, _WITHIN = 0.8, 1.0
"""Sigmas in pixels of an octave: of the Gaussian before the Laplacian, and of the one that gathers its energy."""
_NOISE_GAIN = 0.370
"""Variance of the Laplacian of white noise of variance 1 that was blurred by `_BEFORE`."""
_LEAST_NOISE = 0.3 / 255
"""Rounding to 8 bits: no stack is taken to be cleaner."""
_MEDIAN_OF_NORMAL = 0.6745
"""Median of the absolute value of a standard normal variable."""
_SOFT_EDGE = 1.0
"""Sigma in pixels by which a painted decision is softened."""


def noise_level(images: Iterable[Image]) -> float:
    """Standard deviation of the noise of a stack, in the unit range.

    The median size of the finest diagonal detail (Donoho and Johnstone 1994), in the slice where it is least: what
    is out of focus has no such detail of its own.

    Parameters
    ----------
    images : iterable of Image
        Some slices.

    Returns
    -------
    float
        At least the rounding of 8-bit values.
    """
    found = []
    for image in images:
        gray = image.gray[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
        if gray.numel():
            rows = gray[::2] - gray[1::2]
            found.append(float((rows[:, ::2] - rows[:, 1::2]).abs().median()) / (2 * _MEDIAN_OF_NORMAL))
    return max(_LEAST_NOISE, min(found, default=0.0))


def slice_score(gray: Tensor, sigma: Tensor, noise: float, params: FusionParams, *, pooling: int = 1) -> Tensor:
    """How well a slice is in focus at every pixel, to be compared with the other slices' scores.

    Parameters
    ----------
    gray : (H, W) tensor
        The slice, unit range.
    sigma : (ceil(H / pooling), ceil(W / pooling)) tensor
        Its defocus map in pixels of the slice.
    noise : float
        From `noise_level`.
    params : FusionParams
        `decision`, `sigma_weight` and `noise_floor`.
    pooling : int
        Side in pixels of the cells for which sigma is given, a power of 2.

    Returns
    -------
    (H, W) tensor
    """
    height, width = int(gray.shape[0]), int(gray.shape[1])
    if params.decision == "sigma":
        return CellGrid(height, width, pooling).interpolate(-sigma, 0, height)
    if params.decision == "region":
        return region_score(gray, CellGrid(height, width, pooling).interpolate(sigma, 0, height), params.sigma_weight)
    total: Tensor | None = None
    side = max(_COARSEST, pooling)
    # From coarse to fine, each sum carried over to cells of half the side.
    while side >= 1:
        cells = cell_mean(gray, side)
        finer = CellGrid(int(cells.shape[0]), int(cells.shape[1]), 2)
        parts = [] if total is None else [finer.interpolate(total, 0, finer.height)]
        if side <= _COARSEST:
            parts.append(_detail(cells, side, noise, params.noise_floor))
        if side == pooling:
            parts.append(sigma * -params.sigma_weight)
        total = parts[0]
        for part in parts[1:]:
            total += part
        side //= 2
    assert total is not None
    return total


def _detail(cells: Tensor, side: int, noise: float, noise_floor: float) -> Tensor:
    """Logarithm of the detail's energy in one octave, with the octave's weight."""
    energy = gaussian_blur(laplacian(gaussian_blur(cells, _BEFORE)).square_(), _WITHIN)
    # The mean of side * side pixels has as many times less noise.
    floor = noise_floor * _NOISE_GAIN * (noise / side) ** 2
    return energy.add_(floor).log_().div_(side)


def nearest_slice(height: Tensor, z: NDArray[np.float64]) -> Tensor:
    """Number of the slice whose position is nearest to a height (H, W), int32; the positions rise or fall."""
    order = np.argsort(z)
    middles = torch.from_numpy((z[order][1:] + z[order][:-1]) / 2).to(height)
    numbers = torch.from_numpy(order.astype(np.int32)).to(height.device)
    return numbers[torch.bucketize(height, middles)]


def decision_weight(decision: Tensor, guide: Tensor, params: FusionParams) -> Tensor:
    """Unnormalised weight of one slice by a decision that is known.

    Parameters
    ----------
    decision : (H, W) bool tensor
        D of eq 14.
    guide : (H, W) tensor
        The slice itself, gray, unit range.
    params : FusionParams
        With the blends "decision" and "pyramid": eq 15, the guided filter of `radius` and `eps`, clamped to [0, 1];
        with "soft" a Gaussian of one pixel. Plus `delta` of eq 16.

    Returns
    -------
    (H, W) tensor
    """
    if not bool(decision.any()):
        # The filter of an all-zero map is zero: most slices of a long stack, tile by tile.
        return torch.full_like(guide, params.delta)
    if params.blend == "soft":
        return gaussian_blur(decision.to(guide), _SOFT_EDGE).add_(params.delta)
    filtered = guided_filter(guide, decision.to(guide), radius=params.radius, eps=params.eps)
    return filtered.clamp(0, 1) + params.delta
