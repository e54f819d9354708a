"""What of a picture is more than noise, told from its pixels alone, before any network is asked.

White noise loses power with every averaging, a picture of something does not. The comparison needs no threshold on
brightness, and no network can talk it out of an empty field.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 64
"""Side in pixels of the blocks that are judged."""
LEAST_SIDE = 32
"""Pictures with a shorter side hold too few samples to tell structure from noise."""

_POOLS = {4: 1.6, 8: 2.0}
"""Side of the squares that are averaged, and variance over that of white noise from which a block has structure:
five standard deviations of the estimate over a block of noise alone."""

Blocks = NDArray[np.float32]


def noise_level(gray: NDArray[np.float32]) -> float:
    """Standard deviation of the noise of a gray picture (H, W), in its unit.

    The median size of the finest diagonal detail (Donoho and Johnstone 1994). Fine texture counts as noise where it
    fills most of the picture; rounded values give 0 where most neighbours are equal.
    """
    detail = _diagonal(gray)
    if not detail.size:
        return 0.0
    return float(np.median(np.abs(detail))) / 0.6745


def structured_blocks(gray: NDArray[np.float32], rounding: float = 0.0) -> NDArray[np.bool_]:
    """Which blocks of 64 x 64 pixels hold structure beyond white noise.

    Parameters
    ----------
    gray : (H, W) float32 array
        In any unit, finite.
    rounding : float
        Step between neighbouring values: 1 for whole numbers, 0 for floats.

    Returns
    -------
    (ceil(H / 64), ceil(W / 64)) bool array
        Uneven light alone does not count. Noise that is correlated between neighbours (demosaiced,
        denoised, JPEG) may.
    """
    padded = _padded(gray)
    detail = _diagonal(padded)
    noise = _in_blocks(detail * detail, BLOCK // 2).mean(axis=(2, 3), dtype=np.float64)
    found = np.zeros(noise.shape, dtype=bool)
    for pool, threshold in _POOLS.items():
        variance = _variance_about_quadric(_in_blocks(_pooled(padded, pool), BLOCK // pool))
        # The rounding of a smooth ramp is a noise of stairs, which averaging does not reduce.
        found |= variance > np.maximum(threshold / pool**2 * noise, max(rounding**2 / 12, 1e-12))
    return found


def spread(blocks: NDArray[Any], shape: tuple[int, ...], step: int = 1) -> NDArray[Any]:
    """A value per block as a map of every `step`-th pixel of a picture of this shape."""
    rows = np.arange(0, shape[0], step) // BLOCK
    columns = np.arange(0, shape[1], step) // BLOCK
    return blocks[rows[:, None], columns[None, :]]


def block_medians(values: NDArray[np.float32], known: NDArray[np.bool_], step: int) -> Blocks:
    """Median of a map's known values in every block, NaN where under an eighth of them is known.

    Parameters
    ----------
    values, known : (h, w) arrays
        Every `step`-th pixel of a picture.
    step : int
        Divides 64.

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
    """Finest diagonal detail, scaled so that white noise keeps its standard deviation."""
    even = gray[: gray.shape[0] // 2 * 2, : gray.shape[1] // 2 * 2]
    rows = even[::2] - even[1::2]
    return np.asarray((rows[:, ::2] - rows[:, 1::2]) / 2, dtype=np.float32)


def _padded(gray: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mirrored at the far ends to whole blocks."""
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
    """Variance of each block about its own least-squares surface of second degree, which uneven light follows."""
    ny, nx, side, _ = blocks.shape
    basis = _quadrics(side)
    values = blocks.reshape(ny, nx, side * side)
    values = values - values.mean(axis=2, keepdims=True)
    total = np.square(values).sum(axis=2, dtype=np.float64)
    explained = np.square((values @ basis).astype(np.float64)).sum(axis=2)
    return np.asarray(np.maximum(total - explained, 0) / (side**2 - basis.shape[1] - 1))


@lru_cache(maxsize=4)
def _quadrics(side: int) -> NDArray[np.float32]:
    """Orthonormal surfaces of first and second degree without a mean (side * side, 5)."""
    y, x = (a.ravel() for a in np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j])
    basis, _ = np.linalg.qr(np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1))
    return np.ascontiguousarray(basis[:, 1:], dtype=np.float32)
