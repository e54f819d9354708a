"""Base class for stacks whose slices are modified while they are read: divided, repaired or resampled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from defocus_backend.stacks.source import SliceSource


class ChangedStack(SliceSource):
    """A stack with modified slices, but the same number, dtype and value range. Subclasses define `_read`.

    Parameters
    ----------
    slices : SliceSource
        The original slices.
    layout : tuple of int or None
        Shape of a modified slice; by default the shape of the original slices.
    """

    def __init__(self, slices: SliceSource, layout: tuple[int, ...] | None = None) -> None:
        self._slices = slices
        super().__init__(
            None,
            len(slices),
            channel_axis=slices.channel_axis,
            value_range=slices,
            layout=layout or slices.layout,
            dtype=slices.dtype,
            argument=slices.argument,
            order=slices.order,
            partial=slices.partial,
            forward=slices.forward,
        )

    def origin(self, number: int) -> str:
        """Origin of the original slice."""
        return self._slices.origin(number)

    def _divided(self, values: NDArray[Any], gain: float | NDArray[np.float64]) -> NDArray[Any]:
        """A slice, or some of its rows, divided in all colours and clipped to its dtype; alpha is unchanged.

        `gain` is one number, or an array (H, W, 1) or (H, W, colours).
        """
        planes = values[..., None] if self.channel_axis is None else np.moveaxis(values, self.channel_axis, -1)
        colours = planes[..., : self.colours]
        floats = np.issubdtype(self.dtype, np.floating)
        exact = np.dtype(np.float32 if self.dtype.itemsize <= 2 else np.float64).type
        divisor = gain.astype(exact) if isinstance(gain, np.ndarray) else gain
        matched = colours.astype(self.dtype if floats else exact) / divisor
        if not floats:
            limits = np.iinfo(self.dtype)
            matched = np.clip(np.rint(matched), limits.min, np.nextafter(exact(limits.max) + exact(1), exact(0)))
        elif self.value_range == (0, 1):  # clip floats that were in the unit range
            matched = np.clip(matched, np.minimum(colours, 0), np.maximum(colours, 1))
        planes = np.array(planes, copy=True, subok=True)
        planes[..., : self.colours] = matched.astype(self.dtype)
        return planes[..., 0] if self.channel_axis is None else np.moveaxis(planes, -1, self.channel_axis)
