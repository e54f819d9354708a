"""A part of a layer's data that is read plane by plane, as the library takes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_defocus._layers import LayerSource

Key = int | slice | tuple[int, ...]


class View:
    """Some indices of every axis of a layer, without reading it.

    Parameters
    ----------
    source : Source
    key : sequence of int, slice or tuple of int
        For each of the first axes a number, which takes the axis away, a range of step one or a list of numbers.
        All of the others.
    """

    def __init__(self, source: LayerSource, key: Sequence[Key] = ()) -> None:
        self.source, self._data = source, source.data
        whole = tuple(int(n) for n in source.data.shape)
        full = [*key, *(slice(None),) * (len(whole) - len(key))]
        self._key: list[Key] = []
        shape = []
        for part, size in zip(full, whole, strict=True):
            if isinstance(part, slice):
                start, stop, _ = part.indices(size)
                shape.append(stop - start)
                self._key.append(slice(start, stop))
            elif isinstance(part, tuple):
                shape.append(len(part))
                self._key.append(part)
            else:
                self._key.append(int(part))
        self._whole = whole
        self.shape = tuple(shape)
        self.dtype = np.dtype(source.data.dtype)
        self.ndim = len(shape)

    @property
    def channel_axis(self) -> int | None:
        """Axis of the colours in one plane."""
        return self.source.channel_axis

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self[n] for n in range(len(self)))

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Read a part: numbers and slices of step one, as of an array."""
        return self.part(key if isinstance(key, tuple) else (key,)).read()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self.read(), dtype=dtype)

    def part(self, key: Sequence[Any]) -> View:
        """A part of this one, not read either."""
        if key and isinstance(key[0], int | np.integer) and not -len(self) <= key[0] < len(self):
            raise IndexError(key[0])
        parts = iter(key)
        full: list[Key] = []
        for old in self._key:
            if isinstance(old, int):
                full.append(old)
                continue
            new = next(parts, slice(None))
            numbers = range(old.start, old.stop) if isinstance(old, slice) else old
            if isinstance(new, slice):
                chosen = numbers[new]
                full.append(slice(chosen.start, chosen.stop) if isinstance(chosen, range) else chosen)
            else:
                full.append(int(numbers[new]))
        return View(self.source, full)

    def read(self) -> NDArray[Any]:
        """The pixels; a lazy layer is computed."""
        listed = [axis for axis, part in enumerate(self._key) if isinstance(part, tuple)]
        if not listed:
            return np.asarray(self._data[tuple(self._key)])
        axis = listed[0]
        place = sum(not isinstance(part, int) for part in self._key[:axis])
        numbers = self._key[axis]
        assert isinstance(numbers, tuple)
        read = [View(self.source, [*self._key[:axis], n, *self._key[axis + 1 :]]).read() for n in numbers]
        return np.stack(read, place)

    def value_range(self, leading: int) -> tuple[float, float]:
        """Values that count as 0 and 1 in all images along the leading axes, found as for a stack."""
        from defocus_backend.stacks import as_source

        return as_source(ViewedPlanes(self, leading), channel_axis=self.channel_axis).value_range

    def shown_keys(self) -> list[str]:
        """The part in Python's index notation, in two steps where numbers are listed; empty for the whole."""
        steps: list[list[str]] = [[], []]
        for part, size in zip(self._key, self._whole, strict=True):
            if isinstance(part, tuple):
                steps[0].append(":")
                steps[1].append(str(list(part)))
            elif isinstance(part, slice):
                steps[0].append(":" if (part.start, part.stop) == (0, size) else f"{part.start}:{part.stop}")
                steps[1].append(":")
            else:
                steps[0].append(str(part))
        for shown in steps:
            while shown and shown[-1] == ":":
                shown.pop()
        return [", ".join(shown) for shown in steps if shown]


class ViewedPlanes(Sequence[NDArray[Any]]):
    """The images of a view along its leading axes, one after the other."""

    def __init__(self, view: View, leading: int) -> None:
        self._view = view
        self._indices = list(np.ndindex(view.shape[:leading]))

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, number: Any) -> Any:
        return self._view[self._indices[number]]
