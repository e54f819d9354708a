"""Defocus map: how blurred every pixel is, in pixels of Gaussian sigma."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.compat import isalive
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel
from superqt import QLabeledDoubleSlider

from defocus_backend.methods import DEFAULT_NETWORK, NETWORK_METHODS
from napari_defocus._layers import (
    LayerSource,
    comes_from,
    is_image,
    is_labels,
    position,
    role_of,
    value_at,
)
from napari_defocus._maps import EXTRA, RELATIVE, map_arrays, map_layers, map_recipe, place_in
from napari_defocus._preferences import preference
from napari_defocus._recipe import Recipe
from napari_defocus._widgets._base import OperationWidget, WidgetJob
from napari_defocus._widgets._layerbox import LayerBox
from napari_defocus._widgets._mapsettings import Choice, MapSettings
from napari_defocus._widgets._objects import ObjectTable, measure
from napari_defocus._widgets._overlay import Overlay
from napari_defocus._widgets._panel import beside, button, group, name_handles
from napari_defocus._widgets._plot import SIGMA_MAX, SigmaPlot
from napari_defocus._worker import Preview, tell

if TYPE_CHECKING:
    from napari.layers import Layer

_SHARP_BELOW = 1.5


def map_job(
    title: str,
    source: LayerSource,
    index: tuple[int, ...] | None,
    arguments: dict[str, Any],
    wanted: tuple[str, ...] = (),
) -> WidgetJob:
    """A run of `defocus_map` on one image of a layer, or on all of them where there is no index."""
    recipe = map_recipe(title, source, index, arguments, wanted)

    def work(progress: Any, cancel: Any) -> dict[str, NDArray[Any]]:
        return map_arrays(recipe, recipe.run(progress, cancel))

    axes = None if index is None else range(source.ndim - 2, source.ndim)
    spatial, method = source.spatial(axes), arguments.get("map_method", DEFAULT_NETWORK)
    about = {**arguments, "image": None if index is None else list(index), "wanted": list(wanted)}
    return WidgetJob(
        source,
        "defocus_map",
        about,
        work,
        lambda maps: map_layers(maps, spatial, wanted, method),
        place_in(source, index),
    )


class DefocusWidget(OperationWidget):
    """Makes the defocus map of an image and shows what it says."""

    title = "Defocus map"
    about = "How blurred every pixel is: the standard deviation of the blur in pixels."
    key = "defocus"

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
        self.plot = SigmaPlot(empty="no defocus map yet")
        self.plot.setToolTip("How many pixels have which sigma, in pixels (square root of the counts).")
        self.add(self.plot)
        self.readout = QLabel("sigma under the cursor: -")
        self.readout.setToolTip("Sigma in pixels at the place the mouse points to.")
        self.add(self.readout)
        self.overlay = _check("Show what is sharp, below [px]", "Mark the pixels whose sigma is below the slider.")
        self.sharp_below = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        name_handles(self.sharp_below, ["sharp below [px]"])
        self.sharp_below.setRange(0.1, SIGMA_MAX)
        self.sharp_below.setDecimals(1)
        self.sharp_below.setValue(_SHARP_BELOW)
        self.sharp_below.setToolTip("Sigma below which a pixel counts as sharp. Unit: px. Range: 0.1 to 19.")
        self.add(self.overlay)
        self.add(self.sharp_below)
        self._build_objects()
        self._build_outputs()
        self.settings = MapSettings(self)
        self.settings.main["map_method"].changed.connect(self._method_changed)
        self.add_section("Advanced", *self.settings.parts, self.boxes)
        self._marks = Overlay(self)
        self.image.currentIndexChanged.connect(self._image_changed)
        self.which.currentIndexChanged.connect(self.update_state)
        self.overlay.toggled.connect(self.show_overlay)
        self.sharp_below.valueChanged.connect(self.show_overlay)
        self.viewer.cursor.events.position.connect(self._on_cursor)
        self.memory.add("slices", self.which)
        self.memory.add("sharp_below", self.sharp_below)

    def _build_objects(self) -> None:
        self.labels = LayerBox(is_labels, "no labels layer", "Objects over which the sigma is averaged.")
        self.labels.setAccessibleName("objects")
        self.measure_button = button(
            "Measure", "Mean sigma in pixels of every object of the Labels layer.", self.measure
        )
        self.objects = ObjectTable()
        self.objects.chosen.connect(self._select_object)
        self.objects_section = self.add_section("Objects", beside(self.labels, self.measure_button), self.objects)
        self._measuring = Preview(self)
        self._measuring.ready.connect(self._show_objects)
        self._measuring.failed.connect(tell)

    def _build_outputs(self) -> None:
        self.outputs = {name: _check(text, tip) for name, (text, tip) in EXTRA.items()}
        grid = QGridLayout()
        for number, (name, box) in enumerate(self.outputs.items()):
            grid.addWidget(box, number // 2, number % 2)
            box.toggled.connect(self.update_state)
            self.memory.add(f"layer_{name}", box)
        self.boxes = group(grid)

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
        image = self.image.layer
        if image is None:
            return None
        maps = [x for x in self.viewer.layers if _is_map(x) and comes_from(x, image, self.viewer.layers)]
        latest = [x for x in self.made_layers.values() if x in maps]
        return (latest or maps or [None])[-1]

    @property
    def unit(self) -> str:
        """Unit of that map."""
        layer = self.map_layer
        return "px" if layer is None or role_of(layer) == "sigma" else "relative"

    def arguments(self, source: LayerSource) -> dict[str, Any]:
        """Arguments of `defocus_map`, those that only Preferences hold among them."""
        return {**self.settings.arguments(source), "tile": preference("tile")}

    @property
    def wanted(self) -> tuple[str, ...]:
        """Further maps that are asked for."""
        return tuple(name for name, box in self.outputs.items() if box.isChecked() and box.isEnabled())

    def job(self) -> WidgetJob:
        """The run that the controls describe."""
        source = LayerSource.of(self.image.layer)
        return map_job(self.title, source, self._index(source), self.arguments(source), self.wanted)

    def recipe(self) -> Recipe:
        """The calls of that run."""
        source = LayerSource.of(self.image.layer)
        return map_recipe(self.title, source, self._index(source), self.arguments(source), self.wanted)

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

    def place_in_view(self) -> dict[str, int]:
        """Index that the sliders show on every leading axis."""
        layer = self.image.layer
        return {} if layer is None else place_in(LayerSource.of(layer), position(layer, self.viewer.dims.point))

    def _is_stale(self) -> bool:
        # Another slice in view is another place, not another setting.
        made = self._ran
        if made is None or self.problem() or not self.made_layers:
            return False
        now, then = self.job().arguments, made.arguments
        return {k: v for k, v in now.items() if k != "image"} != {k: v for k, v in then.items() if k != "image"}

    def _index(self, source: LayerSource) -> tuple[int, ...] | None:
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
        return None if layer is None else LayerSource.of(layer).plane(position(layer, self.viewer.dims.point))

    def _draw(self) -> None:
        self.plot.set_map(self._plane(), self.unit)
        self._mark()

    def _mark(self) -> None:
        below = self.sharp_below.value()
        on = self.overlay.isChecked() and self.unit == "px"
        self.plot.set_marks({f"{below:.1f} px": below} if on else {}, (0, below) if on else None)

    def show_overlay(self, *_: Any) -> None:
        """Mark what is sharp on the picture, following the slider; nothing while unchecked."""
        self._mark()
        layer = self.map_layer
        on = self.overlay.isChecked() and self.unit == "px"
        self._marks.show(layer if on else None, self.sharp_below.value())

    def closed(self) -> None:
        """The marks go with the dock."""
        super().closed()
        self._marks.show(None, 0.0)

    def measure(self) -> None:
        """Average the map over the objects of the Labels layer."""
        layer, labels = self.map_layer, self.labels.layer
        if layer is None or labels is None:
            return
        sigma, objects = LayerSource.of(layer), LayerSource.of(labels)
        self.objects.set_unit(self.unit)
        if objects.shape != sigma.shape:
            self.say(f"The labels have the shape {objects.shape}, the map has {sigma.shape}; choose others.")
            return
        self._measuring.submit(lambda: (labels, measure(np.asarray(objects.data), np.asarray(sigma.data))))

    def _show_objects(self, found: Any) -> None:
        labels, rows = found
        self.objects.show_rows(rows)
        if labels in self.viewer.layers:
            labels.features = self.objects.features()

    def _select_object(self, label: int) -> None:
        """Show the object of a row of the table."""
        layer = self.labels.layer
        if layer is not None:
            layer.selected_label = label
            layer.show_selected_label = True
            self.viewer.layers.selection.active = layer

    def _on_cursor(self, event: Any = None) -> None:  # noqa: ARG002
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
    return role_of(layer) == "sigma" or role_of(layer).startswith(RELATIVE)


def _check(text: str, tip: str) -> QCheckBox:
    box = QCheckBox(text)
    box.setToolTip(tip)
    return box
