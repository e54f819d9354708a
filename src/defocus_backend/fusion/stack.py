"""A focal stack as a source of slices that can be read more than once, in whatever form it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from defocus_backend.arrays import Image, as_image
from defocus_backend.errors import InputError

StackLike = ArrayLike | Iterable[ArrayLike] | Callable[[], Iterable[ArrayLike]]
"""What `fuse` takes as a stack."""

_RANGE_SLICES = 9


class FocalStack:
    """Slices of one size, type and value range, read one at a time.

    Parameters
    ----------
    stack : array, list, dask array, re-iterable or callable
        ``(N, H, W[, C])``; anything that can be iterated twice; or a function without arguments that
        returns an iterator of slices. A plain iterator is kept in memory, since fusion reads twice. Slices of a
        stack that has a true attribute `partial`, as a band of a larger one, may be missing altogether.
    channel_axis : int or None
        Channel axis of one slice.
    value_range : (float, float) or None
        As for `as_image`; by default found once for the whole stack, from a few slices; from the first of what
        can only be read in order.
    argument : str
        Name in error messages.
    """

    def __init__(
        self,
        stack: StackLike,
        *,
        channel_axis: int | None = None,
        value_range: tuple[float, float] | None = None,
        argument: str = "stack",
    ) -> None:
        # A plain iterator can be read only once.
        self._stack: Any = list(stack) if isinstance(stack, Iterator) else stack
        self._read, self._length, self._item = _reader(self._stack, argument)
        self._channel_axis = channel_axis
        self._argument = argument
        self._partial = bool(getattr(stack, "partial", False))
        first = self._first(value_range)
        self.shape = first.shape
        self.channels = int(first.pixels.shape[0])
        self.dtype = first.dtype
        self.value_range = value_range or self._find_range(first)

    def __len__(self) -> int:
        """Number of slices; counted by reading once where the source does not know it."""
        if self._length is None:
            self._length = sum(1 for _ in self._read())
        return self._length

    def __iter__(self) -> Iterator[Image]:
        """Slices in order, checked against the first."""
        count = 0
        for count, values in enumerate(self._read(), start=1):
            image = self._as_image(values, count - 1, self.value_range)
            if image.shape != self.shape or image.pixels.shape[0] != self.channels:
                raise InputError(
                    f"{self._argument}[{count - 1}]",
                    f"shape {tuple(image.pixels.shape)} (C, H, W)",
                    f"the first slice's shape {(self.channels, *self.shape)}",
                )
            if image.dtype != self.dtype:
                raise InputError(
                    f"{self._argument}[{count - 1}]",
                    f"dtype {image.dtype}",
                    f"the first slice's {self.dtype}",
                )
            yield image
        if self._length is not None and count != self._length:
            raise InputError(self._argument, f"{count} slices on a later reading", f"{self._length} as before")

    def sample(self, count: int, pixels: int) -> Iterator[Image]:
        """Pairs of neighbouring rows of some slices, both evenly spread, the same ones in whatever form it comes.

        A slice that is missing in all of these rows is left out.

        Parameters
        ----------
        count : int
            Most slices.
        pixels : int
            About how many of each; all of a smaller one.
        """
        height, width = self.shape
        pairs = np.unique(np.linspace(0, max(0, height // 2 - 1), max(1, pixels // (2 * width))).round().astype(int))
        rows = np.minimum((2 * pairs[:, None] + np.arange(2)).ravel(), height - 1)
        numbers = [int(n) for n in np.unique(np.linspace(0, len(self) - 1, count).round())]
        item = self._item
        found = enumerate(self._read()) if item is None else ((n, item(n)) for n in numbers)
        for number, values in found:
            if number in numbers:
                image = self._as_image(
                    np.asanyarray(values).take(rows, self.row_axis), number, self.value_range, part=True
                )
                if image.valid is None or bool(image.valid.any()):
                    yield image

    def rows(self, first: int, last: int) -> FocalStack:
        """The rows `first` to `last` - 1 of every slice, on the value range of the whole slices."""
        kind = _Rows if self._item is None else _RowsByNumber
        part = kind(self._stack, len(self), (slice(None),) * self.row_axis + (slice(first, last),))
        return FocalStack(part, channel_axis=self._channel_axis, value_range=self.value_range, argument=self._argument)

    @property
    def row_axis(self) -> int:
        """Axis of the rows of one slice."""
        return 0 if self._channel_axis is None or self._channel_axis % 3 else 1

    def _first(self, value_range: tuple[float, float] | None) -> Image:
        values = next(iter(self._read()), None)
        if values is None:
            raise InputError(self._argument, "no slices", "at least one")
        return self._as_image(values, 0, value_range)

    def _as_image(
        self, values: ArrayLike, number: int, value_range: tuple[float, float] | None, *, part: bool = False
    ) -> Image:
        return as_image(
            values,
            channel_axis=self._channel_axis,
            value_range=value_range,
            argument=f"{self._argument}[{number}]",
            may_be_missing=part or self._partial,
        )

    def _find_range(self, first: Image) -> tuple[float, float]:
        """One range for all slices: that of the first for 8-bit data, else the widest of a few."""
        if first.dtype in (np.uint8, np.bool_) or self._item is None:
            return first.low, first.high
        numbers = np.unique(np.linspace(0, len(self) - 1, _RANGE_SLICES).round().astype(int))
        found = [self._as_image(np.asanyarray(self._item(int(n))), int(n), None) for n in numbers]
        return min(i.low for i in found), max(i.high for i in found)


class _Rows:
    """Some rows of every slice, masked where a slice is."""

    partial = True
    """A slice that has pixels elsewhere may have none in these rows."""

    def __init__(self, stack: Any, count: int, key: tuple[slice, ...]) -> None:
        self._stack, self._count, self._key = stack, count, key

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Any]:
        for values in self._stack() if callable(self._stack) else self._stack:
            yield np.asanyarray(values)[self._key]


class _RowsByNumber(_Rows):
    """The same of a stack that can be asked for any slice; a lazy one is asked for one at a time."""

    def __getitem__(self, number: int) -> Any:
        if not 0 <= number < self._count:
            raise IndexError(number)
        return np.asanyarray(self._stack[number])[self._key]

    def __iter__(self) -> Iterator[Any]:
        return (self[number] for number in range(self._count))


def _reader(
    stack: StackLike, argument: str
) -> tuple[Callable[[], Iterator[Any]], int | None, Callable[[int], Any] | None]:
    """A function that starts a new reading; where they are known, the number of slices and how to read one."""
    source: Any = stack
    if callable(source):
        return lambda: iter(source()), None, None
    if isinstance(source, str | bytes) or not hasattr(source, "__iter__"):
        raise InputError(argument, type(source).__name__, "an array (N, H, W[, C]) or a series of slices")
    if hasattr(source, "ndim") and source.ndim < 3:
        raise InputError(argument, f"shape {tuple(source.shape)}", "three or more dimensions (N, H, W[, C])")
    if hasattr(source, "__getitem__") and hasattr(source, "__len__"):
        # By index rather than by iteration: a dask array then computes one slice at a time.
        return lambda: (np.asanyarray(source[n]) for n in range(len(source))), len(source), lambda n: source[n]
    return lambda: iter(source), len(source) if hasattr(source, "__len__") else None, None
