"""Adaptive sharpening: more where an image is slightly soft, none where it is sharp or far out of focus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from defocus_backend.params import SharpenParams
from napari_defocus._layers import Source
from napari_defocus._widgets._form import Form
from napari_defocus._widgets._mapped import MappedWidget, image_display
from napari_defocus._widgets._mapsettings import chosen_device

_CURVE = ("max_gain", "alpha1", "beta1", "alpha2", "beta2")


class SharpenWidget(MappedWidget):
    """Sharpens an image by a gain that depends on the blur of every pixel."""

    title = "Adaptive sharpening"
    about = "Sharpens what is slightly soft and leaves alone what is sharp, or too far out of focus to be helped."
    function = "sharpen"
    prepared = "Sharpener"
    results = {"gain": "gain map", "image": "sharpened"}  # noqa: RUF012
    curve_label = "gain"
    curve_function = "gain_map"

    def build_controls(self) -> None:
        """The curve's parameters and the low pass."""
        self.plot.setToolTip("Sharpening gain over sigma in pixels, above the histogram of the map (square root).")
        self.params = Form(SharpenParams)
        self.add_form(self.params)

    def arguments(self) -> dict[str, Any]:
        """Arguments of `sharpen`."""
        return {**self.params.values(), "device": chosen_device(self.device)}

    def render(self, ready: Any, arguments: dict[str, Any]) -> Iterator[dict[str, NDArray[Any]]]:
        """The sharpened image; its low pass is kept."""
        found = ready.apply(SharpenParams(**{name: arguments[name] for name in SharpenParams.describe()}))
        yield {name: getattr(found, name) for name in self.results}

    def curve_arguments(self) -> dict[str, Any]:
        """Arguments of `gain_map`."""
        values = self.params.values()
        return {name: values[name] for name in _CURVE}

    def curve_top(self) -> float:
        """The largest gain."""
        return max(float(self.params["max_gain"].value), 0.1)

    def display(self, name: str, source: Source) -> dict[str, Any]:
        """Gain on a fixed scale; the image as its source."""
        if name == "gain":
            limits = (0.0, self.curve_top())
            return {"colormap": "magma", "contrast_limits": limits, "visible": False, "colorbar": True}
        return image_display(source)
