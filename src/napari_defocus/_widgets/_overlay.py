"""What is in focus, marked on the picture; made beside the window, since a slider drives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.compat import isalive
from qtpy.QtCore import QObject

from napari_defocus._garbage import load_library
from napari_defocus._layers import LayerSource, Result, identity, made_by, provenance
from napari_defocus._show import show
from napari_defocus._widgets._owned import Owned
from napari_defocus._worker import Preview, tell

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_defocus._widgets._base import OperationWidget

ROLE = "in focus"


class Overlay(Owned, QObject):
    """A Labels layer of the pixels below a sigma; the map is hidden meanwhile, so that the marks lie on the picture.

    Parameters
    ----------
    owner : OperationWidget
    """

    def __init__(self, owner: OperationWidget) -> None:
        super().__init__(owner)
        self._belong_to(owner)
        self._hidden: Layer | None = None
        self._wanted: str | None = None
        self._work = Preview(self)
        self._work.ready.connect(self._take)
        self._work.failed.connect(tell)

    def show(self, layer: Layer | None, below: float) -> None:
        """Mark what is below a sigma in this map; take the marks away where there is none."""
        if layer is None:
            self._work.drop()
            self._clear()
            return
        source = LayerSource.of(layer)
        self._wanted = identity(layer)
        owner_id, name = str(made_by(layer).get("source_id")), str(made_by(layer).get("source"))

        def work() -> Any:
            db = load_library()

            return layer, source, owner_id, name, below, db.in_focus(np.asarray(source.data), below).view(np.uint8)

        self._work.submit(work)

    def _take(self, found: Any) -> None:
        layer, source, owner_id, name, below, sharp = found
        viewer = self._owner.viewer
        if layer not in viewer.layers or self._wanted != identity(layer) or not isalive(self):
            return
        from napari.utils.colormaps import DirectLabelColormap

        colors = {0: "transparent", 1: "#ff7f0e", None: "transparent"}
        display = {"opacity": 0.45, "colormap": DirectLabelColormap(color_dict=colors)}
        made = {**provenance(source, "in_focus", {"sharp_below": below}), "source_id": owner_id, "source": name}
        show(viewer, [Result(ROLE, ROLE, sharp, source.spatial(), "labels", display)], made)
        if self._hidden is None and layer.visible:
            layer.visible = False
            self._hidden = layer

    def _clear(self) -> None:
        self._wanted = None
        viewer, hidden = self._owner.viewer, self._hidden
        self._hidden = None
        if hidden is not None and hidden in viewer.layers:
            hidden.visible = True
        for layer in list(viewer.layers):
            if made_by(layer).get("role") == ROLE:
                viewer.layers.remove(layer)
