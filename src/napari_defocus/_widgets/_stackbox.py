"""Controls that say what is fused: layers, axes, channels, slices, the part in view."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from defocus_backend.errors import DefocusError, InputError
from napari_defocus._layers import LayerSource, is_image, made_by, position
from napari_defocus._stacks import StackChoice, doubtful_channels, guess_axes
from napari_defocus._widgets._layerbox import LayerBox
from napari_defocus._widgets._mapsettings import Choice
from napari_defocus._widgets._panel import button, group, labelled, wrapped

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

_ASK = "\0ask"
_SLICES = "all"
_FROM_STACK, _FROM_LAYERS = "stack", "layers"


class StackBox(QWidget):
    """Chooses a stack; `choice` says what was chosen.

    Signals
    -------
    changed
        Something else was chosen.
    """

    changed = Signal()

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._flat: dict[str, Layer] = {}
        self.kind = Choice(
            {"one stack layer": _FROM_STACK, "several 2-D layers": _FROM_LAYERS},
            "Take the slices from an axis of one layer, or take several layers as slices. No unit.",
        )
        self.stack = LayerBox(lambda x: is_image(x) and x.ndim > 2, "no stack layer", "Image with an axis of slices.")
        self.list = QListWidget()
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.list.setToolTip("2-D image layers of one size; the ticked ones are fused, in this order.")
        self.list.setMaximumHeight(110)
        self.z_axis = Choice({}, "Axis along which the focus changes. No unit.")
        self.channel_axis = Choice({}, "Axis of separate channels; all are fused by one decision. No unit.")
        self.judge = QSpinBox()
        self.judge.setToolTip("Channel in which the sharpest slice is found, counted from 0. No unit.")
        self.which = Choice(
            {"the position in view": "view", "all positions": "all"},
            "Of further axes (time, position): fuse at the place of the sliders, or everywhere. No unit.",
        )
        self.hint = wrapped("")
        self.hint_button = button("Fuse these images", "Take the open 2-D images as slices.", self._take_layers)
        self.rows = labelled(
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
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.hint)
        layout.addWidget(self.hint_button)
        layout.addLayout(self.rows)
        self._build_part()
        self.kind.currentIndexChanged.connect(self._kind_changed)
        self.stack.currentIndexChanged.connect(self._stack_changed)
        self.z_axis.currentIndexChanged.connect(self._z_changed)
        self.channel_axis.currentIndexChanged.connect(self._axes_changed)
        self.list.itemChanged.connect(lambda *_: self.changed.emit())
        self.judge.valueChanged.connect(lambda *_: self.changed.emit())
        self.which.currentIndexChanged.connect(lambda *_: self.changed.emit())

    def _build_part(self) -> None:
        """Controls for a part of the stack, for a section of the widget."""
        self.slices = QLineEdit()
        self.slices.setPlaceholderText("all; or 0-5, 7; or all but 3")
        self.slices.setToolTip(
            "Slices that are fused, numbered as the slider numbers them: “0-5, 7”, or “all but 3”. Empty for all."
        )
        self.reversed = QCheckBox("Last slice first")
        self.reversed.setToolTip("Take the slices in reversed order.")
        self.visible_part = QCheckBox("Only the part in view")
        self.visible_part.setToolTip(
            "Fuse what the window shows now: quick, to try settings before the whole is fused."
        )
        part = QVBoxLayout()
        part.addLayout(labelled([("slices", self.slices)]))
        part.addWidget(self.reversed)
        part.addWidget(self.visible_part)
        self.part = group(part)
        self.slices.editingFinished.connect(self.changed.emit)
        for box in (self.reversed, self.visible_part):
            box.toggled.connect(lambda *_: self.changed.emit())

    # What is offered

    def refresh(self) -> None:
        """Offer the viewer's layers."""
        self.stack.refresh(self._viewer)
        ticks = {i.data(Qt.ItemDataRole.UserRole): i.checkState() for i in self.items()}
        with QSignalBlocker(self.list):
            self.list.clear()
            self._flat = {str(x.unique_id): x for x in self._viewer.layers if is_image(x) and x.ndim == 2}
            for name, layer in self._flat.items():
                item = QListWidgetItem(layer.name, self.list)
                item.setData(Qt.ItemDataRole.UserRole, name)
                # What this plugin made is seldom a slice, but may be ticked.
                first = Qt.CheckState.Unchecked if made_by(layer) else Qt.CheckState.Checked
                item.setCheckState(ticks.get(name, first))
        self._kind_changed()

    def items(self) -> list[QListWidgetItem]:
        """Rows of the list of layers."""
        return [item for i in range(self.list.count()) if (item := self.list.item(i)) is not None]

    def ticked(self) -> list[Layer]:
        """The layers that are slices."""
        ticked = [i for i in self.items() if i.checkState() == Qt.CheckState.Checked]
        return [self._flat[i.data(Qt.ItemDataRole.UserRole)] for i in ticked]

    def _take_layers(self) -> None:
        self.kind.value = _FROM_LAYERS

    def _kind_changed(self, *_: Any) -> None:
        stack = self.kind.value == _FROM_STACK
        self.rows.setRowVisible(self.stack, stack)
        self.rows.setRowVisible(self.list, not stack)
        flat = len(self.ticked())
        offer = stack and self.stack.layer is None and flat > 1
        self.hint.setText(f"{flat} 2-D images are open: fuse them?")
        self.hint.setVisible(offer)
        self.hint_button.setVisible(offer)
        self._stack_changed()

    def axis_name(self, axis: int) -> str:
        """What the slider of an axis is called, with its length."""
        layer = self.stack.layer
        assert layer is not None
        source = LayerSource.of(layer)
        slider = self._viewer.dims.axis_labels[axis - source.ndim]
        return f"{source.axes[axis] or f'axis {slider}'} ({source.shape[axis]})"

    def _stack_changed(self, *_: Any) -> None:
        layer = self.stack.layer
        names = [] if layer is None else [self.axis_name(a) for a in range(layer.ndim - 2)]
        kept = [self.z_axis.itemText(i) for i in range(self.z_axis.count()) if self.z_axis.itemData(i) != _ASK]
        if kept != names:
            with QSignalBlocker(self.z_axis), QSignalBlocker(self.channel_axis):
                self.z_axis.clear()
                z, channel = (None, None) if layer is None else guess_axes(LayerSource.of(layer))
                if z is None and names:
                    self.z_axis.addItem("choose ...", _ASK)
                for axis, text in enumerate(names):
                    self.z_axis.addItem(text, axis)
                self.z_axis.value = _ASK if z is None else z
                self._offer_channels(_ASK if channel == "ask" else channel)
        self._axes_changed()

    def _offer_channels(self, chosen: Any) -> None:
        layer = self.stack.layer
        self.channel_axis.clear()
        if chosen == _ASK:
            self.channel_axis.addItem("choose ...", _ASK)
        self.channel_axis.addItem("none", None)
        for axis in range(0 if layer is None else layer.ndim - 2):
            if axis != self.z_axis.value:
                self.channel_axis.addItem(self.axis_name(axis), axis)
        row = next((i for i in range(self.channel_axis.count()) if self.channel_axis.itemData(i) == chosen), 0)
        self.channel_axis.setCurrentIndex(row)

    def _z_changed(self, *_: Any) -> None:
        """With another z axis, what may hold channels is another too."""
        layer, before = self.stack.layer, self.channel_axis.value
        if layer is not None:
            z = self.z_axis.value
            doubt = doubtful_channels(LayerSource.of(layer), None if z == _ASK else z)
            named = guess_axes(LayerSource.of(layer))[1]
            chosen = before if before not in (_ASK, None, z) else named if isinstance(named, int) else None
            with QSignalBlocker(self.channel_axis):
                self._offer_channels(_ASK if doubt and chosen is None else chosen)
        self._axes_changed()

    def _axes_changed(self, *_: Any) -> None:
        layer, stack = self.stack.layer, self.kind.value == _FROM_STACK
        leading = 0 if layer is None or not stack else layer.ndim - 2
        channel = self.channel_axis.value if leading else None
        known = isinstance(channel, int)
        self.rows.setRowVisible(self.z_axis, leading > 0)
        self.rows.setRowVisible(self.channel_axis, leading > 1)
        self.rows.setRowVisible(self.judge, known)
        self.rows.setRowVisible(self.which, leading - 1 - known > 0)
        if layer is not None and isinstance(channel, int):
            self.judge.setRange(0, LayerSource.of(layer).shape[channel] - 1)
        self.changed.emit()

    # What is chosen

    def problem(self) -> str:
        """Why nothing can be fused, in words; empty where it can."""
        if self.kind.value == _FROM_LAYERS:
            ticked = len(self.ticked())
            return "" if ticked > 1 else f"Tick at least two 2-D images to fuse; {ticked} is ticked."
        if self.stack.layer is None:
            return "There is no stack: open an image with at least three axes, or the sample of this plugin."
        if self.z_axis.value == _ASK:
            return "This stack does not say which of its axes is z: choose the z axis."
        if self.channel_axis.value == _ASK and self.stack.layer.ndim > 3:
            return "This stack has a short axis without a name: choose the channel axis, or none."
        return ""

    def choice(self) -> StackChoice:
        """What the controls say; raises `InputError` where they contradict each other."""
        if self.kind.value == _FROM_LAYERS:
            sources = tuple(LayerSource.of(layer) for layer in self.ticked())
            return StackChoice(sources, numbers=self.numbers(len(sources)), window=self._window(self.ticked()))
        layer = self.stack.layer
        if layer is None:
            raise InputError("stack", "no layer", "an image layer with an axis of slices")
        source = LayerSource.of(layer)
        axis = self.z_axis.value
        channel = self.channel_axis.value if isinstance(self.channel_axis.value, int) else None
        # The number stays in its hidden control when a stack without channels is chosen.
        judge = 0 if channel is None else self.judge.value()
        fixed = None
        others = [a for a in range(source.ndim - 2) if a not in (axis, channel)]
        if others and self.which.value == "view":
            here = position(layer, self._viewer.dims.point)
            fixed = {a: here[a] for a in others}
        numbers = self.numbers(source.shape[axis])
        return StackChoice((source,), axis, channel, judge, fixed, numbers, self._window([layer]))

    def show(self, choice: StackChoice, layers: list[Layer]) -> None:
        """Set the controls to what was chosen earlier, of these layers."""
        self.refresh()
        if choice.several:
            self.kind.value = _FROM_LAYERS
            for item in self.items():
                taken = self._flat[item.data(Qt.ItemDataRole.UserRole)] in layers
                item.setCheckState(Qt.CheckState.Checked if taken else Qt.CheckState.Unchecked)
            return
        self.kind.value = _FROM_STACK
        self.stack.layer = layers[0]
        self.z_axis.value = choice.axis
        with QSignalBlocker(self.channel_axis):
            self._offer_channels(choice.channel_axis)
        self._axes_changed()
        self.judge.setValue(choice.judge)
        self.which.value = "all" if choice.fixed is None else "view"

    def numbers(self, total: int) -> tuple[int, ...]:
        """The slices that are fused, in their order; empty for all in the order of the stack."""
        taken = parse_slices(self.slices.text(), total)
        if self.reversed.isChecked():
            taken = taken[::-1]
        return () if taken == list(range(total)) else tuple(taken)

    def _window(self, layers: list[Layer]) -> tuple[slice, slice] | None:
        """Rows and columns that the window shows."""
        if not self.visible_part.isChecked():
            return None
        layer = layers[0]
        shape = LayerSource.of(layer).shape[-2:]
        low, high = layer.corner_pixels[0][-2:], layer.corner_pixels[1][-2:]
        parts = [(max(0, int(a)), min(n, int(b) + 1)) for a, b, n in zip(low, high, shape, strict=True)]
        if any(stop - start < 2 for start, stop in parts):
            raise InputError("part in view", "none of the stack", "a view of it")
        return slice(*parts[0]), slice(*parts[1])

    def reset(self) -> None:
        """Put every control back to its default."""
        self.which.value = "view"
        self.judge.setValue(0)
        self.slices.clear()
        self.reversed.setChecked(False)
        self.visible_part.setChecked(False)
        self.changed.emit()

    def safe_choice(self) -> StackChoice | None:
        """What the controls say; None where they contradict each other or say nothing."""
        try:
            return None if self.problem() else self.choice()
        except DefocusError:
            return None


def parse_slices(text: str, total: int) -> list[int]:
    """Numbers from words: "0-5, 7", "all but 3"; all for an empty text; raise `InputError` for anything else."""
    plain = text.strip().lower()
    without = re.fullmatch(r"all\s+(?:but|except|without)\s+(.+)", plain)
    if plain in ("", _SLICES):
        return list(range(total))
    numbers = []
    for part in re.split(r"[,;\s]+", without.group(1) if without else plain):
        found = re.fullmatch(r"(\d+)(?:-(\d*))?", part)
        if found is None:
            raise InputError("slices", repr(text), "numbers and ranges such as 0-5, 7; or all but 3")
        first = int(found.group(1))
        last = first if found.group(2) is None else int(found.group(2) or total - 1)
        step = 1 if last >= first else -1
        numbers += list(range(first, last + step, step))
    outside = [n for n in numbers if n >= total]
    if outside:
        raise InputError("slices", f"number {outside[0]}", f"numbers from 0 to {total - 1}")
    return [n for n in range(total) if n not in numbers] if without else list(dict.fromkeys(numbers))
