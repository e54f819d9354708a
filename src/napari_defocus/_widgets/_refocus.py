"""A picture with a shallow depth of field, rendered from the fused image and its height: any plane, any aperture."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget
from superqt import QLabeledDoubleSlider

from defocus_backend.pipeline import SurfaceFiles
from napari_defocus._garbage import load_library
from napari_defocus._heights import HeightMap
from napari_defocus._layers import find
from napari_defocus._show import show
from napari_defocus._widgets._form import Form
from napari_defocus._widgets._owned import Owned
from napari_defocus._widgets._panel import LABEL_WIDTH, group, labelled, name_handles, wrapped
from napari_defocus._worker import Preview, tell

ROLE = "refocused"
_QUICK = 250_000
"""Pixels of the estimate that is shown first."""
_RADIUS = 12.0, 60.0
"""Blur radius in px at half the height range: at first, and at the right end of the slider."""


class RefocusBox(Owned, QWidget):
    """Sliders for the plane in focus and the aperture; the layer follows them."""

    def __init__(self, owner: Any) -> None:
        super().__init__(owner)
        self._belong_to(owner)
        self._range: tuple[float, float] | None = None
        self.on = QCheckBox("Show a refocused picture")
        about = SurfaceFiles.describe()
        self.focus = _slider("focus", "Height that is in focus, in the unit of the height.")
        self.aperture = _slider("aperture", about["aperture"]["help"] + " Unit: px per unit of height.")
        self.form = Form(SurfaceFiles, ("nearest",))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.on)
        layout.addWidget(group(labelled([("focus", self.focus), ("aperture", self.aperture)])))
        layout.addWidget(self.form.panel(LABEL_WIDTH))
        self.text = wrapped("")
        layout.addWidget(self.text)
        self._work = Preview(self)
        self._work.ready.connect(self._show)
        self._work.failed.connect(tell)
        self.on.toggled.connect(self._toggled)
        for slider in (self.focus, self.aperture):
            slider.valueChanged.connect(self.follow)
        self.form.changed.connect(self.follow)

    def update_state(self) -> None:
        """Enable what can be used now, and say why something cannot."""
        missing = self._owner.relief.missing()
        self.on.setEnabled(not missing)
        self.on.setToolTip(
            missing or "Render the fused image as a lens would take it, with one plane in focus. The layer follows."
        )
        for part in (self.focus, self.aperture, self.form.native):
            part.setEnabled(not missing)

    def forget(self) -> None:
        """Another run: the height has another range."""
        self._range = None
        self.follow()

    def _toggled(self, on: bool) -> None:
        if on:
            self.follow()
            return
        self._work.drop()
        viewer, repainter = self._owner.viewer, self._owner.repainter
        layer = None if repainter is None else find(viewer, ROLE, repainter.stack.choice.source.identity)
        if layer is not None:
            viewer.layers.remove(layer)

    def follow(self, *_: Any) -> None:
        """Render the picture for the sliders, where it is wanted."""
        height = self._owner.relief.height_in_view() if self.on.isChecked() else None
        if height is None:
            return
        self._fit(height)
        options = {"aperture": self.aperture.value(), **self.form.values()}
        focus = self.focus.value()
        self._work.submit(lambda: _refocused(height, focus, options))

    def _fit(self, height: HeightMap) -> None:
        """Give the sliders the range of a height map that is new to them."""
        if self._range == height.range:
            return
        self._range = low, high = height.range
        self.text.setText(
            f"Focus: {low:.4g} to {high:.4g} {height.unit}. "
            f"Aperture: blur radius in px per {height.unit.replace('slices', 'slice')}."
        )
        half = max((high - low) / 2, 1e-6)
        for slider, ends, first in (
            (self.focus, (low, max(high, low + 1e-6)), (low + high) / 2),
            (self.aperture, (0.0, _RADIUS[1] / half), _RADIUS[0] / half),
        ):
            with QSignalBlocker(slider):
                slider.setDecimals(max(0, 3 - math.floor(math.log10(ends[1] - ends[0]))))
                slider.setRange(*ends)
                slider.setValue(first)

    def _show(self, found: Any) -> None:
        if not self.on.isChecked():
            return
        height, focus, pixels = found
        look: dict[str, Any] = {"rgb": height.channel_axis is not None}
        fused = self._owner.repainter.image
        if height.channel_axis is None:
            look["contrast_limits"] = tuple(fused.contrast_limits)
        title = f"refocused at {focus:.4g} {height.unit}"
        show(self._owner.viewer, [height.layer(ROLE, title, pixels, **look)], height.made)


def _refocused(height: HeightMap, focus: float, options: dict[str, Any]) -> Iterator[Any]:
    """An estimate from fewer pixels, where there are many, then the picture."""
    refocus = load_library().surface.refocus
    axis = height.channel_axis
    step = math.ceil(math.sqrt(height.values.size / _QUICK))
    if step > 1:
        fewer = {**options, "aperture": options["aperture"] / step}
        small = refocus(
            np.ascontiguousarray(height.image[::step, ::step]),
            _thinned(height.values, step),
            focus,
            channel_axis=axis,
            **fewer,
        )
        large = small.repeat(step, 0).repeat(step, 1)
        yield height, focus, large[: height.values.shape[0], : height.values.shape[1]]
    yield height, focus, refocus(height.image, height.values, focus, channel_axis=axis, **options)


def _thinned(values: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """Every so many rows and columns; the whole where these are all unknown."""
    fewer = values[::step, ::step]
    return fewer if np.isfinite(fewer).any() else np.full_like(fewer, np.nanmedian(values))


def _slider(name: str, tip: str) -> QLabeledDoubleSlider:
    slider = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
    slider.setToolTip(tip)
    name_handles(slider, [name])
    return slider
