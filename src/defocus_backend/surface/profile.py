"""Height profile along a line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from defocus_backend.errors import InputError
from defocus_backend.surface.form import check_height


@dataclass(frozen=True)
class HeightProfile:
    """Height profile along a line.

    Attributes
    ----------
    distance : (N,) float64 array
        Distance from the start, in the unit of the pixel size.
    height : (N,) float64 array
        Height; NaN where it is unknown.
    error : (N,) float64 array or None
        Standard error of the height.
    """

    distance: NDArray[np.float64]
    height: NDArray[np.float64]
    error: NDArray[np.float64] | None = None


def height_profile(
    height: ArrayLike,
    start: tuple[float, float],
    end: tuple[float, float],
    *,
    error: ArrayLike | None = None,
    pixel_size: float = 1.0,
) -> HeightProfile:
    """Sample the height along a straight line, once per pixel, by bilinear interpolation.

    Parameters
    ----------
    height : (H, W) array_like
    start, end : (float, float)
        Row and column of the ends, from 0.
    error : (H, W) array_like or None
        Standard error of the height.
    pixel_size : float
        Distance between neighbouring pixels.

    Returns
    -------
    HeightProfile
        The profile. It is also unknown next to unknown pixels.

    Raises
    ------
    InputError
        If an end is outside the map.
    """
    values = check_height(height)
    for name, point in (("start", start), ("end", end)):
        inside = len(point) == 2 and all(0 <= p <= n - 1 for p, n in zip(point, values.shape, strict=True))
        if not inside:
            raise InputError(name, repr(tuple(point)), f"row and column within {values.shape}")
    if not pixel_size > 0:
        raise InputError("pixel_size", repr(pixel_size), "more than 0")
    length = float(np.hypot(end[0] - start[0], end[1] - start[1]))
    count = max(2, round(length) + 1)
    places = np.linspace(start, end, count).T
    if error is None:
        spread = None
    else:
        scale = np.asarray(error, dtype=np.float64)
        if scale.shape != values.shape:
            raise InputError("error", f"shape {scale.shape}", f"the height's shape {values.shape}")
        spread = _along(scale, places)
    return HeightProfile(np.linspace(0, length * pixel_size, count), _along(values, places), spread)


def _along(values: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    known = np.isfinite(values)
    sampled = ndimage.map_coordinates(np.where(known, values, 0.0), places, order=1, mode="nearest")
    share = ndimage.map_coordinates(known.astype(np.float64), places, order=1, mode="nearest")
    return np.where(share > 1 - 1e-9, sampled, np.nan)
