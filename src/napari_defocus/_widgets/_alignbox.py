"""Controls of the alignment before a fusion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from defocus_backend.params import ALIGN_MODELS, AlignParams
from napari_defocus._fusing import LayerAlignment
from napari_defocus._widgets._form import Form
from napari_defocus._widgets._mapsettings import Choice
from napari_defocus._widgets._panel import LABEL_WIDTH

if TYPE_CHECKING:
    from napari_defocus._widgets._base import OperationWidget

_MODELS = {
    "translation": "shift",
    "similarity": "shift, zoom and turn",
    "affine": "shift, zoom, turn and shear",
    "homography": "perspective",
}


class AlignBox:
    """Whether frames are aligned, by which motion, and how; for two sections of a widget."""

    def __init__(self, widget: OperationWidget) -> None:
        names = {"off": "off", "automatic": "auto"} | {_MODELS.get(m, m): m for m in ALIGN_MODELS}
        self.mode = Choice(
            names,
            "Put the slices onto each other before they are fused. Automatic: only where they are found to be shifted "
            "or scaled. The others say which motion is taken out. Off: only look, and say so if they have moved. "
            "No unit. Default: off.",
        )
        self.form = Form(AlignParams, [name for name in AlignParams.describe() if name != "model"])
        self.panel = self.form.panel(LABEL_WIDTH)
        widget.forms.append(self.form)
        widget.memory.add("align", self.mode)
        widget.memory.add("", self.form)
        self.mode.currentIndexChanged.connect(self._enable)
        self.mode.currentIndexChanged.connect(widget.update_state)
        self._enable()

    def _enable(self, *_: object) -> None:
        self.panel.setEnabled(self.mode.value != "off")

    @property
    def alignment(self) -> LayerAlignment:
        """What the controls say."""
        if self.mode.value == "off":
            return LayerAlignment()
        return LayerAlignment(self.mode.value, self.form.values())

    def reset(self) -> None:
        """Back to the default; the form is reset by the widget."""
        self.mode.value = "off"
