"""What the fusion and sharpening methods take and give back: any real dtype, gray or RGB, inside 0..1 in float64."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from defocus_backend.errors import InputError
from defocus_backend.filters import guided_filter
from defocus_backend.luma import LUMA
from defocus_backend.metrics.gray import scaled

Array = NDArray[np.float64]

_ROUND_OFF = 1e-9


@dataclass(frozen=True)
class Picture:
    """One image, or several of one shape, ready to be worked on, and how to hand a result back.

    Attributes
    ----------
    values : (N, H, W, C) float64 array
        0..1, C is 1 or 3.
    dtype : numpy.dtype
        Of the input.
    white : float
        The input's value that became 1.
    channel_axis : int or None
        Of one input image.
    """

    values: Array
    dtype: np.dtype[Any]
    white: float
    channel_axis: int | None

    @property
    def gray(self) -> Array:
        """Luma (N, H, W) in 0..1, not rounded."""
        return self._luma(self.values)

    @property
    def byte_gray(self) -> Array:
        """Luma (N, H, W) in 0..1; of colour rounded to 8 bits first, as rgb2gray does with 8-bit images."""
        if self.values.shape[-1] == 1:
            return self.values[..., 0]
        return half_up(self._luma(self.values * 255)) / 255

    @staticmethod
    def _luma(values: Array) -> Array:
        if values.shape[-1] == 1:
            return values[..., 0]
        return values[..., 0] * LUMA[0] + values[..., 1] * LUMA[1] + values[..., 2] * LUMA[2]

    def restore(self, result: Array) -> NDArray[Any]:
        """A result (H, W, C) in 0..1 in the caller's dtype, range and axis order; integers are rounded half up."""
        # In steps, so that 8-bit results round as those of 8-bit programs do.
        image: NDArray[Any] = result * 255
        if self.white != 255:
            image = image * (self.white / 255)
        if self.dtype.kind in "ui":
            info = np.iinfo(self.dtype)
            # A half that round-off has put just below one is a half still.
            image = np.clip(half_up(image + _ROUND_OFF), info.min, info.max)
        elif self.dtype.kind == "b":
            image = image >= self.white / 2
        image = image.astype(self.dtype)
        return image[..., 0] if self.channel_axis is None else np.moveaxis(image, -1, self.channel_axis)


def half_up(values: Array) -> Array:
    """Round halves up, as ``uint8()`` in MATLAB does with values above 0."""
    return np.floor(values + 0.5)


def read_pictures(
    images: Iterable[Any], argument: str, *, at_least: int, channel_axis: int | None, data_range: float | None
) -> Picture:
    """Read images of one shape and dtype.

    Parameters
    ----------
    images : iterable of (H, W[, C]) array_like
        Bool, integer or float; C is 1 or 3.
    argument : str
        Their name, for the error.
    at_least : int
        How many there must be.
    channel_axis : int or None
        Axis of the channels in one image.
    data_range : float or None
        The value of white; None means 255 for float images and the largest value of an integer type.

    Returns
    -------
    Picture

    Raises
    ------
    InputError
        If there are too few, they differ in shape or dtype, or one cannot be read.
    """
    arrays = [np.asarray(image) for image in images]
    if len(arrays) < at_least:
        raise InputError(argument, f"{len(arrays)} image(s)", f"{at_least} or more images")
    first = arrays[0]
    values = []
    for n, array in enumerate(arrays):
        name = argument if at_least == 1 else f"{argument}[{n}]"
        if array.shape != first.shape or array.dtype != first.dtype:
            raise InputError(
                name, f"shape {array.shape} of {array.dtype}", f"{first.shape} of {first.dtype}, as the first image"
            )
        values.append(_channels_last(scaled(array, name, data_range=data_range), name, channel_axis))
    white = data_range or (
        1.0 if first.dtype.kind == "b" else 255.0 if first.dtype.kind == "f" else float(np.iinfo(first.dtype).max)
    )
    return Picture(np.stack(values) / 255, first.dtype, white, channel_axis)


def white_value(pixels: NDArray[Any], value_range: tuple[float, float] | None = None) -> float | None:
    """The `data_range` that a picture from a file has.

    Parameters
    ----------
    pixels : array
        Any real dtype.
    value_range : (float, float) or None
        Values that count as black and white; black has to be 0, as these methods have it.

    Returns
    -------
    float or None
        1 for floats within the unit range; None leaves the default, 255 for other floats and the largest value
        of an integer type.

    Raises
    ------
    InputError
        For a range that does not start at 0.
    """
    if value_range is not None:
        if not (value_range[0] == 0 < value_range[1]):
            raise InputError("value_range", repr(value_range), "0 and a value above it for a published method")
        return float(value_range[1])
    unit = pixels.dtype.kind == "f" and pixels.min() >= 0 and pixels.max() <= 1
    return 1.0 if unit else None


def _channels_last(values: Array, name: str, channel_axis: int | None) -> Array:
    wanted = 2 if channel_axis is None else 3
    if values.ndim != wanted:
        hint = "" if channel_axis is not None else "; name the colour axis with channel_axis"
        raise InputError(name, f"shape {values.shape}", f"{wanted} axes{hint}")
    if channel_axis is None:
        return values[..., None]
    if not -3 <= channel_axis < 3:
        raise InputError("channel_axis", repr(channel_axis), "an axis of the image, from -3 to 2")
    values = np.moveaxis(values, channel_axis, -1)
    if values.shape[-1] not in (1, 3):
        raise InputError(name, f"{values.shape[-1]} channels", "1 or 3 (RGB) channels")
    return values


def guided(guide: Array, source: Array, *, radius: int, eps: float) -> Array:
    """`filters.guided_filter` of (H, W) arrays in float64."""
    filtered = guided_filter(torch.from_numpy(guide), torch.from_numpy(source), radius=radius, eps=eps)
    return np.asarray(filtered.numpy())
