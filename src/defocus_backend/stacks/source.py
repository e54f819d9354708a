"""The series of slices of a focal stack, read one at a time, from any kind of storage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from defocus_backend.arguments import names_bad_arguments
from defocus_backend.errors import InputError
from defocus_backend.stacks.samples import RANGE_SLICES, Samples, spread

if TYPE_CHECKING:
    from defocus_backend.arrays import Image

StackLike = ArrayLike | Iterable[ArrayLike] | Callable[[], Iterable[ArrayLike]]
"""Types that can be converted to a `SliceSource`."""

WHOLE = slice(None)
"""All rows of a slice."""


class Reader(Protocol):
    """Reads one slice. It can be pickled if its data can."""

    def __call__(self, number: int, rows: slice) -> Any:
        """Return a slice, or only some of its rows; a masked array if pixels are hidden."""


class SliceSource(Sequence[NDArray[Any]]):
    """Slices of one size, dtype and channel layout; as a sequence, it reads a slice when it is indexed.

    Parameters
    ----------
    reader : Reader or None
        Reads one slice. None in a subclass that defines `_read` instead.
    count : int
        Number of slices.
    channel_axis : int or None
        Channel axis of one slice; None for gray.
    value_range : (float, float), SliceSource or None
        Values that count as 0 and 1; or another source whose range is used; or None to find them.
    layout : tuple of int or None
        Shape of one slice, if it is known without reading one.
    dtype : numpy.dtype or None
        Type of the slices, if it is known without reading one.
    argument : str
        Name of the stack in error messages.
    order : sequence of int or None
        Number of every slice in the series from which it was selected; by default 0 to N - 1.
    partial : bool
        Whether a slice may have no valid pixel, such as a few rows of a masked slice.
    forward : bool
        Whether slices can only be read in order. Going back then starts from the first slice.

    Attributes
    ----------
    channel_axis : int or None
    order : tuple of int
    argument : str
    partial, forward : bool

    Examples
    --------
    >>> import numpy as np
    >>> from defocus_backend.stacks import as_source
    >>> stack = as_source(np.zeros((5, 20, 30), np.uint8))
    >>> stack.shape, stack.value_range
    ((5, 20, 30), (0.0, 255.0))
    >>> stack.select([0, 4]).rows(2, 10).shape
    (2, 8, 30)
    """

    @names_bad_arguments
    def __init__(
        self,
        reader: Reader | None,
        count: int,
        *,
        channel_axis: int | None = None,
        value_range: tuple[float, float] | SliceSource | None = None,
        layout: tuple[int, ...] | None = None,
        dtype: np.dtype[Any] | None = None,
        argument: str = "stack",
        order: Sequence[int] | None = None,
        partial: bool = False,
        forward: bool = False,
    ) -> None:
        if count < 1:
            raise InputError(argument, "no slices", "at least one")
        if reader is not None and not callable(reader):
            raise InputError("reader", type(reader).__name__, "a function of number and rows")
        self._reader, self._count = reader, count
        self.channel_axis, self.argument = channel_axis, argument
        self.order = tuple(range(count)) if order is None else tuple(order)
        self.partial, self.forward = partial, forward
        self._range = value_range
        self._layout, self._dtype = layout, dtype
        self._samples = Samples(count, whole=not forward)
        if layout is not None:
            self._check_layout(layout)

    def _read(self, number: int, rows: slice) -> Any:
        assert self._reader is not None, "a subclass without a reader must define `_read`"
        return self._reader(number, rows)

    def __len__(self) -> int:
        return self._count

    @property
    def layout(self) -> tuple[int, ...]:
        """Shape of one slice: (H, W), with channels at `channel_axis` if there are any."""
        if self._layout is None:
            self._look_at_first()
        assert self._layout is not None
        return self._layout

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the slices."""
        if self._dtype is None:
            self._look_at_first()
        assert self._dtype is not None
        return self._dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the stack: (N, H, W), (N, H, W, C) or (N, C, H, W)."""
        return (self._count, *self.layout)

    @property
    def ndim(self) -> int:
        """Number of axes, including the axis of the slices."""
        return len(self.shape)

    @property
    def axes(self) -> str:
        """Letters of the axes: Z, Y, X, and S for colour samples."""
        letters = list("YX")
        if self.channel_axis is not None:
            letters.insert(self.channel_axis % 3, "S")
        return "Z" + "".join(letters)

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Height and width of a slice."""
        axes = self.axes[1:]
        return self.layout[axes.index("Y")], self.layout[axes.index("X")]

    @property
    def colours(self) -> int:
        """Number of colour channels without alpha: 1 or 3."""
        count = 1 if self.channel_axis is None else self.layout[self.channel_axis]
        return 3 if count > 2 else 1

    @property
    def row_axis(self) -> int:
        """Axis of the rows in one slice."""
        return self.axes[1:].index("Y")

    def origin(self, number: int) -> str:  # noqa: ARG002
        """Origin of a slice, such as a file and its page; empty if unknown."""
        return ""

    def label(self, number: int) -> str:
        """Name of a slice in error messages, with its number in the original series."""
        origin = self.origin(number)
        return f"{self.argument}[{self.order[number]}]" + (f" ({origin})" if origin else "")

    def plane(self, number: int) -> NDArray[Any]:
        """Read one slice; a masked array if pixels are hidden.

        Raises
        ------
        InputError
            If its shape or dtype differs from the first slice.
        """
        number = range(self._count)[number]
        kept = self._samples.take(number)
        return self.part(number) if kept is None else kept

    def __getitem__(self, key: Any) -> Any:
        """Return a slice by its number, several slices as a new source, or with further indices a part of a slice."""
        if isinstance(key, tuple):
            first, *rest = key
            found = self[first]
            return found[tuple(rest)] if rest else found
        if isinstance(key, slice):
            return self.select(range(*key.indices(self._count)))
        return self.plane(key)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self.plane(number) for number in range(self._count))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.stack([np.asarray(plane, dtype=dtype) for plane in self])

    def rows(self, first: int, last: int) -> SliceSource:
        """The rows `first` to `last` - 1 of every slice, with the value range of the whole stack; nothing is read."""
        layout = list(self.layout)
        start, stop, _ = slice(first, last).indices(layout[self.row_axis])
        if stop <= start:
            raise InputError("rows", f"{first} to {last}", f"at least one row of {layout[self.row_axis]}")
        layout[self.row_axis] = stop - start
        return self._derived(_RowsOf(self, start, stop), self._count, tuple(layout), self.order, partial=True)

    def select(self, numbers: Sequence[int]) -> SliceSource:
        """Some slices, or all in another order, with the value range of the whole stack; nothing is read."""
        chosen = tuple(range(self._count)[int(n)] for n in numbers)
        order = [self.order[n] for n in chosen]
        return self._derived(_Selected(self, chosen), len(chosen), self._layout, order, partial=self.partial)

    def on_range(self, value_range: tuple[float, float] | None) -> SliceSource:
        """The same slices with the given value range; with None, the source itself."""
        if value_range is None:
            return self
        found = self._derived(
            _Selected(self, tuple(range(self._count))), self._count, self._layout, self.order, partial=self.partial
        )
        from defocus_backend.arrays.checks import check_range

        found._range = check_range(value_range)
        return found

    def images(self) -> Iterator[Image]:
        """Iterate over all slices, as `Image`s in the unit range of the stack."""
        return (self.image(number) for number in range(self._count))

    def image(self, number: int) -> Image:
        """One slice as an `Image` in the unit range of the stack."""
        value_range = self.value_range  # found first, because this may read and cache the slice
        return self._as_image(self.plane(number), number, value_range, self.partial)

    def missing(self, number: int) -> NDArray[np.bool_] | None:
        """Mask (H, W) of missing pixels: NaN, infinite, hidden by a mask or transparent; None if there are none."""
        from defocus_backend.arrays import hidden_pixels

        values = self.plane(number)
        lost = hidden_pixels(values, self.channel_axis)
        planes = np.asarray(values)[None] if self.channel_axis is None else np.moveaxis(values, self.channel_axis, 0)
        if len(planes) > self.colours:
            transparent = np.asarray(planes[-1]) == 0
            lost = transparent if lost is None else lost | transparent
        if np.issubdtype(values.dtype, np.floating):
            infinite = ~np.isfinite(np.asarray(planes[: self.colours])).all(0)
            lost = infinite if lost is None else lost | infinite
        return lost if lost is not None and lost.any() else None

    @property
    def value_range(self) -> tuple[float, float]:
        """Values that count as 0 and 1, determined once for the whole stack.

        The range of the dtype for bool and uint8. Otherwise the union of the ranges of nine evenly spaced slices: [0,
        1] for floats within it, or the 0.1 and 99.9 percentiles, see `as_image`. Derived sources share it.
        """
        if isinstance(self._range, SliceSource):
            return self._range.value_range
        if self._range is None:
            self._range = self._find_range()
        return self._range

    def sample(self) -> Iterator[Image]:
        """Evenly spaced strips of `SAMPLE_ROWS` rows, from a few evenly spaced slices, as `Image`s.

        A slice without any valid pixel in these rows is left out.
        """
        value_range = self.value_range
        for number in self._samples.numbers(int(np.prod(self.layout)) * self.dtype.itemsize):
            rows = self._samples.rows(number)
            if rows is None:
                rows = self._keep(number, self.part(number))
            assert rows is not None
            image = self._as_image(rows, number, value_range, True)
            if image.valid is None or bool(image.valid.any()):
                yield image

    def _find_range(self) -> tuple[float, float]:
        if self.dtype == np.bool_:
            return 0.0, 1.0
        if self.dtype == np.uint8:
            return 0.0, 255.0
        lows, highs = [], []
        for number in spread(self._count, RANGE_SLICES):
            values = self.plane(number)
            image = self._as_image(values, number, None, self.partial)
            lows.append(image.low)
            highs.append(image.high)
            self._keep(number, values)
            del values, image  # free the slice before the next one is read
        return min(lows), max(highs)

    def _keep(self, number: int, values: NDArray[Any]) -> NDArray[Any] | None:
        return self._samples.keep(number, values, self.row_axis, self.plane_shape[1])

    def _as_image(
        self, values: NDArray[Any], number: int, value_range: tuple[float, float] | None, may_be_missing: bool
    ) -> Image:
        from defocus_backend.arrays import as_image

        return as_image(
            values,
            channel_axis=self.channel_axis,
            value_range=value_range,
            argument=self.label(number),
            may_be_missing=may_be_missing,
        )

    def part(self, number: int, rows: slice = WHOLE) -> NDArray[Any]:
        """Read a slice, or some of its rows, from the storage; see `plane`."""
        values = np.asanyarray(self._read(number, rows))
        if self._layout is None or self._dtype is None:
            if number:
                self._look_at_first()
            else:
                self._learn(values)
        assert self._layout is not None
        wanted = list(self._layout)
        if rows != WHOLE:
            wanted[self.row_axis] = len(range(*rows.indices(wanted[self.row_axis])))
        if values.shape != tuple(wanted):
            raise InputError(self.label(number), f"shape {values.shape}", f"the first slice's {tuple(wanted)}")
        if values.dtype != self._dtype:
            raise InputError(self.label(number), f"dtype {values.dtype}", f"the first slice's {self._dtype}")
        return cast(NDArray[Any], values)

    def _look_at_first(self) -> None:
        values = np.asanyarray(self._read(0, WHOLE))
        self._learn(values)
        self._keep(0, values)

    def _learn(self, first: NDArray[Any]) -> None:
        self._check_layout(first.shape)
        self._layout, self._dtype = first.shape, first.dtype

    def _check_layout(self, layout: tuple[int, ...]) -> None:
        axes = 2 if self.channel_axis is None else 3
        if len(layout) != axes:
            hint = "; pass channel_axis=-1 for colour slices" if len(layout) == 3 else ""
            wanted = "two dimensions (H, W)" if axes == 2 else "three dimensions, with channel_axis"
            raise InputError(f"{self.argument}[0]", f"shape {layout}", f"{wanted}{hint}")

    def _derived(
        self, reader: Reader, count: int, layout: tuple[int, ...] | None, order: Sequence[int], *, partial: bool
    ) -> SliceSource:
        return Derived(
            reader,
            count,
            channel_axis=self.channel_axis,
            value_range=self,
            layout=layout,
            dtype=self._dtype,
            argument=self.argument,
            order=order,
            partial=partial,
            forward=self.forward,
        )


class Derived(SliceSource):
    """Some rows, or some slices, of another source."""

    def origin(self, number: int) -> str:
        """Origin of the slice in the other source."""
        reader = self._reader
        assert isinstance(reader, _RowsOf | _Selected)
        return reader.source.origin(reader.number(number))


class _RowsOf:
    """Some rows of every slice of a source."""

    def __init__(self, source: SliceSource, first: int, last: int) -> None:
        self.source, self._first, self._last = source, first, last

    def number(self, number: int) -> int:
        """Number of a slice in the source."""
        return number

    def __call__(self, number: int, rows: slice) -> Any:
        """One slice, or some of its rows."""
        start, stop, _ = rows.indices(self._last - self._first)
        return self.source.part(number, slice(self._first + start, self._first + stop))


class _Selected:
    """Some slices of a source."""

    def __init__(self, source: SliceSource, numbers: tuple[int, ...]) -> None:
        self.source, self._numbers = source, numbers

    def number(self, number: int) -> int:
        """Number of a slice in the source."""
        return self._numbers[number]

    def __call__(self, number: int, rows: slice) -> Any:
        """One slice, or some of its rows."""
        at = self._numbers[number]
        return self.source.plane(at) if rows == WHOLE else self.source.part(at, rows)
