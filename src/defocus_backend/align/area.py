"""Exact area that every frame covers: frames are quadrilaterals, so the area is a convex polygon."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Window = tuple[slice, slice]


def covered_lines(matrix: NDArray[np.float64], shape: tuple[int, int], support: float) -> NDArray[np.float64]:
    """Half planes in which a frame has all pixels that its resampling needs.

    Parameters
    ----------
    matrix : (3, 3) array
        Transform from pixels (x, y) of the result to those of the frame.
    shape : (int, int)
        Height and width of the frame.
    support : float
        Radius of the interpolation kernel in pixels.

    Returns
    -------
    (4, 3) array
        Half planes: a pixel (x, y) is covered if every row times (x, y, 1) is at least 0.
    """
    x, y, depth = matrix
    last_x, last_y = shape[1] - 1 - support, shape[0] - 1 - support
    lines = np.stack([x - support * depth, last_x * depth - x, y - support * depth, last_y * depth - y])
    # A tolerance of a nanopixel, so that the border of the frame counts as covered.
    lines[:, 2] += 1e-9 * max(shape)
    return lines


def covered_mask(lines: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Mask (H, W) of pixels that lie in all half planes (K, 3)."""
    rows, columns = np.arange(shape[0]), np.arange(shape[1])
    first, last = np.zeros(shape[0]), np.full(shape[0], float(shape[1] - 1))
    for across, down, constant in lines:
        rest = down * rows + constant
        if abs(across) < 1e-12:
            last[rest < 0] = -1
        elif across > 0:
            np.maximum(first, -rest / across, out=first)
        else:
            np.minimum(last, -rest / across, out=last)
    return np.asarray((columns >= first[:, None]) & (columns <= last[:, None]))


def common_window(lines: NDArray[np.float64], shape: tuple[int, int]) -> Window | None:
    """The axis-aligned rectangle within all half planes with the largest sum of relative width and height.

    Solved by linear programming: a rectangle lies in a half plane if its worst corner does.

    Returns
    -------
    (slice, slice) or None
        Rows and columns; None if no pixel is common to all.
    """
    from scipy.optimize import linprog

    height, width = shape
    low, high = np.minimum(lines[:, :2], 0), np.maximum(lines[:, :2], 0)
    # Unknowns x0, y0, x1, y1: the worst corner has x0 if the half plane increases along x, and x1 if it decreases.
    worst = np.column_stack([high[:, 0], high[:, 1], low[:, 0], low[:, 1]])
    size = np.abs(lines[:, :2]).sum(1).clip(1e-12)
    ordered = np.array([[1.0, 0, -1, 0], [0, 1, 0, -1]])
    found = linprog(
        [1 / width, 1 / height, -1 / width, -1 / height],
        A_ub=np.concatenate([-worst / size[:, None], ordered]),
        b_ub=np.concatenate([lines[:, 2] / size, [0, 0]]),
        bounds=[(0, width - 1), (0, height - 1)] * 2,
    )
    if not found.success:
        return None
    x0, y0 = np.ceil(found.x[:2] - 1e-6).astype(int)
    x1, y1 = np.floor(found.x[2:] + 1e-6).astype(int)
    return (slice(int(y0), int(y1) + 1), slice(int(x0), int(x1) + 1)) if x1 >= x0 and y1 >= y0 else None
