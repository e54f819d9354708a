"""Checks of the arguments that the published methods share."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from defocus_backend.arrays import BYTE_WHITE, Float64, as_float64
from defocus_backend.errors import InputError


def check_gray(gray: ArrayLike) -> Float64:
    """Return a gray image (H, W) on the scale 0..255 as float64; raise `InputError` for anything else."""
    return as_float64(gray, "gray", value_range=(0, BYTE_WHITE))


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
