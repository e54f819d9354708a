"""A focal stack as the user chooses it: layers, axes, channels, slices, the part in view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from defocus_backend.errors import InputError
from napari_defocus._layers import LayerSource, Layout, identity, position
from napari_defocus._view import Key, View

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from defocus_backend.stacks import StackPlan

Where = dict[int, int]
"""Index on some of the leading axes, by axis."""
Window = tuple[slice, slice]

_Z_NAMES = ("z", "depth", "focus", "slice", "plane")
_CHANNEL_NAMES = ("c", "ch", "channel", "channels", "wavelength")
_FEW = 6
"""An axis without a name and with so few indices may hold channels."""
_PLACE = ("scale", "translate", "rotate", "shear", "units")


def guess_axes(source: LayerSource) -> tuple[int | None, int | str | None]:
    """The z axis and the channel axis of a stack, as far as they are beyond doubt.

    Returns
    -------
    z : int or None
        None where it has to be asked for.
    channel : int, None or "ask"
        None where there is none.
    """
    leading = range(source.ndim - 2)
    names = {axis: source.axes[axis].lower() for axis in leading}
    channel = next((a for a in leading if names[a] in _CHANNEL_NAMES), None)
    z = next((a for a in leading if names[a] in _Z_NAMES), None)
    unnamed = [a for a in leading if not names[a] and a != channel]
    if z is None:
        sure = len(leading) == 1 and (source.shape[0] > _FEW or names[0] not in ("", *_CHANNEL_NAMES))
        z = unnamed[0] if sure and unnamed else 0 if sure else None
    if channel is None:
        return z, "ask" if doubtful_channels(source, z) else None
    return z, channel


def doubtful_channels(source: LayerSource, z: int | None) -> list[int]:
    """Axes without a name, beside z, that may hold channels."""
    leading = range(source.ndim - 2)
    return [a for a in leading if a != z and not source.axes[a] and source.shape[a] <= _FEW]


@dataclass(frozen=True)
class StackChoice:
    """Which slices are fused, in which channel the sharpest slice is found, and where the results lie.

    Attributes
    ----------
    sources : tuple of Source
        One stack, or several images of two axes.
    axis : int
        The z axis of the one stack.
    channel_axis : int or None
        Axis of separate channels, all of which are fused by one decision.
    judge : int
        Channel in which the sharpest slice is found.
    fixed : dict or None
        Index on the remaining leading axes; None fuses at all their positions.
    numbers : tuple of int
        Slices that are fused, in this order; empty for all.
    window : (slice, slice) or None
        Rows and columns that are fused; None for all.
    """

    sources: tuple[LayerSource, ...]
    axis: int = 0
    channel_axis: int | None = None
    judge: int = 0
    fixed: Where | None = None
    numbers: tuple[int, ...] = ()
    window: Window | None = None

    def __post_init__(self) -> None:
        if self.total < 2:
            raise InputError("stack", f"{self.total} slice(s)", "at least two; choose another axis or more layers")
        if self.channel_axis == self.axis and not self.several:
            raise InputError("channel axis", "the z axis", "another axis, or none")
        if len(self) < 2:
            raise InputError("slices", f"{len(self)} of them", "at least two")
        outside = [n for n in self.numbers if not 0 <= n < self.total]
        if outside:
            raise InputError("slices", f"number {outside[0]}", f"numbers from 0 to {self.total - 1}")
        if len(self.others) > 2 and self.fixed is None:
            raise InputError("further axes", f"{len(self.others)} of them", "at most two; or the position in view")
        for other in self.sources[1:]:
            self._check_alike(other)

    def _check_alike(self, other: LayerSource) -> None:
        first = self.source
        if other.shape != first.shape or other.rgb != first.rgb:
            raise InputError(
                f"layer {other.name!r}",
                f"shape {other.shape}{' RGB' if other.rgb else ''}",
                f"that of {first.name!r}: {first.shape}{' RGB' if first.rgb else ''}",
            )
        for name in _PLACE:
            mine, its = first.transforms[name], other.transforms[name]
            if not (np.allclose(mine, its) if name != "units" else tuple(map(str, mine)) == tuple(map(str, its))):
                shown = ", ".join(f"{v:g}" if name != "units" else str(v) for v in np.ravel(its))
                raise InputError(
                    f"layer {other.name!r}",
                    f"{name} {shown}",
                    f"that of {first.name!r}: slices of one stack lie on each other",
                )
        if not np.allclose(first.transforms["affine"].affine_matrix, other.transforms["affine"].affine_matrix):
            raise InputError(f"layer {other.name!r}", "another affine transform", f"that of {first.name!r}")

    @property
    def source(self) -> LayerSource:
        """The stack, or the first of several layers: it says where the results lie."""
        return self.sources[0]

    @property
    def calibrated(self) -> bool:
        """Whether the slices are a microscope's z-stack: one image whose z axis has a unit of length."""
        return not self.several and self.source.unit(self.axis) != "px"

    @property
    def several(self) -> bool:
        """Whether the slices are layers."""
        return len(self.sources) > 1 or self.source.ndim == 2

    @property
    def total(self) -> int:
        """Number of slices there are."""
        return len(self.sources) if self.several else self.source.shape[self.axis]

    def __len__(self) -> int:
        """Number of slices that are fused."""
        return len(self.numbers) or self.total

    @property
    def taken(self) -> NDArray[np.intp]:
        """Numbers of the slices that are fused, as the sliders count them."""
        return np.array(self.numbers or range(self.total), np.intp)

    def place_of(self, shown: NDArray[Any]) -> NDArray[np.int32]:
        """Numbers of slices as the sliders count them, as places among those that are fused; -1 for others."""
        places = np.full(self.total, -1, np.int32)
        places[self.taken] = np.arange(len(self))
        inside = (shown >= 0) & (shown < self.total)
        return np.where(inside, places[np.where(inside, shown, 0)], -1).astype(np.int32)

    @property
    def others(self) -> list[int]:
        """Leading axes that are neither z nor channel: time, position."""
        if self.several:
            return []
        return [a for a in range(self.source.ndim - 2) if a not in (self.axis, self.channel_axis)]

    @property
    def looped(self) -> list[int]:
        """Those of them at all of whose indices a stack is fused."""
        return [] if self.fixed is not None else self.others

    @property
    def channels(self) -> int:
        """Number of separate channels."""
        return 1 if self.channel_axis is None else self.source.shape[self.channel_axis]

    @property
    def axes(self) -> str:
        """A letter for each axis of `stack`, as `fuse_nd` takes them."""
        if self.several:
            return "ZYX" + ("S" if self.source.rgb else "")
        names = {self.axis: "Z", **dict(zip(self.looped, "TP", strict=False))}
        if self.channel_axis is not None:
            names[self.channel_axis] = "C"
        kept = [a for a in range(self.source.ndim - 2) if a in names]
        return "".join(names[a] for a in kept) + "YX" + ("S" if self.source.rgb else "")

    def stack(self) -> View | list[View]:
        """What is fused, not read yet: one view, or one a slice where these are layers."""
        window: tuple[Key, ...] = self.window or ()
        if self.several:
            return [View(self.sources[n], window) for n in self.taken]
        fixed, numbers = self.fixed or {}, self.numbers or slice(None)
        leading = range(self.source.ndim - 2)
        key = [numbers if a == self.axis else fixed.get(a, slice(None)) for a in leading]
        return View(self.source, [*key, *window])

    @cached_property
    def plan(self) -> StackPlan:
        """How what is fused falls into focal stacks, by the library; nothing is read."""
        from defocus_backend.stacks import SliceSource, StackPlan

        stack, colour = self.stack(), self.source.channel_axis
        image: Any = stack
        if isinstance(stack, list):
            first, read = stack[0], lambda number, rows: stack[number][rows]
            image = SliceSource(read, len(stack), channel_axis=colour, layout=first.shape, dtype=first.dtype)
        return StackPlan(image, self.axes, focus_channels=None if self.channel_axis is None else self.judge)

    def key(self, frame: Sequence[int], channel: int) -> tuple[Any, ...]:
        """Index of one stack and channel in `stack`, for scripts."""
        at: dict[str, Any] = dict(zip(self.plan.loop, frame, strict=True)) | {"C": channel}
        found = [at.get(letter, slice(None)) for letter in self.axes[: self.axes.index("Y")]]
        while found and isinstance(found[-1], slice):
            found.pop()
        return tuple(found)

    def layout(self, *, channels: bool = False, slices: bool = False, offset: tuple[int, int] = (0, 0)) -> Layout:
        """Where a result lies that has an axis of channels, or of slices, or neither."""
        if self.window is not None:
            first = (self.window[0].start or 0, self.window[1].start or 0)
            offset = (offset[0] + first[0], offset[1] + first[1])
        if self.several:
            found = self.source.stacked(len(self)) if slices else self.source.without(())
            return found.shifted(offset)
        collapsed = set() if slices else {self.axis}
        if self.channel_axis is not None and not channels:
            collapsed.add(self.channel_axis)
        if self.fixed is not None:
            collapsed.update(self.others)
        found = self.source.without(collapsed)
        if slices and self.numbers:
            found = found.resized(self.axis, len(self))
        return found.shifted(offset)

    def z(self) -> NDArray[np.float64] | None:
        """Coordinate along z of every slice, in the layer's unit; None for several layers, which are counted."""
        if self.several:
            return None
        return np.asarray(self.source.coordinate(self.axis, self.taken), np.float64)

    @property
    def z_unit(self) -> str:
        """Unit of the height map: that of z, or slices where the layer says nothing."""
        if self.several:
            return "slices"
        unit = self.source.unit(self.axis)
        plain = unit == "px" and self.source.transforms["scale"][self.axis] == 1
        return "slices" if plain else unit

    @property
    def place(self) -> dict[str, int]:
        """Index on each further axis by its name, where one position is fused: what the names of layers say."""
        return {self.source.axis_name(a): self.fixed[a] for a in self.others} if self.fixed else {}

    def as_dict(self) -> dict[str, Any]:
        """Plain values from which `from_dict` makes the choice again."""
        window = None if self.window is None else [[w.start, w.stop] for w in self.window]
        return {
            "layers": [s.identity for s in self.sources],
            "names": [s.name for s in self.sources],
            "paths": [s.path for s in self.sources],
            "shape": list(self.source.shape),
            "z_axis": self.axis,
            "channel_axis": self.channel_axis,
            "judge": self.judge,
            "fixed": None if self.fixed is None else [[a, n] for a, n in self.fixed.items()],
            "slices": list(self.numbers),
            "window": window,
        }

    @classmethod
    def from_dict(cls, held: Mapping[str, Any], sources: Sequence[LayerSource]) -> StackChoice:
        """What `as_dict` wrote, of these layers."""
        window = held["window"]
        return cls(
            tuple(sources),
            int(held["z_axis"]),
            held["channel_axis"],
            int(held["judge"]),
            None if held["fixed"] is None else {int(a): int(n) for a, n in held["fixed"]},
            tuple(int(n) for n in held["slices"]),
            None if window is None else (slice(*window[0]), slice(*window[1])),
        )


def slice_in_view(choice: StackChoice, viewer: Viewer) -> int | None:
    """Number of the slice that the viewer shows: by the sliders; of several layers the selected, else the topmost."""
    numbers = {source.identity: n for n, source in enumerate(choice.sources)}
    layers = [layer for layer in reversed(list(viewer.layers)) if identity(layer) in numbers]
    if not choice.several:
        return position(layers[0], viewer.dims.point)[choice.axis] if layers else None
    active = viewer.layers.selection.active
    seen = [active] if active in layers else [layer for layer in layers if layer.visible]
    return numbers[identity(seen[0])] if seen else None


def show_slice(choice: StackChoice, viewer: Viewer, number: int) -> None:
    """Let the viewer show a slice: by the slider of z; of several layers this one alone, which is then selected."""
    if choice.several:
        wanted = choice.sources[number].identity
        others = {source.identity for source in choice.sources}
        for layer in viewer.layers:
            if identity(layer) in others:
                layer.visible = identity(layer) == wanted
                if layer.visible:
                    viewer.layers.selection.active = layer
        return
    source = next((x for x in viewer.layers if identity(x) == choice.source.identity), None)
    if source is not None and slice_in_view(choice, viewer) != number:
        axis = viewer.dims.ndim - choice.source.ndim + choice.axis
        at = np.zeros(choice.source.ndim)
        at[choice.axis] = number
        viewer.dims.set_point(axis, float(source.data_to_world(at)[choice.axis]))


def find_sources(held: Mapping[str, Any], viewer: Viewer) -> list[LayerSource] | None:
    """The open layers that a choice was made of: by identity, else by name and shape; None if one is missing."""
    found = []
    for number, (wanted, name) in enumerate(zip(held["layers"], held["names"], strict=True)):
        alike = [x for x in viewer.layers if identity(x) == wanted] or [
            x for x in viewer.layers if x.name == name and LayerSource.of(x).shape == tuple(held["shape"])
        ]
        if not alike:
            return None
        held["layers"][number] = identity(alike[0])
        found.append(LayerSource.of(alike[0]))
    return found
