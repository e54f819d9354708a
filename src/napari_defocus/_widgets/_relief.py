"""The height of a fusion: as a surface in three dimensions, back to the plane, and as a mesh in a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QFileDialog, QGridLayout, QWidget

from defocus_backend.errors import DefocusError
from defocus_backend.io.formats import MESH_FORMATS, Suffixes
from napari_defocus._heights import HeightMap, height_of
from napari_defocus._layers import identity, provenance
from napari_defocus._show import show
from napari_defocus._surface import VIEW, height_surface
from napari_defocus._widgets._owned import Owned
from napari_defocus._widgets._panel import button

if TYPE_CHECKING:
    from napari_defocus._widgets._repaint import Repainter


class ReliefBox(Owned, QWidget):
    """Buttons that show the height map of the widget's fusion."""

    def __init__(self, owner: Any) -> None:
        super().__init__(owner)
        self._belong_to(owner)
        self._seen: dict[str, bool] = {}
        self.surface_button = button("Show as surface", "", self.show_surface)
        self.flat_button = button("Back to 2-D", "Take the surface away and show the layers as before.", self.show_flat)
        self.mesh_button = button(
            "Export mesh ...", "Write the height with the fused image on it as PLY or OBJ.", self.ask_and_export
        )
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.surface_button, 0, 0)
        layout.addWidget(self.flat_button, 0, 1)
        layout.addWidget(self.mesh_button, 1, 0, 1, 2)

    def update_state(self) -> None:
        """Enable what can be used now, and say why something cannot."""
        missing = self.missing()
        self.surface_button.setEnabled(not missing)
        self.mesh_button.setEnabled(not missing)
        self.flat_button.setEnabled(bool(self._seen))
        self.surface_button.setToolTip(missing or "Show the height map as a surface with the fused image on it.")

    def missing(self) -> str:
        """Why there is no height to show; empty where there is one."""
        repainter = self._owner.repainter
        if repainter is None or repainter.labels not in self._owner.viewer.layers:
            return "Run a fusion first."
        return "" if self._height(repainter) is not None else "Tick “height map” under “Layers to make” and run again."

    def _height(self, repainter: Repainter) -> NDArray[Any] | None:
        """The height map of the stack in view."""
        fused, layer = self._owner.fused, self._owner.made_layers.get("height")
        if fused is not None and fused.stack is repainter.stack:
            height = fused.height
        elif layer is not None and np.shape(layer.data) == np.shape(repainter.labels.data):
            height = np.asarray(layer.data)
        else:
            return None
        return height[repainter.stack.map_at(repainter.frame_in_view(self._owner.viewer))]

    def height_in_view(self) -> HeightMap | None:
        """The height of the stack in view with what was painted; None where there is none."""
        repainter = self._owner.repainter
        height = None if repainter is None or self.missing() else self._height(repainter)
        return None if height is None else height_of(repainter, height, self._owner.viewer)

    def show_surface(self) -> None:
        """Show the height of the stack in view, and it alone."""
        repainter, viewer = self._owner.repainter, self._owner.viewer
        height = None if repainter is None else self._height(repainter)
        if repainter is None or height is None:
            return
        self._owner.retouch.mode.setChecked(False)
        self.show_flat()
        stack, layer = repainter.stack, repainter.image
        frame = repainter.frame_in_view(viewer)
        where = stack.map_at(frame)
        limits = None if layer.rgb else tuple(layer.contrast_limits)
        pixels = np.asarray(layer.data[stack.image_at(frame, stack.choice.judge)])
        labels = np.asarray(repainter.labels.data)[where]
        plane = stack.maps().spatial
        result = height_surface(stack.choice, height, labels, repainter.automatic[where], pixels, limits, plane)
        self._seen = {identity(x): x.visible for x in viewer.layers}
        point = viewer.dims.point
        made = provenance(stack.choice.source, "surface", {"shown": "height"}, stack.choice.place)
        for other in viewer.layers:
            other.visible = False
        show(viewer, [result], made)
        viewer.dims.ndisplay = 3
        viewer.dims.point = (*point[: len(point)],)
        viewer.scene.camera.angles = VIEW
        viewer.fit_to_view()
        self.update_state()

    def show_flat(self) -> None:
        """Back to the plane: the surface goes, and with it what it did to the sliders."""
        viewer = self._owner.viewer
        if not self._seen:
            return
        viewer.dims.ndisplay = 2
        for layer in list(viewer.layers):
            if identity(layer) in self._seen:
                layer.visible = self._seen[identity(layer)]
            elif layer.metadata.get("napari-defocus", {}).get("role") == "surface":
                viewer.layers.remove(layer)
        self._seen = {}
        viewer.reset_view()
        self.update_state()

    def ask_and_export(self) -> None:
        """Ask for a file and write the mesh."""
        kinds = " ".join(f"*{suffix}" for suffix in Suffixes(MESH_FORMATS, "encode"))
        path, _ = QFileDialog.getSaveFileName(self, "Export mesh", "height.ply", f"Meshes ({kinds})")
        if path:
            self.export(Path(path))

    def export(self, path: Path) -> None:
        """Write the height of the stack in view, by the library."""
        height = self.height_in_view()
        if height is None:
            return
        import defocus_backend as db

        try:
            db.write_mesh(path, height.values, height.image, pixel_size=height.pixel_size)
        except DefocusError as error:
            self._owner._fail(error)
            return
        self._owner.say(f"saved {path.name}")
