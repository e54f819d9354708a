"""Images of any dtype as float32 tensors, and back.

Inside the library an image is float32 ``(C, H, W)`` in the unit range. What the unit range means in
the caller's own values is decided here once and undone here once.
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
"""Floats within 0 and 1 that all lie below this are a part of a wider range, as those of 12 bits divided by 65535."""
GRAY_LIMITS = (-1.0, 2.0)
"""Unit-range values to which pixels are held where one of them could drown the rest."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image ready for computing, with all that is needed to hand a result back in the caller's form.

    Attributes
    ----------
    pixels : (C, H, W) float32 tensor
        Unit range; C is 1 or 3. Pixels that were NaN or infinite hold the value of a near valid one.
    valid : (H, W) bool tensor or None
        False where the input was NaN, infinite, hidden or transparent; None if it never was.
    alpha : (H, W) array or None
        Alpha channel. Where it is 0 the pixels are missing.
    low, high : float
        Values of the input that became 0 and 1.
    dtype : numpy.dtype
        Of the input.
    channel_axis : int or None
        Of the input.
    bounded : bool
        Whether the input was floats within [0, 1], which results are then held to.
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
        """Luma (H, W) in the unit range, held within -1 and 2 so that a hot pixel does not drown the rest."""
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
        """The rows and columns of a window, with everything else unchanged."""
        return replace(
            self,
            pixels=self.pixels[:, window[0], window[1]],
            valid=None if self.valid is None else self.valid[window],
            alpha=None if self.alpha is None else self.alpha[window],
        )

    def restore(self, pixels: Tensor) -> NDArray[Any]:
        """Turn unit-range pixels (C, H, W) into an array of the input's dtype, layout and range.

        Whole-number dtypes are rounded and clipped to their range, floats within [0, 1] to [0, 1];
        other floats are left as they are. Pixels that were NaN are NaN again, alpha comes back.
        """
        # float32 holds 24 bits exactly: enough for whole numbers of two bytes and for floats of four.
        wide = self.dtype.itemsize > (2 if np.issubdtype(self.dtype, np.integer) else 4)
        values = pixels.detach().to("cpu", torch.float64 if wide else torch.float32).numpy()
        shape = list(values.shape[1:])
        axis = 0 if self.channel_axis is None else self.channel_axis
        shape.insert(axis, len(values) + (self.alpha is not None))
        result = np.empty(shape, self.dtype)
        planes = np.moveaxis(result, axis, 0)
        # Plane by plane into the caller's layout: a third of the time of whole arrays that are then turned.
        for plane, unit in zip(planes, values, strict=False):
            plane[...] = self._in_range(unit * (self.high - self.low))
        if self.alpha is not None:
            planes[-1] = self._coverage(self.alpha)
        return np.asarray(result[0]) if self.channel_axis is None else result

    def _coverage(self, alpha: NDArray[Any]) -> NDArray[Any]:
        """Alpha of a result: full where it was 0 and other frames have pixels."""
        if self.valid is None:
            return alpha
        full = np.iinfo(alpha.dtype).max if np.issubdtype(alpha.dtype, np.integer) else alpha.dtype.type(1)
        return np.where(~(alpha > 0) & self.valid.cpu().numpy(), full, alpha).astype(alpha.dtype, copy=False)

    def _in_range(self, values: NDArray[Any]) -> NDArray[Any]:
        """One plane of values above `low`, changed in place into what the input's dtype can hold."""
        values += self.low
        if self.dtype == np.bool_:
            return np.asarray(values >= 0.5)
        if np.issubdtype(self.dtype, np.integer):
            info = np.iinfo(self.dtype)
            # The largest 64-bit integer is no float: stay at the float below the next whole number.
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
    """Check an image of any dtype and layout and bring it to the unit range.

    Parameters
    ----------
    image : (H, W) or, with `channel_axis`, (H, W, C) array_like
        bool, whole numbers or floats; C is 1 (gray), 2 (gray and alpha), 3 (RGB) or 4 (RGBA). What a masked
        array hides counts as missing, as NaN does; so does what alpha leaves transparent (0).
    channel_axis : int or None
        Axis of the channels; None for a gray image.
    value_range : (float, float) or None
        Values that become 0 and 1. By default: the whole range of bool and uint8; [0, 1] for floats
        within it that exceed 0.25; for all else, such as 16-bit microscopy which fills a small part of its range,
        the 0.1 and 99.9 percentiles. Values outside are not clipped.
    argument : str
        Name of the argument in error messages.
    may_be_missing : bool
        Whether all pixels may be NaN or hidden: they are then 0 in the unit range, and none is valid.

    Returns
    -------
    Image

    Raises
    ------
    InputError
        For anything that is not such an image, or whose pixels are all NaN where they may not be.
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
        clear = ~(alpha > 0)  # below zero and NaN mean nothing else
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
        note(f"image: floats that fill little of 0 to 1; {low:.4g} to {high:.4g} count as black and white")
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

    Without a `shape` it may have any.

    Raises
    ------
    InputError
        If it is not two-dimensional numbers of the image's shape.
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
    """An image and its defocus map (H, W) on one device, see `as_image` and `as_map`.

    Raises
    ------
    InputError
    """
    source = as_image(image, channel_axis=channel_axis, value_range=value_range)
    return source.to(device), as_map(sigma, source.shape).to(device)


def to_map(values: Tensor, valid: Tensor | None = None) -> NDArray[np.float32]:
    """A map (H, W) as a float32 array, NaN where `valid` is False."""
    if valid is not None:
        values = torch.where(valid.to(values.device), values, torch.nan)
    return np.ascontiguousarray(values.detach().to("cpu", torch.float32).numpy())


def _fill(colours: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Give invalid pixels the value of their nearest valid one, so that no filter meets a NaN."""
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
    # A sample of the pixels settles a percentile; sorting twenty million would cost a second.
    stride = max(1, colours.size // _SAMPLE)
    low, high = (float(v) for v in np.percentile(colours.reshape(-1)[::stride].astype(np.float64), _PERCENTILES))
    if high <= low:
        low, high = least, most
    scale = max(abs(low), abs(high), 1e-30)
    return (low, high) if high - low > 1e-7 * scale else (low, low + scale)


def _to_unit(colours: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    result = np.empty(colours.shape, np.float32)
    # Large offsets of wide types would lose their digits in float32.
    wide = np.float64 if colours.dtype.itemsize > 2 else np.float32
    # Plane by plane, since channels that lie side by side are slow to pull apart afterwards.
    for plane, values in zip(result, colours, strict=True):
        unit: NDArray[Any] = values.astype(wide)
        unit -= low
        unit /= high - low
        plane[...] = unit
    return result
