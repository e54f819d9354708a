"""Defocus map: how blurred every pixel is, in pixels of Gaussian sigma."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QPushButton, QWidget
from superqt import QLabeledDoubleSlider

from defocus_backend.methods import DEFAULT_NETWORK, MAP_METHODS, NETWORK_METHODS
from napari_defocus._layers import (
    Result,
    Source,
    find,
    identity,
    is_image,
    is_labels,
    made_by,
    position,
    provenance,
    role_of,
    value_at,
)
from napari_defocus._preferences import preference
from napari_defocus._script import call, find_range, load, save, script
from napari_defocus._show import show
from napari_defocus._stacks import shared_range
from napari_defocus._widgets._base import Job, OperationWidget, row
from napari_defocus._widgets._layerbox import LayerBox
from napari_defocus._widgets._mapsettings import Choice, MapSettings
from napari_defocus._widgets._objects import ObjectTable, measure
from napari_defocus._widgets._plot import SIGMA_MAX, SigmaPlot
from napari_defocus._worker import Preview, tell

if TYPE_CHECKING:
    from napari.layers import Layer

_SHARP_BELOW = 1.5
_RELATIVE = "relative "
"""Begins the role of a map that has no unit, before the name of its method."""
_EXTRA = {
    "raw": ("raw map", "The map before refinement, in pixels."),
    "guide": ("guide", "The smoothed image that guided the refinement, 0 to 1."),
    "confidence": ("confidence", "0 where nothing can be told (flat, dark, saturated), 1 where certain."),
    "deviation": ("deviation", "Standard deviation of the classifier's own answer, in pixels."),
}


def unit_of(method: str) -> str:
    """Unit of the maps of a method: "px" or "relative"."""
    return str((NETWORK_METHODS.get(method) or MAP_METHODS[method]).unit)


def map_layers(
    maps: dict[str, NDArray[Any]], spatial: dict[str, Any], wanted: Sequence[str] = (), method: str = DEFAULT_NETWORK
) -> list[Result]:
    """Layers of a defocus map, the map itself last and so on top; maps without a unit have layers of their own."""
    relative = unit_of(method) != "px"
    pixels: dict[str, Any] = {"colormap": "viridis", "colorbar": True}
    if not relative:
        pixels["contrast_limits"] = (0.0, SIGMA_MAX)
    unit = {"colormap": "gray", "contrast_limits": (0.0, 1.0), "visible": False}
    shows = {"raw": {**pixels, "visible": False}, "guide": unit, "confidence": unit}
    shows["deviation"] = {"colormap": "magma", "contrast_limits": (0.0, 8.0), "visible": False, "colorbar": True}
    roles, titles = {}, {name: title for name, (title, _) in _EXTRA.items()}
    if relative:
        roles, titles["raw"] = {"raw": f"raw {method}"}, f"raw {method} [relative]"
    extra = [Result(roles.get(name, name), titles[name], maps[name], spatial, show=shows[name]) for name in wanted]
    role, title = (_RELATIVE + method, f"{method} [relative]") if relative else ("sigma", "defocus map")
    return [*extra, Result(role, title, maps["sigma"], spatial, show=pixels)]


def map_job(
    source: Source, index: tuple[int, ...] | None, arguments: dict[str, Any], wanted: Sequence[str] = ()
) -> Job:
    """A run of `defocus_map` on one image of a layer, or on all of them where there is no index."""
    indices = list(source.planes()) if index is None else [index]

    def work(progress: Any, cancel: Any) -> dict[str, NDArray[Any]]:
        import defocus_backend as db
        from defocus_backend.errors import Cancelled

        names = ["sigma", *wanted]
        shape = source.shape if index is None else source.shape[-2:]
        maps = {name: np.empty(shape, np.float32) for name in names}
        single, options = len(indices) == 1, dict(arguments)
        if index is None and options.get("value_range") is None:
            options["value_range"] = shared_range(source, indices)
        for done, where in enumerate(indices):
            if cancel():
                raise Cancelled("cancelled")
            found = db.defocus_map(
                source.plane(where),
                channel_axis=source.channel_axis,
                **options,
                progress=progress if single else None,
                cancel=cancel,
            )
            for name in names:
                maps[name][where if index is None else ...] = getattr(found, name)
            if not single:
                progress(done + 1, len(indices), "images")
        return maps

    def layers(maps: dict[str, NDArray[Any]]) -> list[Result]:
        axes = None if index is None else range(source.ndim - 2, source.ndim)
        return map_layers(maps, source.spatial(axes), wanted, arguments.get("method", DEFAULT_NETWORK))

    return Job(source, "defocus_map", {**arguments, "image": None if index is None else list(index)}, work, layers)


class DefocusWidget(OperationWidget):
    """Makes the defocus map of an image and shows what it says."""

    title = "Defocus map"
    about = "How blurred every pixel is: the standard deviation of the blur in pixels."

    def build(self) -> None:
        """Make the controls."""
        self.image = LayerBox(
            is_image, "no image layer", "Image to judge: gray or RGB, any number of axes, multiscale or lazy."
        )
        self.which = Choice(
            {"the slice in view": "view", "all slices": "all"},
            "Map the slice that the sliders show, or all of them. No unit.",
        )
        self.rows = self.add_rows([("image", self.image), ("slices", self.which)])
        self.settings = MapSettings(self)
        self.outputs = {name: _check(text, tip) for name, (text, tip) in _EXTRA.items()}
        boxes = QWidget()
        boxes.setLayout(QHBoxLayout())
        boxes.layout().setContentsMargins(0, 0, 0, 0)
        for box in self.outputs.values():
            boxes.layout().addWidget(box)
        self.add_section("Further layers", boxes)
        self.settings.main["method"].changed.connect(self._method_changed)
        self.plot = SigmaPlot(empty="no defocus map yet")
        self.plot.setToolTip("How many pixels have which sigma, in pixels (square root of the counts).")
        self.add(self.plot)
        self.readout = QLabel("sigma under the cursor: -")
        self.readout.setToolTip("Sigma in pixels at the place the mouse points to.")
        self.add(self.readout)
        self.overlay = _check("show what is sharp, below", "Overlay the pixels whose sigma is below the slider.")
        self.sharp_below = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.sharp_below.setRange(0.1, SIGMA_MAX)
        self.sharp_below.setDecimals(1)
        self.sharp_below.setValue(_SHARP_BELOW)
        self.sharp_below.setToolTip("Sigma below which a pixel counts as sharp. Unit: px. Range: 0.1 to 19.")
        self.add(self.overlay)
        self.add(self.sharp_below)
        self.labels = LayerBox(is_labels, "no labels layer", "Objects over which the sigma is averaged.")
        self.measure_button = QPushButton("Measure")
        self.measure_button.setToolTip("Mean sigma in pixels of every object of the Labels layer.")
        self.objects = ObjectTable()
        pick = QWidget()
        pick.setLayout(row(self.labels, self.measure_button))
        pick.layout().setContentsMargins(0, 0, 0, 0)
        self.add_section("Objects", pick, self.objects)
        self._measuring = Preview(self)
        self._measuring.ready.connect(self.objects.show_rows)
        self._measuring.failed.connect(tell)
        self.image.currentIndexChanged.connect(self._image_changed)
        self.overlay.toggled.connect(self.show_overlay)
        self.sharp_below.valueChanged.connect(self.show_overlay)
        self.measure_button.clicked.connect(self.measure)
        self.viewer.cursor.events.position.connect(self._on_cursor)

    def _method_changed(self, method: str) -> None:
        self.outputs["deviation"].setEnabled(method in NETWORK_METHODS)

    def refresh_layers(self) -> None:
        """Offer the viewer's layers."""
        self.image.refresh(self.viewer)
        self.labels.refresh(self.viewer)
        self._image_changed()

    def problem(self) -> str:
        """Why nothing can run now."""
        return "" if self.image.layer is not None else "There is no image: open one, or a sample of this plugin."

    @property
    def map_layer(self) -> Layer | None:
        """Map of the chosen image, in pixels or relative: that of the last run, else the topmost."""
        if self.image.layer is None:
            return None
        source_id = identity(self.image.layer)
        maps = [x for x in self.viewer.layers if made_by(x).get("source_id") == source_id and _is_map(x)]
        latest = [x for x in self.made_layers.values() if x in maps]
        return (latest or maps or [None])[-1]

    @property
    def unit(self) -> str:
        """Unit of that map."""
        layer = self.map_layer
        return "px" if layer is None or role_of(layer) == "sigma" else "relative"

    def arguments(self, source: Source) -> dict[str, Any]:
        """Arguments of `defocus_map`, those that only Preferences hold among them."""
        return {**self.settings.arguments(source), "tile": preference("tile")}

    def job(self) -> Job:
        """The run that the controls describe."""
        source = Source.of(self.image.layer)
        wanted = [name for name, box in self.outputs.items() if box.isChecked() and box.isEnabled()]
        return map_job(source, self._index(source), self.arguments(source), wanted)

    def script(self) -> str:
        """The same run as a Python script."""
        source = Source.of(self.image.layer)
        index = self._index(source)
        options = {"channel_axis": source.channel_axis, **self.arguments(source)}
        if index is not None:
            body = [*load("image", source, index), *call("found", "defocus_map", ["image"], options)]
            return script(self.title, [*body, save("found.sigma", "sigma.tif")])
        inputs, ranges = ["image[index]"], []
        if options["value_range"] is None:
            del options["value_range"]
            inputs, ranges = [*inputs, "value_range=value_range"], find_range("image", source)
        each = call("found", "defocus_map", inputs, options)
        shape = f"image.shape[:{source.ndim}]"
        body = ["import numpy as np", *load("image", source), *ranges, f"sigma = np.empty({shape}, np.float32)"]
        body += [f"for index in np.ndindex(image.shape[:{source.ndim - 2}]):", *("    " + line for line in each)]
        return script(self.title, [*body, "    sigma[index] = found.sigma", save("sigma", "sigma.tif")])

    def reset(self) -> None:
        """Put every control back to its default."""
        super().reset()
        self.settings.reset()
        self.which.value = "view"
        for box in self.outputs.values():
            box.setChecked(False)
        self.overlay.setChecked(False)
        self.sharp_below.setValue(_SHARP_BELOW)

    def finished(self, value: Any) -> None:  # noqa: ARG002
        """Show what the new map says."""
        self._image_changed()
        self.show_overlay()

    def slice_changed(self) -> None:
        """Draw the histogram of the slice in view."""
        self._draw()

    def _index(self, source: Source) -> tuple[int, ...] | None:
        if source.ndim == 2:
            return ()
        if self.which.value == "all":
            return None
        return position(self.image.layer, self.viewer.dims.point)

    def _image_changed(self, *_: Any) -> None:
        layer = self.image.layer
        self.rows.setRowVisible(self.which, layer is not None and layer.ndim > 2)
        self.measure_button.setEnabled(self.map_layer is not None and self.labels.layer is not None)
        for control in (self.overlay, self.sharp_below):
            control.setEnabled(self.unit == "px")  # a map without a unit has no "sharp below"
        self._draw()
        self.update_state()

    def _plane(self) -> NDArray[Any] | None:
        layer = self.map_layer
        return None if layer is None else Source.of(layer).plane(position(layer, self.viewer.dims.point))

    def _draw(self) -> None:
        self.plot.set_map(self._plane(), self.unit)
        self._mark()

    def _mark(self) -> None:
        below = self.sharp_below.value()
        on = self.overlay.isChecked() and self.unit == "px"
        self.plot.set_marks({f"{below:.1f} px": below} if on else {}, (0, below) if on else None)

    def show_overlay(self, *_: Any) -> None:
        """Overlay what is sharp, as a Labels layer that follows the slider; none while unchecked."""
        layer = self.map_layer
        self._mark()
        if layer is None:
            return
        made = provenance(Source.of(layer), "in_focus", {"sharp_below": self.sharp_below.value()})
        old = find(self.viewer, "in focus", made["source_id"])
        if not self.overlay.isChecked() or self.unit != "px":
            if old is not None:
                self.viewer.layers.remove(old)
            return
        import defocus_backend as db  # loads torch, which a map that was just made has loaded

        sharp = db.in_focus(layer.data, self.sharp_below.value()).view(np.uint8)
        colors = {0: "transparent", 1: "#ff7f0e", None: "transparent"}
        from napari.utils.colormaps import DirectLabelColormap

        display = {"opacity": 0.5, "colormap": DirectLabelColormap(color_dict=colors)}
        result = Result("in focus", "in focus", sharp, Source.of(layer).spatial(), "labels", display)
        show(self.viewer, [result], made)

    def measure(self) -> None:
        """Average the map over the objects of the Labels layer."""
        layer, labels = self.map_layer, self.labels.layer
        if layer is None or labels is None:
            return
        sigma, objects = Source.of(layer), Source.of(labels)
        self.objects.set_unit(self.unit)
        if objects.shape != sigma.shape:
            self.say(f"The labels have the shape {objects.shape}, the map has {sigma.shape}; choose others.")
            return
        self._measuring.submit(lambda: measure(np.asarray(objects.data), np.asarray(sigma.data)))

    def _on_cursor(self, event: Any = None) -> None:  # noqa: ARG002
        from qtpy.compat import isalive

        if not isalive(self):
            return
        layer = self.map_layer
        value = None if layer is None else value_at(layer, self.viewer.cursor.position)
        name = "sigma" if self.unit == "px" else "relative blur"
        text = (
            "-" if value is None or not np.isfinite(value) else f"{value:.4g}" if name != "sigma" else f"{value:.2f} px"
        )
        self.readout.setText(f"{name} under the cursor: {text}")


def _is_map(layer: Layer) -> bool:
    return role_of(layer) == "sigma" or role_of(layer).startswith(_RELATIVE)


def _check(text: str, tip: str) -> QCheckBox:
    box = QCheckBox(text)
    box.setToolTip(tip)
    return box
