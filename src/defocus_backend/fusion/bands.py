"""Large planes are fused band by band, so that memory depends neither on the number of slices nor on their size."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from defocus_backend.device import give_back_freed_memory
from defocus_backend.fusion.stack import FocalStack
from defocus_backend.progress import ProgressCallback

F = TypeVar("F", bound=Callable[..., Any])

WHOLE_PIXELS = 6_000_000
"""Largest plane that is fused at once; a fusion works with about 150 bytes for each of these pixels."""
BAND_PIXELS = 5_400_000
"""Pixels of a band with its halo: what is left of 3 GB holds the results of 20 megapixels."""
_HALO = 96
"""Rows read on either side of a band. Beyond them no filter of the fusion reaches, and the network hardly."""
_FADE = 32
"""Rows on either side of a seam in which the fused image goes over from one band to the next."""


@dataclass(frozen=True)
class Band:
    """Rows `start` .. `stop` - 1 of a plane, and the rows `first` .. `last` - 1 that are read for them."""

    start: int
    stop: int
    first: int
    last: int

    @property
    def inner(self) -> slice:
        """Where the band's own rows lie among those that are read."""
        return slice(self.start - self.first, self.stop - self.first)


def bands_of(shape: tuple[int, int]) -> list[Band]:
    """Bands of equal height that cover a plane (H, W); a single one if it is not large."""
    height, width = shape
    if height * width <= WHOLE_PIXELS:
        return [Band(0, height, 0, height)]
    # Very wide planes: the halo must not outweigh the band.
    rows = max(BAND_PIXELS // width - 2 * _HALO, 2 * _HALO)
    count = -(-height // rows)
    edges = [round(n * height / count) for n in range(count + 1)]
    return [Band(a, b, max(0, a - _HALO), min(height, b + _HALO)) for a, b in itertools.pairwise(edges)]


def in_bands(fuse: F) -> F:
    """Let a function that fuses a stack into a dataclass of maps (..., H, W) do so in bands where planes are large.

    The values that count as black and white are found once for the whole stack. All slices are read once more for
    every band. Maps are cut at the seams, the fused image fades over. An image with `axes` goes to `fuse_nd`, which
    comes back for each of its stacks.
    """

    @functools.wraps(fuse)
    def fuse_large(stack: Any, **options: Any) -> Any:
        if options.get("axes") is not None:
            from defocus_backend.fusion.nd import fuse_nd

            if options.get("channel_axis", 0) is None:
                del options["channel_axis"]
            return fuse_nd(stack, **options)
        if isinstance(stack, Iterator):
            stack = list(stack)
        channel_axis = options.get("channel_axis")
        shape = _plane_shape(stack, channel_axis)
        whole = options.get("decision") == "region"  # how large a region is cannot be told from a part of it
        if whole or shape is None or len(bands_of(shape)) == 1:
            return fuse(stack, **options)
        source = FocalStack(stack, channel_axis=channel_axis, value_range=options.get("value_range"))
        bands = bands_of(source.shape)
        axis = 0 if channel_axis is None or channel_axis % 3 else 1
        progress: ProgressCallback | None = options.get("progress")
        result = None
        rows = _RowsByNumber if hasattr(stack, "__getitem__") else _Rows
        for number, band in enumerate(bands):
            part = fuse(
                rows(stack, len(source), band, axis),
                **{**options, "value_range": source.value_range, "progress": _share(progress, number, len(bands))},
            )
            result = _merge(result, part, band, source.shape[0], axis)
            del part
            give_back_freed_memory()
        return result

    return fuse_large  # type: ignore[return-value]


def _plane_shape(stack: Any, channel_axis: int | None) -> tuple[int, int] | None:
    """Height and width of a slice, or None where the stack is nothing that can be fused."""
    axes = 2 if channel_axis is None else 3
    # An aligned stack has the shape of its slices.
    if len(getattr(stack, "shape", ())) == 1 + axes:
        shape = tuple(stack.shape[1:])
    else:
        try:
            shape = np.shape(next(iter(stack() if callable(stack) else stack), 0))
        except (TypeError, ValueError):
            return None  # for the function itself to refuse
    if len(shape) != axes:
        return None
    sizes = [int(n) for axis, n in enumerate(shape) if channel_axis is None or axis != channel_axis % 3]
    return sizes[0], sizes[1]


class _Rows:
    """The rows of one band of every slice, masked where a slice is."""

    partial = True
    """A slice that has pixels elsewhere may have none in a band."""

    def __init__(self, stack: Any, count: int, band: Band, axis: int) -> None:
        self._stack, self._count = stack, count
        self._key = (slice(None),) * axis + (slice(band.first, band.last),)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[NDArray[Any]]:
        for values in self._stack() if callable(self._stack) else self._stack:
            yield np.asanyarray(values)[self._key]


class _RowsByNumber(_Rows):
    """The same of a stack that can be asked for any slice; a lazy one is asked for one at a time."""

    def __getitem__(self, number: int) -> NDArray[Any]:
        if not 0 <= number < self._count:
            raise IndexError(number)
        return np.asanyarray(self._stack[number])[self._key]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self[number] for number in range(self._count))


def _share(progress: ProgressCallback | None, band: int, bands: int) -> ProgressCallback | None:
    """The caller's callback, with the counts of one band as part of those of all."""
    if progress is None:
        return None
    return lambda done, total, what: progress(band * total + done, bands * total, what)


def _merge(whole: Any, part: Any, band: Band, height: int, image_axis: int) -> Any:
    """Put what one band gave into the arrays of the whole; they are made with the first band."""
    changed: dict[str, Any] = {}
    for field in fields(part):
        value = getattr(part, field.name)
        known = None if whole is None else getattr(whole, field.name)
        if is_dataclass(value) and not isinstance(value, type):
            changed[field.name] = _merge(known, value, band, height, image_axis)
        elif isinstance(value, np.ndarray):
            axis = image_axis if field.name == "image" else value.ndim - 2
            if known is None:
                shape = (*value.shape[:axis], height, *value.shape[axis + 1 :])
                known = np.empty(shape, value.dtype)
            fade = _FADE if field.name == "image" and value.dtype != np.bool_ else 0
            _put(np.moveaxis(known, axis, 0), np.moveaxis(value, axis, 0), band, fade)
            changed[field.name] = known
        else:
            changed[field.name] = value if whole is None else known
    return replace(part, **changed)


def _put(whole: NDArray[Any], part: NDArray[Any], band: Band, fade: int) -> None:
    """Copy a band's rows, and with `fade` those beyond its lower end, into which the next band then fades."""
    fade_in = fade if band.start else 0
    top, last = band.start + fade_in, min(band.last, band.stop + fade)
    whole[top:last] = part[top - band.first : last - band.first]
    if not fade_in:
        return
    rows = slice(band.start - fade, top)
    fresh = part[rows.start - band.first : rows.stop - band.first]
    ramp = (np.arange(2 * fade, dtype=np.float64) + 0.5) / (2 * fade)
    ramp = ramp.reshape(-1, *(1,) * (fresh.ndim - 1))
    mixed = whole[rows] * (1 - ramp) + fresh * ramp
    whole[rows] = np.rint(mixed) if np.issubdtype(whole.dtype, np.integer) else mixed
