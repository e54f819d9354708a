"""Processing of planes in strips of a few rows, so that temporary arrays stay in the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

_PIXELS = 1 << 17
"""Number of pixels of a strip; a temporary float32 array has half a MiB."""


def strips(shape: tuple[int, int], device: torch.device, multiple: int = 1) -> Iterator[slice]:
    """Iterate over strips of rows of a plane (H, W) that begin at multiples of a number; on a GPU, all rows at once."""
    height, width = shape
    rows = height if device.type != "cpu" else max(1, _PIXELS // max(width, 1))
    rows = max(1, -(-rows // multiple)) * multiple
    for start in range(0, height, rows):
        yield slice(start, min(start + rows, height))


def spread_cells(cells: Tensor, side: int, shape: tuple[int, int], rows: slice | None = None) -> Tensor:
    """Expand cells to pixels: every pixel gets the value of its cell.

    Parameters
    ----------
    cells : (h, w) tensor
        One value per `side` x `side` pixels; the first cell begins at the first pixel.
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
