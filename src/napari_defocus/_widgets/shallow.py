"""Shallow depth of field: what is out of focus is blurred further, around a plane that is clicked."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.compat import isalive
from qtpy.QtCore import Qt
from qtpy.QtGui import QHideEvent
from qtpy.QtWidgets import QPushButton, QWidget
from superqt import QLabeledDoubleRangeSlider

from defocus_backend.params import ShallowParams
from napari_defocus._layers import LayerSource, value_at
from napari_defocus._mapping import image_display
from napari_defocus._widgets._form import Form
from napari_defocus._widgets._mapped import MappedWidget
from napari_defocus._widgets._mapsettings import chosen_device
from napari_defocus._widgets._panel import LABEL_WIDTH, beside, name_handles, wrapped

_MAIN = ("blur", "radius", "lens_radius", "sharpen_gain", "fill_subject")
_ENDS = ("sharp_below", "blur_above")


class ShallowWidget(MappedWidget):
    """Blurs the background of an image by its defocus map."""

    title = "Shallow depth of field"
    about = "Keeps what is in focus and blurs the rest further, like a lens with a wider aperture."
    key = "shallow"
    words = {"blur_above": "blurred above", "sharp_below": "sharp below", "focus": "in focus"}  # noqa: RUF012
    function = "shallow_depth_of_field"
    prepared = "ShallowRenderer"
    results = {"weights": "sharp weight", "image": "shallow"}  # noqa: RUF012
    curve_label = "weight of the sharp image"
    curve_function = "shallow_weights"

    def build_controls(self) -> list[QWidget]:
        """The range over the histogram, the focus, the blur; the rest for the folded section."""
        described = ShallowParams.describe()
        self._ends = tuple(float(described[name]["default"]) for name in _ENDS)
        self._focus: float | None = None
        self.plot.setToolTip("Weight of the sharp image over sigma in pixels, above the histogram of the map.")
        self.range = QLabeledDoubleRangeSlider(Qt.Orientation.Horizontal)
        self.range.setRange(0.0, float(described["blur_above"]["high"]))
        self.range.setDecimals(2)
        self.range.setValue(self._ends)
        self.range.setEdgeLabelMode(QLabeledDoubleRangeSlider.EdgeLabelMode.NoLabel)
        self.range.setMinimumHeight(48)
        name_handles(self.range, ["sharp below [px]", "blurred above [px]"])
        self.range.setToolTip(
            "Left: sigma up to which a pixel stays sharp. Right: sigma from which it is fully blurred. "
            f"Unit: px. Defaults: {self._ends[0]:g} and {self._ends[1]:g}."
        )
        self.add(wrapped("sharp below ... blurred above [px]"))
        self.add(self.range)
        self.focus_button = QPushButton("Click in the image to focus")
        self.focus_button.setCheckable(True)
        self.focus_button.setToolTip(
            "While pressed: a click in the image takes the blur found there as in focus. Unit: px."
        )
        self.clear_button = QPushButton("Clear")
        self.clear_button.setToolTip("Focus on what is sharpest again.")
        self.add(beside(self.focus_button, self.clear_button))
        self.focus_label = wrapped("")
        self.focus_label.setToolTip("Sigma in pixels that counts as in focus.")
        self.add(self.focus_label)
        self.params = Form(ShallowParams, _MAIN)
        self.add_form(self.params)
        others = [name for name in described if name not in (*_MAIN, *_ENDS)]
        self.advanced = Form(ShallowParams, others)
        self.forms.append(self.advanced)
        self.range.valueChanged.connect(self.changed)
        self.focus_button.toggled.connect(self._listen)
        self.clear_button.clicked.connect(self.clear_focus)
        self.params.changed.connect(self._enable)
        self._callback: Callable[..., Any] | None = None
        self._show_focus()
        self._enable()
        for number, name in enumerate(_ENDS):
            self.memory.add_value(name, partial(self._end, number), self._put_end(number))
        return [self.advanced.panel(LABEL_WIDTH)]

    def _end(self, number: int) -> float:
        """Where one handle is, px."""
        return round(float(self.range.value()[number]), 4)

    def _put_end(self, number: int) -> Callable[[float], None]:
        """A function that sets one handle."""

        def put(value: float) -> None:
            ends = list(self.range.value())
            ends[number] = float(value)
            self.range.setValue(tuple(ends))

        return put

    def _enable(self, *_: Any) -> None:
        lens = self.params["blur"].value == "lens"
        self.params["radius"].enabled = not lens
        self.params["lens_radius"].enabled = lens
        for name in ("edge_tolerance", "iterations"):
            self.advanced[name].enabled = not lens
        self.advanced["highlights"].enabled = lens

    @property
    def ends(self) -> dict[str, float]:
        """The two handles."""
        low, high = (round(float(v), 4) for v in self.range.value())
        return {"sharp_below": min(low, 9.9), "blur_above": high}

    def arguments(self) -> dict[str, Any]:
        """Arguments of `shallow_depth_of_field`."""
        return {
            **self.ends,
            **self.params.values(),
            **self.advanced.values(),
            "focus": self._focus,
            "device": chosen_device(self.device),
        }

    def curve_arguments(self) -> dict[str, Any]:
        """Arguments of `shallow_weights`."""
        values = self.advanced.values()
        ends = {"sharp_weight": values["sharp_weight"], "blur_weight": values["blur_weight"]}
        return {**self.ends, **ends, "focus": self._focus}

    def display(self, name: str, source: LayerSource) -> dict[str, Any]:
        """Weights from 0 to 1; the image as its source."""
        if name == "weights":
            return {"colormap": "gray", "contrast_limits": (0.0, 1.0), "visible": False, "colorbar": "weight"}
        return image_display(source)

    def changed(self, *args: Any) -> None:
        """Follow a control: the marks in the plot, the curve, the slice in view."""
        super().changed(*args)
        marks = {f"{v:.1f}": v for v in self.ends.values()} if self._focus is None else {}
        if self._focus is not None:
            marks[f"focus {self._focus:.1f}"] = self._focus
        self.plot.set_marks(marks)

    def render(self, ready: Any, arguments: dict[str, Any]) -> Iterator[dict[str, NDArray[Any]]]:
        """Weights or an estimate at once, then the image as fast as its background can be blurred."""
        params = ShallowParams(**{name: arguments[name] for name in ShallowParams.describe()})
        focus = arguments["focus"]
        if ready.needs_background(params, focus):
            if ready.can_estimate(params):
                yield self._taken(ready.apply(params, focus=focus, estimate=True))
            else:
                yield {"weights": ready.weights(params, focus=focus)}
        yield self._taken(ready.apply(params, focus=focus, cancel=self._preview.superseded))

    def _taken(self, found: Any) -> dict[str, NDArray[Any]]:
        return {name: getattr(found, name) for name in self.results}

    def reset(self) -> None:
        """Put every control back to its default."""
        super().reset()
        self.range.setValue(self._ends)
        self.focus_button.setChecked(False)
        self.clear_focus()

    # Focus by a click

    def _listen(self, on: bool) -> None:
        callbacks = self.viewer.mouse_drag_callbacks
        if self._callback is not None and self._callback in callbacks:
            callbacks.remove(self._callback)
        self._callback = None
        if on:
            self._callback = _clicker(weakref.ref(self))
            callbacks.append(self._callback)

    def hideEvent(self, event: QHideEvent | None) -> None:  # Qt's name
        """Stop to listen for clicks when nobody sees the button."""
        self.focus_button.setChecked(False)
        super().hideEvent(event)

    def focus_at(self, world: Any) -> None:
        """Focus on the blur found under a point of the world."""
        layer = None if self._map_is_of_another_slice(False) else self.map.layer
        value = None if layer is None else value_at(layer, world)
        if value is None or not np.isfinite(value):
            self.say("There is no defocus map under the click.")
            return
        self._focus = round(value, 3)
        self._show_focus()
        self.changed()

    def clear_focus(self) -> None:
        """Focus on what is sharpest."""
        if self._focus is not None:
            self._focus = None
            self.changed()
        self._show_focus()

    def _show_focus(self) -> None:
        text = "what is sharpest" if self._focus is None else f"sigma = {self._focus:.2f} px"
        self.focus_label.setText(f"in focus: {text}")
        self.clear_button.setEnabled(self._focus is not None)


def _clicker(widget: weakref.ref[ShallowWidget]) -> Callable[..., Iterator[None]]:
    """A callback for the viewer that outlives neither a drag nor the widget."""

    def clicked(_: Any, event: Any) -> Iterator[None]:
        yield
        if event.type == "mouse_move":
            return
        found = widget()
        if found is not None and isalive(found):
            found.focus_at(event.position)

    return clicked
