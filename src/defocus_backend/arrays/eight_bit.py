"""Images as float64 on the scale 0..255, as in the published programs.

Most of these programs are written in MATLAB for 8-bit images. They compute in double precision, round gray values of
colour images to integers, and round results half up. Their published results can only be reproduced with the same
rounding.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from defocus_backend.arrays.checks import as_numbers, check_axes, check_range, hidden_pixels
from defocus_backend.errors import InputError
from defocus_backend.luma import LUMA

Float64 = NDArray[np.float64]

BYTE_WHITE = 255.0
_ROUND_OFF = 1e-9


def float_white(images: Iterable[ArrayLike]) -> float:
    """White value of float images that belong together: 1 if all values are between 0 and 1, otherwise 255."""
    floats = [a for a in (np.asarray(image) for image in images) if a.dtype.kind == "f" and a.size]
    return 1.0 if all(a.min() >= 0 and a.max() <= 1 for a in floats) else BYTE_WHITE


def as_float64(
    image: ArrayLike,
    argument: str = "image",
    *,
    channel_axis: int | None = None,
    value_range: tuple[float, float] | None = None,
    white: float | None = None,
) -> Float64:
    """Return an image as float64 on the scale 0..255, without alpha.

    Parameters
    ----------
    image : (H, W) or, with `channel_axis`, (H, W, C) array_like
        bool, integer or float; C is 1 (gray), 2 (gray and alpha), 3 (RGB) or 4 (RGBA).
    argument : str
        Name of the argument in error messages.
    channel_axis : int or None
        Axis of the channels; None for a gray image.
    value_range : (float, float) or None
        Values that become 0 and 255. Default: 0 and the largest value of an integer type; 0 and 1 for bool and for
        floats in this range; 0 and 255 for other floats. Values outside the range are not clipped.
    white : float or None
        White value of float images that belong together, see `float_white`.

    Returns
    -------
    (H, W) or (H, W, C) float64 array
        C is 1 or 3.

    Raises
    ------
    InputError
        For any other input, and for NaN, infinite or masked pixels, which published methods do not support.

    Examples
    --------
    >>> import numpy as np
    >>> as_float64(np.array([[0.0, 0.2, 1.0]])).tolist()
    [[0.0, 51.0, 255.0]]
    >>> as_float64(np.array([[100, 4100]], np.uint16), value_range=(100, 4100)).tolist()
    [[0.0, 255.0]]
    """
    array = as_numbers(image, argument)
    axis = check_axes(array, channel_axis, argument)
    low, high = _range(array, value_range, white)
    values = np.ascontiguousarray(array if axis is None else np.moveaxis(array, axis, -1), dtype=np.float64)
    if not np.isfinite(values).all() or hidden_pixels(image, axis) is not None:
        raise InputError(argument, "NaN, infinite or masked pixels", "finite values at every pixel")
    if axis is not None:
        colours = {1: 1, 2: 1, 3: 3, 4: 3}.get(values.shape[-1])
        if colours is None:
            raise InputError(
                argument,
                f"{values.shape[-1]} channels on axis {channel_axis}",
                "1 (gray), 2 (gray+alpha), 3 (RGB) or 4 (RGBA)",
            )
        values = values[..., :colours]
    if low:
        values = values - low
    return values if high - low == BYTE_WHITE else values * (BYTE_WHITE / (high - low))


def _range(
    array: NDArray[Any],
    value_range: tuple[float, float] | None,
    white: float | None,
) -> tuple[float, float]:
    if value_range is not None:
        return check_range(value_range)
    if array.dtype.kind in "ui":
        return 0.0, float(np.iinfo(array.dtype).max)
    return 0.0, 1.0 if array.dtype.kind == "b" else white or float_white([array])


def gray_float64(values: Float64) -> Float64:
    """Gray (H, W) from values in 0..255, see `as_float64`; colour is rounded half up as in MATLAB's ``rgb2gray``."""
    if values.ndim == 2:
        return values
    return values[..., 0] if values.shape[-1] == 1 else half_up(_luma(values))


def half_up(values: Float64) -> Float64:
    """Round half up, as MATLAB's ``uint8()`` does for positive values."""
    return np.floor(values + 0.5)


def as_bytes(gray: Float64) -> NDArray[np.uint8]:
    """Round and clip to the 256 gray values of an 8-bit image."""
    return np.clip(np.rint(gray), 0, 255).astype(np.uint8)


def _luma(values: Float64) -> Float64:
    """Luma along the last axis, neither rounded nor clipped; a single channel is returned unchanged."""
    if values.shape[-1] == 1:
        return values[..., 0]
    return values[..., 0] * LUMA[0] + values[..., 1] * LUMA[1] + values[..., 2] * LUMA[2]


@dataclass(frozen=True)
class Float64Stack:
    """Images of one shape as float64, with the information needed to convert a result back to the caller's form.

    Attributes
    ----------
    values : (N, H, W, C) float64 array
        Images in the unit range; C is 1 or 3.
    low, high : float
        Values of the input that became 0 and 1.
    dtype : numpy.dtype
        Type of the input.
    channel_axis : int or None
        Channel axis of one input image.
    """

    values: Float64
    low: float
    high: float
    dtype: np.dtype[Any]
    channel_axis: int | None

    @property
    def gray(self) -> Float64:
        """Luma (N, H, W) in the unit range, not rounded."""
        return _luma(self.values)

    @property
    def rounded_gray(self) -> Float64:
        """Luma (N, H, W) in the unit range; for colour images rounded to 8 bits, see `gray_float64`."""
        if self.values.shape[-1] == 1:
            return self.values[..., 0]
        return half_up(_luma(self.values * 255)) / 255

    def restore(self, result: Float64) -> NDArray[Any]:
        """Convert a unit-range result (H, W, C) to the input's dtype, range and layout; round integers half up."""
        # In two steps, so that 8-bit results are rounded as in 8-bit programs.
        image: NDArray[Any] = result * 255
        if self.high - self.low != BYTE_WHITE:
            image = image * ((self.high - self.low) / BYTE_WHITE)
        if self.low:
            image = image + self.low
        if self.dtype.kind in "ui":
            info = np.iinfo(self.dtype)
            # Correct halves that floating-point error has moved just below a half.
            image = np.clip(half_up(image + _ROUND_OFF), info.min, info.max)
        elif self.dtype.kind == "b":
            image = image >= (self.low + self.high) / 2
        image = image.astype(self.dtype)
        return image[..., 0] if self.channel_axis is None else np.moveaxis(image, -1, self.channel_axis)


def as_float64_stack(
    images: Iterable[ArrayLike],
    argument: str = "images",
    *,
    at_least: int = 1,
    channel_axis: int | None = None,
    value_range: tuple[float, float] | None = None,
) -> Float64Stack:
    """Convert images of one shape and dtype to float64.

    Parameters
    ----------
    images : iterable of (H, W[, C]) array_like
        bool, integer or float; C is 1 or 3.
    argument : str
        Name of the images in error messages.
    at_least : int
        Smallest number of images.
    channel_axis : int or None
        Axis of the channels in one image.
    value_range : (float, float) or None
        Values that become 0 and 1; by default as in `as_float64`.

    Returns
    -------
    Float64Stack

    Raises
    ------
    InputError
        If there are too few images, if they differ in shape or dtype, or if one is not a valid image.
    """
    arrays = [np.asanyarray(image) for image in images]
    if len(arrays) < at_least:
        raise InputError(argument, f"{len(arrays)} image(s)", f"{at_least} or more images")
    first, white, values = arrays[0], float_white(arrays), []
    for n, array in enumerate(arrays):
        name = argument if at_least == 1 else f"{argument}[{n}]"
        if array.shape != first.shape or array.dtype != first.dtype:
            raise InputError(
                name, f"shape {array.shape} of {array.dtype}", f"{first.shape} of {first.dtype}, as the first image"
            )
        read = as_float64(array, name, channel_axis=channel_axis, value_range=value_range, white=white)
        if channel_axis is not None and read.shape[-1] != array.shape[channel_axis]:
            raise InputError(name, f"{array.shape[channel_axis]} channels", "1 or 3 (RGB) channels")
        values.append(read if channel_axis is not None else read[..., None])
    low, high = _range(first, value_range, white)
    return Float64Stack(np.stack(values) / 255, low, high, first.dtype, channel_axis)
