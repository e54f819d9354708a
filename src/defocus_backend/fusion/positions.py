"""Positions of the slices of a stack along z."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from defocus_backend.errors import InputError


def z_positions(z: ArrayLike | None, z_step: float | None, count: int) -> NDArray[np.float64]:
    """Position of every slice along z.

    Parameters
    ----------
    z : (N,) array_like or None
        Positions, increasing or decreasing, with equal or unequal steps.
    z_step : float or None
        Distance between neighbouring slices, instead of `z`; negative if z decreases.
    count : int
        Number of slices N.

    Returns
    -------
    (N,) float64 array
        Positions; 0, 1, 2 ... if neither is given, so that z is counted in slices.

    Raises
    ------
    InputError
        For an invalid `z` or `z_step`, or if both are given.
    """
    if z is None:
        wanted = "a finite distance other than 0"
        try:
            step = 1.0 if z_step is None else float(z_step)
        except (TypeError, ValueError) as error:
            raise InputError("z_step", type(z_step).__name__, wanted) from error
        if not np.isfinite(step) or step == 0:
            raise InputError("z_step", repr(z_step), wanted)
        return step * np.arange(count, dtype=np.float64)
    if z_step is not None:
        raise InputError("z_step", repr(z_step), "either z or z_step")
    try:
        positions = np.asarray(z, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError("z", type(z).__name__, "one number per slice") from error
    if positions.shape != (count,) or not np.isfinite(positions).all():
        raise InputError("z", f"shape {positions.shape}", f"one finite position for each of the {count} slices")
    steps = np.diff(positions)
    if not ((steps > 0).all() or (steps < 0).all()):
        raise InputError(
            "z",
            "positions that change direction or repeat",
            "positions that increase, or decrease, from slice to slice",
        )
    return positions


def mean_step(z: NDArray[np.float64]) -> float:
    """Mean distance between neighbouring slices; 1 for a single slice."""
    return float(np.abs(np.diff(z)).mean()) if len(z) > 1 else 1.0
