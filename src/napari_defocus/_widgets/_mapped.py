"""What sharpening and shallow depth of field share: an image, its defocus map, and a live preview."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from qtpy.compat import isalive
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QCheckBox, QPushButton

from napari_defocus._layers import (
    Result,
    Source,
    find,
    identity,
    is_image,
    is_map_of,
    is_of_another,
    made_by,
    position,
    provenance,
)
from napari_defocus._preferences import preference
from napari_defocus._script import call, find_range, load, save, script
from napari_defocus._show import show
from napari_defocus._stacks import shared_range
from napari_defocus._widgets._base import Job, OperationWidget
from napari_defocus._widgets._layerbox import LayerBox
from napari_defocus._widgets._mapsettings import Choice, chosen_device, device_box
from napari_defocus._widgets._plot import SIGMA_MAX, SigmaPlot
from napari_defocus._widgets.defocus import map_job
from napari_defocus._worker import Preview

if TYPE_CHECKING:
    from napari.layers import Layer

CURVE_POINTS = 191
_PREVIEW = " preview"
"""Ends the roles of layers that show one slice of a deeper image."""
Arrays = dict[str, NDArray[Any]]


class MappedWidget(OperationWidget):
    """Base of the widgets that need an image and its defocus map.

    A subclass names its library function and says how a result becomes layers.
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
        self.map = LayerBox(
            lambda layer: is_map_of(layer, self.image.layer),
            "no map of this image",
            "Defocus map of the image: sigma in pixels.",
        )
        self.compute_button = QPushButton("Compute the map")
        self.compute_button.setToolTip(
            "Make the defocus map with default settings; the widget Defocus map offers all of them."
        )
        self.which = Choice(
            {"the slice in view": "view", "all slices": "all"}, "Work on the slice in view or on all of them. No unit."
        )
        self.device = device_box()
        self.rows = self.add_rows([("image", self.image), ("defocus map", self.map), ("slices", self.which)])
        self.add(self.compute_button)
        self.plot = SigmaPlot(self.curve_label, empty="no defocus map yet")
        self.add(self.plot)
        self.build_controls()
        self.add_rows([("device", self.device)])
        self.live = QCheckBox("Live preview of the slice in view")
        self.live.setChecked(True)
        self.live.setToolTip("Redo the slice in view whenever a control moves; the map is kept.")
        self.add(self.live)
        self._drawing = Preview(self)
        self._drawing.ready.connect(self._show_curve)
        self._drawing.failed.connect(self._on_preview_failed)
        self._preview = Preview(self)
        self._ready: tuple[Any, Any] | None = None
        self._watching: list[Layer] = []
        self._edition = 0
        self._hidden: list[Layer] = []
        self._preview.ready.connect(self._show_preview)
        self._preview.failed.connect(self._on_preview_failed)
        self.image.currentIndexChanged.connect(self._image_changed)
        self.map.currentIndexChanged.connect(self._map_changed)
        self.which.currentIndexChanged.connect(self.slice_changed)
        self.compute_button.clicked.connect(self.compute_map)
        self.live.toggled.connect(self.changed)
        for form in self.forms:
            form.changed.connect(self.changed)

    # What a subclass says

    @abstractmethod
    def build_controls(self) -> None:
        """Make the controls between the plot and the device."""

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
    def display(self, name: str, source: Source) -> dict[str, Any]:
        """How one of the results shows when its layer is made."""

    # State

    def refresh_layers(self) -> None:
        """Offer the viewer's layers."""
        self.image.refresh(self.viewer)
        self._image_changed()

    def _image_changed(self, *_: Any) -> None:
        layer = self.image.layer
        wanted = None if layer is None else identity(layer)
        self.map.refresh(self.viewer, lambda m: made_by(m).get("source_id") == wanted)
        self.rows.setRowVisible(self.which, layer is not None and layer.ndim > 2)
        self._map_changed()

    def _map_changed(self, *_: Any) -> None:
        self._watch()
        planes = self._planes()
        self.plot.set_map(None if planes is None else planes[1])
        if "torch" in sys.modules:
            self.draw_curve()
        self.update_state()

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
        wanted = Source.of(image).planes() if everywhere else [position(image, self.viewer.dims.point)]
        return any(is_of_another(sigma, index) for index in wanted)

    def slice_changed(self, *_: Any) -> None:
        """Show the slice in view."""
        planes = self._planes()
        self.plot.set_map(None if planes is None else planes[1])
        self.update_state()
        layer = self.image.layer
        if layer is not None and layer.ndim > 2 and (self.made_layers or self._preview.busy):
            self.changed()

    def enterEvent(self, event: QEvent | None) -> None:  # Qt's name
        """Draw the curve once somebody looks: it comes from the library, which loads torch."""
        if self.plot.curve is None:
            self.draw_curve()
        super().enterEvent(event)

    def reset(self) -> None:
        """Put every control back to its default."""
        super().reset()
        self.which.value = "view"
        self.device.setCurrentIndex(0)
        self.live.setChecked(True)

    # The map

    def compute_map(self) -> None:
        """Make the defocus map of the chosen image."""
        layer = self.image.layer
        if layer is None or self.current_run is not None:
            return
        source = Source.of(layer)
        index = None if source.ndim > 2 and self.which.value == "all" else position(layer, self.viewer.dims.point)
        preferred = {"weights": str(preference("weights")) or None, "tile": preference("tile")}
        self.start(map_job(source, index, {**preferred, "device": chosen_device(self.device)}))

    def finished(self, value: Any) -> None:  # noqa: ARG002
        """Take up a map that was just made."""
        if "sigma" in self.made_layers:
            self.map.layer = self.made_layers["sigma"]
            self._map_changed()
            self.changed()

    # Live

    def changed(self, *_: Any) -> None:
        """Follow a control: the curve, and the slice in view where that is wanted."""
        if not isalive(self):
            return
        self.draw_curve()
        planes = self._planes() if self.live.isChecked() else None
        image, sigma = self.image.layer, self.map.layer
        if planes is None or image is None or sigma is None:
            self._preview.drop()
            if self._map_is_of_another_slice(False):
                self._hide_preview()
            return
        self._preview_source, arguments, point = planes[2], self.arguments(), self.viewer.dims.point
        places = (identity(image), position(image, point), identity(sigma), position(sigma, point))
        key = (*places, arguments["device"], self._edition)
        self._preview.submit(lambda: self._follow(key, planes, arguments))

    def _follow(
        self, key: Any, planes: tuple[NDArray[Any], NDArray[Any], Source], arguments: dict[str, Any]
    ) -> Iterator[Arrays]:
        """Results of the preview; what does not depend on the controls is kept from call to call."""
        import defocus_backend as db

        if self._ready is None or self._ready[0] != key:
            image, sigma, source = planes
            make = getattr(db, self.prepared)
            self._ready = None  # before the next is made: both would be in memory
            self._ready = key, make(image, sigma, channel_axis=source.channel_axis, device=arguments["device"])
        yield from self.render(self._ready[1], arguments)

    def draw_curve(self) -> None:
        """Ask the library for the curve."""
        arguments, function, top = self.curve_arguments(), self.curve_function, self.curve_top()
        sigma = np.linspace(0, SIGMA_MAX, CURVE_POINTS, dtype=np.float32)

        def work() -> Any:
            import defocus_backend as db

            return sigma, getattr(db, function)(sigma[None], **arguments)[0], top

        self._drawing.submit(work)

    def _show_curve(self, found: Any) -> None:
        self.plot.set_curve(*found)

    def _on_preview_failed(self, error: BaseException) -> None:
        # A slider on its way may pass through values that contradict each other: no pop-up for each.
        self.say(str(error))

    def _planes(self) -> tuple[NDArray[Any], NDArray[Any], Source] | None:
        image, sigma = self.image.layer, self.map.layer
        if image is None or sigma is None or self.problem():
            return None
        point = self.viewer.dims.point
        source = Source.of(image)
        return source.plane(position(image, point)), Source.of(sigma).plane(position(sigma, point)), source

    def _compute(self, image: NDArray[Any], sigma: NDArray[Any], source: Source, options: dict[str, Any]) -> Arrays:
        import defocus_backend as db

        found = getattr(db, self.function)(image, sigma, channel_axis=source.channel_axis, **options)
        return {name: getattr(found, name) for name in self.results}

    def _hide_preview(self) -> None:
        """Hide what was made of another slice than the one in view, until there is a preview of that one."""
        image = self.image.layer
        for title in () if image is None else self.results.values():
            layer = find(self.viewer, title + _PREVIEW, identity(image))
            if layer is not None and layer.visible:
                layer.visible = False
                self._hidden.append(layer)

    def _show_preview(self, found: Arrays) -> None:
        source = self._preview_source
        about = provenance(source, self.function, {**self.arguments(), "preview": True})
        axes = range(source.ndim - 2, source.ndim)
        layers = self._results(found, source, source.spatial(axes), preview=source.ndim > 2)
        self.made_layers = show(self.viewer, layers, about)
        for layer in self.made_layers.values():
            if layer in self._hidden:
                self._hidden.remove(layer)
                layer.visible = True
        self.say("")

    def _results(
        self, found: Arrays, source: Source, spatial: dict[str, Any], *, preview: bool = False
    ) -> list[Result]:
        suffix = _PREVIEW if preview else ""
        return [
            Result(title + suffix, title + suffix, found[name], spatial, show=self.display(name, source))
            for name, title in self.results.items()
            if name in found
        ]

    # A run

    def job(self) -> Job:
        """The run that the controls describe."""
        image, sigma = self.image.layer, self.map.layer
        source, blur = Source.of(image), Source.of(sigma)
        arguments = self.arguments()
        everywhere = source.ndim > 2 and self.which.value == "all"
        point = self.viewer.dims.point
        indices = list(source.planes()) if everywhere else [position(image, point)]
        here = position(sigma, point)

        def work(progress: Callable[..., None], cancel: Callable[[], bool]) -> Arrays:
            from defocus_backend.progress import Reporter

            reporter = Reporter(len(indices), "images", progress, cancel)
            out: Arrays = {}
            shared = {"value_range": shared_range(source, indices)} if everywhere else {}
            options = {**arguments, **shared, **self.callbacks(cancel)}
            for index in indices:
                at = (index if blur.ndim == source.ndim else ()) if everywhere else here
                one = self._compute(source.plane(index), blur.plane(at), source, options)
                if not everywhere:
                    out = one
                for name, values in one.items() if everywhere else ():
                    if name not in out:
                        out[name] = np.empty((*source.shape[:-2], *values.shape), values.dtype)
                    out[name][index] = values
                reporter.advance()
            return out

        axes = None if everywhere else range(source.ndim - 2, source.ndim)
        about = {**arguments, "image": None if everywhere else list(indices[0]), "map": blur.name}
        return Job(source, self.function, about, work, lambda f: self._results(f, source, source.spatial(axes)))

    def callbacks(self, cancel: Callable[[], bool]) -> dict[str, Any]:  # noqa: ARG002
        """Callbacks that the library's function takes."""
        return {}

    def script(self) -> str:
        """The same run as a Python script."""
        image, sigma = self.image.layer, self.map.layer
        source, blur = Source.of(image), Source.of(sigma)
        options = {"channel_axis": source.channel_axis, **self.arguments()}
        each = source.ndim > 2 and self.which.value == "all"
        point = self.viewer.dims.point
        body = load("image", source, () if each else position(image, point))
        body += load("sigma", blur, () if each else position(sigma, point))
        if not each:
            lines = call("result", self.function, ["image", "sigma"], options)
            return script(self.title, [*body, *lines, *self._save_lines("result", source.rgb)])
        sigma_at = "sigma[index]" if blur.ndim == source.ndim else "sigma"
        lines = call("result", self.function, ["image[index]", sigma_at, "value_range=value_range"], options)
        body += ["import numpy as np", *find_range("image", source), "made = np.empty_like(image)"]
        body += [f"for index in np.ndindex(image.shape[:{source.ndim - 2}]):", *("    " + x for x in lines)]
        return script(
            self.title, [*body, "    made[index] = result.image", save("made", f"{self.function}.tif", rgb=source.rgb)]
        )

    def _save_lines(self, name: str, rgb: bool) -> Sequence[str]:
        return [
            save(f"{name}.{part}", f"{title.replace(' ', '_')}.tif", rgb=rgb and part == "image")
            for part, title in self.results.items()
        ]


def image_display(source: Source) -> dict[str, Any]:
    """How an image that was made from another shows: as that one."""
    if source.rgb:
        return {"rgb": True}
    return {} if source.contrast_limits is None else {"contrast_limits": source.contrast_limits}
