"""Halving and doubling of images with the kernel [1, 3, 3, 1] / 8: one octave of a Laplacian pyramid on cells of 2 x 2.

Cells are centred between pixels, as in `cell_mean`, so that nothing is shifted between octaves.
"""

from __future__ import annotations

import torch
from torch import Tensor

_ROWS = 64
"""Number of rows of a strip, so that its data stay in the processor's cache."""


def halve(x: Tensor) -> Tensor:
    """Image of half the size: each cell of 2 x 2 pixels weighted with its neighbours, [1, 3, 3, 1] / 8 along each axis.

    Parameters
    ----------
    x : (..., H, W) tensor

    Returns
    -------
    (..., ceil(H / 2), ceil(W / 2)) tensor
        The image is continued by its border pixels.
    """
    height, width = x.shape[-2:]
    out = torch.empty((*x.shape[:-2], -(-height // 2), -(-width // 2)), dtype=x.dtype, device=x.device)
    step = _ROWS if x.device.type == "cpu" else max(2, height + height % 2)
    for start in range(0, height, step):
        stop = min(start + step, height)
        first, last = max(0, start - 2), min(height, stop + 2)
        part = _halve_columns(_halve_rows(x[..., first:last, :]))
        top = (start - first) // 2
        out[..., start // 2 : -(-stop // 2), :] = part[..., top : top + -(-(stop - start) // 2), :]
    return out


def _halve_rows(x: Tensor) -> Tensor:
    a, b = x[..., 0::2, :], x[..., 1::2, :]
    if x.shape[-2] % 2:
        b = torch.cat([b, x[..., -1:, :]], -2)
    out = (a + b).mul_(3)
    out[..., 1:, :] += b[..., :-1, :]
    out[..., :-1, :] += a[..., 1:, :]
    out[..., :1, :] += a[..., :1, :]
    out[..., -1:, :] += b[..., -1:, :]
    return out


def _halve_columns(x: Tensor) -> Tensor:
    a, b = x[..., 0::2].contiguous(), x[..., 1::2]
    b = torch.cat([b, x[..., -1:]], -1) if x.shape[-1] % 2 else b.contiguous()
    out = (a + b).mul_(3)
    out[..., 1:] += b[..., :-1]
    out[..., :-1] += a[..., 1:]
    out[..., :1] += a[..., :1]
    out[..., -1:] += b[..., -1:]
    return out.mul_(1 / 64)


def double(low: Tensor, width: int, rows: slice) -> Tensor:
    """Upsample a halved image to its original size, bilinear between the cells; returns some rows.

    Parameters
    ----------
    low : (..., h, w) tensor
        Result of `halve`.
    width : int
        Columns of the image, 2 w or 2 w - 1.
    rows : slice
        Rows of the image to return; the first is even.

    Returns
    -------
    (..., n, width) tensor
    """
    first, last = rows.start // 2, -(-rows.stop // 2)
    count = low.shape[-2]
    numbers = torch.arange(first - 1, last + 1, device=low.device).clamp_(0, count - 1)
    cells = low.index_select(-2, numbers)
    tall = torch.empty((*low.shape[:-2], 2 * (last - first), low.shape[-1]), dtype=low.dtype, device=low.device)
    here = cells[..., 1:-1, :]
    torch.lerp(here, cells[..., :-2, :], 0.25, out=tall[..., 0::2, :])
    torch.lerp(here, cells[..., 2:, :], 0.25, out=tall[..., 1::2, :])
    tall = tall[..., : rows.stop - rows.start, :]
    wide = torch.empty((*tall.shape[:-1], 2 * tall.shape[-1]), dtype=low.dtype, device=low.device)
    torch.lerp(tall[..., 1:], tall[..., :-1], 0.25, out=wide[..., 2::2])
    torch.lerp(tall[..., :-1], tall[..., 1:], 0.25, out=wide[..., 1:-1:2])
    wide[..., 0], wide[..., -1] = tall[..., 0], tall[..., -1]
    return wide[..., :width]
