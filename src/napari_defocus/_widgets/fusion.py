"""Focus fusion: one sharp image and a height map from a focal stack, with a decision map to paint on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QDoubleSpinBox,
    QGridLayout,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QSpinBox,
    QWidget,
)

from defocus_backend.errors import InputError
from defocus_backend.params import NEVER_ABOVE, FusionParams, SliceMapParams
from defocus_backend.progress import CancelCallback, ProgressCallback
from napari_defocus._layers import Source, is_image, made_by, position, provenance
from napari_defocus._show import prepare_drawing, show
from napari_defocus._stacks import StackPlan, guess_axes, slice_in_view
from napari_defocus._surface import VIEW, height_surface
from napari_defocus._widgets._base import Job, OperationWidget, wrapped
from napari_defocus._widgets._form import Form
from napari_defocus._widgets._fusing import Fused, fuse_plan, fusion_layers, never_again, never_layer
from napari_defocus._widgets._fusion_script import fusion_script
from napari_defocus._widgets._layerbox import LayerBox
from napari_defocus._widgets._mapsettings import Choice, MapSettings
from napari_defocus._widgets._repaint import Repainter
from napari_defocus._worker import Preview, tell

if TYPE_CHECKING:
    from napari.layers import Layer

_MAIN = ("decision", "blend")
_OUTPUTS = {
    "height": ("height map", "Place of best focus between the slices, in the unit of the z axis.", True),
    "height error": ("height error", "Standard error of the height, in the unit of the z axis.", False),
    "confidence": ("confidence", "Confidence of the least sigma, 0 to 1.", True),
    "never": ("never in focus", "Mask of what no slice has in focus: least sigma above the bound in px.", True),
    "sigma": ("least sigma", "Sigma in the sharpest slice, in pixels.", False),
    "weights": ("weight maps", "Weight of every slice, 0 to 1; takes memory for every slice.", False),
    "sigmas": ("slice maps", "Defocus map: sigma of every slice in pixels; takes memory for every slice.", False),
}


class FusionWidget(OperationWidget):
    """Fuses a focal stack and lets the user correct which slice is taken where."""

    title = "Focus fusion"
    about = "One image that is sharp wherever any slice is, the height of every pixel, and where no slice is sharp."

    def build(self) -> None:
        """Make the controls."""
        self.repainter: Repainter | None = None
        self._plan: StackPlan | None = None
        self._fused: Fused | None = None
        self.kind = Choice(
            {"one stack layer": "stack", "several 2-D layers": "layers"},
            "Take the slices from an axis of one layer, or take several layers as slices. No unit.",
        )
        self.stack = LayerBox(_is_stack, "no stack layer", "Image layer with an axis of slices.")
        self.list = QListWidget()
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.list.setToolTip("2-D image layers of one size; the ticked ones are fused, in this order.")
        self.list.setMaximumHeight(110)
        self.z_axis = Choice({}, "Axis along which the focus changes. No unit.")
        self.channel_axis = Choice({}, "Axis of separate channels; all are fused by one decision. No unit.")
        self.judge = QSpinBox()
        self.judge.setToolTip("Number of the channel on which focus is judged, from 0. No unit.")
        self.which = Choice(
            {"the position in view": "view", "all positions": "all"},
            "Of further axes (time, position): fuse at the place of the sliders, or everywhere. No unit.",
        )
        self.rows = self.add_rows(
            [
                ("slices from", self.kind),
                ("stack", self.stack),
                ("layers", self.list),
                ("z axis", self.z_axis),
                ("channel axis", self.channel_axis),
                ("judge focus on", self.judge),
                ("further axes", self.which),
            ]
        )
        self.params = Form(FusionParams, _MAIN)
        self.add_form(self.params)
        self.details = Form(FusionParams, [name for name in FusionParams.describe() if name not in _MAIN])
        self.add_form(self.details, "Decision and blend")
        self.params.changed.connect(self._enable)
        self._enable()
        names = {"radius": "refine_radius", "eps": "refine_eps"}
        self.settings = MapSettings(self, names, group=SliceMapParams, folded=True)
        self._build_outputs()
        self._build_painting()
        self.kind.currentIndexChanged.connect(self._kind_changed)
        self.stack.currentIndexChanged.connect(self._stack_changed)
        self.z_axis.currentIndexChanged.connect(self._axes_changed)
        self.channel_axis.currentIndexChanged.connect(self._axes_changed)
        self.list.itemChanged.connect(self.update_state)

    def _build_outputs(self) -> None:
        grid = QWidget()
        layout = QGridLayout(grid)
        layout.setContentsMargins(0, 0, 0, 0)
        self.outputs: dict[str, QCheckBox] = {}
        for i, (name, (text, tip, on)) in enumerate(_OUTPUTS.items()):
            box = QCheckBox(text)
            box.setToolTip(tip)
            box.setChecked(on)
            self.outputs[name] = box
            layout.addWidget(box, i // 2, i % 2)
        self.never_above = QDoubleSpinBox()
        self.never_above.setRange(0.1, 19.0)
        self.never_above.setSingleStep(0.5)
        self.never_above.setValue(NEVER_ABOVE)
        self.never_above.setToolTip(
            "A pixel whose least sigma over all slices is above this was never in focus. Unit: px. Range: 0.1 to 19."
        )
        self._judging = Preview(self)
        self._judging.ready.connect(self._show_never)
        self._judging.failed.connect(tell)
        self.never_above.valueChanged.connect(self._never_changed)
        self.add_section("Layers to make", grid, opened=True)
        self.add_rows([("never in focus above [px]", self.never_above)])

    def _build_painting(self) -> None:
        grid = QWidget()
        layout = QGridLayout(grid)
        layout.setContentsMargins(0, 0, 0, 0)
        texts = {
            "paint": ("Paint slice in view", "Paint on the decision map with the number of the slice in view."),
            "undo": ("Undo", "Take back the last stroke on the decision map."),
            "redo": ("Redo", "Paint the stroke that was taken back again."),
            "automatic": ("Automatic again", "Forget all painting: back to the decision that the library made."),
            "surface": ("Show as surface", "Show the height map as a surface with the fused image on it."),
        }
        self.tools: dict[str, QPushButton] = {}
        slots = [self.paint, self.undo, self.redo, self.automatic, self.show_surface]
        places = [(0, 0, 1, 2), (1, 0, 1, 1), (1, 1, 1, 1), (2, 0, 1, 1), (2, 1, 1, 1)]
        for (name, (text, tip)), slot, place in zip(texts.items(), slots, places, strict=True):
            button = QPushButton(text)
            button.setToolTip(tip)
            button.clicked.connect(slot)
            self.tools[name] = button
            layout.addWidget(button, *place)
        hint = wrapped("The fused image follows at once where you paint, fill or undo on the decision map.")
        self.add_section("Correct the decision", hint, grid, opened=True)

    def _enable(self, *_: Any) -> None:
        """Firmness only for a soft blend; the rest also serves the height or the brush."""
        soft = self.params["blend"].value == "soft" and self.params["decision"].value != "region"
        self.details["firmness"].enabled = soft

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of `fuse` that are this widget's own."""
        return {**self.params.values(), **self.details.values()}

    # State

    def refresh_layers(self) -> None:
        """Offer the viewer's layers."""
        self.stack.refresh(self.viewer)
        self._refresh_list()
        self._kind_changed()

    def _refresh_list(self) -> None:
        ticks = {i.data(Qt.ItemDataRole.UserRole): i.checkState() for i in self._items()}
        self.list.blockSignals(True)
        self.list.clear()
        self._flat = {str(x.unique_id): x for x in self.viewer.layers if is_image(x) and x.ndim == 2}
        for name, layer in self._flat.items():
            item = QListWidgetItem(layer.name, self.list)
            item.setData(Qt.ItemDataRole.UserRole, name)
            # What this plugin made is seldom a slice, but may be ticked.
            first = Qt.CheckState.Unchecked if made_by(layer) else Qt.CheckState.Checked
            item.setCheckState(ticks.get(name, first))
        self.list.blockSignals(False)

    def _items(self) -> list[QListWidgetItem]:
        return [item for i in range(self.list.count()) if (item := self.list.item(i)) is not None]

    def _kind_changed(self, *_: Any) -> None:
        stack = self.kind.value == "stack"
        self.rows.setRowVisible(self.stack, stack)
        self.rows.setRowVisible(self.list, not stack)
        self._stack_changed()

    def _stack_changed(self, *_: Any) -> None:
        layer = self.stack.layer
        names: dict[str, int] = {}
        if layer is not None:
            source = Source.of(layer)
            names = {f"{source.axis_name(a)} ({source.shape[a]})": a for a in range(source.ndim - 2)}
        kept = [self.z_axis.itemText(i) for i in range(self.z_axis.count())]
        if kept != list(names):
            for box in (self.z_axis, self.channel_axis):
                box.blockSignals(True)
                box.clear()
            self.channel_axis.addItem("none", None)
            for text, axis in names.items():
                self.z_axis.addItem(text, axis)
                self.channel_axis.addItem(text, axis)
            if layer is not None:
                z, channel = guess_axes(Source.of(layer))
                self.z_axis.value, self.channel_axis.value = z, channel
            for box in (self.z_axis, self.channel_axis):
                box.blockSignals(False)
        self._axes_changed()

    def _axes_changed(self, *_: Any) -> None:
        layer, stack = self.stack.layer, self.kind.value == "stack"
        leading = 0 if layer is None or not stack else layer.ndim - 2
        channel = self.channel_axis.value if leading else None
        self.rows.setRowVisible(self.z_axis, leading > 0)
        self.rows.setRowVisible(self.channel_axis, leading > 1)
        self.rows.setRowVisible(self.judge, channel is not None)
        self.rows.setRowVisible(self.which, leading - 1 - (channel is not None) > 0)
        if layer is not None and channel is not None:
            self.judge.setRange(0, Source.of(layer).shape[channel] - 1)
        self.update_state()

    def update_state(self, *args: Any) -> None:
        """Enable what can be used now."""
        super().update_state(*args)
        live = self.repainter is not None and self.repainter.labels in self.viewer.layers
        for name, button in self.tools.items():
            button.setEnabled(live if name != "surface" else self._fused is not None and self._shows_height())

    def problem(self) -> str:
        """Why nothing can run now."""
        if self.kind.value == "layers":
            ticked = len(self._ticked())
            return "" if ticked > 1 else f"Tick at least two 2-D images to fuse; {ticked} is ticked."
        if self.stack.layer is None:
            return "There is no stack: open an image with at least three axes, or the sample of this plugin."
        return ""

    def _ticked(self) -> list[Layer]:
        ticked = [i for i in self._items() if i.checkState() == Qt.CheckState.Checked]
        return [self._flat[i.data(Qt.ItemDataRole.UserRole)] for i in ticked]

    def _shows_height(self) -> bool:
        return self._plan is not None and self._fused is not None and self._fused.index.ndim == 2

    # A run

    def plan(self) -> StackPlan:
        """What the controls say is to be fused."""
        if self.kind.value == "layers":
            return StackPlan(tuple(Source.of(layer) for layer in self._ticked()))
        layer = self.stack.layer
        if layer is None:
            raise InputError("stack", "no layer", "an image layer with an axis of slices")
        source = Source.of(layer)
        channel = self.channel_axis.value
        # The number stays in its hidden control when a stack without channels is chosen.
        judge = 0 if channel is None else self.judge.value()
        plan = StackPlan((source,), self.z_axis.value, channel, judge)
        if self.which.value == "all" or not plan.others:
            return plan
        here = position(layer, self.viewer.dims.point)
        fixed = {axis: here[axis] for axis in plan.others}
        return StackPlan(plan.sources, plan.axis, plan.channel_axis, plan.judge, fixed)

    def job(self) -> Job:
        """The run that the controls describe."""
        plan = self.plan()
        self._next_plan = plan
        arguments = {**self.arguments, **self.settings.arguments(plan.source)}
        self._arguments = arguments
        wanted = [name for name, box in self.outputs.items() if box.isChecked()]
        keep = "weights" in wanted or "sigmas" in wanted
        above = self.never_above.value()
        about = {
            **arguments,
            "layers": [s.name for s in plan.sources],
            "z_axis": plan.axis,
            "channel_axis": plan.channel_axis,
            "judge_channel": plan.judge,
            "position": plan.fixed,
            "never_above": above,
        }

        def work(progress: ProgressCallback, cancel: CancelCallback) -> Fused:
            prepare_drawing()
            return fuse_plan(plan, arguments, keep, above, progress, cancel)

        return Job(plan.source, "fuse", about, work, lambda fused: fusion_layers(plan, fused, wanted))

    def finished(self, value: Any) -> None:
        """Start to follow the brush."""
        if self.repainter is not None:
            self.repainter.stop()
            self.repainter.deleteLater()
        self._plan, self._fused = self._next_plan, value
        labels, image = self.made_layers["index"], self.made_layers["fused"]
        self.repainter = Repainter(self._plan, self._arguments, value.ranges, labels, image, self)
        self.repainter.failed.connect(tell)
        self.update_state()

    def script(self) -> str:
        """The same run as a Python script."""
        plan = self.plan()
        arguments = {**self.arguments, **self.settings.arguments(plan.source)}
        return fusion_script(self.title, plan, arguments, self.never_above.value())

    def reset(self) -> None:
        """Put every control back to its default."""
        super().reset()
        self.settings.reset()
        self.which.value = "view"
        self.judge.setValue(0)
        self.never_above.setValue(NEVER_ABOVE)
        for name, (_, _, on) in _OUTPUTS.items():
            self.outputs[name].setChecked(on)

    # After a run

    def _never_changed(self, above: float) -> None:
        layer, fused = self.made_layers.get("never"), self._fused
        if layer is None or fused is None or layer not in self.viewer.layers:
            return
        self._judging.submit(lambda: (above, fused, never_again(fused, above)))

    def _show_never(self, found: Any) -> None:
        above, fused, mask = found
        if fused is self._fused and self._plan is not None:
            made = provenance(self._plan.source, "fuse", {"never_above": above})
            show(self.viewer, [never_layer(mask, self._plan.layout().spatial)], made)

    def paint(self) -> None:
        """Take up the brush with the slice in view."""
        if self.repainter is None or self._plan is None:
            return
        labels, number = self.repainter.labels, slice_in_view(self._plan, self.viewer)
        if number is not None:
            labels.selected_label = number
        labels.visible = True
        labels.mode = "paint"
        self.viewer.layers.selection.active = labels

    def undo(self) -> None:
        """Take back a stroke."""
        if self.repainter is not None:
            self.repainter.labels.undo()
            self.repainter.touch()

    def redo(self) -> None:
        """Paint a stroke again."""
        if self.repainter is not None:
            self.repainter.labels.redo()
            self.repainter.touch()

    def automatic(self) -> None:
        """Back to the library's decision."""
        if self.repainter is not None:
            labels = self.repainter.labels
            labels.visible = True  # napari cannot write into a layer that it has not drawn yet
            changed = np.nonzero(np.asarray(labels.data) != self.repainter.automatic)
            labels.data_setitem(changed, self.repainter.automatic[changed])
            self.repainter.touch()

    def show_surface(self) -> None:
        """Show the height as a surface in three dimensions."""
        if self._plan is None or self.repainter is None or not self._shows_height():
            return
        assert self._fused is not None
        repainter = self.repainter
        result = height_surface(
            self._plan, self._fused.height, np.asarray(repainter.labels.data), repainter.automatic, repainter.image
        )
        show(self.viewer, [result], provenance(self._plan.source, "fuse", {"shown": "height"}))
        self.viewer.dims.ndisplay = 3
        self.viewer.scene.camera.angles = VIEW
        self.viewer.fit_to_view()


def _is_stack(layer: Layer) -> bool:
    return is_image(layer) and layer.ndim > 2
