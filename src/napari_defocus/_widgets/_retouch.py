"""Correcting a decision by hand: the source slice is what one sees, and the brush takes the fused image from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.compat import isalive
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QSlider, QSpinBox, QVBoxLayout, QWidget

from napari_defocus._layers import KEY, identity
from napari_defocus._stacks import show_slice, slice_in_view
from napari_defocus._widgets._panel import button, labelled, wrapped
from napari_defocus._worker import Preview, tell

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from napari.viewer import Viewer

    from napari_defocus._widgets._repaint import Repainter

_HALF = 50
_OUTLINE = 1
"""Width in px of the outlines of the decision map."""


class Retouch(QWidget):
    """The retouch mode and its brushes, for one fused stack at a time.

    Signals
    -------
    toggled : bool
        The mode was entered or left.
    """

    toggled = Signal(bool)

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._repainter: Repainter | None = None
        self._before: dict[str, dict[str, Any]] = {}
        self._shown: Image | None = None
        self._reading = Preview(self)
        self._reading.ready.connect(self._show_slice)
        self._reading.failed.connect(tell)
        self.mode = QPushButton("Retouch")
        self.mode.setCheckable(True)
        self.mode.setToolTip(
            "While pressed: the slice of the brush lies half transparent over the fused image, and a stroke takes the "
            "image from it. The decision map shows as outlines. The slider along z chooses the slice."
        )
        self.slice = QSpinBox()
        self.slice.setToolTip("Number of the slice that the brush takes, as the slider numbers it. No unit.")
        self.share = QSlider(Qt.Orientation.Horizontal)
        self.share.setRange(0, 100)
        self.share.setValue(_HALF)
        self.share.setToolTip("How much of the slice covers the fused image. Unit: percent. Default: 50.")
        self.brush = QSpinBox()
        self.brush.setRange(1, 400)
        self.brush.setValue(20)
        self.brush.setToolTip("Diameter of the brush. Unit: px of the image. Default: 20.")
        self.paint_button = button("Paint the slice", "Brush that takes the image from the slice.", self.paint)
        self.erase_button = button(
            "Give back", "Brush that gives a place back to the automatic decision; napari's eraser too.", self.erase
        )
        self.undo_button = button("Undo", "Take back the last stroke.", self.undo)
        self.redo_button = button("Redo", "Paint the stroke that was taken back again.", self.redo)
        self.automatic_button = button(
            "Automatic again", "Forget all painting: back to the decision that the library made.", self.automatic
        )
        self.count = QLabel("nothing is corrected")
        self.count.setToolTip("How many pixels are taken from another slice than the automatic one.")
        grid = QGridLayout()
        for number, made in enumerate(
            (self.paint_button, self.erase_button, self.undo_button, self.redo_button, self.automatic_button)
        ):
            grid.addWidget(made, number // 2, number % 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(wrapped("The fused image follows at once where you paint, fill or undo."))
        layout.addWidget(self.mode)
        layout.addLayout(
            labelled([("slice", self.slice), ("slice over image", self.share), ("brush size [px]", self.brush)])
        )
        layout.addLayout(grid)
        layout.addWidget(self.count)
        self.mode.toggled.connect(self._toggle)
        self.slice.valueChanged.connect(self._slice_chosen)
        self.share.valueChanged.connect(self._mix)
        self.brush.valueChanged.connect(self._size)
        self.follow(None)

    @property
    def busy(self) -> bool:
        """Whether something is still to be shown."""
        return self._reading.busy or (self._repainter is not None and self._repainter.busy)

    def follow(self, repainter: Repainter | None) -> None:
        """Correct this fusion from now on; none of them while there is none."""
        self.mode.setChecked(False)
        self._repainter = repainter
        if repainter is not None:
            choice = repainter.stack.choice
            with QSignalBlocker(self.slice):
                self.slice.setRange(int(choice.taken.min()), int(choice.taken.max()))
            repainter.repainted.connect(self._tell_count)
        self.update_state()
        self._tell_count()

    def update_state(self) -> None:
        """Enable what can be used now."""
        live = self._repainter is not None and self._repainter.labels in self._viewer.layers
        if not live and self.mode.isChecked():
            self.mode.setChecked(False)
        for child in (self.mode, self.slice, self.share, self.brush, self.paint_button, self.erase_button):
            child.setEnabled(live)
        for child in (self.undo_button, self.redo_button, self.automatic_button):
            child.setEnabled(live)

    def slice_changed(self) -> None:
        """Follow the slider along z."""
        if self._repainter is None:
            return
        number = slice_in_view(self._repainter.stack.choice, self._viewer)
        if number is not None and number in self._repainter.stack.choice.taken:
            self.slice.setValue(number)
        if self.mode.isChecked():
            self._read()

    # The mode

    def _toggle(self, on: bool) -> None:
        if on and self._repainter is not None:
            self._enter(self._repainter)
        else:
            self._leave()
        self.toggled.emit(on)

    def _enter(self, repainter: Repainter) -> None:
        labels, image = repainter.labels, repainter.image
        self._before = {identity(x): {"visible": x.visible} for x in self._viewer.layers}
        self._before[identity(labels)] |= {"contour": labels.contour, "opacity": labels.opacity}
        self._viewer.dims.ndisplay = 2
        for layer in self._viewer.layers:
            layer.visible = layer in (labels, image)
        labels.contour, labels.opacity = _OUTLINE, 1.0
        self.slice_changed()
        self.paint()
        self._read()

    def _leave(self) -> None:
        self._reading.drop()
        if self._shown is not None and self._shown in self._viewer.layers:
            self._viewer.layers.remove(self._shown)
        self._shown = None
        for layer in self._viewer.layers:
            for name, value in self._before.get(identity(layer), {}).items():
                setattr(layer, name, value)
        self._before = {}
        if self._repainter is not None and self._repainter.labels in self._viewer.layers:
            self._repainter.labels.mode = "pan_zoom"

    def _read(self) -> None:
        """Read the slice of the brush as it was fused."""
        repainter = self._repainter
        if repainter is None:
            return
        stack, number = repainter.stack, self.slice.value()
        frame = repainter.frame_in_view(self._viewer)
        place = int(stack.choice.place_of(np.array(number)))

        def work() -> Any:
            return number, np.ma.filled(stack.slices(frame, stack.choice.judge)[place], 0)

        if place >= 0:
            self._reading.submit(work)

    def _show_slice(self, found: Any) -> None:
        number, pixels = found
        repainter = self._repainter
        if repainter is None or not self.mode.isChecked() or not isalive(self):
            return
        name, image = f"slice {number}", repainter.image
        if self._shown is None or self._shown not in self._viewer.layers:
            layout = repainter.stack.maps().spatial
            spatial: dict[str, Any] = {k: v[-2:] for k, v in layout.items() if k in ("scale", "translate", "units")}
            about = {"metadata": {KEY: {"role": "retouch"}}}
            show: dict[str, Any] = {"rgb": image.rgb, "opacity": self.share.value() / 100}
            if not image.rgb:
                show |= {"contrast_limits": tuple(image.contrast_limits), "colormap": image.colormap}
            self._shown = self._viewer.add_image(np.asarray(pixels), name=name, **about, **spatial, **show)
            layers = self._viewer.layers
            layers.move(layers.index(self._shown), layers.index(image) + 1)
            layers.selection.active = repainter.labels
            return
        self._shown.data, self._shown.name = np.asarray(pixels), name

    def _mix(self, percent: int) -> None:
        if self._shown is not None and self._shown in self._viewer.layers:
            self._shown.opacity = percent / 100

    def _slice_chosen(self, number: int) -> None:
        repainter = self._repainter
        if repainter is None:
            return
        if repainter.labels.selected_label != repainter.automatic_label:
            repainter.labels.selected_label = number
        if not repainter.stack.choice.several:
            show_slice(repainter.stack.choice, self._viewer, number)
        if self.mode.isChecked():
            self._read()

    def _size(self, size: int) -> None:
        if self._repainter is not None:
            self._repainter.labels.brush_size = size

    # Brushes

    def paint(self) -> None:
        """Take up the brush with the slice in view."""
        repainter = self._repainter
        if repainter is None:
            return
        number = slice_in_view(repainter.stack.choice, self._viewer)
        if number is not None and number in repainter.stack.choice.taken:
            self.slice.setValue(number)
        self._take(repainter, self.slice.value(), "paint")

    def erase(self) -> None:
        """Take up the brush that gives back."""
        if self._repainter is not None:
            self._take(self._repainter, None, "erase")

    def _take(self, repainter: Repainter, label: int | None, mode: str) -> None:
        labels: Layer = repainter.labels
        if label is not None:
            labels.selected_label = label
        labels.visible = True
        labels.brush_size = self.brush.value()
        labels.mode = mode
        self._viewer.layers.selection.active = labels

    def undo(self) -> None:
        """Take back a stroke."""
        if self._repainter is not None:
            self._repainter.labels.undo()
            self._repainter.touch()

    def redo(self) -> None:
        """Paint a stroke again."""
        if self._repainter is not None:
            self._repainter.labels.redo()
            self._repainter.touch()

    def automatic(self) -> None:
        """Back to the library's decision."""
        if self._repainter is not None:
            labels = self._repainter.labels
            labels.visible = True  # napari cannot write into a layer that it has not drawn yet
            changed = np.nonzero(np.asarray(labels.data) != self._repainter.automatic)
            labels.data_setitem(changed, self._repainter.automatic[changed])
            self._repainter.touch()

    def _tell_count(self) -> None:
        if self._repainter is None:
            self.count.setText("")
            return
        painted = int(self._repainter.painted.sum())
        self.count.setText(f"{painted:,} pixels corrected".replace(",", " ") if painted else "nothing is corrected")
