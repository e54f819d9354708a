"""Defects of the sensor: hot and dead pixels, dust and uneven illumination.

A hot pixel has a fixed position on the sensor while the scene moves between frames, so alignment would turn it into a
trail. It is detected by a pattern that no lens can produce: a single pixel differs from all its neighbours, which are
similar to each other, in every frame, whether the scene is sharp there or blurred. Larger defects, such as dust or a
hot pixel spread by the colour filter array, look like parts of the scene in a single frame. They can only be detected
if the scene moves and they do not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, sparse

from defocus_backend.arguments import names_bad_arguments
from defocus_backend.errors import InputError
from defocus_backend.progress import CancelCallback, Reporter
from defocus_backend.stacks.changed import ChangedStack
from defocus_backend.stacks.convert import as_source
from defocus_backend.stacks.samples import spread
from defocus_backend.stacks.source import SliceSource, StackLike

_LEAST_FRAMES, _MOST_FRAMES = 3, 12
"""Smallest number of frames with unclipped neighbours of a pixel, and largest number of frames that are read."""
_EXCESS = 0.03
"""Smallest excess over the brightest neighbour, as a fraction of the value range."""
_NOISE_EXCESS = 8.0
"""Smallest excess in standard deviations of the difference between neighbours."""
_ALONE = 2.0
"""Smallest ratio of the excess to the range of the neighbours, in the median frame. A point of light through the
sharpest lens (sigma 0.5 px) has a ratio of 4 in focus, and less than 1 above a sigma of 0.9 px."""
_MOST_SHARE = 0.005
"""If a larger share of the pixels stands out, this is a property of the picture and not a defect of the sensor."""
_DARK_FLAT = 0.05
"""Pixels of a flat frame below this fraction of its median are unusable."""
_MOST_DARK = 0.1
"""Largest share of a flat frame that may be dark."""
_AROUND = 2
"""A bad pixel is filled from good pixels up to this distance beyond the nearest good one, in px."""
_RING = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
"""Offsets of the eight neighbours."""


class RepairedStack(ChangedStack):
    """Slices with repaired sensor defects: divided by a flat frame, and with bad pixels filled from their surroundings.

    Parameters
    ----------
    slices : SliceSource
    bad : (H, W) bool array
        Pixels that are filled.
    flat : (H, W, 1) or (H, W, C) float array or None
        Array by which every slice is divided.

    Attributes
    ----------
    bad : (H, W) bool array
    spots : int
        Number of connected groups of filled pixels.
    """

    @names_bad_arguments
    def __init__(self, slices: SliceSource, bad: NDArray[np.bool_], flat: NDArray[np.float64] | None = None) -> None:
        super().__init__(slices)
        if np.shape(bad) != slices.plane_shape or np.asarray(bad).dtype != np.bool_:
            given = f"shape {np.shape(bad)}, {np.asarray(bad).dtype}"
            raise InputError("bad", given, f"True or False for each pixel of a slice {slices.plane_shape}")
        if flat is not None and (np.ndim(flat) != 3 or np.shape(flat)[:2] != slices.plane_shape):
            raise InputError(
                "flat", f"shape {np.shape(flat)}", f"(H, W, 1) or (H, W, C) for slices {slices.plane_shape}"
            )
        self.bad = bad
        self.spots = int(ndimage.label(bad, np.ones((3, 3)))[1])
        self._flat = flat
        self._fill = _Fill(bad) if bad.any() else None

    def _read(self, number: int, rows: slice) -> NDArray[Any]:
        height = self.plane_shape[0]
        first, last, _ = rows.indices(height)
        reach = 0 if self._fill is None else self._fill.reach
        begin, end = max(0, first - reach), min(height, last + reach)
        values = self._slices.part(number, slice(begin, end))
        if self._flat is not None:
            values = self._divided(values, self._flat[begin:end])
        if self._fill is not None:
            values = np.array(values, copy=True, subok=True)
            planes = values[..., None] if self.channel_axis is None else np.moveaxis(values, self.channel_axis, -1)
            for colour in range(self.colours):
                self._fill(np.asarray(planes)[..., colour], begin, first, last)
        return values[(slice(None),) * self.row_axis + (slice(first - begin, last - begin),)]


class _Fill:
    """Fills pixels with the mean of the good pixels around them, weighted by distance."""

    def __init__(self, bad: NDArray[np.bool_]) -> None:
        height, width = bad.shape
        distance = ndimage.distance_transform_cdt(bad, "chessboard")
        self.reach = int(distance.max()) + _AROUND
        y, x = np.nonzero(bad)
        self._rows, self._columns = y, x
        self._width = width
        parts = []
        for number in np.unique(distance[bad]):
            ours = np.nonzero(distance[y, x] == number)[0]
            side = np.arange(-int(number) - _AROUND, int(number) + _AROUND + 1)
            dy, dx = (axis.ravel() for axis in np.meshgrid(side, side, indexing="ij"))
            rows, columns = y[ours, None] + dy, x[ours, None] + dx
            inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
            rows, columns = rows.clip(0, height - 1), columns.clip(0, width - 1)
            square = np.maximum(dy**2 + dx**2, 1).astype(float)
            weight = np.where(inside & ~bad[rows, columns], square**-2, 0)
            weight /= np.maximum(weight.sum(1, keepdims=True), np.finfo(float).tiny)
            kept = weight > 0
            parts.append(
                (weight[kept], np.broadcast_to(ours[:, None], kept.shape)[kept], (rows * width + columns)[kept])
            )
        weights, targets, sources = (np.concatenate(p) for p in zip(*parts, strict=True))
        self._matrix = sparse.csr_matrix((weights, (targets, sources)), shape=(len(y), bad.size))

    def __call__(self, plane: NDArray[Any], begin: int, first: int, last: int) -> None:
        """Fill the rows `first` to `last` - 1 of a plane that begins with row `begin`, in place."""
        ours = (self._rows >= first) & (self._rows < last)
        if not ours.any():
            return
        part = self._matrix[ours, begin * self._width : (begin + len(plane)) * self._width]
        used = np.unique(part.indices)
        found = part[:, used] @ plane.reshape(-1)[used].astype(np.float64)
        whole = not np.issubdtype(plane.dtype, np.floating)
        plane[self._rows[ours] - begin, self._columns[ours]] = np.rint(found) if whole else found


@names_bad_arguments
def repair_stack(
    stack: StackLike,
    *,
    channel_axis: int | None = None,
    hot_pixels: bool = True,
    flat_frame: ArrayLike | None = None,
    cancel: CancelCallback | None = None,
) -> SliceSource:
    """Repair hot and dead pixels of a stack and, with a flat frame, dust and shading.

    The frames must be unaligned, as they come from the sensor: repair them first, then align them.

    Parameters
    ----------
    stack : (N, H, W[, C]) array_like, list, dask array, re-iterable or callable
        The slices. Two or three are read if there are no defects, and up to 12 if there are candidates.
    channel_axis : int or None
        Channel axis of one slice; not needed for a stack that already has one.
    hot_pixels : bool
        Repair pixels that are brighter, or darker, than all their neighbours in every slice. At least three slices are
        needed.
    flat_frame : (H, W[, C]) array_like or None
        Picture of an evenly lit surface, out of focus, taken with the same lens. Slices are divided by it, relative to
        its median. Pixels below 5 % of the median are filled from their surroundings.
    cancel : callable or None
        See `defocus_backend.progress`.

    Returns
    -------
    SliceSource
        A `RepairedStack` if there is something to repair; otherwise the unchanged slices.

    Raises
    ------
    InputError, Cancelled
    """
    slices = as_source(stack, channel_axis=channel_axis)
    flat, unlit = (None, None) if flat_frame is None else _flat(flat_frame, slices)
    bad = find_hot_pixels(slices, cancel) if hot_pixels else np.zeros(slices.plane_shape, dtype=bool)
    if unlit is not None:
        bad = bad | unlit
    return RepairedStack(slices, bad, flat) if flat is not None or bad.any() else slices


def find_hot_pixels(slices: SliceSource, cancel: CancelCallback | None = None) -> NDArray[np.bool_]:
    """Mask (H, W) of pixels that are brighter, or darker, than their neighbours in every slice (three or more)."""
    none = np.zeros(slices.plane_shape, dtype=bool)
    if len(slices) < _LEAST_FRAMES or slices.dtype == np.bool_ or min(slices.plane_shape) < 3:
        return none
    numbers = spread(len(slices), _MOST_FRAMES)
    if not slices.forward:
        # Read both ends first, because objects that are sharp in one of them are blurred in the other.
        numbers = [numbers[0], numbers[-1], *numbers[1:-1]]
    low, high = slices.value_range
    reporter = Reporter(len(numbers), "slices", None, cancel)
    found: _Candidates | None = None
    for number in numbers:
        reporter.advance()
        planes = _planes(slices, number)
        found = _Candidates.of(planes, high - low) if found is None else found.seen_in(planes)
        if not len(found.sign):
            return none
    assert found is not None
    bad = found.confirmed(none.shape)
    return bad if bad.mean() <= _MOST_SHARE else none


def _planes(slices: SliceSource, number: int) -> NDArray[Any]:
    """Colours of a slice (C, H, W), with NaN for missing pixels."""
    from defocus_backend.arrays import hidden_pixels  # imported late: it loads torch, which a description does not need

    values = slices.plane(number)
    hidden = hidden_pixels(values, slices.channel_axis)
    planes = np.asarray(values)[None] if slices.channel_axis is None else np.moveaxis(values, slices.channel_axis, 0)
    planes = np.asarray(planes[: slices.colours])
    return planes if hidden is None else np.where(hidden, np.nan, planes)


class _Candidates:
    """Candidates for hot or dead pixels, with the evidence from the frames so far.

    Attributes
    ----------
    where : (3, n) int array
        Colour, row and column.
    sign : (n,) int array
        1 if the pixel is brighter than its neighbours, -1 if it is darker.
    least : float
        Smallest significant excess.
    alone : list of (n,) float arrays
        For each frame, excess over the range of the neighbours; NaN where these are clipped.
    """

    def __init__(
        self, where: NDArray[np.intp], sign: NDArray[np.float32], least: float, alone: list[NDArray[np.float32]]
    ) -> None:
        self.where, self.sign, self.least, self.alone = where, sign, least, alone

    @classmethod
    def of(cls, planes: NDArray[Any], span: float) -> _Candidates:
        """Candidates in the first frame (C, H, W), without the outermost pixels, which have too few neighbours."""
        noise = np.median(np.abs(np.diff(planes[:, ::16].astype(np.float32), axis=2))) / 0.6745
        least = float(max(_EXCESS * span, _NOISE_EXCESS * noise))
        places, signs = [], []
        for colour, plane in enumerate(planes):
            for sign in (1, -1):
                y, x = _stands_out(plane, sign, least)
                places.append(np.stack([np.full_like(y, colour), y, x]))
                signs.append(np.full(len(y), sign, np.float32))
        found = cls(np.concatenate(places, axis=1), np.concatenate(signs), least, [])
        return found.seen_in(planes)

    def seen_in(self, planes: NDArray[Any]) -> _Candidates:
        """The candidates that stand out in this frame too."""
        colour, y, x = self.where
        ring = np.stack([planes[colour, y + dy, x + dx] for dy, dx in _RING]).astype(np.float32)
        middle = planes[colour, y, x].astype(np.float32)
        low, high = ring.min(0), ring.max(0)
        excess = np.where(self.sign > 0, middle - high, low - middle)
        with np.errstate(invalid="ignore", divide="ignore"):
            alone = excess / np.maximum(high - low, self.least / _NOISE_EXCESS)
        # A pixel beside clipped neighbours cannot stand out.
        clipped = (np.where(self.sign > 0, high, -low) >= np.where(self.sign > 0, _top(planes), 0)) | np.isnan(excess)
        kept = clipped | (excess > self.least)
        alone = np.where(clipped, np.nan, alone).astype(np.float32)
        before = [one[kept] for one in self.alone]
        return _Candidates(self.where[:, kept], self.sign[kept], self.least, [*before, alone[kept]])

    def confirmed(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Mask (H, W) of candidates that enough frames confirm."""
        frames = np.stack(self.alone)
        enough = np.isfinite(frames).sum(0) >= _LEAST_FRAMES
        middle = np.nanmedian(frames[:, enough], axis=0)
        bad = np.zeros(shape, dtype=bool)
        bad[tuple(self.where[1:, enough][:, middle >= _ALONE])] = True
        return bad


def _stands_out(plane: NDArray[Any], sign: int, least: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of pixels above, or below, their four nearest neighbours; computed in the dtype of the plane."""
    inner = plane[1:-1, 1:-1]
    pick = np.maximum if sign > 0 else np.minimum
    ends = pick(plane[1:-1, :-2], plane[1:-1, 2:])
    pick(ends, plane[:-2, 1:-1], out=ends)
    pick(ends, plane[2:, 1:-1], out=ends)
    most = pick(inner, ends)  # the difference keeps its sign, so there is no overflow
    y, x = np.nonzero((most - ends if sign > 0 else ends - most) > least)
    return y + 1, x + 1


def _top(planes: NDArray[Any]) -> float:
    """Value at which integers are clipped."""
    return float(np.iinfo(planes.dtype).max) if np.issubdtype(planes.dtype, np.integer) else np.inf


def _flat(flat_frame: ArrayLike, slices: SliceSource) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """A flat frame relative to its median, (H, W, 1) or (H, W, colours), and the mask of its dark pixels."""
    given = np.asarray(flat_frame)
    planes = given[..., None] if given.ndim == 2 else given
    if given.ndim == 3 and slices.channel_axis is not None and given.shape == slices.layout:
        planes = np.moveaxis(given, slices.channel_axis, -1)
    planes = planes[..., : slices.colours] if planes.ndim == 3 and planes.shape[-1] > slices.colours else planes
    if planes.shape[:-1] != slices.plane_shape or planes.shape[-1] not in (1, slices.colours):
        wanted = f"a picture of {slices.plane_shape}, gray or in the colours of the slices"
        raise InputError("flat_frame", f"shape {given.shape}", wanted)
    values = planes.astype(np.float64)
    middle = np.median(values, axis=(0, 1))
    if not (np.isfinite(values).all() and (middle > 0).all()):
        raise InputError("flat_frame", f"values of median {middle.tolist()}", "finite values, most of them above 0")
    values /= middle
    dark = np.asarray((values < _DARK_FLAT).any(axis=-1))
    if dark.mean() > _MOST_DARK:
        raise InputError("flat_frame", f"{dark.mean():.0%} dark pixels", "a picture of an evenly lit surface")
    return np.where(dark[..., None], 1.0, values), dark
