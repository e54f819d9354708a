"""What is kept of the slices that are read before a stack is worked on, so that they are not read in vain."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

RANGE_SLICES = 9
"""Most slices from which the value range is found."""
_SAMPLE_SLICES = 3
"""Most slices of which some rows are kept; they are among those of the value range."""
_SAMPLE_PIXELS = 1 << 19
"""About how many pixels of each: a median of so many is settled."""
_KEPT_BYTES = 64 << 20
"""Most memory for whole slices, which the first reading then takes from here."""


def spread(count: int, most: int) -> list[int]:
    """At most so many numbers below `count`, evenly spread, both ends included."""
    return [int(n) for n in np.unique(np.linspace(0, count - 1, most).round())]


class Samples:
    """Rows of a few slices, and whole slices until they are read for the first time.

    Parameters
    ----------
    count : int
        Number of slices of the stack.
    whole : bool
        Whether to keep whole slices. Of what can only be read in order, reading one less saves nothing.

    Attributes
    ----------
    numbers : list of int
        Slices of which rows are kept.
    """

    def __init__(self, count: int, *, whole: bool) -> None:
        self.numbers = spread(count, _SAMPLE_SLICES)
        self._whole = whole
        self._rows: dict[int, NDArray[Any]] = {}
        self._slices: dict[int, NDArray[Any]] = {}

    def keep(self, number: int, values: NDArray[Any], row_axis: int, width: int) -> NDArray[Any] | None:
        """Keep of a slice what there is a use and room for; return its rows if it is one of `numbers`."""
        if self._whole and values.nbytes <= _KEPT_BYTES - sum(v.nbytes for v in self._slices.values()):
            self._slices[number] = values
        if number not in self.numbers:
            return None
        height = values.shape[row_axis]
        pairs = _pairs(height, max(1, _SAMPLE_PIXELS // (2 * width)))
        return self._rows.setdefault(number, values.take(pairs, row_axis))

    def rows(self, number: int) -> NDArray[Any] | None:
        """The rows that are kept of a slice."""
        return self._rows.get(number)

    def take(self, number: int) -> NDArray[Any] | None:
        """A slice that is kept; it is not kept any longer."""
        return self._slices.pop(number, None)

    def __getstate__(self) -> dict[str, Any]:
        # Another process reads whole slices itself.
        return {**self.__dict__, "_slices": {}}


def _pairs(height: int, count: int) -> NDArray[np.intp]:
    """Numbers of so many pairs of neighbouring rows, evenly spread."""
    first = np.unique(np.linspace(0, max(0, height // 2 - 1), count).round().astype(np.intp))
    return np.asarray(np.minimum((2 * first[:, None] + np.arange(2)).ravel(), height - 1))
