"""How far a fused picture is to be trusted: where it lost detail, and where it has more than any slice."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_defocus._layers import Result, provenance
from napari_defocus._show import show
from napari_defocus._widgets._owned import Owned
from napari_defocus._widgets._panel import button, wrapped
from napari_defocus._worker import Preview, tell

ROLE = "audit"
_LIMITS = (0.4, 1.6)
"""Ratios that show in the strongest colours; even at 1."""


class AuditBox(Owned, QWidget):
    """The button that compares the fused picture with its slices, block by block, and what was found."""

    def __init__(self, owner: Any) -> None:
        super().__init__(owner)
        self._belong_to(owner)
        self.check = button(
            "Check the result",
            "Compare the fused image with the slices, block by block: a layer shows its share of the detail of the "
            "sharpest slice. Blue: detail was lost. Red: more detail than in any slice, which was made up.",
            self.run,
        )
        self.text = wrapped("")
        self.text.setToolTip("Shares of the blocks that lost detail or have made up detail; blocks of 32 px.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.check)
        layout.addWidget(self.text)
        self._work = Preview(self)
        self._work.ready.connect(self._show)
        self._work.failed.connect(self._failed)

    def update_state(self) -> None:
        """Enable what can be used now."""
        repainter = self._owner.repainter
        live = repainter is not None and repainter.image in self._owner.viewer.layers
        self.check.setEnabled(live)
        if not live:
            self.text.setText("")

    def run(self) -> None:
        """Check the stack in view, with what was painted."""
        repainter = self._owner.repainter
        stack, frame = repainter.stack, repainter.frame_in_view(self._owner.viewer)
        choice, where = stack.choice, stack.image_at(frame, stack.choice.judge)
        image = np.array(repainter.image.data[where])

        def work() -> Any:
            from defocus_backend.fusion.audit import audit

            options = {
                "channel_axis": choice.source.channel_axis,
                "value_range": stack.value_range(frame, choice.judge),
            }
            return stack, frame, image.shape[:2], audit(image, stack.slices(frame, choice.judge), **options)

        self.text.setText("checking ...")
        self._work.submit(work)

    def _show(self, found: Any) -> None:
        stack, frame, (height, width), audit = found
        choice, source = stack.choice, stack.choice.source
        blocks = audit.ratio.repeat(audit.block, 0).repeat(audit.block, 1)[:height, :width]
        place = source.without(range(source.ndim - 2)).shifted(stack.start).spatial
        look = {"colormap": "coolwarm", "contrast_limits": _LIMITS, "colorbar": "detail of the result / sharpest slice"}
        result = Result(ROLE, "detail kept", blocks, place, show={**look, "opacity": 0.6}, about=audit.to_dict())
        at = {source.axis_name(axis): n for axis, n in zip(choice.looped, frame, strict=True)}
        show(self._owner.viewer, [result], provenance(source, "audit", {}, {**choice.place, **at}))
        self.text.setText(audit.report() + ".")
        self.update_state()

    def _failed(self, error: BaseException) -> None:
        self.text.setText("")
        self.update_state()
        tell(error)
