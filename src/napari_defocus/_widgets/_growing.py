"""The fused image while it grows: a layer that shows the slices so far and goes when the run ends."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer

from napari_defocus._layers import KEY, name_of
from napari_defocus._stacks import StackChoice

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

ROLE = "growing"
_LOOK_MS = 100


class Intake:
    """Takes the image so far in the run's thread, not too often; knows nothing of Qt.

    Parameters
    ----------
    choice : StackChoice
        What is fused.
    pause : float
        Seconds before the first image and between two of them.
    """

    def __init__(self, choice: StackChoice, pause: float = 0.4) -> None:
        self.choice, self._pause = choice, pause
        self._last = time.monotonic()
        self._images: queue.SimpleQueue[NDArray[Any]] = queue.SimpleQueue()

    def __call__(self, image: Callable[[], NDArray[Any]]) -> None:
        """Called by the library after each slice."""
        if time.monotonic() - self._last >= self._pause:
            self._images.put(image())
            self._last = time.monotonic()

    def latest(self) -> NDArray[Any] | None:
        """The newest image that was not taken yet."""
        found = None
        with contextlib.suppress(queue.Empty):
            while True:
                found = self._images.get_nowait()
        return found


class Growing(QObject):
    """Shows what an `Intake` has taken."""

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._intake: Intake | None = None
        self._layer: Layer | None = None
        self._frame: tuple[int, ...] = ()
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK_MS)
        self._timer.timeout.connect(self._look)

    def follow(self, intake: Intake) -> None:
        """Show the images of a run from now on."""
        self._intake, self._frame = intake, (0,) * len(intake.choice.looped)
        self._timer.start()

    def at(self, done: int, total: int) -> None:
        """Take from the progress which of several stacks is in work."""
        if self._intake is not None and self._intake.choice.looped and total:
            stacks = [*self._intake.choice.plan]
            self._frame = stacks[min(done * len(stacks) // total, len(stacks) - 1)]

    def _name(self, choice: StackChoice) -> str:
        frame = {choice.source.axis_name(a): n for a, n in zip(choice.looped, self._frame, strict=True)}
        return name_of({"source": choice.source.name, "place": choice.place | frame}, "so far")

    def stop(self) -> None:
        """Take the layer away."""
        self._timer.stop()
        self._intake = None
        if self._layer is not None and self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)
        self._layer = None

    def _look(self) -> None:
        image = None if self._intake is None else self._intake.latest()
        if image is None or self._intake is None:
            return
        if self._layer is not None and self._layer in self._viewer.layers:
            self._layer.data, self._layer.name = image, self._name(self._intake.choice)
            return
        source, active = self._intake.choice.source, self._viewer.layers.selection.active
        look: dict[str, Any] = {"rgb": source.rgb, "metadata": {KEY: {"role": ROLE}}}
        if not source.rgb and source.contrast_limits is not None:
            look["contrast_limits"] = source.contrast_limits
        place = _place(self._intake.choice, (int(image.shape[0]), int(image.shape[1])))
        self._layer = self._viewer.add_image(image, name=self._name(self._intake.choice), **look, **place)
        self._viewer.layers.selection.active = active


def _place(choice: StackChoice, size: tuple[int, int]) -> dict[str, Any]:
    """Where a smaller image (h, w) lies that covers all that was chosen; what alignment cuts off is not known yet."""
    source = choice.source
    rows, columns = choice.window or (slice(0, source.shape[-2]), slice(0, source.shape[-1]))
    times = (rows.stop - rows.start) / size[0], (columns.stop - columns.start) / size[1]
    first = rows.start + (times[0] - 1) / 2, columns.start + (times[1] - 1) / 2
    spatial = source.without(range(source.ndim - 2)).shifted(first).spatial
    return {**spatial, "scale": spatial["scale"] * times}
