"""The input against what was made of it: in its place, or on one side of a line that is moved."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.compat import isalive
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton, QSlider, QVBoxLayout, QWidget

from napari_defocus._layers import KEY, LayerSource, identity, is_picture, made_by, position
from napari_defocus._widgets._owned import Owned
from napari_defocus._widgets._panel import row
from napari_defocus._worker import Preview, tell

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from napari.viewer import Viewer

ROLE = "compare"
_WHOLE, _HALF = 1000, 500
_NEAR = 10
"""Distance from the line in pixels of the screen at which the mouse takes it."""


class Compare(Owned, QWidget):
    """Two buttons, one for each way to compare.

    Parameters
    ----------
    owner : OperationWidget
        Says which results there are (`tools.results`) and which input is in view (`input_in_view`).
    """

    def __init__(self, owner: Any) -> None:
        super().__init__()
        self._belong_to(owner)
        self._seen: dict[str, bool] = {}
        self._before: NDArray[Any] | None = None
        self._line: Image | None = None
        self._reading = Preview(self)
        self._reading.ready.connect(self._show_before)
        self._reading.failed.connect(tell)
        self.toggle = _checkable("Before / after", "While pressed, the input is shown in place of the result.")
        self.split = _checkable(
            "Split view",
            "While pressed, the input is shown left of a line and the result right of it. "
            "Drag the line in the image, or move the slider.",
        )
        self.share = QSlider(Qt.Orientation.Horizontal)
        self.share.setRange(0, _WHOLE)
        self.share.setValue(_HALF)
        self.share.setPageStep(_WHOLE // 20)
        self.share.setAccessibleName("place of the line")
        self.share.setToolTip("Share of the width that shows the input. Unit: thousandths. Default: 500.")
        self.share.setVisible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row(self.toggle, self.split))
        layout.addWidget(self.share)
        self.toggle.toggled.connect(self._toggle)
        self.split.toggled.connect(self._split)
        self.share.valueChanged.connect(self._move_line)

    @property
    def _viewer(self) -> Viewer:
        viewer: Viewer = self._owner.viewer
        return viewer

    @property
    def busy(self) -> bool:
        """Whether the input is still being read."""
        return self._reading.busy

    def update_state(self, made: bool) -> None:
        """Enable what can be used now."""
        for control in (self.toggle, self.split):
            control.setEnabled(made or control.isChecked())

    def end(self) -> None:
        """Show all as it was."""
        self.toggle.setChecked(False)
        self.split.setChecked(False)

    # The input in place of the result

    def _toggle(self, before: bool) -> None:
        if not before:
            self._restore()
            return
        self.split.setChecked(False)
        made = self._owner.tools.results()
        sources = {str(made_by(x).get("source_id")) for x in made}
        inputs = [x for x in self._viewer.layers if identity(x) in sources]
        self._seen = {identity(x): x.visible for x in [*made, *inputs]}
        for layer in made:
            layer.visible = False
        for layer in inputs:
            layer.visible = True

    def _restore(self) -> None:
        for layer in self._viewer.layers:
            if identity(layer) in self._seen:
                layer.visible = self._seen[identity(layer)]
        self._seen = {}

    # Both, on either side of a line

    def _split(self, on: bool) -> None:
        self.share.setVisible(on)
        callbacks = self._viewer.mouse_drag_callbacks
        if not on:
            self._reading.drop()
            if self._callback in callbacks:
                callbacks.remove(self._callback)
            self._viewer.dims.events.current_step.disconnect(self._read)
            if self._line is not None and self._line in self._viewer.layers:
                self._viewer.layers.remove(self._line)
            self._line = self._before = None
            self._restore()
            return
        self.toggle.setChecked(False)
        shown = [x for x in self._owner.tools.results() if is_picture(x)]
        self._seen = {identity(x): x.visible for x in self._viewer.layers}
        for layer in self._viewer.layers:
            layer.visible = layer is shown[-1] if shown else layer.visible
        self._callback = _dragger(weakref.ref(self))
        callbacks.append(self._callback)
        self._viewer.dims.events.current_step.connect(self._read)
        self._read()

    _callback: Any = None

    def _read(self, *_: Any) -> None:
        """Read the input that the sliders show."""
        layer: Layer | None = self._owner.input_in_view()
        if layer is None:
            self._owner.say("The input is no longer open: there is nothing to compare with.")
            return
        source, index = LayerSource.of(layer), position(layer, self._viewer.dims.point)
        look = {} if source.rgb else {"colormap": layer.colormap, "contrast_limits": tuple(layer.contrast_limits)}
        self._reading.submit(lambda: (source, source.plane(index), look))

    def _show_before(self, found: Any) -> None:
        source, self._before, look = found
        if not self.split.isChecked() or not isalive(self):
            return
        if self._line is not None and self._line in self._viewer.layers:
            self._move_line()
            return
        spatial = source.spatial(range(source.ndim - 2, source.ndim))
        about = {"metadata": {KEY: {"role": ROLE}}}
        active = self._viewer.layers.selection.active
        self._line = self._viewer.add_image(self._left(), name="before", rgb=source.rgb, **about, **spatial, **look)
        self._line.bounding_box.visible, self._line.bounding_box.points = True, False
        self._viewer.layers.selection.active = active

    def _left(self) -> NDArray[Any]:
        assert self._before is not None
        width = self._before.shape[1]
        return self._before[:, : max(1, round(width * self.share.value() / _WHOLE))]

    def _move_line(self, *_: Any) -> None:
        if self._line is not None and self._before is not None and self._line in self._viewer.layers:
            self._line.data = self._left()

    def near_line(self, world: Any) -> bool:
        """Whether a point of the world is close enough to the line to take it."""
        if self._line is None or self._before is None or self._line not in self._viewer.layers:
            return False
        here = self._line.world_to_data(tuple(world)[-2:])
        apart = abs(float(here[1]) - self._line.data.shape[1] + 0.5) * abs(float(self._line.scale[1]))
        return apart * self._viewer.scene.camera.zoom < _NEAR

    def drag_to(self, world: Any) -> None:
        """Put the line under a point of the world."""
        if self._line is not None and self._before is not None:
            column = float(self._line.world_to_data(tuple(world)[-2:])[1]) + 0.5
            self.share.setValue(int(np.clip(round(_WHOLE * column / self._before.shape[1]), 0, _WHOLE)))


def _checkable(text: str, tip: str) -> QPushButton:
    made = QPushButton(text)
    made.setCheckable(True)
    made.setMinimumWidth(60)
    made.setToolTip(tip)
    return made


def _dragger(compare: weakref.ref[Compare]) -> Callable[..., Iterator[None]]:
    """A callback for the viewer that moves the line and outlives neither a drag nor the widget."""

    def dragged(viewer: Any, event: Any) -> Iterator[None]:
        found = compare()
        if found is None or not isalive(found) or not found.near_line(event.position):
            return
        camera = viewer.scene.camera
        before, camera.mouse_pan = camera.mouse_pan, False
        yield
        while event.type == "mouse_move":
            if isalive(found):
                found.drag_to(event.position)
            yield
        camera.mouse_pan = before

    return dragged
