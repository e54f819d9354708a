"""Detection of structure above the noise, from the pixels alone and before a network is used.

Averaging reduces the power of white noise, but not that of structure. This comparison needs no brightness threshold,
and empty fields are recognised independently of a network.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 64
"""Side of the blocks in pixels."""
LEAST_SIDE = 32
"""Pictures with a shorter side have too few samples to distinguish structure from noise."""

_POOLS = {4: 1.6, 8: 2.0}
"""Side of the averaged squares, and smallest ratio of variance to that of white noise for a block with structure: five
standard deviations of the estimate for a block of pure noise."""

Blocks = NDArray[np.float32]


def noise_level(gray: NDArray[np.float32]) -> float:
    """Standard deviation of the noise of a gray picture (H, W), in the unit of the picture.

    Median absolute value of the finest diagonal detail (Donoho and Johnstone 1994). Fine texture counts as noise if it
    fills most of the picture. If most neighbouring values are equal after rounding, the result is 0.
    """
    detail = _diagonal(gray)
    if not detail.size:
        return 0.0
    return float(np.median(np.abs(detail))) / 0.6745


def structured_blocks(gray: NDArray[np.float32], rounding: float = 0.0) -> NDArray[np.bool_]:
    """Mask of blocks of 64 x 64 pixels that have structure above white noise.

    Parameters
    ----------
    gray : (H, W) float32 array
        Gray values in any unit, finite.
    rounding : float
        Step between neighbouring values: 1 for integers, 0 for floats.

    Returns
    -------
    (ceil(H / 64), ceil(W / 64)) bool array
        True for blocks with structure. Uneven illumination alone does not count, but noise that is correlated between
        neighbours (after demosaicing, denoising or JPEG) may.
    """
    padded = _padded(gray)
    detail = _diagonal(padded)
    noise = _in_blocks(detail * detail, BLOCK // 2).mean(axis=(2, 3), dtype=np.float64)
    found = np.zeros(noise.shape, dtype=bool)
    for pool, threshold in _POOLS.items():
        variance = _variance_about_quadric(_in_blocks(_pooled(padded, pool), BLOCK // pool))
        # Rounding turns a smooth ramp into stairs, which averaging does not reduce.
        found |= variance > np.maximum(threshold / pool**2 * noise, max(rounding**2 / 12, 1e-12))
    return found


def spread(blocks: NDArray[Any], shape: tuple[int, ...], step: int = 1) -> NDArray[Any]:
    """Expand values of blocks to every `step`-th pixel of a picture of this shape."""
    rows = np.arange(0, shape[0], step) // BLOCK
    columns = np.arange(0, shape[1], step) // BLOCK
    return blocks[rows[:, None], columns[None, :]]


def block_medians(values: NDArray[np.float32], known: NDArray[np.bool_], step: int) -> Blocks:
    """Median of the known values of a map in every block; NaN if less than an eighth of them is known.

    Parameters
    ----------
    values, known : (h, w) arrays
        Values and mask at every `step`-th pixel of a picture.
    step : int
        Step in pixels; a divisor of 64.

    Returns
    -------
    (ny, nx) float32 array
    """
    side = BLOCK // step
    marked = np.where(known, values, np.nan).astype(np.float32)
    marked = np.pad(marked, [(0, -n % side) for n in marked.shape], constant_values=np.nan)
    ny, nx = marked.shape[0] // side, marked.shape[1] // side
    samples = np.sort(_in_blocks(marked, side).reshape(ny, nx, -1), axis=-1)  # NaN last
    count = np.isfinite(samples).sum(axis=-1)
    middle = np.take_along_axis(samples, np.maximum(count // 2, 0)[..., None].clip(0, side * side - 1), axis=-1)[..., 0]
    return np.where(count >= max(1, side * side // 8), middle, np.nan).astype(np.float32)


def _diagonal(gray: NDArray[np.float32]) -> NDArray[np.float32]:
    """Finest diagonal detail, scaled so that the standard deviation of white noise does not change."""
    even = gray[: gray.shape[0] // 2 * 2, : gray.shape[1] // 2 * 2]
    rows = even[::2] - even[1::2]
    return np.asarray((rows[:, ::2] - rows[:, 1::2]) / 2, dtype=np.float32)


def _padded(gray: NDArray[np.float32]) -> NDArray[np.float32]:
    """Extend to whole blocks by reflection at the lower and right border."""
    missing = [-n % BLOCK for n in gray.shape]
    return np.pad(gray, [(0, m) for m in missing], mode="symmetric") if any(missing) else gray


def _pooled(gray: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    height, width = gray.shape
    rows = gray.reshape(height // side, side, width).sum(axis=1)
    return np.asarray(rows.reshape(len(rows), width // side, side).sum(axis=2) / side**2, dtype=np.float32)


def _in_blocks(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """(ny, nx, side, side) view of whole blocks."""
    ny, nx = values.shape[0] // side, values.shape[1] // side
    return values.reshape(ny, side, nx, side).transpose(0, 2, 1, 3)


def _variance_about_quadric(blocks: NDArray[np.float32]) -> NDArray[np.float64]:
    """Variance of each block about its least-squares quadratic surface, which models uneven illumination."""
    ny, nx, side, _ = blocks.shape
    basis = _quadrics(side)
    values = blocks.reshape(ny, nx, side * side)
    values = values - values.mean(axis=2, keepdims=True)
    total = np.square(values).sum(axis=2, dtype=np.float64)
    explained = np.square((values @ basis).astype(np.float64)).sum(axis=2)
    return np.asarray(np.maximum(total - explained, 0) / (side**2 - basis.shape[1] - 1))


@lru_cache(maxsize=4)
def _quadrics(side: int) -> NDArray[np.float32]:
    """Orthonormal linear and quadratic surfaces with zero mean (side * side, 5)."""
    y, x = (a.ravel() for a in np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j])
    basis, _ = np.linalg.qr(np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1))
    return np.ascontiguousarray(basis[:, 1:], dtype=np.float32)
