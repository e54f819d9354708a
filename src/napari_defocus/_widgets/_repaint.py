"""Updates the fused image with its decision map while the user paints on it, undo and redo included."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.compat import isalive
from qtpy.QtCore import QObject, QTimer, Signal

from napari_defocus._fusing import FusedStack, blend_arguments
from napari_defocus._garbage import load_library
from napari_defocus._layers import position
from napari_defocus._worker import Preview

if TYPE_CHECKING:
    from napari.layers import Labels, Layer
    from napari.viewer import Viewer

Index = tuple[int, ...]
Region = tuple[slice, slice]

_SETTLE_MS = 30


class Repainter(QObject):
    """Watches one decision map and fuses anew where it was changed.

    napari reports strokes, fills and undo by different events; what changed is therefore found by
    comparison with the map as it was fused last, which holds for all of them.

    Parameters
    ----------
    stack : FusedStack
        What was fused.
    labels, image : Layer
        Decision map and fused image.
    automatic : array
        The decision map as the library made it.
    original : array
        The fused image as the run made it.
    """

    repainted = Signal()
    failed = Signal(object)

    def __init__(
        self,
        stack: FusedStack,
        labels: Labels,
        image: Layer,
        automatic: NDArray[Any],
        original: NDArray[Any],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self.stack = stack
        self.labels, self.image = labels, image
        self.automatic, self.original = automatic, original
        self._fused = np.array(labels.data)
        self._preview = Preview(self, delay=0)
        self._preview.ready.connect(self._write)
        self._preview.failed.connect(self._on_failed)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_SETTLE_MS)
        self._timer.timeout.connect(self.look)
        self._events = (labels.events.paint, labels.events.labels_update, labels.events.set_data, labels.events.data)
        for event in self._events:
            event.connect(self._on_event)
        labels.events.selected_label.connect(self._keep_in_range)

    @property
    def busy(self) -> bool:
        """Whether a change still waits to be shown."""
        return self._timer.isActive() or self._preview.busy

    @property
    def automatic_label(self) -> int:
        """Label that gives a place back to the automatic decision: what napari's eraser paints."""
        return self.stack.choice.total

    @property
    def painted(self) -> NDArray[np.bool_]:
        """Where the decision map is another than the automatic one."""
        data = np.asarray(self.labels.data)
        return np.asarray((data != self.automatic) & (data != self.automatic_label))

    def frame_in_view(self, viewer: Viewer) -> Index:
        """Index along the looped axes of the stack that the sliders show."""
        choice = self.stack.choice
        looped = choice.looped
        if not looped:
            return ()
        where = position(self.labels, viewer.dims.point)
        axes = self.stack.maps().axes
        return tuple(where[axes.index(axis)] for axis in looped)

    def stop(self) -> None:
        """Watch no longer."""
        for event in self._events:
            event.disconnect(self._on_event)
        self.labels.events.selected_label.disconnect(self._keep_in_range)
        self._timer.stop()
        self._preview.drop()

    def touch(self) -> None:
        """Look soon; napari reports no undo on a hidden layer."""
        self._timer.start()

    def catch_up(self, fused: NDArray[Any]) -> None:
        """Take this as the decision map that the image shows, and fuse anew where the layer differs."""
        self._fused = fused.copy()
        self.touch()

    def _on_event(self, event: Any = None) -> None:  # noqa: ARG002
        if isalive(self):
            self._timer.start()

    def _keep_in_range(self, event: Any = None) -> None:  # noqa: ARG002
        """Only slices that were fused can be painted with, and the label that gives back."""
        if not isalive(self):
            return
        wanted, taken = int(self.labels.selected_label), self.stack.choice.taken
        if wanted == self.automatic_label or wanted in taken:
            return
        self.labels.selected_label = int(taken[np.argmin(np.abs(taken - wanted))])

    def look(self) -> None:
        """Find what was changed since the last fusion and start on it."""
        if self._preview.busy:
            self._timer.start()
            return
        data = np.asarray(self.labels.data)
        if data.shape != self._fused.shape:
            return
        self._give_back(data)
        for frame in self.stack.choice.plan:
            where = self.stack.map_at(frame)
            changed = np.nonzero(data[where] != self._fused[where])
            if not changed[0].size:
                continue
            box = tuple(slice(int(a.min()), int(a.max()) + 1) for a in changed)
            self._preview.submit(partial(self._again, frame, where, (box[0], box[1]), np.array(data[where])))
            return

    def _give_back(self, data: NDArray[Any]) -> None:
        """Put the automatic decision where the eraser was; undo finds the stroke before it as it was."""
        erased = data == self.automatic_label
        if erased.any():
            data[erased] = self.automatic[erased]
            self.labels.refresh()

    def _again(self, frame: Index, where: Index, changed: Region, labels: NDArray[Any]) -> Any:
        """Fuse the surroundings of a change anew by the library; for every channel its pixels."""
        db = load_library()

        stack, options = self.stack, self.stack.options
        blending = blend_arguments(options)
        reach = db.decision_reach(**blending)
        region, outer = _grown(changed, reach, labels.shape), _grown(changed, 2 * reach, labels.shape)
        inner = tuple(slice(r.start - o.start, r.stop - o.start) for r, o in zip(region, outer, strict=True))
        choice = stack.choice
        automatic = self.automatic[where][outer]
        corrections = np.where(labels[outer] != automatic, choice.place_of(labels[outer]), -1)
        pieces = []
        for channel in range(choice.channels):
            found = db.fuse_corrected(
                stack.part(frame, channel, outer),
                self.original[stack.image_at(frame, channel)][outer],
                choice.place_of(automatic),
                corrections,
                channel_axis=choice.source.channel_axis,
                value_range=stack.value_range(frame, channel),
                gains=stack.gains or None,
                device=options["device"],
                **blending,
            )
            pieces.append((channel, found.image[inner]))
        return frame, where, region, labels, pieces

    def _write(self, found: Any) -> None:
        frame, where, region, labels, pieces = found
        for channel, piece in pieces:
            self.image.data[(*self.stack.image_at(frame, channel), *region)] = piece
        self._fused[where] = labels
        self.image.refresh()
        self.repainted.emit()
        self.look()  # more may have been painted meanwhile, or another stack

    def _on_failed(self, error: BaseException) -> None:
        self._fused = np.array(self.labels.data)
        self.failed.emit(error)


def _grown(box: Region, by: int, shape: tuple[int, ...]) -> Region:
    """Rows and columns with their surroundings, as far as there are any."""
    grown = [slice(max(0, s.start - by), min(n, s.stop + by)) for s, n in zip(box, shape, strict=True)]
    return grown[0], grown[1]
