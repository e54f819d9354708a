"""Levin's matting Laplacian and the spreading of sparse values over a picture.

A map that is a linear function of the gray values in every 3x3 window has zero cost under this matrix.
Sparse values therefore propagate through smooth regions and stop at edges.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import linalg

from defocus_backend.arrays import Float64
from defocus_backend.errors import InputError

MAX_PIXELS = 300_000
"""Above it a system is solved at half size: the direct solver takes 3 s for 256x256 and 30 s for 512x512 pixels,
its factors 0.2 and 1.3 GB."""


def matting_laplacian(gray: Float64, *, eps: float = 1e-7) -> sparse.csr_array:
    """Matting Laplacian of a gray picture with windows of radius 1.

    Entry (i, j) is the sum over all windows that contain both pixels of
    ``delta_ij - (1 + (I_i - mu)(I_j - mu) / (var + eps / n)) / n`` with n = 9 pixels per window.

    Parameters
    ----------
    gray : (H, W) float64 array
        Unit range. Along a side below 3 pixels, the windows are as narrow as the image.
    eps : float
        Regularisation of the windows' linear models, in squared units of the picture.

    Returns
    -------
    (H * W, H * W) sparse array
        Symmetric, positive semidefinite; every row sums to 0. Rows are pixels in C order.

    References
    ----------
    A. Levin, D. Lischinski, Y. Weiss, "A closed-form solution to natural image matting", TPAMI 30(2), 2008.
    """
    height, width = gray.shape
    wy, wx = min(3, height), min(3, width)
    n = wy * wx
    windows = sliding_window_view(gray, (wy, wx)).reshape(height - wy + 1, width - wx + 1, n)
    centred = windows - windows.mean(axis=-1, keepdims=True)
    inverse = 1 / (np.mean(centred**2, axis=-1) + eps / n)
    # One band of the matrix for every offset between two pixels of a window: 12 above the diagonal.
    bands: dict[tuple[int, int], Float64] = {}
    for i in range(n):
        for j in range(i + 1, n):
            (yi, xi), (yj, xj) = divmod(i, wx), divmod(j, wx)
            band = bands.setdefault((yj - yi, xj - xi), np.zeros(gray.shape))
            share = (1 + inverse * centred[..., i] * centred[..., j]) / n
            band[yi : yi + height - wy + 1, xi : xi + width - wx + 1] += share
    size = height * width
    affinity = sparse.csr_array((size, size))
    for (dy, dx), band in bands.items():
        offset = dy * width + dx
        affinity = affinity + sparse.diags_array([band.ravel()[: size - offset]], offsets=[offset], shape=(size, size))
    affinity = sparse.csr_array(affinity + affinity.T)
    return sparse.csr_array(sparse.diags_array(affinity.sum(axis=1)) - affinity)


def spread_values(
    gray: Float64,
    values: Float64,
    known: NDArray[np.bool_],
    *,
    strength: float,
    eps: float = 1e-7,
    max_pixels: int = MAX_PIXELS,
) -> Float64:
    """Spread values known at some pixels over all: solve ``(L + strength D) x = strength D values``.

    Parameters
    ----------
    gray : (H, W) float64 array
        Unit range.
    values : (H, W) float64 array
        Used where `known` is True.
    known : (H, W) bool array
        The diagonal of D; at least one pixel is True.
    strength : float
        Weight of the known values; with an infinite weight they do not change.
    eps : float
        Regularisation of the matting Laplacian.
    max_pixels : int
        A larger picture is solved at half size and brought back by local linear models of its
        gray values, as in Levin's coarse-to-fine solver.

    Returns
    -------
    (H, W) float64 array
        In units of `values`.

    Raises
    ------
    InputError
        If nothing is known.
    """
    if not known.any():
        raise InputError("known", "no known pixel", "at least one")
    if known.all() and np.isinf(strength):
        return values.copy()
    if gray.size > max_pixels and min(gray.shape) > 8:
        return _coarse_to_fine(gray, values, known, strength=strength, eps=eps, max_pixels=max_pixels)
    laplacian = matting_laplacian(gray, eps=eps)
    held = known.ravel()
    if np.isinf(strength):
        result = values.ravel().copy()
        free = np.flatnonzero(~held)
        rows = laplacian[free]
        result[free] = _solve(sparse.csc_array(rows[:, free]), -(rows[:, np.flatnonzero(held)] @ result[held]))
        return result.reshape(gray.shape)
    weight = strength * held
    system = sparse.csc_array(laplacian + sparse.diags_array(weight))
    return _solve(system, np.where(held, weight * values.ravel(), 0)).reshape(gray.shape)


def _solve(system: sparse.csc_array, right: Float64) -> Float64:
    # SuperLU on a symmetric definite matrix: no pivoting, ordering of the symmetric pattern.
    factors = linalg.splu(system, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    return np.asarray(factors.solve(right))


def _coarse_to_fine(
    gray: Float64, values: Float64, known: NDArray[np.bool_], *, strength: float, eps: float, max_pixels: int
) -> Float64:
    from scipy import ndimage

    count = _halve(known.astype(np.float64))
    small_known = count > 0
    small_values = np.where(small_known, _halve(np.where(known, values, 0.0)) / np.maximum(count, 1e-9), 0)
    small_gray = _halve(gray)
    small = spread_values(small_gray, small_values, small_known, strength=strength, eps=eps, max_pixels=max_pixels)
    mean_gray, mean = (ndimage.uniform_filter(part, 3) for part in (small_gray, small))
    variance = ndimage.uniform_filter(small_gray**2, 3) - mean_gray**2
    slope = (ndimage.uniform_filter(small_gray * small, 3) - mean_gray * mean) / (np.maximum(variance, 0) + 1e-4)
    level = mean - slope * mean_gray
    slope, level = (_double(ndimage.uniform_filter(part, 3), gray.shape) for part in (slope, level))
    result = np.clip(slope * gray + level, small.min(), small.max())
    return np.where(known, values, result) if np.isinf(strength) else result


def _halve(values: Float64) -> Float64:
    padded = np.pad(values, [(0, s % 2) for s in values.shape], mode="edge")
    h, w = padded.shape
    return np.asarray(padded.reshape(h // 2, 2, w // 2, 2).mean(axis=(1, 3)))


def _double(values: Float64, shape: tuple[int, ...]) -> Float64:
    from scipy import ndimage

    # The centre of a cell is between its two pixels: pixel y is at (y - 0.5) / 2 on the grid of cells.
    axes = [(np.arange(s) - 0.5) / 2 for s in shape]
    return np.asarray(ndimage.map_coordinates(values, np.meshgrid(*axes, indexing="ij"), order=1, mode="nearest"))
