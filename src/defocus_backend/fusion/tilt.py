"""Best-fit plane of a height map, and the single slice that is nearest to the surface."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from defocus_backend.arguments import names_bad_arguments
from defocus_backend.errors import InputError
from defocus_backend.fusion.positions import z_positions

_SAMPLE = 100_000
"""Largest number of pixels for the fit of a plane."""
_ROUNDS = 30
_MOST_SLICES = 10_000_000
_TUKEY = 4.685
"""Pixels with larger residuals, in standard deviations, have no weight (Tukey's biweight, 95 % efficient)."""
_NORMAL = 1.4826
"""Ratio of the standard deviation of a normal distribution to its median absolute deviation."""


@dataclass(frozen=True)
class Plane:
    """A plane ``z = offset + x tilt_x + y tilt_y``, with x and y in pixels from the centre of the picture.

    Attributes
    ----------
    offset : float
        Height at the centre.
    tilt_x, tilt_y : float
        Increase per pixel to the right and downwards.
    degrees_x, degrees_y : float or None
        The tilts as angles in degrees; None without a pixel size.
    scatter : float
        Robust standard deviation of the height about the plane.
    """

    offset: float
    tilt_x: float
    tilt_y: float
    degrees_x: float | None
    degrees_y: float | None
    scatter: float


@names_bad_arguments
def plane_tilt(height: ArrayLike, *, error: ArrayLike | None = None, pixel_size: float | None = None) -> Plane:
    """Tilt of a height map: the plane that fits most of its pixels.

    The plane is fitted by iterated weighted least squares with Tukey's biweight, starting from the least absolute
    deviations, so that an object on a slide does not affect the tilt of the slide.

    Parameters
    ----------
    height : (H, W) array_like
        Height map; NaN is ignored.
    error : (H, W) array_like or None
        Standard error of the height.
    pixel_size : float or None
        Size of a pixel in the unit of the height, for angles.

    Returns
    -------
    Plane

    Raises
    ------
    InputError
        For invalid arguments, or if fewer than three pixels are known or all are on one line.
    """
    values = np.asarray(height, dtype=np.float64)
    if values.ndim != 2:
        raise InputError("height", f"shape {values.shape}", "a map (H, W)")
    if pixel_size is not None and not (math.isfinite(pixel_size) and pixel_size > 0):
        raise InputError("pixel_size", repr(pixel_size), "a finite size above 0")
    spread = np.ones_like(values) if error is None else np.asarray(error, dtype=np.float64)
    if spread.shape != values.shape:
        raise InputError("error", f"shape {spread.shape}", f"the height's shape {values.shape}")
    y, x = np.nonzero(np.isfinite(values) & np.isfinite(spread) & (spread > 0))
    every = max(1, len(y) // _SAMPLE)
    y, x = y[::every], x[::every]
    design = np.stack([np.ones(len(y)), x - (values.shape[1] - 1) / 2, y - (values.shape[0] - 1) / 2], axis=1)
    if len(y) < 3 or np.linalg.matrix_rank(design) < 3:
        raise InputError("height", f"{len(y)} known pixels", "at least three that are not on one line")
    target, firm = values[y, x], 1 / spread[y, x]
    found, scatter = _robust(design, target, firm)
    angles = [None if pixel_size is None else math.degrees(math.atan(t / pixel_size)) for t in found[1:]]
    return Plane(float(found[0]), float(found[1]), float(found[2]), angles[0], angles[1], scatter)


def _robust(
    design: NDArray[np.float64], target: NDArray[np.float64], firm: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    found = np.array([np.median(target), 0.0, 0.0])
    for number in range(_ROUNDS):
        residual = np.abs(target - design @ found)
        scale = max(_NORMAL * float(np.median(residual)), 1e-9 * max(1.0, float(np.abs(target).max())))
        if number < _ROUNDS // 2:
            weight = 1 / np.maximum(residual, 1e-3 * scale)
        else:
            weight = np.square(1 - np.minimum(residual / (_TUKEY * scale), 1) ** 2)
        root = np.sqrt(weight) * firm
        root /= root.max()
        previous, found = found, np.linalg.lstsq(design * root[:, None], target * root, rcond=None)[0]
        if number > _ROUNDS // 2 and np.allclose(found, previous, rtol=1e-6, atol=1e-12):
            break
    return found, _NORMAL * float(np.median(np.abs(target - design @ found)))


@names_bad_arguments
def best_slice(height: ArrayLike, slices: int | None = None, *, z: ArrayLike | None = None) -> int:
    """The best single slice: the one nearest to the surface on average.

    Parameters
    ----------
    height : (H, W) array_like
        Height map; NaN is ignored.
    slices : int or None
        Number of slices, if the height is counted in them.
    z : (N,) array_like or None
        Positions of the slices, otherwise.

    Returns
    -------
    int
        Number of the slice, from 0.

    Raises
    ------
    InputError
        If no height is known, or if not exactly one of `slices` and `z` is given.
    """
    if (slices is None) == (z is None):
        raise InputError("slices", repr(slices), "either the number of slices or their positions z")
    if slices is not None and not 0 < slices <= _MOST_SLICES:
        raise InputError("slices", repr(slices), f"a number from 1 to {_MOST_SLICES}")
    positions = z_positions(z, None, slices if slices is not None else len(np.atleast_1d(np.asarray(z))))
    known = np.asarray(height, dtype=np.float64)
    known = known[np.isfinite(known)]
    if not known.size:
        raise InputError("height", "no known pixel", "at least one")
    known = known[:: max(1, known.size // _SAMPLE)]
    return int(np.argmin([np.abs(known - one).mean() for one in positions]))
