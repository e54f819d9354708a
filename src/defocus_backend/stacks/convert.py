"""Conversion of arrays, lists, files and functions to a `SliceSource`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import Any

import numpy as np

from defocus_backend.arguments import names_bad_arguments
from defocus_backend.errors import InputError
from defocus_backend.stacks.plan import StackPlan
from defocus_backend.stacks.source import WHOLE, SliceSource, StackLike


@names_bad_arguments
def as_source(
    stack: StackLike,
    *,
    channel_axis: int | None = None,
    value_range: tuple[float, float] | None = None,
    argument: str = "stack",
) -> SliceSource:
    """Convert any supported kind of stack to a `SliceSource`; nothing is copied.

    Parameters
    ----------
    stack : (N, H, W[, C]) array_like, SliceSource, list, dask array, image with one stack, iterator or callable
        The slices. A callable takes no arguments and returns an iterator of slices; it is called again for each pass.
        The slices of a plain iterator are kept in memory, because they are read more than once.
    channel_axis : int or None
        Channel axis of one slice; not needed for a source or an image, which already have one.
    value_range : (float, float) or None
        Values that count as 0 and 1; by default as in `SliceSource.value_range`.
    argument : str
        Name of the stack in error messages.

    Returns
    -------
    SliceSource

    Raises
    ------
    InputError
        For any other type, for an empty stack, or if `channel_axis` contradicts the stack.
    """
    source: Any = list(stack) if isinstance(stack, Iterator) else stack
    if isinstance(source, SliceSource):
        _check_channels(channel_axis, source.channel_axis)
        return source.on_range(value_range)
    if isinstance(getattr(source, "axes", None), str):
        plan = StackPlan(source)
        if len(plan) > 1 or plan.channels > 1:
            held = f"axes {plan.axes} with {len(plan)} stacks and {plan.channels} channels"
            raise InputError(argument, held, "a single stack; use `fuse_nd` or axes to fuse all stacks")
        _check_channels(channel_axis, plan.channel_axis)
        return plan.slices((0,) * len(plan.loop)).on_range(value_range)
    row_axis = 0 if channel_axis is None or channel_axis % 3 else 1
    if callable(source):
        reader = InOrder(source, row_axis)
        return SliceSource(
            reader, reader.count(), channel_axis=channel_axis, value_range=value_range, argument=argument, forward=True
        )
    if isinstance(source, str | bytes | Mapping | Set) or not hasattr(source, "__iter__"):
        raise InputError(argument, type(source).__name__, "an array (N, H, W[, C]) or a series of slices")
    if not (hasattr(source, "__getitem__") and hasattr(source, "__len__")):
        return as_source(_Restart(source), channel_axis=channel_axis, value_range=value_range, argument=argument)
    shape = tuple(source.shape) if hasattr(source, "ndim") else ()
    if hasattr(source, "ndim") and len(shape) < 3:
        raise InputError(argument, f"shape {shape}", "three or more dimensions (N, H, W[, C])")
    known = bool(shape) and hasattr(source, "dtype")
    return SliceSource(
        ByNumber(source, row_axis),
        len(source),
        channel_axis=channel_axis,
        value_range=value_range,
        layout=tuple(int(n) for n in shape[1:]) if known else None,
        dtype=np.dtype(source.dtype) if known else None,
        argument=argument,
    )


def _check_channels(given: int | None, own: int | None) -> None:
    same = given is None or (own is not None and given % 3 == own % 3)
    if not same:
        raise InputError("channel_axis", repr(given), f"{own} as in the stack, or None")


class ByNumber:
    """Slices of an array or a list; from an array, only the requested rows are read."""

    def __init__(self, items: Any, row_axis: int) -> None:
        self._items, self._row_axis = items, row_axis

    def __call__(self, number: int, rows: slice) -> Any:
        """One slice, or some of its rows."""
        if rows == WHOLE:
            return np.asanyarray(self._items[number])
        key = (WHOLE,) * self._row_axis + (rows,)
        if hasattr(self._items, "ndim"):
            return np.asanyarray(self._items[(number, *key)])
        return np.asanyarray(self._items[number])[key]


class InOrder:
    """Slices from a function that starts a new pass; in sequential access, each slice is read once."""

    def __init__(self, start: Callable[[], Iterable[Any]], row_axis: int) -> None:
        self._start, self._row_axis = start, row_axis
        self._running: Iterator[Any] = iter(())
        self._next = -1

    def count(self) -> int:
        """Number of slices, determined by reading all of them."""
        return sum(1 for _ in self._start())

    def __call__(self, number: int, rows: slice) -> Any:
        """One slice, or some of its rows."""
        if number < self._next or self._next < 0:
            self._running, self._next = iter(self._start()), 0
        for values in self._running:
            self._next += 1
            if self._next > number:
                return values if rows == WHOLE else np.asanyarray(values)[(WHOLE,) * self._row_axis + (rows,)]
            del values  # free the slice before the next one is read
        raise InputError("stack", f"{self._next} slices in a later pass", f"at least {number + 1} as before")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_running": iter(()), "_next": -1}


class _Restart:
    """A function that starts a new pass over a re-iterable collection."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = items

    def __call__(self) -> Iterator[Any]:
        """Start a new pass."""
        return iter(self._items)
