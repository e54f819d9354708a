"""Adaptive sharpening: strong in slightly soft areas, none in sharp or far out-of-focus areas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QWidget
from superqt import QLabeledDoubleRangeSlider

from defocus_backend.params import SharpenParams
from napari_defocus._layers import LayerSource
from napari_defocus._mapping import image_display
from napari_defocus._widgets._form import Form
from napari_defocus._widgets._mapped import MappedWidget
from napari_defocus._widgets._mapsettings import chosen_device
from napari_defocus._widgets._panel import LABEL_WIDTH, name_handles, wrapped
from napari_defocus._widgets._plot import SIGMA_MAX

_CURVE = ("max_gain", "rise_at", "rise_width", "fall_at", "fall_width")
_MAIN = ("max_gain", "low_pass")


class SharpenWidget(MappedWidget):
    """Sharpens an image by a gain that depends on the blur of every pixel."""

    title = "Adaptive sharpening"
    about = "Sharpens what is slightly soft and leaves alone what is sharp, or too far out of focus to be helped."
    key = "sharpen"
    function = "sharpen"
    prepared = "Sharpener"
    results = {"gain": "gain map", "image": "sharpened"}  # noqa: RUF012
    curve_label = "gain"
    curve_function = "gain_map"

    def build_controls(self) -> list[QWidget]:
        """The range of blur that is sharpened, its gain and the low pass; the slopes for the folded section."""
        self.plot.setToolTip("Sharpening gain over sigma in pixels, above the histogram of the map (square root).")
        self.range = QLabeledDoubleRangeSlider(Qt.Orientation.Horizontal)
        self.range.setRange(0.0, SIGMA_MAX)
        self.range.setDecimals(2)
        self.range.setEdgeLabelMode(QLabeledDoubleRangeSlider.EdgeLabelMode.NoLabel)
        self.range.setMinimumHeight(48)
        name_handles(self.range, ["sharpen from blur [px]", "sharpen to blur [px]"])
        self.range.setToolTip(
            "Left: blur at which half of the gain is reached. Right: blur at which half of it is left. "
            f"Unit: px. Defaults: {SharpenParams.rise_at:g} and {SharpenParams.fall_at:g}."
        )
        self.add(wrapped("sharpen from ... to blur [px]"))
        self.add(self.range)
        self.params = Form(SharpenParams, _MAIN)
        self.add_form(self.params)
        self.advanced = Form(SharpenParams, [name for name in SharpenParams.describe() if name not in _MAIN])
        self.forms.append(self.advanced)
        self._show_ends()
        self.range.valueChanged.connect(self._take_ends)
        self.advanced.changed.connect(self._show_ends)
        return [self.advanced.panel(LABEL_WIDTH)]

    def _take_ends(self, ends: tuple[float, float]) -> None:
        """Set both ends of the curve to the handles of the slider."""
        for name, value in zip(("rise_at", "fall_at"), ends, strict=True):
            self.advanced[name].value = value

    def _show_ends(self, *_: Any) -> None:
        with QSignalBlocker(self.range):
            low, high = (self.advanced[name].value for name in ("rise_at", "fall_at"))
            self.range.setValue((min(low, high), max(low, high)))

    def arguments(self) -> dict[str, Any]:
        """Arguments of `sharpen`."""
        return {**self.params.values(), **self.advanced.values(), "device": chosen_device(self.device)}

    def render(self, ready: Any, arguments: dict[str, Any]) -> Iterator[dict[str, NDArray[Any]]]:
        """The sharpened image; its low pass is cached."""
        found = ready.apply(SharpenParams(**{name: arguments[name] for name in SharpenParams.describe()}))
        yield {name: getattr(found, name) for name in self.results}

    def curve_arguments(self) -> dict[str, Any]:
        """Arguments of `gain_map`."""
        values = {**self.params.values(), **self.advanced.values()}
        return {name: values[name] for name in _CURVE}

    def curve_top(self) -> float:
        """The largest gain."""
        return max(float(self.params["max_gain"].value), 0.1)

    def display(self, name: str, source: LayerSource) -> dict[str, Any]:
        """Gain on a fixed scale; the image as its source."""
        if name == "gain":
            limits = (0.0, self.curve_top())
            return {"colormap": "magma", "contrast_limits": limits, "visible": False, "colorbar": "gain"}
        return image_display(source)
