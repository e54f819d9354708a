"""What sharpening and shallow depth of field share: an image, its defocus map, and a live preview."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from qtpy.compat import isalive
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QCheckBox, QWidget

from napari_defocus._garbage import load_library
from napari_defocus._layers import (
    LayerSource,
    Result,
    has_shape_of,
    identity,
    is_image,
    is_map_of,
    is_of_another,
    made_by,
    position,
    provenance,
    role_of,
)
from napari_defocus._mapping import identifier, made_with, map_note, mapped_recipe
from napari_defocus._maps import map_arrays, place_in
from napari_defocus._preferences import preference
from napari_defocus._recipe import Recipe
from napari_defocus._show import show_stepwise
from napari_defocus._view import View
from napari_defocus._widgets._base import OperationWidget, WidgetJob
from napari_defocus._widgets._layerbox import LayerBox
from napari_defocus._widgets._mapsettings import Choice, chosen_device, device_box
from napari_defocus._widgets._panel import button, group, labelled, wrapped
from napari_defocus._widgets._plot import SIGMA_MAX, SigmaPlot
from napari_defocus._widgets._previewlayers import PREVIEW, PreviewLayers
from napari_defocus._widgets.defocus import map_job
from napari_defocus._worker import Preview, advice

if TYPE_CHECKING:
    from napari.layers import Layer

CURVE_POINTS = 191
Arrays = dict[str, NDArray[Any]]


class MappedWidget(OperationWidget):
    """Base of the widgets that need an image and its defocus map.

    A subclass names its library function and its results.
    """

    function: ClassVar[str] = ""
    prepared: ClassVar[str] = ""
    """Class of the library that repeats the function on one image quickly."""
    results: ClassVar[dict[str, str]] = {}
    """Attributes of the library's result that become layers, and their names."""
    curve_label: ClassVar[str] = ""
    curve_function: ClassVar[str] = ""

    def build(self) -> None:
        """Make the controls."""
        self.image = LayerBox(is_image, "no image layer", "Image to work on: gray or RGB, any number of axes.")
        self.map = LayerBox(self._is_offered, "no map of this image", "Defocus map of the image: sigma in pixels.")
        self.foreign = QCheckBox("Use any image as the map")
        self.foreign.setToolTip(
            "Also offer gray images that are not defocus maps. Their values are then taken as sigma in pixels."
        )
        self.map_note = wrapped("")
        self.map_note.setVisible(False)
        self.compute_button = button(
            "Compute the map",
            "Make the defocus map with the default settings. The widget Defocus map has all settings.",
            self.compute_map,
        )
        self.which = Choice(
            {"the slice in view": "view", "all slices": "all"}, "Work on the slice in view or on all of them. No unit."
        )
        self.device = device_box()
        self.rows = self.add_rows([("image", self.image), ("defocus map", self.map), ("slices", self.which)])
        self.add(self.map_note)
        self.add(self.compute_button)
        self.plot = SigmaPlot(self.curve_label, empty="no defocus map yet")
        self.add(self.plot)
        advanced = self.build_controls()
        device = group(labelled([("device", self.device)]))
        self.add_section("Advanced", *advanced, device, self.foreign)
        self.live = QCheckBox("Live preview")
        self.live.setChecked(True)
        self.live.setToolTip("Redo the slice in view whenever a control moves. The map stays the same.")
        self.add(self.live)
        self._drawing = Preview(self)
        self._drawing.ready.connect(lambda found: self.plot.set_curve(*found))
        self._drawing.failed.connect(self._on_preview_failed)
        self._preview = Preview(self, show=self._show_preview)
        self._ready: tuple[Any, Any] | None = None
        self._watching: list[Layer] = []
        self._edition = 0
        self._drawn: Any = None
        self._previewed: Layer | None = None
        self._shown = PreviewLayers(self.viewer)
        self._preview.failed.connect(self._on_preview_failed)
        self.image.currentIndexChanged.connect(self._image_changed)
        self.map.currentIndexChanged.connect(self._map_changed)
        self.which.currentIndexChanged.connect(self.slice_changed)
        self.foreign.toggled.connect(self._image_changed)
        self.live.toggled.connect(self.changed)
        self.which.currentIndexChanged.connect(self.update_state)
        self.device.currentIndexChanged.connect(self.update_state)
        for form in self.forms:
            form.changed.connect(self.changed)
            self.memory.add("", form)
        self.memory.add("slices", self.which)
        self.memory.add("live", self.live)
        self.memory.add("device", self.device)

    # What a subclass says

    @abstractmethod
    def build_controls(self) -> list[QWidget]:
        """Make the controls below the plot; returns those of the folded section."""

    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """Arguments of the library's function."""

    @abstractmethod
    def render(self, ready: Any, arguments: dict[str, Any]) -> Iterator[Arrays]:
        """Results of the prepared object, from quick to exact; runs beside the window."""

    @abstractmethod
    def curve_arguments(self) -> dict[str, Any]:
        """Arguments of the function that gives the curve."""

    def curve_top(self) -> float:
        """Value at the top of the plot."""
        return 1.0

    @abstractmethod
    def display(self, name: str, source: LayerSource) -> dict[str, Any]:
        """How one of the results shows when its layer is made."""

    # State

    def refresh_layers(self) -> None:
        """Offer the viewer's layers."""
        self.image.refresh(self.viewer)
        self._image_changed()

    def _image_changed(self, *_: Any) -> None:
        layer = self.image.layer
        wanted = None if layer is None else identity(layer)
        self.map.refresh(self.viewer, lambda m: role_of(m) == "sigma" and made_by(m).get("source_id") == wanted)
        self.rows.setRowVisible(self.which, layer is not None and layer.ndim > 2)
        self._map_changed()

    def _is_offered(self, layer: Layer) -> bool:
        image = self.image.layer
        return is_map_of(layer, image, self.viewer.layers) or (self.foreign.isChecked() and has_shape_of(layer, image))

    def _say_what_the_map_is(self) -> None:
        """Say in what unit the values are taken if the image is not a defocus map."""
        layer = self.map.layer
        text = "" if layer is None else map_note(layer, self.image.layer, self.viewer.layers)
        self.map_note.setText(text)
        self.map_note.setVisible(bool(text))

    def _map_changed(self, *_: Any) -> None:
        self._watch()
        self._say_what_the_map_is()
        there = self._draw_map()
        self.update_state()
        if "torch" in sys.modules:
            self.draw_curve()
            if there and self.map.layer is not self._previewed:
                self._previewed = self.map.layer
                self.changed()

    def _watch(self) -> None:
        """Notice when the pixels of the chosen layers change, in place too."""
        chosen = [layer for layer in (self.image.layer, self.map.layer) if layer is not None]
        for old in self._watching:
            if old not in chosen:
                old.events.set_data.disconnect(self._on_pixels)
        for new in chosen:
            if new not in self._watching:
                new.events.set_data.connect(self._on_pixels)
        self._watching = chosen

    def _on_pixels(self, event: Any = None) -> None:  # noqa: ARG002
        self._edition += 1

    def update_state(self, *args: Any) -> None:
        """Enable what can be used now."""
        super().update_state(*args)
        self.compute_button.setEnabled(self.image.layer is not None and self.current_run is None)

    def problem(self) -> str:
        """Why nothing can run now."""
        if self.image.layer is None:
            return "There is no image: open one, or a sample of this plugin."
        if self.map.layer is None:
            return "This image has no defocus map yet: press Compute the map."
        other = self._map_is_of_another_slice(self.which.value == "all")
        return "This map is of another slice: press Compute the map." if other else ""

    def _map_is_of_another_slice(self, everywhere: bool) -> bool:
        image, sigma = self.image.layer, self.map.layer
        if image is None or sigma is None:
            return False
        wanted = LayerSource.of(image).planes() if everywhere else [position(image, self.viewer.dims.point)]
        return any(is_of_another(sigma, index) for index in wanted)

    def slice_changed(self, *_: Any) -> None:
        """Show the slice in view."""
        self._draw_map()
        self.update_state()
        layer = self.image.layer
        if layer is not None and layer.ndim > 2 and (self.made_layers or self._preview.busy):
            self.changed()

    def enterEvent(self, event: QEvent | None) -> None:  # Qt's name
        """Draw the curve once somebody looks: it comes from the library, which loads torch."""
        if self.plot.curve is None:
            self.draw_curve()
            if not self.problem() and self._previewed is None:
                self._previewed = self.map.layer
                self.changed()
        super().enterEvent(event)

    def place_in_view(self) -> dict[str, int]:
        """Index that the sliders show on every leading axis."""
        layer = self.image.layer
        return {} if layer is None else place_in(LayerSource.of(layer), position(layer, self.viewer.dims.point))

    def _is_stale(self) -> bool:
        if self.live.isChecked() or self._ran is None or self._ran.operation != self.function or self.problem():
            return False
        now, then = self.arguments(), self._ran.arguments
        return any(then[name] != value for name, value in now.items())

    def closed(self) -> None:
        """Layers that show a preview go with the dock."""
        super().closed()
        self._preview.drop()
        self._shown.remove()

    def reset(self) -> None:
        """Put every control back to its default."""
        super().reset()
        self.which.value = "view"
        self.foreign.setChecked(False)
        self.device.setCurrentIndex(0)
        self.live.setChecked(True)

    # The map

    def compute_map(self) -> None:
        """Make the defocus map of the chosen image."""
        layer = self.image.layer
        if layer is None or self.current_run is not None:
            return
        source = LayerSource.of(layer)
        index = None if source.ndim > 2 and self.which.value == "all" else position(layer, self.viewer.dims.point)
        preferred = {"weights": str(preference("weights")) or None, "tile": preference("tile")}
        self.start(map_job("Defocus map", source, index, {**preferred, "device": chosen_device(self.device)}))

    def finished(self, value: Any) -> None:  # noqa: ARG002
        """Take up a map that was just made."""
        if "sigma" in self.made_layers:
            self._ran = None  # that was the map's run: these results are still to come
            self.map.layer = self.made_layers["sigma"]
            self._map_changed()
            self.changed()

    # Live

    def changed(self, *_: Any) -> None:
        """Follow a control: the curve, and the slice in view where that is wanted."""
        if not isalive(self):
            return
        self.draw_curve()
        image, sigma = self.image.layer, self.map.layer
        if not self.live.isChecked() or image is None or sigma is None or self.problem():
            self._preview.drop()
            if self._map_is_of_another_slice(False):
                self._shown.hide(image, self.results.values())
            return
        self._preview_source = source = LayerSource.of(image)
        arguments, point = self.arguments(), self.viewer.dims.point
        planes = View(source, position(image, point)), View(LayerSource.of(sigma), position(sigma, point))
        places = (identity(image), position(image, point), identity(sigma), position(sigma, point))
        key = (*places, arguments["device"], self._edition)
        self._preview.submit(lambda: self._follow(key, planes, arguments))

    def _follow(self, key: Any, planes: tuple[View, View], arguments: dict[str, Any]) -> Iterator[Arrays]:
        """Results of the preview; what does not depend on the controls is cached between calls."""
        db = load_library()

        if self._ready is None or self._ready[0] != key:
            image, sigma = (view.read() for view in planes)  # here: a lazy layer is computed
            make = getattr(db, self.prepared)
            self._ready = None  # before the next is made: both would be in memory
            self._ready = key, make(image, sigma, channel_axis=planes[0].channel_axis, device=arguments["device"])
        yield from self.render(self._ready[1], arguments)

    def draw_curve(self) -> None:
        """Ask the library for the curve."""
        arguments, function, top = self.curve_arguments(), self.curve_function, self.curve_top()
        sigma = np.linspace(0, SIGMA_MAX, CURVE_POINTS, dtype=np.float32)

        def work() -> Any:
            db = load_library()

            return sigma, getattr(db, function)(sigma[None], **arguments)[0], top

        self._drawing.submit(work)

    def _on_preview_failed(self, error: BaseException) -> None:
        # A slider on its way may pass through values that contradict each other: no pop-up for each.
        self.say(advice(error, self.words_for()))

    def _draw_map(self) -> bool:
        """Draw the histogram of the map in view; whether there is one."""
        sigma = None if self.problem() else self.map.layer
        index = () if sigma is None else position(sigma, self.viewer.dims.point)
        drawn = (sigma and identity(sigma), index, self._edition)
        if drawn != self._drawn:
            self._drawn = drawn
            self.plot.set_map(None if sigma is None else LayerSource.of(sigma).plane(index))
        return sigma is not None

    def _show_preview(self, found: Arrays) -> Iterator[None]:
        source = self._preview_source
        about = provenance(source, self.function, {**self.arguments(), "preview": True})
        axes = range(source.ndim - 2, source.ndim)
        layers = self._results(found, source, source.spatial(axes), preview=source.ndim > 2)
        shown: dict[str, Layer] = {}
        for step in show_stepwise(self.viewer, layers, about):
            shown = step
            yield
        self.made_layers = shown
        self._shown.show_again(self.made_layers.values())
        self.say("")

    def _results(
        self, found: Arrays, source: LayerSource, spatial: dict[str, Any], *, preview: bool = False
    ) -> list[Result]:
        suffix = PREVIEW if preview else ""
        return [
            Result(title + suffix, title + suffix, found[name], spatial, show=self.display(name, source))
            for name, title in self.results.items()
            if name in found
        ]

    # A run

    def _where(self) -> tuple[tuple[int, ...] | None, tuple[int, ...]]:
        """Index of the image to work on, None for all of them, and index of its map."""
        image, sigma, point = self.image.layer, self.map.layer, self.viewer.dims.point
        everywhere = image is not None and image.ndim > 2 and self.which.value == "all"
        return None if everywhere else position(image, point), position(sigma, point)

    def job(self) -> WidgetJob:
        """The run that the controls describe."""
        source, blur = LayerSource.of(self.image.layer), LayerSource.of(self.map.layer)
        index, here = self._where()
        arguments = self.arguments()
        recipe = mapped_recipe(self.title, self.function, self.results, source, blur, index, here, arguments)

        def work(progress: Callable[..., None], cancel: Callable[[], bool]) -> Arrays:
            found = map_arrays(recipe, recipe.run(progress, cancel))
            return {name: found[identifier(title)] for name, title in self.results.items()}

        axes = None if index is None else range(source.ndim - 2, source.ndim)
        about = {**arguments, "image": None if index is None else list(index), "map": blur.name}
        return WidgetJob(
            source,
            self.function,
            about,
            work,
            lambda found: self._results(found, source, source.spatial(axes)),
            place_in(source, index),
        )

    def recipe(self) -> Recipe:
        """The calls of that run; the map is made in the script too where it is as this plugin made it."""
        image, sigma = self.image.layer, self.map.layer
        index, here = self._where()
        made = made_with(sigma, image, index)
        source = LayerSource.of(image)
        return mapped_recipe(
            self.title, self.function, self.results, source, LayerSource.of(sigma), index, here, self.arguments(), made
        )
