"""Controls of how a defocus map is made; the defocus and the fusion widget both show them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFileDialog, QSizePolicy, QWidget

from defocus_backend.methods import NETWORK_METHODS
from defocus_backend.params import MapParams
from napari_defocus._layers import LayerSource
from napari_defocus._preferences import network_of, preference, shipped_weights
from napari_defocus._widgets._base import OperationWidget
from napari_defocus._widgets._form import Form
from napari_defocus._widgets._panel import LABEL_WIDTH, button, group, labelled

_MAIN = ("map_method", "step", "refine")
_ELSEWHERE = ("weights", "tile")
"""Weights have a separate list; tiles are set in Preferences."""
_PREFERRED = "preferred"
_ONNX = "onnx:"
"""Before the name of a file, this makes the name of a method."""


class Choice(QComboBox):
    """A short list of fixed texts with values behind them."""

    def __init__(self, items: Mapping[str, Any], tip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        for text, value in items.items():
            self.addItem(text, value)
        self.setToolTip(tip)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumContentsLength(8)

    @property
    def value(self) -> Any:
        """Value of the chosen text."""
        return self.currentData()

    @value.setter
    def value(self, value: Any) -> None:
        row = self.findData(value)
        if row >= 0:
            self.setCurrentIndex(row)


class WeightsBox(Choice):
    """Weights of the method, other shipped ones, or a file."""

    _PREFERRED, _OWN, _FILE = "\0preferred", "", "\0file"

    def __init__(self, parent: QWidget | None = None) -> None:
        items = {
            "as in Preferences": self._PREFERRED,
            "of the method": self._OWN,
            **{name: name for name in shipped_weights()},
            "from a file ...": self._FILE,
        }
        tip = "Trained weights. Those of the method, others in the package, or a .safetensors file. No unit."
        super().__init__(items, tip, parent)
        for row, text in enumerate(shipped_weights().values(), start=2):
            self.setItemData(row, text, Qt.ItemDataRole.ToolTipRole)
        self.activated.connect(self._activated)
        self.reset()

    def reset(self) -> None:
        """Go back to what Preferences say."""
        self.value = self._PREFERRED

    @property
    def chosen(self) -> str | None:
        """Name or path, None for what Preferences say or the method's own."""
        return None if self.value in (self._PREFERRED, self._OWN, self._FILE) else str(self.value)

    def choose(self, weights: str) -> None:
        """Choose by name or path."""
        if weights and self.findData(weights) < 0:
            self.insertItem(self.count() - 1, Path(weights).name, weights)
        self.value = weights

    @property
    def weights(self) -> str | None:
        """What the library takes."""
        if self.value == self._PREFERRED:
            return str(preference("weights")) or None
        return self.value if self.value not in (self._OWN, self._FILE) else None

    def _activated(self, row: int) -> None:
        if self.itemData(row) != self._FILE:
            return
        path, _ = QFileDialog.getOpenFileName(self, "Weights", "", "Weights (*.safetensors)")
        self.choose(path)


class MapSettings:
    """Method, weights, step, refinement, value range and device, for a section of a widget.

    Parameters
    ----------
    widget : OperationWidget
        Gets the controls.
    group_of : type
        `MapParams`, or the class whose defaults the library call has.
    """

    def __init__(
        self,
        widget: OperationWidget,
        *,
        group_of: type[MapParams] = MapParams,
    ) -> None:
        others = [name for name in group_of.describe() if name not in (*_MAIN, *_ELSEWHERE)]
        self.main = Form(group_of, _MAIN)
        self.refinement = Form(group_of, others)
        self.weights = WeightsBox()
        self.range = Choice(
            {"automatic": "auto", "contrast limits of the layer": "limits"},
            "Values that count as black and white. Automatic: the whole range of 8-bit images, 0 to 1 for floats "
            "within it, else the 0.1 and 99.9 percentiles, the same for all slices of a run. "
            "Unit: that of the image's values.",
        )
        self.device = device_box()
        widget.forms += [self.main, self.refinement]
        rows = labelled([("weights", self.weights), ("value range", self.range), ("device", self.device)])
        self.network = button(
            "Network from a file ...",
            "Make the map with a network in ONNX format, which then stands in the list of methods.",
            self._ask_for_network,
        )
        self.parts = [self.main.panel(LABEL_WIDTH), self.network, self.refinement.panel(LABEL_WIDTH), group(rows)]
        """Parts for a section of the widget."""
        self.main["map_method"].changed.connect(self._enable)
        self.weights.currentIndexChanged.connect(self._enable)
        for box in (self.weights, self.range, self.device):
            box.currentIndexChanged.connect(widget.update_state)
        for name, control in (("", self.main), ("", self.refinement), ("device", self.device)):
            widget.memory.add(name, control)
        widget.memory.add_value("map_method", lambda: self.method, self._put_method)
        widget.memory.add_value("range_from", lambda: self.range.value, lambda v: setattr(self.range, "value", v))
        widget.memory.add_value("weights", lambda: self.weights.chosen, self.weights.choose)
        self._enable()

    @property
    def method(self) -> str:
        """Name of the chosen method."""
        return str(self.main["map_method"].value)

    def choose_network(self, path: str) -> None:
        """Take a network in ONNX format as the method."""
        self._put_method(f"{_ONNX}{path}")

    def _put_method(self, name: str) -> None:
        methods = self.main["map_method"]
        if name.startswith(_ONNX) and name not in methods.choices:
            methods.set_choice(Path(name.removeprefix(_ONNX)).name, name)
        methods.value = name

    def _ask_for_network(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self.network, "Network", "", "Networks (*.onnx)")
        if path:
            self.choose_network(path)

    def _enable(self, *_: Any) -> None:
        """Networks have weights, which bring their own network; where that judges windows, these have a distance."""
        weighted = self.method in NETWORK_METHODS
        self.weights.setEnabled(weighted)
        weights = self.weights.weights if weighted else None
        network = self.method if weights is None else network_of(weights)
        per_pixel = network in NETWORK_METHODS and not NETWORK_METHODS[network].windows
        self.main["step"].enabled = weighted and not per_pixel

    def arguments(self, source: LayerSource) -> dict[str, Any]:
        """Keyword arguments for the library."""
        limits = source.contrast_limits if self.range.value == "limits" else None
        return {
            **self.main.values(),
            **self.refinement.values(),
            "weights": self.weights.weights if self.method in NETWORK_METHODS else None,
            "value_range": limits,
            "device": chosen_device(self.device),
        }

    def reset(self) -> None:
        """Back to the defaults and to what Preferences say; the forms are reset by the widget."""
        self.weights.reset()
        self.range.value = "auto"
        self.device.value = _PREFERRED


def device_box() -> Choice:
    """Where to compute; Preferences are read when a run starts, so that opening a widget stays quick."""
    names = {"as in Preferences": _PREFERRED, **{name: name for name in ("auto", "cpu", "cuda", "mps")}}
    return Choice(names, "Where to compute: auto takes CUDA or MPS where present, else the CPU. No unit.")


def chosen_device(box: Choice) -> str:
    """Device for the library."""
    return str(preference("device")) if box.value == _PREFERRED else str(box.value)
