"""Images as float64 on the scale 0..255, as the published programs see them.

Most of those programs are MATLAB on 8-bit images: they compute in double precision, turn colour into gray that is
rounded to whole values, and round a result half up. Their published figures can only be met on the same numbers.
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
    """White of float images that belong together: 1 where all of them lie within 0 and 1, else 255."""
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
        Values that become 0 and 255. By default: 0 and the largest value of an integer type; 0 and 1 for bool and for
        floats within them; 0 and 255 for other floats. Values outside are not clipped.
    white : float or None
        White of float images that belong together, see `float_white`.

    Returns
    -------
    (H, W) or (H, W, C) float64 array
        C is 1 or 3.

    Raises
    ------
    InputError
        For anything that is not such an image, and for NaN, infinite or masked pixels: published methods have no
        mask.

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
    """Gray (H, W) of values on 0..255, see `as_float64`: colour is rounded half up as by MATLAB's ``rgb2gray``."""
    if values.ndim == 2:
        return values
    return values[..., 0] if values.shape[-1] == 1 else half_up(_luma(values))


def half_up(values: Float64) -> Float64:
    """Round halves up, as ``uint8()`` in MATLAB does with values above 0."""
    return np.floor(values + 0.5)


def as_bytes(gray: Float64) -> NDArray[np.uint8]:
    """Rounded and clipped to the 256 gray values of an 8-bit image."""
    return np.clip(np.rint(gray), 0, 255).astype(np.uint8)


def _luma(values: Float64) -> Float64:
    """Luma of the last axis, neither rounded nor clipped; one channel is its own."""
    if values.shape[-1] == 1:
        return values[..., 0]
    return values[..., 0] * LUMA[0] + values[..., 1] * LUMA[1] + values[..., 2] * LUMA[2]


@dataclass(frozen=True)
class Float64Stack:
    """Images of one shape in float64, and all that is needed to return a result in the caller's form.

    Attributes
    ----------
    values : (N, H, W, C) float64 array
        Unit range; C is 1 or 3.
    low, high : float
        Values of the input that became 0 and 1.
    dtype : numpy.dtype
        Of the input.
    channel_axis : int or None
        Of one input image.
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
        """Luma (N, H, W) in the unit range; of colour rounded to 8 bits, see `gray_float64`."""
        if self.values.shape[-1] == 1:
            return self.values[..., 0]
        return half_up(_luma(self.values * 255)) / 255

    def restore(self, result: Float64) -> NDArray[Any]:
        """Return a unit-range result (H, W, C) in the input's dtype, range and layout; integers are rounded half up."""
        # In steps, so that 8-bit results round as those of 8-bit programs do.
        image: NDArray[Any] = result * 255
        if self.high - self.low != BYTE_WHITE:
            image = image * ((self.high - self.low) / BYTE_WHITE)
        if self.low:
            image = image + self.low
        if self.dtype.kind in "ui":
            info = np.iinfo(self.dtype)
            # A half that round-off has put just below one is a half still.
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
    """Read images of one shape and dtype.

    Parameters
    ----------
    images : iterable of (H, W[, C]) array_like
        bool, integer or float; C is 1 or 3.
    argument : str
        Their name in error messages.
    at_least : int
        Smallest number of images.
    channel_axis : int or None
        Axis of the channels in one image.
    value_range : (float, float) or None
        Values that become 0 and 1 in the result; by default as for `as_float64`.

    Returns
    -------
    Float64Stack

    Raises
    ------
    InputError
        If there are too few, they differ in shape or dtype, or one cannot be read.
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
