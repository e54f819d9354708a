"""Checks that all conversions share: numbers, axes, value range and hidden pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from defocus_backend.errors import InputError

WIDEST = 1e30
"""Largest span of values and largest value range, so that results of computations fit in float32."""


def as_numbers(values: ArrayLike, argument: str) -> NDArray[Any]:
    """An array of real numbers with at least one element; raise `InputError` for anything else."""
    try:
        array = np.asarray(values)
    except (ValueError, TypeError) as error:
        raise InputError(argument, type(values).__name__, "an array of numbers") from error
    kinds = array.dtype
    real = kinds == np.bool_ or np.issubdtype(kinds, np.integer) or np.issubdtype(kinds, np.floating)
    if not real:
        raise InputError(argument, f"dtype {kinds}", "bool, whole numbers or floats")
    if array.size == 0:
        raise InputError(argument, f"shape {array.shape}", "at least one pixel")
    return array


def check_axes(array: NDArray[Any], channel_axis: int | None, argument: str) -> int | None:
    """The channel axis of an image as 0, 1 or 2; None for a gray image (H, W). Raise `InputError` for another shape."""
    if channel_axis is None:
        if array.ndim != 2:
            hint = "; pass channel_axis=-1 for a colour image" if array.ndim == 3 else ""
            raise InputError(argument, f"shape {array.shape}", f"two dimensions (H, W){hint}")
        return None
    if array.ndim != 3:
        raise InputError(argument, f"shape {array.shape}", "three dimensions if channel_axis is given")
    if not isinstance(channel_axis, int) or not -3 <= channel_axis < 3:
        raise InputError("channel_axis", repr(channel_axis), "None or an axis from -3 to 2")
    return channel_axis % 3


def check_range(value_range: tuple[float, float]) -> tuple[float, float]:
    """The two ends of a value range; raise `InputError` if the first is not below the second."""
    try:
        low, high = (float(v) for v in value_range)
    except (TypeError, ValueError):
        low = high = 0.0
    if not (-WIDEST <= low < high <= WIDEST):
        raise InputError("value_range", repr(value_range), f"two values within {WIDEST:g} of zero, the lower first")
    return low, high


def hidden_pixels(image: ArrayLike, channel_axis: int | None) -> NDArray[np.bool_] | None:
    """Mask (H, W) of pixels that are masked in any channel; None if there are none."""
    if not isinstance(image, np.ma.MaskedArray) or not np.ma.is_masked(image):
        return None
    mask = np.ma.getmaskarray(image)
    return np.asarray(mask if channel_axis is None else mask.any(axis=channel_axis))
