"""Convert images of any dtype to float32 tensors, and back.

Inside the library, an image is a float32 tensor ``(C, H, W)`` in the unit range. The mapping between the caller's
values and the unit range is defined here only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from defocus_backend.arrays.checks import WIDEST, as_numbers, check_axes, check_range, hidden_pixels
from defocus_backend.errors import InputError, note
from defocus_backend.luma import LUMA

_PERCENTILES = (0.1, 99.9)
_SAMPLE = 1_000_000
_DIM = 0.25
"""If all floats between 0 and 1 are below this value, they probably fill only a part of a wider range, such as 12-bit
values divided by 65535."""
GRAY_LIMITS = (-1.0, 2.0)
"""Limits to which unit-range values are clipped where a single pixel could dominate the result."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image as a tensor, with the information needed to convert a result back to the caller's form.

    Attributes
    ----------
    pixels : (C, H, W) float32 tensor
        Pixels in the unit range; C is 1 or 3. NaN and infinite pixels are replaced by a nearby valid value.
    valid : (H, W) bool tensor or None
        False where the input was NaN, infinite, masked or transparent; None if there are no such pixels.
    alpha : (H, W) array or None
        Alpha channel. Pixels with an alpha of 0 count as missing.
    low, high : float
        Values of the input that became 0 and 1.
    dtype : numpy.dtype
        Type of the input.
    channel_axis : int or None
        Channel axis of the input.
    bounded : bool
        Whether the input had floats within [0, 1]. Results are then clipped to this range.
    """

    pixels: Tensor
    valid: Tensor | None
    alpha: NDArray[Any] | None
    low: float
    high: float
    dtype: np.dtype[Any]
    channel_axis: int | None
    bounded: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return int(self.pixels.shape[-2]), int(self.pixels.shape[-1])

    @property
    def gray(self) -> Tensor:
        """Luma (H, W) in the unit range, clipped to -1 and 2 so that a hot pixel does not dominate the result."""
        if self.pixels.shape[0] == 1:
            return self.pixels[0].clamp(*GRAY_LIMITS)
        red, green, blue = self.pixels
        result: Tensor = (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2]).clamp_(*GRAY_LIMITS)
        return result

    def to(self, device: torch.device) -> Image:
        """The same image on another device."""
        valid = None if self.valid is None else self.valid.to(device)
        return replace(self, pixels=self.pixels.to(device), valid=valid)

    def crop(self, window: tuple[slice, slice]) -> Image:
        """The image cropped to the rows and columns of a window."""
        return replace(
            self,
            pixels=self.pixels[:, window[0], window[1]],
            valid=None if self.valid is None else self.valid[window],
            alpha=None if self.alpha is None else self.alpha[window],
        )

    def restore(self, pixels: Tensor) -> NDArray[Any]:
        """Convert unit-range pixels (C, H, W) to an array with the input's dtype, layout and range.

        Integers are rounded and clipped to their range. If the input had floats within [0, 1], the result is clipped to
        [0, 1]; other floats are not clipped. NaN pixels and the alpha channel of the input are restored.
        """
        # float32 represents 24 bits exactly, which is enough for 16-bit integers and 32-bit floats.
        wide = self.dtype.itemsize > (2 if np.issubdtype(self.dtype, np.integer) else 4)
        values = pixels.detach().to("cpu", torch.float64 if wide else torch.float32).numpy()
        shape = list(values.shape[1:])
        axis = 0 if self.channel_axis is None else self.channel_axis
        shape.insert(axis, len(values) + (self.alpha is not None))
        result = np.empty(shape, self.dtype)
        planes = np.moveaxis(result, axis, 0)
        # Writing plane by plane into the caller's layout takes a third of the time of a final transpose.
        for plane, unit in zip(planes, values, strict=False):
            plane[...] = self._in_range(unit * (self.high - self.low))
        if self.alpha is not None:
            planes[-1] = self._coverage(self.alpha)
        return np.asarray(result[0]) if self.channel_axis is None else result

    def _coverage(self, alpha: NDArray[Any]) -> NDArray[Any]:
        """Alpha of a result: opaque where it was 0, because other frames have pixels there."""
        if self.valid is None:
            return alpha
        full = np.iinfo(alpha.dtype).max if np.issubdtype(alpha.dtype, np.integer) else alpha.dtype.type(1)
        return np.where(~(alpha > 0) & self.valid.cpu().numpy(), full, alpha).astype(alpha.dtype, copy=False)

    def _in_range(self, values: NDArray[Any]) -> NDArray[Any]:
        """Add `low` to one plane and clip it to the input's dtype, in place."""
        values += self.low
        if self.dtype == np.bool_:
            return np.asarray(values >= 0.5)
        if np.issubdtype(self.dtype, np.integer):
            info = np.iinfo(self.dtype)
            # The largest 64-bit integer has no exact float, so the limit is the next lower float.
            largest = np.nextafter(values.dtype.type(info.max) + 1, 0, dtype=values.dtype)
            return np.clip(np.rint(values, out=values), info.min, largest, out=values)
        if self.bounded:
            np.clip(values, 0, 1, out=values)
        if self.valid is not None:
            values[~self.valid.cpu().numpy()] = np.nan
        return values


def as_image(
    image: ArrayLike,
    *,
    channel_axis: int | None = None,
    value_range: tuple[float, float] | None = None,
    argument: str = "image",
    may_be_missing: bool = False,
) -> Image:
    """Check an image of any dtype and layout, and convert it to the unit range.

    Parameters
    ----------
    image : (H, W) or, with `channel_axis`, (H, W, C) array_like
        bool, whole numbers or floats; C is 1 (gray), 2 (gray and alpha), 3 (RGB) or 4 (RGBA). Masked pixels, NaN, and
        pixels with an alpha of 0 count as missing.
    channel_axis : int or None
        Axis of the channels; None for a gray image.
    value_range : (float, float) or None
        Values that become 0 and 1. Default: the full range for bool and uint8; [0, 1] for floats within this range if
        some exceed 0.25; otherwise the 0.1 and 99.9 percentiles, as for 16-bit microscopy, which uses a small part of
        its range. Values outside the range are not clipped.
    argument : str
        Name of the argument in error messages.
    may_be_missing : bool
        Whether all pixels may be NaN or hidden. If so, they are set to 0 and none is valid.

    Returns
    -------
    Image

    Raises
    ------
    InputError
        For any other input, or if all pixels are missing and `may_be_missing` is False.
    """
    array = as_numbers(image, argument)
    channel_axis = check_axes(array, channel_axis, argument)
    channels = array[None] if channel_axis is None else np.moveaxis(array, channel_axis, 0)
    count = channels.shape[0]
    if count not in (1, 2, 3, 4):
        raise InputError(
            argument,
            f"{count} channels on axis {channel_axis}",
            "1 (gray), 2 (gray+alpha), 3 (RGB) or 4 (RGBA)",
        )
    alpha = np.array(channels[-1]) if count in (2, 4) else None
    colours = channels[:-1] if alpha is not None else channels
    finite, missing = None, False
    hidden = hidden_pixels(image, channel_axis)
    if alpha is not None and not (alpha > 0).all():
        clear = ~(alpha > 0)  # negative alpha and NaN also count as transparent
        hidden = clear if hidden is None else hidden | clear
    if hidden is not None or np.issubdtype(array.dtype, np.floating):
        mask = np.isfinite(colours).all(axis=0)
        if hidden is not None:
            mask &= ~hidden
        missing = not mask.any()
        if missing and not may_be_missing:
            given = "an image without a finite value" if alpha is None else "an image without a finite, visible value"
            raise InputError(argument, given, "at least one finite pixel")
        if not mask.all():
            finite, colours = mask, np.zeros_like(colours) if missing else _fill(colours, mask)
    low, high = _range(colours, value_range, argument)
    floats = np.issubdtype(array.dtype, np.floating) and 0 <= low < high <= 1
    bounded = bool(floats and colours.min() >= 0 and colours.max() <= 1)
    if bounded and value_range is None and high < 1 and argument == "image":
        note(f"image: its floats use only a small part of 0 to 1; {low:.4g} counts as black, {high:.4g} as white")
    pixels = torch.from_numpy(_to_unit(colours, low, high))
    if missing:
        pixels.zero_()
    return Image(
        pixels=pixels,
        valid=None if finite is None else torch.from_numpy(finite),
        alpha=alpha,
        low=low,
        high=high,
        dtype=array.dtype,
        channel_axis=channel_axis,
        bounded=bounded,
    )


def as_map(values: ArrayLike, shape: tuple[int, int] | None = None, *, argument: str = "sigma") -> Tensor:
    """Check a map (H, W), such as sigma in pixels, and return it as float32; NaN stays NaN.

    Without `shape`, any shape is accepted.

    Raises
    ------
    InputError
        If it is not a two-dimensional array of numbers with the shape of the image.
    """
    array = as_numbers(values, argument)
    if array.ndim != 2:
        raise InputError(argument, f"shape {array.shape}", "two dimensions (H, W)")
    if shape is not None and array.shape != shape:
        raise InputError(argument, f"shape {array.shape}", f"the image's shape {shape}")
    return torch.from_numpy(np.array(array, dtype=np.float32))


def as_image_and_map(
    image: ArrayLike,
    sigma: ArrayLike,
    *,
    channel_axis: int | None,
    value_range: tuple[float, float] | None,
    device: torch.device,
) -> tuple[Image, Tensor]:
    """Convert an image and its defocus map (H, W) to tensors on one device, see `as_image` and `as_map`.

    Raises
    ------
    InputError
    """
    source = as_image(image, channel_axis=channel_axis, value_range=value_range)
    return source.to(device), as_map(sigma, source.shape).to(device)


def to_map(values: Tensor, valid: Tensor | None = None) -> NDArray[np.float32]:
    """Convert a map (H, W) to a float32 array, with NaN where `valid` is False."""
    if valid is not None:
        values = torch.where(valid.to(values.device), values, torch.nan)
    return np.ascontiguousarray(values.detach().to("cpu", torch.float32).numpy())


def _fill(colours: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Replace invalid pixels by their nearest valid value, so that filters never see NaN."""
    from scipy import ndimage

    nearest = ndimage.distance_transform_edt(~mask, return_distances=False, return_indices=True)
    return np.asarray(colours[:, nearest[0], nearest[1]])


def _range(colours: NDArray[Any], value_range: tuple[float, float] | None, argument: str) -> tuple[float, float]:
    if value_range is not None:
        return check_range(value_range)
    dtype = colours.dtype
    if dtype == np.bool_:
        return 0.0, 1.0
    if dtype == np.uint8:
        return 0.0, 255.0
    least, most = float(colours.min()), float(colours.max())
    if not most - least <= WIDEST or max(-least, most) > WIDEST:
        raise InputError(argument, f"values from {least:g} to {most:g}", f"values within {WIDEST:g} of zero")
    unit = np.issubdtype(dtype, np.floating) and least >= 0 and most <= 1
    if unit and (most > _DIM or most <= least):
        return 0.0, 1.0
    # Percentiles are computed on a sample of the pixels, because sorting twenty million takes a second.
    stride = max(1, colours.size // _SAMPLE)
    low, high = (float(v) for v in np.percentile(colours.reshape(-1)[::stride].astype(np.float64), _PERCENTILES))
    if high <= low:
        low, high = least, most
    scale = max(abs(low), abs(high), 1e-30)
    return (low, high) if high - low > 1e-7 * scale else (low, low + scale)


def _to_unit(colours: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    result = np.empty(colours.shape, np.float32)
    # Subtract in the original type, because float32 loses digits of large offsets.
    wide = np.float64 if colours.dtype.itemsize > 2 else np.float32
    # Plane by plane, because a later transpose of interleaved channels is slow.
    for plane, values in zip(result, colours, strict=True):
        unit: NDArray[Any] = values.astype(wide)
        unit -= low
        unit /= high - low
        plane[...] = unit
    return result
