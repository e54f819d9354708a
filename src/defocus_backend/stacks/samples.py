"""Cache of slices that are read before a stack is processed, so that they are not read twice."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

RANGE_SLICES = 9
"""Most slices from which the value range is found."""
_SAMPLE_SLICES = 3
"""Number of slices of which some rows are stored, unless more fit in memory; they are among those of the value
range."""
_SAMPLE_PIXELS = 1 << 19
"""Approximate number of stored pixels per slice, which is enough for a reliable median."""
SAMPLE_ROWS = 32
"""Number of rows of the stored strips, so that they also show the detail of cells of several pixels."""
_KEPT_BYTES = 64 << 20
"""Largest memory for whole slices, which the first pass then reads from this cache, in bytes."""


def spread(count: int, most: int) -> list[int]:
    """At most `most` evenly spaced numbers below `count`, including both ends."""
    return [int(n) for n in np.unique(np.linspace(0, count - 1, most).round())]


class Samples:
    """Rows of a few slices, and whole slices until they are used for the first time.

    Parameters
    ----------
    count : int
        Number of slices of the stack.
    whole : bool
        Whether to keep whole slices. This is useless for a stack that can only be read in order.

    """

    def __init__(self, count: int, *, whole: bool) -> None:
        self._count, self._whole = count, whole
        self._rows: dict[int, NDArray[Any]] = {}
        self._slices: dict[int, NDArray[Any]] = {}

    def numbers(self, size: int) -> list[int]:
        """Numbers of the slices whose rows are kept, for a given slice size in bytes; more if all fit in memory."""
        small = RANGE_SLICES * size <= _KEPT_BYTES
        return spread(self._count, RANGE_SLICES if small else _SAMPLE_SLICES)

    def keep(self, number: int, values: NDArray[Any], row_axis: int, width: int) -> NDArray[Any] | None:
        """Store the useful part of a slice, if there is room; return its rows if they are kept."""
        if self._whole and values.nbytes <= _KEPT_BYTES - sum(v.nbytes for v in self._slices.values()):
            self._slices[number] = values
        if number not in self.numbers(values.nbytes):
            return None
        height = values.shape[row_axis]
        rows = _strips(height, max(1, _SAMPLE_PIXELS // (SAMPLE_ROWS * width)))
        return self._rows.setdefault(number, values.take(rows, row_axis))

    def rows(self, number: int) -> NDArray[Any] | None:
        """The stored rows of a slice, or None."""
        return self._rows.get(number)

    def take(self, number: int) -> NDArray[Any] | None:
        """Return a stored slice and remove it from the cache."""
        return self._slices.pop(number, None)

    def __getstate__(self) -> dict[str, Any]:
        # Whole slices are not sent to another process, which reads them itself.
        return {**self.__dict__, "_slices": {}}


def _strips(height: int, count: int) -> NDArray[np.intp]:
    """Row numbers of `count` evenly spaced strips; all rows if the strips cover them."""
    whole = height // SAMPLE_ROWS
    if count >= whole:
        return np.arange(height)
    first = SAMPLE_ROWS * np.linspace(0, whole - 1, count).round().astype(np.intp)
    return (first[:, None] + np.arange(SAMPLE_ROWS)).ravel()
