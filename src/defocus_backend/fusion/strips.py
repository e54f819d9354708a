"""Planes worked through a few rows at a time, so that temporaries stay in the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

_PIXELS = 1 << 17
"""Pixels of a strip: half a MiB a temporary of float32."""


def strips(shape: tuple[int, int], device: torch.device, multiple: int = 1) -> Iterator[slice]:
    """Rows of a plane (H, W) in strips that begin at multiples of a number; on a GPU, all rows at once."""
    height, width = shape
    rows = height if device.type != "cpu" else max(1, _PIXELS // max(width, 1))
    rows = max(1, -(-rows // multiple)) * multiple
    for start in range(0, height, rows):
        yield slice(start, min(start + rows, height))


def spread_cells(cells: Tensor, side: int, shape: tuple[int, int], rows: slice | None = None) -> Tensor:
    """Give every pixel the value of its cell.

    Parameters
    ----------
    cells : (h, w) tensor
        One value for every `side` x `side` pixels, the first cell at the first pixel.
    side : int
        Side of a cell in pixels.
    shape : (int, int)
        Height and width in pixels.
    rows : slice or None
        Rows to return, beginning at a multiple of `side`; by default all.

    Returns
    -------
    (n, W) tensor
    """
    if side == 1:
        return cells if rows is None else cells[rows]
    if rows is not None:
        cells = cells[rows.start // side : -(-rows.stop // side)]
    count = shape[0] if rows is None else rows.stop - rows.start
    height, width = cells.shape
    wide = cells[:, None, :, None].expand(height, side, width, side).reshape(height * side, width * side)
    return wide[:count, : shape[1]]
