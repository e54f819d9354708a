"""A list to choose a layer from, updated with the viewer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QComboBox, QSizePolicy, QWidget

from napari_defocus._layers import identity

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer


class LayerBox(QComboBox):
    """Chooses among the layers that `accept` takes; keeps its choice when layers are renamed or moved.

    Parameters
    ----------
    accept : callable
        Says of a layer whether it is offered.
    empty : str
        Shown while there is none.
    tip : str
        Tooltip.
    """

    def __init__(self, accept: Callable[[Layer], bool], empty: str, tip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._accept = accept
        self._empty = empty
        self._layers: list[Layer] = []
        self.setToolTip(tip)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumContentsLength(12)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    @property
    def layer(self) -> Layer | None:
        """The chosen layer."""
        row = self.currentIndex()
        return self._layers[row] if 0 <= row < len(self._layers) else None

    @layer.setter
    def layer(self, layer: Layer | None) -> None:
        wanted = None if layer is None else identity(layer)
        for row, offered in enumerate(self._layers):
            if identity(offered) == wanted:
                self.setCurrentIndex(row)

    def refresh(self, viewer: Viewer, prefer: Callable[[Layer], bool] | None = None) -> None:
        """Offer what the viewer holds now; emits `currentIndexChanged` only where the choice is another."""
        before = None if self.layer is None else identity(self.layer)
        layers = [layer for layer in viewer.layers if self._accept(layer)]
        ids = [identity(layer) for layer in layers]
        if before in ids:
            row = ids.index(before)
        else:
            active = viewer.layers.selection.active
            row = ids.index(identity(active)) if active is not None and identity(active) in ids else len(ids) - 1
            if prefer is not None:
                row = next((i for i in reversed(range(len(ids))) if prefer(layers[i])), row)
        with QSignalBlocker(self):
            self.clear()
            self._layers = layers
            if layers:
                self.addItems([layer.name for layer in layers])
            else:
                self.addItem(self._empty)
            self.setCurrentIndex(max(row, 0))
            self.setEnabled(bool(layers))
        after = ids[row] if ids else None
        if after != before:
            self.currentIndexChanged.emit(self.currentIndex())
