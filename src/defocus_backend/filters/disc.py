"""The blur of a lens: a uniform disc, the circle of confusion."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from defocus_backend.errors import InputError
from defocus_backend.filters.gaussian import border_index


def disc_kernel(radius: float, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normalised disc with an anti-aliased rim.

    Parameters
    ----------
    radius : float
        Radius in pixels. The variance of the disc is that of a Gaussian with sigma = radius / 2.

    Returns
    -------
    (K, K) tensor
        Kernel with a sum of 1; K = 2 ceil(radius) + 1.
    """
    if not radius > 0:
        raise InputError("radius", repr(radius), "more than 0 pixels")
    reach = int(-(-radius // 1))
    axis = torch.arange(-reach, reach + 1, dtype=dtype)
    distance = torch.hypot(axis[:, None], axis[None, :])
    disc = (radius + 0.5 - distance).clamp(0, 1)
    return disc / disc.sum()


def disc_blur(x: Tensor, radius: float) -> Tensor:
    """Convolve with a disc, borders mirrored; the cost does not depend on the radius.

    Parameters
    ----------
    x : (C, H, W) tensor
        Any range.
    radius : float
        Radius of the disc in pixels.

    Returns
    -------
    (C, H, W) tensor
    """
    kernel = disc_kernel(radius, dtype=x.dtype).to(x.device)
    reach = kernel.shape[0] // 2
    rows, columns = (border_index(n, -reach, n + reach, mode="reflect", device=x.device) for n in x.shape[-2:])
    padded = x[..., rows[:, None], columns]
    size = [_fast_length(padded.shape[-2]), _fast_length(padded.shape[-1])]
    transfer = torch.fft.rfft2(kernel, s=size)
    out = torch.empty_like(x)
    for channel, plane in enumerate(padded):
        blurred = torch.fft.irfft2(torch.fft.rfft2(plane, s=size) * transfer, s=size)
        out[channel] = blurred[2 * reach : 2 * reach + x.shape[-2], 2 * reach : 2 * reach + x.shape[-1]]
    return out


def _fast_length(size: int) -> int:
    from scipy.fft import next_fast_len

    return int(next_fast_len(size, real=True))


def blur_in_light(x: Tensor, radius: float, tone: float) -> Tensor:
    """Blur light instead of gray values with a disc, so that highlights become bright discs.

    Parameters
    ----------
    x : (C, H, W) tensor
        Unit range; negative values count as 0.
    radius : float
        Radius of the disc in pixels.
    tone : float
        Exponent from gray value to light, 2.2 for common photographs, 1 for linear data.
    """
    light = functional.relu(x) ** tone
    return functional.relu(disc_blur(light, radius)) ** (1 / tone)
