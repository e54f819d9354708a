"""Frames of a stack by number, from whatever holds them, and the small gray pictures that are registered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from defocus_backend.align.register import Pyramid
from defocus_backend.arrays import Image, as_image, hidden_pixels
from defocus_backend.errors import InputError

StackLike = ArrayLike | Iterable[ArrayLike] | Callable[[], Iterable[ArrayLike]]
"""What `align_stack` takes, as `fuse` does."""

WORKING_SIDE = 1024
"""Longest side at which frames are registered, px; a fiftieth of such a pixel is what one link can be off by."""
_COLOUR_SIDE = 128


class Frames(Sequence[NDArray[Any]]):
    """Frames by number, held to the size and dtype of the first.

    Sources that can only be read forwards are read forwards: going back starts them anew, so one pass over all
    frames in order reads each once.

    Parameters
    ----------
    stack : array, list, dask array, re-iterable, iterator or callable
        ``(N, H, W[, C])``; a plain iterator is kept in memory, since frames are read more than once.
    channel_axis : int or None
        Channel axis of one frame.
    """

    def __init__(self, stack: StackLike, channel_axis: int | None) -> None:
        source: Any = list(stack) if isinstance(stack, Iterator) else stack
        if not callable(source) and (isinstance(source, str | bytes) or not hasattr(source, "__iter__")):
            raise InputError("stack", type(source).__name__, "an array (N, H, W[, C]) or a series of frames")
        if hasattr(source, "ndim") and source.ndim < 3:
            raise InputError("stack", f"shape {tuple(source.shape)}", "three or more dimensions (N, H, W[, C])")
        self._indexed = hasattr(source, "__getitem__") and hasattr(source, "__len__")
        self._source, self.channel_axis = source, channel_axis
        self._running: Iterator[Any] = iter(())
        self._next = -1
        self._length = len(source) if hasattr(source, "__len__") else sum(1 for _ in self._start())
        if not self._length:
            raise InputError("stack", "no frames", "at least one")
        first = np.asanyarray(self._raw(0))
        checked = as_image(first, channel_axis=channel_axis, argument="stack[0]")
        self.shape, self.dtype, self._layout = checked.shape, first.dtype, first.shape
        self.value_range = self._find_range(checked)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> NDArray[Any]:  # type: ignore[override]
        """One frame; raise `InputError` if it does not fit the first."""
        number = range(self._length)[index]
        frame = np.asanyarray(self._raw(number))
        if frame.shape != self._layout or frame.dtype != self.dtype:
            given, wanted = f"{frame.dtype} {frame.shape}", f"{self.dtype} {self._layout} as the first"
            raise InputError(f"stack[{number}]", given, wanted)
        return frame

    def _find_range(self, first: Image) -> tuple[float, float]:
        """The first frame's range or, where ranges are found from the pixels, the widest of three frames'."""
        if not self._indexed or self.dtype in (np.uint8, np.bool_):
            return first.low, first.high
        others = {self._length // 2, self._length - 1} - {0}
        found = [as_image(self[n], channel_axis=self.channel_axis, argument=f"stack[{n}]") for n in others]
        return min(i.low for i in [first, *found]), max(i.high for i in [first, *found])

    def _start(self) -> Iterator[Any]:
        return iter(self._source() if callable(self._source) else self._source)

    def _raw(self, number: int) -> Any:
        if self._indexed:
            return self._source[number]
        if number < self._next or self._next < 0:
            self._running, self._next = self._start(), 0
        for frame in self._running:
            self._next += 1
            if self._next > number:
                return frame
        raise InputError("stack", f"{self._next} frames on a later reading", f"{self._length} as before")

    def small(self, number: int, side: int = WORKING_SIDE) -> SmallFrame:
        """One frame as it is registered: gray, reduced by a whole factor."""
        import cv2

        frame = self[number]
        hidden = hidden_pixels(frame, self.channel_axis)
        values = np.asarray(frame)
        planes = values if self.channel_axis is None else np.moveaxis(values, self.channel_axis, -1)
        factor = -(-max(self.shape) // side)
        height, width = (max(1, n // factor) for n in self.shape)
        reduced = cv2.resize(
            for_opencv(planes[: height * factor, : width * factor]), (width, height), interpolation=cv2.INTER_AREA
        )
        reduced = reduced.reshape(height, width, -1).astype(np.float32)
        if hidden is not None:
            blocks = hidden[: height * factor, : width * factor].reshape(height, factor, width, factor)
            reduced[blocks.any((1, 3))] = np.nan
        low, high = self.value_range
        scale = 255.0 if self.dtype == np.bool_ else 1.0
        image = as_image(
            reduced,
            channel_axis=-1,
            value_range=(low * scale, high * scale),
            argument=f"stack[{number}]",
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


@dataclass(frozen=True)
class SmallFrame:
    """What is kept of a frame while its neighbour is registered on it.

    Attributes
    ----------
    pyramid : Pyramid
    colours : (h, w, C) float32 array
        Block means in the frame's own values.
    shape : (int, int)
        Of the finest level of the pyramid.
    factor : int
        Pixels of the frame per pixel of that level.
    """

    pyramid: Pyramid
    colours: NDArray[np.float32]
    shape: tuple[int, int]
    factor: int


def for_opencv(pixels: NDArray[Any]) -> NDArray[Any]:
    """The same values in a dtype that OpenCV resamples; bool becomes 0 and 255."""
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype in (np.uint8, np.uint16, np.int16, np.float32, np.float64):
        return np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))
    wide = pixels.dtype.itemsize > 2
    return np.ascontiguousarray(pixels, dtype=np.float64 if wide else np.float32)
