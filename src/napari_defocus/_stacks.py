"""A focal stack as the user sees it (layers, axes, channels) as the series of slices that the library takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from defocus_backend.errors import InputError
from napari_defocus._layers import Layout, Source, identity, position

if TYPE_CHECKING:
    from napari.viewer import Viewer

Where = dict[int, int]
"""Index on some of the leading axes, by axis."""

_Z_NAMES = ("z", "depth", "focus", "slice", "plane")
_CHANNEL_NAMES = ("c", "ch", "channel", "channels", "wavelength")


class Slices(Sequence[NDArray[Any]]):
    """Slices that are read when they are asked for, so that a lazy stack never is in memory as a whole."""

    def __init__(self, read: Callable[[int], NDArray[Any]], count: int) -> None:
        self._read = read
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: Any) -> Any:
        if not 0 <= number < self._count:
            raise IndexError(number)
        return self._read(int(number))


def shared_range(source: Source, indices: Sequence[tuple[int, ...]]) -> tuple[float, float]:
    """Values that count as 0 and 1 in all of these images of a layer, found as `fuse` finds them for a stack."""
    from defocus_backend.stacks import as_source

    images = Slices(lambda n: source.plane(indices[n]), len(indices))
    return as_source(images, channel_axis=source.channel_axis).value_range


def guess_axes(source: Source) -> tuple[int, int | None]:
    """The z axis and the channel axis of a stack: by name, else z is the one before the image's."""
    names = [name.lower() for name in source.axes[:-2]]
    channel = next((i for i, name in enumerate(names) if name in _CHANNEL_NAMES), None)
    z = next((i for i, name in enumerate(names) if name in _Z_NAMES), None)
    if z is None:
        free = [i for i in range(source.ndim - 2) if i != channel]
        z = free[-1] if free else 0
    return z, channel


@dataclass(frozen=True)
class StackPlan:
    """Which slices are fused, on which channel focus is judged, and where the results lie.

    Attributes
    ----------
    sources : tuple of Source
        One stack, or several images of two axes.
    axis : int
        The z axis of the one stack.
    channel_axis : int or None
        Axis of separate channels, all of which are fused by one decision.
    judge : int
        Channel on which focus is judged.
    fixed : dict or None
        Index on the remaining leading axes; None fuses at all their positions.
    """

    sources: tuple[Source, ...]
    axis: int = 0
    channel_axis: int | None = None
    judge: int = 0
    fixed: Where | None = None

    def __post_init__(self) -> None:
        if len(self) < 2:
            raise InputError("stack", f"{len(self)} slice(s)", "at least two; choose another axis or more layers")
        if self.channel_axis == self.axis:
            raise InputError("channel axis", "the z axis", "another axis, or none")
        first = self.sources[0]
        for other in self.sources[1:]:
            if other.shape != first.shape or other.rgb != first.rgb:
                raise InputError(
                    f"layer {other.name!r}",
                    f"shape {other.shape}{' RGB' if other.rgb else ''}",
                    f"that of {first.name!r}: {first.shape}{' RGB' if first.rgb else ''}",
                )

    @property
    def source(self) -> Source:
        """The stack, or the first of several layers: it says where the results lie."""
        return self.sources[0]

    @property
    def _several(self) -> bool:
        return len(self.sources) > 1 or self.source.ndim == 2

    def __len__(self) -> int:
        """Number of slices of one stack."""
        return len(self.sources) if self._several else self.source.shape[self.axis]

    @property
    def others(self) -> list[int]:
        """Leading axes that are neither z nor channel: time, position."""
        if self._several:
            return []
        return [a for a in range(self.source.ndim - 2) if a not in (self.axis, self.channel_axis)]

    @property
    def channels(self) -> int:
        """Number of separate channels."""
        return 1 if self.channel_axis is None else self.source.shape[self.channel_axis]

    def frames(self) -> Iterator[Where]:
        """Index on the other axes of every stack that is fused."""
        if self.fixed is not None:
            yield dict(self.fixed)
            return
        for index in product(*(range(self.source.shape[a]) for a in self.others)):
            yield dict(zip(self.others, index, strict=True))

    def slices(self, frame: Where, channel: int, window: tuple[slice, slice] = (slice(None), slice(None))) -> Slices:
        """The slices of one stack and channel, or one window of each."""
        if self._several:
            return Slices(lambda n: np.asarray(self.sources[n].data[window]), len(self))

        def read(number: int) -> NDArray[Any]:
            where = self.at(frame, channel, number)
            return np.asarray(self.source.data[(*(where[a] for a in range(self.source.ndim - 2)), *window)])

        return Slices(read, len(self))

    def at(self, frame: Mapping[int, int], channel: int = 0, number: int = 0) -> Where:
        """Index on all leading axes."""
        where = {**frame, self.axis: number}
        if self.channel_axis is not None:
            where[self.channel_axis] = channel
        return where

    def layout(self, *, channels: bool = False, slices: bool = False) -> Layout:
        """Where a result lies that has an axis of channels, or of slices, or neither."""
        if self._several:
            return self.source.stacked(len(self)) if slices else self.source.without(())
        collapsed = set() if slices else {self.axis}
        if self.channel_axis is not None and not channels:
            collapsed.add(self.channel_axis)
        if self.fixed is not None:
            collapsed.update(self.others)
        return self.source.without(collapsed)

    def z(self) -> NDArray[np.float64] | None:
        """Coordinate along z of every slice, in the layer's unit; None for several layers, which are counted."""
        if self._several:
            return None
        return np.asarray(self.source.coordinate(self.axis, np.arange(len(self))), np.float64)

    @property
    def z_unit(self) -> str:
        """Unit of the height map: that of z, or slices where the layer says nothing."""
        if self._several:
            return "slices"
        unit = self.source.unit(self.axis)
        plain = unit == "px" and self.source.transforms["scale"][self.axis] == 1
        return "slices" if plain else unit


def slice_in_view(plan: StackPlan, viewer: Viewer) -> int | None:
    """Number of the slice that the viewer shows: by the sliders; of several layers the selected, else the topmost."""
    numbers = {source.identity: n for n, source in enumerate(plan.sources)}
    layers = [layer for layer in reversed(list(viewer.layers)) if identity(layer) in numbers]
    if len(plan.sources) == 1:
        return position(layers[0], viewer.dims.point)[plan.axis] if layers else None
    active = viewer.layers.selection.active
    seen = [active] if active in layers else [layer for layer in layers if layer.visible]
    return numbers[identity(seen[0])] if seen else None
