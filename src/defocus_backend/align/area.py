"""The part of the picture that every frame covers, exactly: frames are quadrangles, so it is a convex polygon."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Window = tuple[slice, slice]


def covered_lines(matrix: NDArray[np.float64], shape: tuple[int, int], support: float) -> NDArray[np.float64]:
    """Half planes in which a frame has all the pixels that its resampling reads.

    Parameters
    ----------
    matrix : (3, 3) array
        From pixels (x, y) of the result to those of the frame.
    shape : (int, int)
        Height and width of the frame.
    support : float
        Pixels around a position that the interpolation reads.

    Returns
    -------
    (4, 3) array
        A pixel (x, y) is covered where every row times (x, y, 1) is at least 0.
    """
    x, y, depth = matrix
    last_x, last_y = shape[1] - 1 - support, shape[0] - 1 - support
    lines = np.stack([x - support * depth, last_x * depth - x, y - support * depth, last_y * depth - y])
    # A nanopixel of slack: the frame's own border belongs to it.
    lines[:, 2] += 1e-9 * max(shape)
    return lines


def covered_mask(lines: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Where (H, W) all the half planes (K, 3) hold."""
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
    """The largest upright rectangle of pixels within all half planes, by width plus height, each as a share.

    A linear programme: a rectangle lies in a half plane where its worst corner does.

    Returns
    -------
    (slice, slice) or None
        Rows and columns; None if no pixel is common to all.
    """
    from scipy.optimize import linprog

    height, width = shape
    low, high = np.minimum(lines[:, :2], 0), np.maximum(lines[:, :2], 0)
    # x0, y0, x1, y1: a rising half plane is left first at x0, a falling one at x1.
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
