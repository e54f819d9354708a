"""Aligned frames, resampled from the original pixels on each access."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from defocus_backend.align.alignment import Alignment
from defocus_backend.align.area import Window
from defocus_backend.align.frames import for_opencv
from defocus_backend.arguments import names_bad_arguments
from defocus_backend.arrays import hidden_pixels
from defocus_backend.errors import InputError
from defocus_backend.luma import LUMA
from defocus_backend.params import AlignParams
from defocus_backend.stacks import SliceSource, StackLike, as_source
from defocus_backend.stacks.changed import ChangedStack

_A = AlignParams
_BAND = 256
"""Number of rows that are resampled at once, so that only a band of the frame is stored as floats."""
_LOST = 8
"""Pixels within this distance of a missing pixel count as missing."""


class AlignedStack(ChangedStack):
    """The aligned frames of a stack; only one is in memory at a time.

    Each frame is resampled once, from its original pixels, and keeps its dtype. The value range is that of the original
    stack. Masked pixels and, with ``border="mark"``, pixels that a frame does not cover are NaN in floats; for other
    dtypes, frames are masked arrays.

    Attributes
    ----------
    alignment : Alignment
    window : (slice, slice)
        Rows and columns of the reference that the aligned frames show.
    """

    @names_bad_arguments
    def __init__(self, frames: SliceSource, alignment: Alignment, border: str = _A.border) -> None:
        if not isinstance(alignment, Alignment):
            raise InputError("alignment", type(alignment).__name__, "an Alignment")
        height, width = frames.plane_shape
        window: Window | None = alignment.crop if border == "crop" else (slice(0, height), slice(0, width))
        if window is None:
            raise InputError("stack", "frames without a common area", "frames that overlap, or border='mark'")
        self.alignment, self.window = alignment, window
        self._mark = border == "mark"
        layout = list(frames.layout)
        columns = 2 - (frames.channel_axis is None or frames.channel_axis % 3 == 2)
        layout[frames.row_axis], layout[columns] = (part.stop - part.start for part in window)
        super().__init__(frames, tuple(layout))

    def _read(self, number: int, rows: slice) -> NDArray[Any]:
        """Resample one frame, or the given rows of it."""
        frame = self._slices.plane(number)
        axis = self.channel_axis
        planes = np.asarray(frame)[..., None] if axis is None else np.moveaxis(np.asarray(frame), axis, -1)
        moved, lost = self._resample(planes, hidden_pixels(frame, axis), number, rows)
        if self._mark:
            uncovered = ~self.alignment.covered(number)[self.window][rows]
            lost = uncovered if lost is None else lost | uncovered
        floats = np.issubdtype(moved.dtype, np.floating)
        if lost is not None and floats:
            moved[lost] = np.nan
        result = moved[..., 0] if axis is None else np.moveaxis(moved, -1, axis)
        if lost is not None and lost.any() and not floats:
            lost = lost if axis is None else np.expand_dims(lost, axis)
            return np.ma.MaskedArray(result, np.broadcast_to(lost, result.shape))
        return np.ascontiguousarray(result)

    def _resample(
        self, planes: NDArray[Any], missing: NDArray[np.bool_] | None, number: int, rows: slice
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Resample rows of the window (h, w, C) from a frame (H, W, C), with matched exposure; also return the mask."""
        gain = _channel_gains(self.alignment.gains[number], self._slices.colours, planes.shape[-1])
        if self.alignment.is_still(number) and (gain == 1).all():
            return planes[self.window][rows].copy(), None if missing is None else missing[self.window][rows]
        floats = np.issubdtype(planes.dtype, np.floating)
        if floats:
            finite = np.isfinite(planes).all(-1)
            if not finite.all():
                missing = ~finite if missing is None else missing | ~finite
        limits = _limits(planes if missing is None or not floats else planes[~missing])
        # Clip floats to the unit range if the frame was in it, and integers to the range of their dtype.
        bound = (min(0.0, limits[0]), max(1.0, limits[1])) if self._slices.value_range == (0, 1) else None
        if missing is not None and floats:
            planes = np.where(missing[..., None], planes.dtype.type(0), planes)
        height, width = self.plane_shape
        first, last, _ = rows.indices(height)
        # The steps do not depend on the requested rows, because the start of a step affects the rounding of the last
        # bits.
        begin = first // _BAND * _BAND
        result = np.empty((min(-(-last // _BAND) * _BAND, height) - begin, width, planes.shape[-1]), planes.dtype)
        for top in range(begin, last, _BAND):
            bottom = min(top + _BAND, height)
            band = self._band(planes, number, top, bottom)
            if floats:  # limit the overshoot to the range of the frame before its exposure is matched
                np.clip(band, *limits, out=band)
            band /= gain
            if floats and bound is not None:
                np.clip(band, *bound, out=band)
            result[top - begin : bottom - begin] = _as_dtype(band, planes.dtype, limits)
        touched = None if missing is None else self._touched(missing, number)[rows]
        return result[first - begin : last - begin], touched

    def _band(self, planes: NDArray[Any], number: int, top: int, bottom: int) -> NDArray[Any]:
        """Resample rows `top` to `bottom` of the result as floats, reading only the needed rows of the frame."""
        width = self.plane_shape[1]
        start = np.array([[1, 0, self.window[1].start], [0, 1, self.window[0].start + top], [0, 0, 1]])
        matrix = self.alignment.matrices[number] @ start
        corners = matrix @ np.array([[0, width, 0, width], [0, 0, bottom - top, bottom - top], [1, 1, 1, 1]])
        rows = corners[1] / corners[2]
        first = int(np.clip(np.floor(rows.min()) - _LOST, 0, planes.shape[0] - 1))
        last = int(np.clip(np.ceil(rows.max()) + _LOST, first + 1, planes.shape[0]))
        matrix = np.array([[1, 0, 0], [0, 1, -first], [0, 0, 1.0]]) @ matrix
        part = for_opencv(planes[first:last])
        part = part.astype(np.float64 if part.dtype == np.float64 else np.float32)
        if self.alignment.is_still(number):
            moved = part[self.window[0].start + top - first :][: bottom - top, self.window[1]].copy()
        else:
            moved = self._warp(part, matrix, (width, bottom - top), _flag(self.alignment.interpolation))
        scale = 255 if planes.dtype == np.bool_ else 1
        return np.asarray(moved.reshape(bottom - top, width, -1) / moved.dtype.type(scale))

    @staticmethod
    def _warp(part: NDArray[Any], matrix: NDArray[np.float64], size: tuple[int, int], kernel: int) -> Any:
        import cv2

        flags = kernel | cv2.WARP_INVERSE_MAP
        if (matrix[2] == (0, 0, 1)).all():
            return cv2.warpAffine(part, matrix[:2], size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return cv2.warpPerspective(part, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)

    def _touched(self, missing: NDArray[np.bool_], number: int) -> NDArray[np.bool_]:
        """Mask of pixels of the window that depend on a missing pixel."""
        import cv2

        still = self.alignment.is_still(number)
        spread = missing.astype(np.uint8)
        if not still:
            spread = np.asarray(cv2.dilate(spread, np.ones((_LOST + 1, _LOST + 1), np.uint8)), dtype=np.uint8)
        matrix = self.alignment.matrices[number] @ np.array(
            [[1, 0, self.window[1].start], [0, 1, self.window[0].start], [0, 0, 1]]
        )
        moved = self._warp(spread, matrix, self.plane_shape[::-1], cv2.INTER_NEAREST)
        return np.asarray(moved > 0)


@names_bad_arguments
def apply_alignment(
    stack: StackLike, alignment: Alignment, *, channel_axis: int | None = None, border: str = _A.border
) -> AlignedStack:
    """Align a stack by known transforms, such as those of another channel or from a file.

    Parameters
    ----------
    stack : (N, H, W[, C]) array_like, list, dask array, re-iterable or callable
        See `align_stack`.
    alignment : Alignment
        From `align_stack` or `Alignment.load`.
    channel_axis : int or None
        Channel axis of one frame; not needed for a stack that already has one.
    border : {"crop", "mark"}
        See `align_stack`.

    Returns
    -------
    AlignedStack

    Raises
    ------
    InputError
        If the alignment is for another number, size or colour of frames.
    """
    params = AlignParams(border=border)
    require_opencv()
    frames = as_source(stack, channel_axis=channel_axis)
    given = f"{len(frames)} frames of {frames.plane_shape}"
    if len(frames) != len(alignment) or frames.plane_shape != alignment.shape:
        raise InputError("stack", given, f"{len(alignment)} frames of {alignment.shape}, as in the alignment")
    return AlignedStack(frames, alignment, params.border)


def require_opencv() -> None:
    """Raise `InputError` with advice if OpenCV is not installed."""
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        wanted = "OpenCV, a dependency: pip install opencv-python-headless"
        raise InputError("align", "an installation without OpenCV", wanted) from error


def _flag(interpolation: str) -> int:
    import cv2

    return int({"cubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4}[interpolation])


def _channel_gains(gains: NDArray[np.float64], colours: int, channels: int) -> NDArray[np.float32]:
    """Gains of all channels; alpha has a gain of 1. A gray frame uses the luma of the gains of three colours."""
    if len(gains) != colours:
        if len(gains) == 3 and colours == 1:
            gains = np.dot(LUMA, gains)[None]
        elif len(gains) == 1:
            gains = np.repeat(gains, colours)
        else:
            raise InputError("alignment", f"gains of {len(gains)} channels", f"those of {colours} channels")
    return np.asarray([*gains, *[1.0] * (channels - colours)], dtype=np.float32)


def _limits(planes: NDArray[Any]) -> tuple[float, float]:
    """Limits of interpolated values: the range of the dtype, or for floats the range of the frame's valid pixels."""
    if planes.dtype == np.bool_:
        return 0.0, 1.0
    if np.issubdtype(planes.dtype, np.integer):
        info = np.iinfo(planes.dtype)
        return float(info.min), float(info.max)
    return (float(planes.min()), float(planes.max())) if planes.size else (0.0, 0.0)


def _as_dtype(values: NDArray[Any], dtype: np.dtype[Any], limits: tuple[float, float]) -> NDArray[Any]:
    if dtype == np.bool_:
        return np.asarray(values >= 0.5)
    if np.issubdtype(dtype, np.integer):
        highest = np.nextafter(values.dtype.type(limits[1]) + 1, 0, dtype=values.dtype)
        return np.asarray(np.clip(np.rint(values), limits[0], highest).astype(dtype))
    return values.astype(dtype)
