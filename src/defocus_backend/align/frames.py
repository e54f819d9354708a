"""Small gray versions of the frames, used for registration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from defocus_backend.align.register import Pyramid
from defocus_backend.arrays import as_image, hidden_pixels
from defocus_backend.stacks import SliceSource

WORKING_SIDE = 1024
"""Longest side of a frame at registration, px. The error of one registration is about a fiftieth of such a pixel."""
_COLOUR_SIDE = 128


@dataclass(frozen=True)
class SmallFrame:
    """Data of a frame for the registration of its neighbour.

    Attributes
    ----------
    pyramid : Pyramid
    colours : (h, w, C) float32 array
        Block means, in the values of the frame.
    shape : (int, int)
        Shape of the finest level of the pyramid.
    factor : int
        Pixels of the frame per pixel of that level.
    """

    pyramid: Pyramid
    colours: NDArray[np.float32]
    shape: tuple[int, int]
    factor: int


def small_frame(frames: SliceSource, number: int, side: int = WORKING_SIDE) -> SmallFrame:
    """A frame prepared for registration: gray, and reduced by an integer factor to at most `side` px."""
    import cv2

    low, high = frames.value_range  # found first, because this may read and cache the frame
    frame, axis = frames.plane(number), frames.channel_axis
    hidden = hidden_pixels(frame, axis)
    values = np.asarray(frame)
    planes = values if axis is None else np.moveaxis(values, axis, -1)
    factor = -(-max(frames.plane_shape) // side)
    height, width = (max(1, n // factor) for n in frames.plane_shape)
    reduced = cv2.resize(
        for_opencv(planes[: height * factor, : width * factor]), (width, height), interpolation=cv2.INTER_AREA
    )
    reduced = reduced.reshape(height, width, -1).astype(np.float32)
    if hidden is not None:
        blocks = hidden[: height * factor, : width * factor].reshape(height, factor, width, factor)
        reduced[blocks.any((1, 3))] = np.nan
    scale = 255.0 if frames.dtype == np.bool_ else 1.0
    image = as_image(
        reduced,
        channel_axis=-1,
        value_range=(low * scale, high * scale),
        argument=frames.label(number),
    )
    pixels = np.ascontiguousarray(np.moveaxis(image.pixels.numpy(), 0, -1))
    valid = None if image.valid is None else image.valid.numpy()
    coarse = max(1, -(-max(height, width) // _COLOUR_SIDE))
    size = (max(1, width // coarse), max(1, height // coarse))
    colours = cv2.resize(pixels[: size[1] * coarse, : size[0] * coarse], size, interpolation=cv2.INTER_AREA)
    return SmallFrame(
        pyramid=Pyramid.of(np.ascontiguousarray(image.gray.numpy()), valid),
        colours=(colours.reshape(*colours.shape[:2], -1) * (high - low) + low).astype(np.float32),
        shape=(height, width),
        factor=factor,
    )


def for_opencv(pixels: NDArray[Any]) -> NDArray[Any]:
    """The same values in a dtype that OpenCV can resample; bool becomes 0 and 255."""
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype in (np.uint8, np.uint16, np.int16, np.float32, np.float64):
        return np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))
    wide = pixels.dtype.itemsize > 2
    return np.ascontiguousarray(pixels, dtype=np.float64 if wide else np.float32)
