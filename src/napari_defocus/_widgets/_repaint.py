"""Keeps the fused image in step with its decision map while the user paints on it, undo and redo included."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.compat import isalive
from qtpy.QtCore import QObject, QTimer, Signal

from napari_defocus._stacks import StackPlan, Where
from napari_defocus._widgets._fusing import Ranges, refuse
from napari_defocus._worker import Preview

if TYPE_CHECKING:
    from napari.layers import Labels, Layer

Index = tuple[int, ...]
Region = tuple[slice, slice]

_SETTLE_MS = 30


class Repainter(QObject):
    """Watches one decision map and fuses anew where it was changed.

    napari tells of strokes, of fills and of undo by different events; what changed is therefore found by
    comparison with the map as it was fused last, which holds for all of them.
    """

    repainted = Signal()
    failed = Signal(object)

    def __init__(
        self,
        plan: StackPlan,
        arguments: Mapping[str, Any],
        ranges: Ranges,
        labels: Labels,
        image: Layer,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._plan, self._arguments, self._ranges = plan, dict(arguments), ranges
        self.labels, self.image = labels, image
        self.automatic = np.array(labels.data)
        self._original = np.array(image.data)
        self._fused = self.automatic.copy()
        self._preview = Preview(self, delay=0)
        self._preview.ready.connect(self._write)
        self._preview.failed.connect(self._on_failed)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_SETTLE_MS)
        self._timer.timeout.connect(self.look)
        for event in (labels.events.paint, labels.events.labels_update, labels.events.set_data, labels.events.data):
            event.connect(self._on_event)

    @property
    def busy(self) -> bool:
        """Whether a change still waits to be shown."""
        return self._timer.isActive() or self._preview.busy

    def stop(self) -> None:
        """Watch no longer."""
        labels = self.labels
        for event in (labels.events.paint, labels.events.labels_update, labels.events.set_data, labels.events.data):
            event.disconnect(self._on_event)
        self._timer.stop()
        self._preview.drop()

    def touch(self) -> None:
        """Look soon; napari tells nothing of an undo on a hidden layer."""
        self._timer.start()

    def _on_event(self, event: Any = None) -> None:  # noqa: ARG002
        if isalive(self):
            self._timer.start()

    def look(self) -> None:
        """Find what was changed since the last fusion and start on it."""
        if self._preview.busy:
            self._timer.start()
            return
        from defocus_backend.fusion.by_index import decision_reach

        data = np.asarray(self.labels.data)
        if data.shape != self._fused.shape:
            return
        maps = self._plan.layout()
        for frame in self._plan.frames():
            where = maps.at(self._plan.at(frame))
            changed = np.nonzero(data[where] != self._fused[where])
            if not changed[0].size:
                continue
            rows, columns = (slice(int(a.min()), int(a.max()) + 1) for a in changed)
            reach = decision_reach(self._arguments["radius"])
            region = tuple(
                slice(max(0, s.start - reach), min(n, s.stop + reach))
                for s, n in zip((rows, columns), data.shape[-2:], strict=True)
            )
            index = np.array(data[where], dtype=np.int32)
            self._preview.submit(partial(self._again, frame, where, (region[0], region[1]), index))
            return

    def _again(self, frame: Where, where: Index, region: Region, index: NDArray[np.int32]) -> Any:
        from defocus_backend.fusion.by_index import affected_pixels

        pieces = refuse(self._plan, self._arguments, self._ranges, index, frame, region)
        painted = index != self.automatic[where]
        near = affected_pixels(painted, radius=self._arguments["radius"], region=region)
        images = self._plan.layout(channels=True)
        kept = []
        for channel, piece in pieces:
            # The run may have blended otherwise than by this map: what nobody painted near stays as it made it.
            original = self._original[images.at(self._plan.at(frame, channel))][region]
            kept.append((channel, np.where(near if piece.ndim == 2 else near[..., None], piece, original)))
        return frame, where, region, index, kept

    def _write(self, found: Any) -> None:
        frame, where, region, index, pieces = found
        images = self._plan.layout(channels=True)
        for channel, piece in pieces:
            self.image.data[(*images.at(self._plan.at(frame, channel)), *region)] = piece
        self._fused[where] = index
        self.image.refresh()
        self.repainted.emit()
        self.look()  # more may have been painted meanwhile, or another stack

    def _on_failed(self, error: BaseException) -> None:
        self._fused = np.array(self.labels.data)
        self.failed.emit(error)
