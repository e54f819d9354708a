"""The height as a measured surface: its form subtracted, its roughness, and its profile along a line."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.compat import isalive
from qtpy.QtWidgets import QDoubleSpinBox, QVBoxLayout, QWidget

from defocus_backend.pipeline import SurfaceFiles
from napari_defocus._heights import HeightMap
from napari_defocus._show import show
from napari_defocus._widgets._form import Form
from napari_defocus._widgets._heightplot import HeightPlot
from napari_defocus._widgets._owned import Owned
from napari_defocus._widgets._panel import LABEL_WIDTH, button, group, labelled, wrapped
from napari_defocus._worker import Preview, tell

LEVEL = "level"
LINE = "profile line"


class MeasureBox(Owned, QWidget):
    """Controls that measure the height of the fusion in view; the options are those of `defocus surface`."""

    def __init__(self, owner: Any) -> None:
        super().__init__(owner)
        self._belong_to(owner)
        self._line: Any = None
        self._level: tuple[Any, Any] = (None, None)
        self.form = Form(SurfaceFiles, ("form",))
        self.filters = {name: _length(name) for name in ("s_filter", "l_filter")}
        self.run_button = button("Measure roughness", "", self.measure)
        self.text = wrapped("")
        self.text.setToolTip("Sa, Sq and Sz of ISO 25178, in the unit of the height.")
        self.line_button = button("Draw a profile line", "", self.draw_line)
        self.plot, self.line_text = HeightPlot(), wrapped("")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.form.panel(LABEL_WIDTH))
        filters = [("S-filter", self.filters["s_filter"]), ("L-filter", self.filters["l_filter"])]
        layout.addWidget(group(labelled(filters)))
        for part in (self.run_button, self.text, self.line_button, self.plot, self.line_text):
            layout.addWidget(part)
        self._work, self._following = Preview(self), Preview(self)
        self._work.ready.connect(self._show)
        self._following.ready.connect(self._show_profile)
        for work in (self._work, self._following):
            work.failed.connect(self._failed)
        self.form.changed.connect(self._follow)

    @property
    def busy(self) -> bool:
        """Whether something is measured beside the window."""
        return self._work.busy or self._following.busy

    def update_state(self) -> None:
        """Enable what can be used now, and say why something cannot."""
        missing = self._owner.relief.missing()
        self.run_button.setEnabled(not missing)
        self.line_button.setEnabled(not missing)
        tip = "Subtract the form from the height, show the levelled height, and compute its roughness."
        self.run_button.setToolTip(missing or tip)
        tip = "Add a line whose ends can be moved, and show the height along it."
        self.line_button.setToolTip(missing or tip)

    def forget(self) -> None:
        """Another run: what was measured is of the earlier one."""
        self.text.setText("")
        self._follow()

    def options(self) -> dict[str, Any]:
        """Arguments of `defocus_backend.surface.roughness`."""
        lengths = {name: box.value() or None for name, box in self.filters.items()}
        return {**self.form.values(), **lengths}

    def measure(self) -> None:
        """Measure the roughness of the height in view."""
        height, options = self._owner.relief.height_in_view(), self.options()
        if height is None:
            return

        def work() -> Any:
            from defocus_backend.surface import roughness
            from defocus_backend.surface.roughness import texture

            level = texture(height.values, **options, pixel_size=height.pixel_size or 1.0)
            return height, level.astype(np.float32), roughness(level, form="none")

        self.text.setText("measuring ...")
        self._work.submit(work)

    def _show(self, found: Any) -> None:
        height, level, rough = found
        limits = np.nanpercentile(level[:: max(1, level.shape[0] // 500)], (1, 99))
        look = {"colormap": "viridis", "contrast_limits": (float(limits[0]), max(float(limits[1]), limits[0] + 1e-6))}
        result = height.layer(LEVEL, f"levelled height [{height.unit}]", level, **look)
        result.show["colorbar"] = f"levelled height [{height.unit}]"
        viewer = self._owner.viewer
        show(viewer, [result], height.made)
        if self._line is not None and self._line in viewer.layers:
            viewer.layers.move(viewer.layers.index(self._line), len(viewer.layers))
        self.text.setText(
            f"Sa {rough.sa:.4g} {height.unit}, Sq {rough.sq:.4g} {height.unit}, Sz {rough.sz:.4g} {height.unit}; "
            f"{rough.known:.0%} of the surface is known."
        )

    # The profile

    def draw_line(self) -> None:
        """Add a line across the middle; its ends can be moved with the tools of its layer."""
        height, viewer = self._owner.relief.height_in_view(), self._owner.viewer
        if height is None:
            return
        if self._line is None or self._line not in viewer.layers:
            rows, columns = height.values.shape
            ends = np.array([[rows // 2, columns // 10], [rows // 2, columns - 1 - columns // 10]], float)
            place = {k: height.place[k] for k in ("scale", "translate", "rotate", "shear", "affine", "units")}
            width = max(rows, columns) / 150
            self._line = viewer.add_shapes(
                [ends], shape_type="line", name=LINE, edge_color="#e3b617", edge_width=width, **place
            )
            self._line.events.set_data.connect(self._follow)
        viewer.layers.selection.active = self._line
        self._line.mode = "direct"
        self._follow()

    def _follow(self, *_: Any) -> None:
        """Show the height along the line, where there is one."""
        if not isalive(self):
            return
        line, viewer = self._line, self._owner.viewer
        height = None
        if line is not None and line in viewer.layers and len(line.data):
            height = self._owner.relief.height_in_view()
        if height is None:
            self.plot.show_profile(np.zeros(0), np.zeros(0))
            self.line_text.setText("")
            return
        ends, form, known = np.array(line.data[0])[:, -2:], self.form["form"].value, self._level
        self._following.submit(lambda: _profile(height, ends, form, known))

    def _show_profile(self, found: Any) -> None:
        self._level, height, profile = found
        if profile is None:
            self.plot.show_profile(np.zeros(0), np.zeros(0))
            self.line_text.setText("The line leaves the height map: move its ends onto the picture.")
            return
        self.plot.show_profile(profile.distance, profile.height, (height.length_unit, height.unit))
        rise = profile.height[-1] - profile.height[0]
        of = f", from end to end {rise:+.4g} {height.unit}" if np.isfinite(rise) else ""
        self.line_text.setText(f"Length {profile.distance[-1]:.4g} {height.length_unit}{of}.")

    def _failed(self, error: BaseException) -> None:
        self.text.setText("")
        tell(error, {"s_filter": "S-filter", "l_filter": "L-filter"})


def _profile(height: HeightMap, ends: Any, form: str, known: tuple[Any, Any]) -> Any:
    """The height along a line after the form is subtracted; the levelled height is reused for the next line."""
    from defocus_backend.surface import height_profile, level_height

    key, level = known
    if key is None or key[1] != form or not np.array_equal(key[0], height.values, equal_nan=True):
        key, level = (height.values, form), level_height(height.values, form)  # type: ignore[arg-type]
    start, end = ends[0], ends[-1]
    if not all(0 <= p <= n - 1 for point in (start, end) for p, n in zip(point, level.shape, strict=True)):
        return (key, level), height, None
    size = height.pixel_size or 1.0
    return (key, level), height, height_profile(level, tuple(start), tuple(end), pixel_size=size)


def _length(name: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(0.0, 1e6)
    box.setDecimals(3)
    box.setSpecialValueText("off")
    help_ = SurfaceFiles.describe()[name]["help"]
    box.setToolTip(f"{help_} In the unit of the height, or in pixels where it has none. Default: off.")
    return box
