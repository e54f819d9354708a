"""What every comparison map takes: one gray picture on the scale 0..255, checked once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from defocus_backend.errors import InputError

Array = NDArray[np.float64]


def check_gray(gray: ArrayLike) -> Array:
    """Return a gray picture (H, W) as float64; refuse anything else.

    Raises
    ------
    InputError
        If it is not two-dimensional, finite numbers with at least one pixel.
    """
    array: NDArray[Any] = np.asarray(gray)
    if array.ndim != 2 or array.size == 0:
        raise InputError("gray", f"shape {array.shape}", "two dimensions (H, W) with at least one pixel")
    if not (np.issubdtype(array.dtype, np.integer) or np.issubdtype(array.dtype, np.floating)):
        raise InputError("gray", f"dtype {array.dtype}", "whole numbers or floats on the scale 0..255")
    values = np.ascontiguousarray(array, dtype=np.float64)
    if not np.isfinite(values).all():
        raise InputError("gray", "NaN or infinite values", "finite values only")
    return values


def as_bytes(gray: Array) -> NDArray[np.uint8]:
    """Rounded and clipped to the 256 gray values of an 8-bit picture."""
    return np.clip(np.rint(gray), 0, 255).astype(np.uint8)


def check_number(name: str, value: float, *, above: float, at_most: float = math.inf) -> float:
    """Return a finite number in ``(above, at_most]``; raise `InputError` for anything else."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and above < value <= at_most):
        limit = "" if math.isinf(at_most) else f" and at most {at_most:g}"
        raise InputError(name, repr(value), f"a finite number above {above:g}{limit}")
    return float(value)


def check_whole(name: str, value: int, *, at_least: int) -> int:
    """Return a whole number from `at_least` on; raise `InputError` for anything else."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and int(value) == value and value >= at_least):
        raise InputError(name, repr(value), f"a whole number from {at_least} on")
    return int(value)
