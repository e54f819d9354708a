"""Manual corrections of a decision map, and a new fusion of the image around them."""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from defocus_backend.arguments import names_bad_arguments
from defocus_backend.arrays.checks import check_axes
from defocus_backend.errors import InputError
from defocus_backend.fusion.by_index import affected_pixels, decision_reach, fuse_by_index
from defocus_backend.params import BlendParams, FusionParams
from defocus_backend.progress import CancelCallback, ProgressCallback
from defocus_backend.stacks import StackLike

Window = tuple[slice, slice]


@dataclass(frozen=True)
class Corrected:
    """A fused image and its decision map after corrections.

    Attributes
    ----------
    image : (H, W[, C]) array
        Corrected image, in the dtype and layout of the fused image.
    index : (H, W) int32 array
        Number of the slice used at every pixel.
    """

    image: NDArray[Any]
    index: NDArray[np.int32]


@names_bad_arguments
def fuse_corrected(
    stack: StackLike,
    image: ArrayLike,
    index: ArrayLike,
    corrections: ArrayLike,
    *,
    channel_axis: int | None = None,
    blend: str = FusionParams.blend,
    blend_settings: BlendParams | None = None,
    value_range: tuple[float, float] | None = None,
    gains: ArrayLike | None = None,
    device: str | torch.device = "auto",
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
) -> Corrected:
    """Fuse a stack again around the pixels with a corrected slice; the rest of the image is unchanged.

    Parameters
    ----------
    stack, channel_axis, blend, blend_settings, value_range, device, progress, cancel
        See `fuse`; use the values with which the image was fused.
    image : (H, W[, C]) array_like
        The fused image.
    index : (H, W) array_like of whole numbers
        Decision map of the fused image.
    corrections : (H, W) array_like of whole numbers
        Number of the slice to use instead; negative where nothing was corrected.
    gains : (N,) array_like or None
        `Fusion.gains`, if brightness was matched.

    Returns
    -------
    Corrected

    Raises
    ------
    InputError, DeviceError, Cancelled
    """
    automatic, wanted = np.asarray(index), np.asarray(corrections)
    if wanted.shape != automatic.shape or not np.issubdtype(wanted.dtype, np.integer):
        given = f"{wanted.dtype} of shape {wanted.shape}"
        raise InputError("corrections", given, f"whole numbers {automatic.shape}, as in the decision map")
    if wanted.ndim != 2:
        raise InputError("index", f"shape {automatic.shape}", "a decision map (H, W)")
    chosen = np.where(wanted < 0, automatic, wanted).astype(np.int32)
    changed = chosen != automatic
    result = np.array(image)
    axis = check_axes(result, channel_axis, "image")
    if tuple(n for at, n in enumerate(result.shape) if at != axis) != wanted.shape:
        raise InputError("image", f"shape {result.shape}", f"the fused image of the decision map {wanted.shape}")
    if not changed.any():
        return Corrected(result, chosen)
    rows, columns = (np.nonzero(changed.any(axis))[0] for axis in (1, 0))
    reach = decision_reach(blend, blend_settings)
    region = tuple(
        slice(max(0, int(n[0]) - reach), min(size, int(n[-1]) + 1 + reach))
        for n, size in zip((rows, columns), changed.shape, strict=True)
    )
    window: Window = (region[0], region[1])
    piece = fuse_by_index(
        stack,
        chosen,
        channel_axis=channel_axis,
        blend=blend,
        blend_settings=blend_settings,
        value_range=value_range,
        gains=gains,
        region=window,
        device=device,
        progress=progress,
        cancel=cancel,
    )
    near = affected_pixels(changed, blend=blend, blend_settings=blend_settings, region=window)
    if channel_axis is not None:
        near = np.expand_dims(near, channel_axis)
        place = [slice(None)] * result.ndim
        axes = [axis for axis in range(result.ndim) if axis != channel_axis % result.ndim]
        place[axes[0]], place[axes[1]] = window
    else:
        place = [*window]
    result[tuple(place)] = np.where(near, piece, result[tuple(place)])
    return Corrected(result, chosen)


@names_bad_arguments
def pack_corrections(corrections: ArrayLike) -> str:
    """Encode corrections (H, W) as a short text for scripts and files; a few strokes take some hundred letters.

    >>> import numpy as np
    >>> corrections = np.full((3, 4), -1)
    >>> corrections[1, 2] = 5
    >>> bool((unpack_corrections(pack_corrections(corrections)) == corrections).all())
    True
    """
    values = np.asarray(corrections)
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.integer):
        raise InputError("corrections", f"{values.dtype} of shape {values.shape}", "whole numbers (H, W)")
    packed = zlib.compress(np.ascontiguousarray(values, "<i4").tobytes(), 9)
    return f"{values.shape[0]}x{values.shape[1]}:{base64.b64encode(packed).decode()}"


@names_bad_arguments
def unpack_corrections(text: str) -> NDArray[np.int32]:
    """Decode a text from `pack_corrections`; raise `InputError` for any other text."""
    try:
        size, packed = text.split(":")
        height, width = map(int, size.split("x"))
        values = np.frombuffer(zlib.decompress(base64.b64decode(packed, validate=True)), "<i4")
        return values.reshape(height, width).astype(np.int32)
    except (AttributeError, ValueError, binascii.Error, zlib.error) as error:
        raise InputError("text", repr(text)[:40], "corrections as written by `pack_corrections`") from error
