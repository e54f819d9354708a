"""What every fusion metric works on: a gray image as float64 on 0..255, and a stack of gray sources beside it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from defocus_backend.errors import InputError
from defocus_backend.luma import LUMA

Gray = npt.NDArray[np.float64]

# A local variance is a difference of two sums near 255^2: below this share of the second moment it is round-off.
FLAT = 1e-12


def scaled(image: Any, argument: str, *, data_range: float | None) -> Gray:
    """Return an image of any real dtype as float64 on 0..255.

    Parameters
    ----------
    image : array_like
        Any shape; bool, integer or float.
    argument : str
        Name of the argument, for the error.
    data_range : float or None
        The value that stands for white. None means 255 for float images and the largest value of an integer type.

    Returns
    -------
    ndarray of float64
        Same shape.

    Raises
    ------
    InputError
        If the dtype is not real, the image is empty, or a value is NaN or infinite.
    """
    array = np.asarray(image)
    if array.dtype.kind not in "buif":
        raise InputError(argument, f"dtype {array.dtype}", "a bool, integer or float image")
    if array.size == 0:
        raise InputError(argument, f"an empty array of shape {array.shape}", "at least one pixel")
    if data_range is None:
        kind = array.dtype.kind
        white = 1.0 if kind == "b" else float(np.iinfo(array.dtype).max) if kind in "ui" else 255.0
    elif data_range > 0:
        white = float(data_range)
    else:
        raise InputError("data_range", repr(data_range), "a number above 0")
    values = array.astype(np.float64)
    if array.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError(argument, "NaN or infinite values", "finite values (a quality score has no mask)")
    return values if white == 255.0 else values * (255.0 / white)


def to_gray(image: Any, argument: str, *, channel_axis: int | None = None, data_range: float | None = None) -> Gray:
    """Return an image as gray float64 on 0..255.

    Colour is turned to gray with `LUMA` and rounded half up, as ``rgb2gray`` does with 8-bit images, on which the
    published figures were computed (`arrays.Image.gray` does not round); gray is only scaled. Alpha is left out.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array_like
        C is 1 to 4, at `channel_axis`.
    argument : str
        Name of the argument, for the error.
    channel_axis : int, optional
        Axis of the channels; None means that the image has none.
    data_range : float, optional
        See `scaled`.

    Returns
    -------
    (H, W) ndarray of float64

    Raises
    ------
    InputError
        If the number of axes or channels does not fit, or for the reasons given at `scaled`.
    """
    values = without_alpha(scaled(image, argument, data_range=data_range), argument, channel_axis)
    if channel_axis is None:
        return values
    if values.shape[-1] == 1:
        return values[..., 0]
    red, green, blue = (values[..., k] * LUMA[k] for k in range(3))
    return np.floor(red + green + blue + 0.5)


def without_alpha(values: Gray, argument: str, channel_axis: int | None) -> Gray:
    """An image (H, W) as it is, one with channels as (H, W, C) with C of 1 or 3.

    Raises
    ------
    InputError
        If the number of axes or channels does not fit.
    """
    wanted = 2 if channel_axis is None else 3
    if values.ndim != wanted:
        hint = "" if channel_axis is not None else "; name the colour axis with channel_axis"
        raise InputError(argument, f"shape {values.shape}", f"{wanted} axes{hint}")
    if channel_axis is None:
        return values
    if not -3 <= channel_axis < 3:
        raise InputError("channel_axis", repr(channel_axis), "an axis of the image, from -3 to 2")
    values = np.moveaxis(values, channel_axis, -1)
    colours = {1: 1, 2: 1, 3: 3, 4: 3}.get(values.shape[-1])
    if colours is None:
        raise InputError(argument, f"{values.shape[-1]} channels", "1 (gray) or 3 (RGB) channels, or one more (alpha)")
    return values[..., :colours]


def gray_case(
    fused: Any,
    sources: Iterable[Any],
    *,
    channel_axis: int | None = None,
    data_range: float | None = None,
    at_least: int = 1,
) -> tuple[Gray, Gray]:
    """Return the fused image and its sources as gray arrays of one shape.

    Parameters
    ----------
    fused : (H, W[, C]) array_like
        The result of the fusion.
    sources : iterable of (H, W[, C]) array_like
        What it was made from; an array ``(N, H, W[, C])`` is one such iterable. N is 2 or more.
    channel_axis : int, optional
        Axis of the channels within one image.
    data_range : float, optional
        See `scaled`.
    at_least : int
        The least number of rows and of columns that the metric can use.

    Returns
    -------
    fused : (H, W) ndarray of float64
    sources : (N, H, W) ndarray of float64

    Raises
    ------
    InputError
        If there are fewer than two sources, shapes differ, an image is smaller than `at_least`, or an image cannot
        be read as gray.
    """
    options: dict[str, Any] = {"channel_axis": channel_axis, "data_range": data_range}
    first = to_gray(fused, "fused", **options)
    if min(first.shape) < at_least:
        raise InputError("fused", f"shape {first.shape}", f"at least {at_least} rows and columns")
    stack = [to_gray(source, f"sources[{n}]", **options) for n, source in enumerate(sources)]
    if len(stack) < 2:
        raise InputError("sources", f"{len(stack)} image(s)", "2 or more images")
    for n, source in enumerate(stack):
        if source.shape != first.shape:
            raise InputError(f"sources[{n}]", f"shape {source.shape}", f"{first.shape}, as the fused image")
    return first, np.stack(stack)
