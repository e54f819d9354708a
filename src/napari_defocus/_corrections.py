"""Corrections of a decision map by hand, taken over from one run to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_defocus._fusing import Fused, FusedStack, by_index_arguments
from napari_defocus._recipe import Call, Part
from napari_defocus._stacks import StackChoice

if TYPE_CHECKING:
    from napari_defocus._widgets._repaint import Repainter


@dataclass(frozen=True)
class Corrections:
    """Which slice was painted where.

    Attributes
    ----------
    stack : FusedStack
        What was fused when they were painted.
    painted : bool array
        Where.
    labels : array
        The decision map with them.
    """

    stack: FusedStack
    painted: NDArray[np.bool_]
    labels: NDArray[Any]

    @classmethod
    def of(cls, repainter: Repainter | None) -> Corrections | None:
        """Those of the decision map that is painted on; None if there are none."""
        if repainter is None:
            return None
        painted = repainter.painted
        return cls(repainter.stack, painted, np.array(repainter.labels.data)) if painted.any() else None

    def on(self, fused: Fused) -> NDArray[Any] | None:
        """The decision map of another run with these corrections; None where they do not fit it.

        They fit the same stack at the same position; an area that was cropped otherwise may leave some of them out.
        """
        old, new = self.stack.choice, fused.stack.choice
        same = [s.identity for s in old.sources] == [s.identity for s in new.sources]
        axes = ("axis", "channel_axis", "fixed", "total")
        if not same or any(getattr(old, name) != getattr(new, name) for name in axes):
            return None
        result = fused.index.copy()
        if result.shape[:-2] != self.labels.shape[:-2]:
            return None
        here, there = [], []
        for axis, (a, b) in enumerate(zip(self.stack.start, fused.stack.start, strict=True)):
            mine, its = self.labels.shape[axis - 2], result.shape[axis - 2]
            first, last = max(a, b), min(a + mine, b + its)
            if first >= last:
                return None
            here.append(slice(first - a, last - a))
            there.append(slice(first - b, last - b))
        at: tuple[Any, ...] = (..., *here)
        to: tuple[Any, ...] = (..., *there)
        painted, labels = self.painted[at], self.labels[at]
        painted = painted & (new.place_of(labels) >= 0)  # a slice may be left out now
        part = result[to]
        part[painted] = labels[painted]
        return result


def correction_calls(stack: FusedStack, automatic: NDArray[Any], labels: NDArray[Any]) -> list[Call]:
    """Calls that apply painted corrections to the result of `fusion_recipe`, for the script."""
    import defocus_backend as db

    choice, options = stack.choice, stack.options
    calls: list[Call] = []
    by_index = by_index_arguments(options, choice.source.channel_axis)
    if stack.gains:
        by_index["gains"] = Part("fusion", "gains")
    separate = bool(stack.aligned) and choice.channel_axis is not None
    for frame in choice.plan:
        where = stack.map_at(frame)
        painted = np.where(labels[where] != automatic[where], choice.place_of(labels[where]), -1)
        if not (painted >= 0).any():
            continue
        calls.append(Call("corrections", "unpack_corrections", (db.pack_corrections(painted),)))
        index = Part("fusion", "index", frame)
        for channel in range(choice.channels):
            if separate:
                source = Part(f"channel_{channel}")
                image = Part("fusion", "image") if channel == choice.judge else Part(f"fused_{channel}")
            else:
                source = Part("stack", index=() if choice.several else choice.key(frame, channel))
                image = Part("fusion", "image", _image_key(choice, frame, channel))
            inputs = (source, image, index, Part("corrections"))
            calls.append(Call("corrected", "fuse_corrected", inputs, by_index))
            calls.append(Call(_in_place(image), "", (Part("corrected", "image"),)))
        calls.append(Call(_in_place(index), "", (Part("corrected", "index"),)))
    return calls


def _image_key(choice: StackChoice, frame: Sequence[int], channel: int) -> tuple[int, ...]:
    at = dict(zip("TP", frame, strict=False)) | {"C": channel}
    return tuple(at[letter] for letter in choice.axes if letter in at and letter in "TPC")


def _in_place(part: Part) -> Part:
    return part if part.index else Part(part.name, part.attribute, (slice(None),))
