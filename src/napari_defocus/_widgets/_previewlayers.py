"""Layers that show one slice of a deeper image while its settings are tried."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from napari_defocus._layers import find, identity, role_of

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

PREVIEW = " preview"
"""Ends the roles of such layers."""


class PreviewLayers:
    """Hides previews of another slice than the one in view, and takes all of them away in the end."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._hidden: list[Layer] = []

    def hide(self, image: Layer | None, titles: Iterable[str]) -> None:
        """Hide what was made of another slice, until there is a preview of the one in view."""
        for title in () if image is None else titles:
            layer = find(self._viewer, title + PREVIEW, identity(image))
            if layer is not None and layer.visible:
                layer.visible = False
                self._hidden.append(layer)

    def show_again(self, layers: Iterable[Layer]) -> None:
        """Let those of them be seen that were hidden here."""
        for layer in layers:
            if layer in self._hidden:
                self._hidden.remove(layer)
                layer.visible = True

    def remove(self) -> None:
        """Take all previews away."""
        for layer in list(self._viewer.layers):
            if role_of(layer).endswith(PREVIEW):
                self._viewer.layers.remove(layer)
