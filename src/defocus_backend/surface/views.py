"""Views of a picture and its height from the side: stereo pairs, anaglyphs and rocking animations."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from defocus_backend.arrays import as_image
from defocus_backend.errors import InputError
from defocus_backend.surface.refocus import Nearest, filled

_FINE = 4
"""Number of points drawn per pixel, and of grid columns per pixel on which they are drawn."""
_TEAR = 3.0
"""Two neighbouring pixels belong to different surfaces if their parallax differs by more than this, in pixels."""

Display = NDArray[np.uint8]


def parallax_view(
    image: ArrayLike,
    height: ArrayLike,
    angle: float,
    *,
    pixel_size: float = 1.0,
    pivot: float | None = None,
    nearest: Nearest = "high",
    channel_axis: int | None = None,
) -> Display:
    """Render the picture as seen by an eye that has moved to the right by an angle.

    Points nearer than the pivot move to the left, in proportion to their height. Near points cover far ones. Areas that
    become visible behind an edge are filled from the background.

    Parameters
    ----------
    image : (H, W) or, with `channel_axis`, (H, W, C) array_like
        Picture, such as `Fusion.image`.
    height : (H, W) array_like
        Height map, such as `Fusion.height`; NaN is interpolated.
    angle : float
        Angle in degrees, -60 to 60.
    pixel_size : float
        Size of a pixel in the unit of the height.
    pivot : float or None
        Height that does not move; by default the median.
    nearest : {"high", "low"}
        End of the height range that is nearer to the eye.
    channel_axis : int or None
        Axis of the colour channels.

    Returns
    -------
    (H, W) or (H, W, 3) uint8 array
        The view for display, with black and white as in `defocus_map`.

    Raises
    ------
    InputError
    """
    pixels, nearness, centre = _prepare(image, height, channel_axis, nearest, pivot)
    return _view(pixels, nearness - centre, _slope(angle, pixel_size))


def stereo_pair(
    image: ArrayLike,
    height: ArrayLike,
    angle: float = 6.0,
    *,
    pixel_size: float = 1.0,
    pivot: float | None = None,
    nearest: Nearest = "high",
    channel_axis: int | None = None,
) -> tuple[Display, Display]:
    """Views of the left and the right eye, each at half of the angle in degrees; see `parallax_view`."""
    pixels, nearness, centre = _prepare(image, height, channel_axis, nearest, pivot)
    left, right = (_view(pixels, nearness - centre, _slope(side * angle / 2, pixel_size)) for side in (-1, 1))
    return left, right


def side_by_side(pair: tuple[Display, Display], *, crossed: bool = False) -> Display:
    """Combine a stereo pair side by side, for parallel viewing or, with `crossed`, for cross-eyed viewing."""
    return np.hstack(pair[::-1] if crossed else pair)


def anaglyph(pair: tuple[Display, Display]) -> Display:
    """Combine a stereo pair for red-cyan glasses: red from the gray left picture, green and blue from the right one."""
    left, right = (p if p.ndim == 3 else np.repeat(p[..., None], 3, axis=2) for p in pair)
    red = left.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.concatenate([np.rint(red)[..., None].astype(np.uint8), right[..., 1:]], axis=2)


def rocking_views(
    image: ArrayLike,
    height: ArrayLike,
    angle: float = 8.0,
    *,
    frames: int = 24,
    pixel_size: float = 1.0,
    pivot: float | None = None,
    nearest: Nearest = "high",
    channel_axis: int | None = None,
) -> Iterator[Display]:
    """Yield views of one period that rocks to either side by an angle in degrees; see `parallax_view`.

    Yields
    ------
    (H, W) or (H, W, 3) uint8 array
    """
    if frames < 2:
        raise InputError("frames", repr(frames), "at least 2")
    pixels, nearness, centre = _prepare(image, height, channel_axis, nearest, pivot)
    slopes = [_slope(angle * math.sin(2 * math.pi * n / frames), pixel_size) for n in range(frames)]
    return (_view(pixels, nearness - centre, slope) for slope in slopes)


def _slope(angle: float, pixel_size: float) -> float:
    """Parallax in pixels per unit of height."""
    if not -60 <= angle <= 60:
        raise InputError("angle", repr(angle), "-60 to 60 degrees")
    if not (math.isfinite(pixel_size) and pixel_size > 0):
        raise InputError("pixel_size", repr(pixel_size), "more than 0")
    return math.tan(math.radians(angle)) / pixel_size


def _prepare(
    image: ArrayLike, height: ArrayLike, channel_axis: int | None, nearest: Nearest, pivot: float | None
) -> tuple[NDArray[np.float32], NDArray[np.float64], float]:
    """Pixels (H, W, C) from 0 to 255, nearness (H, W), and nearness of the pivot."""
    source = as_image(image, channel_axis=channel_axis)
    depth = filled(height)
    if depth.shape != source.shape:
        raise InputError("height", f"shape {depth.shape}", f"the image's shape {source.shape}")
    if nearest not in ("high", "low"):
        raise InputError("nearest", repr(nearest), "'high' or 'low'")
    sign = 1.0 if nearest == "high" else -1.0
    centre = float(np.median(depth)) if pivot is None else float(pivot)
    pixels = source.pixels.clamp(0, 1).mul(255).permute(1, 2, 0).contiguous().numpy()
    return pixels, sign * depth, sign * centre


def _view(pixels: NDArray[np.float32], nearness: NDArray[np.float64], slope: float) -> Display:
    """Draw every row from far to near, shifted by the parallax, on a finer grid, and average it."""
    height, width, channels = pixels.shape
    shift = -slope * nearness
    steps = np.diff(shift, axis=1)
    torn = np.abs(steps) > _TEAR
    fractions = np.arange(_FINE) / _FINE
    # At a depth edge, each side extends to the midpoint.
    blend = np.where(torn[..., None], np.round(fractions), fractions)
    place = np.arange(width - 1)[None, :, None] + np.where(torn[..., None], 0, fractions) + torn[..., None] * blend
    target = place + shift[:, :-1, None] + steps[..., None] * blend
    near = nearness[:, :-1, None] + np.diff(nearness, axis=1)[..., None] * blend
    colour = pixels[:, :-1, None] + np.diff(pixels, axis=1)[:, :, None] * blend[..., None]
    rows = np.broadcast_to(np.arange(height)[:, None, None], target.shape)
    at = np.rint(_FINE * target).astype(np.intp)
    inside = (at >= 0) & (at < _FINE * width)
    order = np.argsort(near[inside], kind="stable")  # of several values at one index, numpy keeps the last
    flat = (rows[inside] * (_FINE * width) + at[inside])[order]
    drawn = np.zeros((height * _FINE * width, channels), np.float32)
    depth = np.full(height * _FINE * width, np.nan)
    drawn[flat] = colour[inside][order]
    depth[flat] = near[inside][order]
    wide = _fill_rows(drawn.reshape(height, -1, channels), depth.reshape(height, -1))
    beside = np.pad(wide, [(0, 0), (1, 1), (0, 0)], mode="edge")
    soft = beside[:, :-2:_FINE] / 4 + beside[:, 1:-1:_FINE] / 2 + beside[:, 2::_FINE] / 4
    result = np.rint(soft).astype(np.uint8)
    return result[..., 0] if channels == 1 else result


def _fill_rows(drawn: NDArray[np.float32], depth: NDArray[np.float64]) -> NDArray[np.float32]:
    """Fill each gap in a row with the colour of its farther end."""
    known = np.isfinite(depth)
    columns = np.arange(depth.shape[1])
    left = np.maximum.accumulate(np.where(known, columns, -1), axis=1)
    right = np.minimum.accumulate(np.where(known, columns, len(columns))[:, ::-1], axis=1)[:, ::-1]
    rows = np.arange(depth.shape[0])[:, None]
    of_left = np.where(left >= 0, depth[rows, left.clip(0)], np.inf)
    of_right = np.where(right < len(columns), depth[rows, right.clip(max=len(columns) - 1)], np.inf)
    source = np.where(of_left <= of_right, left.clip(0), right.clip(max=len(columns) - 1))
    return np.where(known[..., None], drawn, drawn[rows, source])
