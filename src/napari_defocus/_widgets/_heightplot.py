"""A small drawing of the height along a line."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF

from napari_defocus._widgets._plot import Drawing

_POINTS = 400
"""Points that are drawn at most: more than the plot has pixels."""


class HeightPlot(Drawing):
    """Height over the distance from the start of a line; gaps where the height is unknown."""

    height_hint = 120

    def __init__(self) -> None:
        super().__init__()
        self.distance: NDArray[np.float64] = np.zeros(0)
        self.height_values: NDArray[np.float64] = np.zeros(0)
        self._units = "", ""
        self.setAccessibleName("height along the line")
        self.setToolTip("Height along the line, after the form is subtracted. Gaps: the height is unknown there.")

    def show_profile(
        self, distance: NDArray[np.float64], height: NDArray[np.float64], units: tuple[str, str] = ("", "")
    ) -> None:
        """Draw a profile; `units` are those of the distance and of the height. Empty arrays clear the plot."""
        self.distance, self.height_values, self._units = distance, height, units
        self.update()

    def _paint(self, painter: QPainter, colors: dict[str, QColor]) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        line = self.fontMetrics().height()
        box = QRectF(8, line + 2, self.width() - 16, self.height() - 2 * line - 8)
        painter.setPen(QPen(colors["frame"], 1))
        painter.drawRect(box)
        painter.setPen(colors["text"])
        known = np.isfinite(self.height_values)
        if not known.any():
            text = "the height is unknown along the line" if known.size else "no line yet"
            painter.drawText(box, int(Qt.AlignmentFlag.AlignCenter), text)
            return
        low, high = float(self.height_values[known].min()), float(self.height_values[known].max())
        along, of = self._units
        painter.drawText(QPointF(box.left(), box.top() - 4), f"height {low:.4g} to {high:.4g} {of}")
        length = float(self.distance[-1])
        below = QRectF(box.left(), box.bottom() + 3, box.width(), line)
        painter.drawText(below, int(Qt.AlignmentFlag.AlignLeft), "0")
        painter.drawText(below, int(Qt.AlignmentFlag.AlignRight), f"{length:.4g} {along}")
        painter.setPen(QPen(colors["mark"], 1.5))
        span = high - low if high > low else 1.0
        points: list[QPointF] = []
        for n in np.unique(np.linspace(0, len(known) - 1, min(len(known), _POINTS)).round().astype(int)):
            if not known[n]:
                painter.drawPolyline(QPolygonF(points))
                points = []
                continue
            x = box.left() + box.width() * float(self.distance[n]) / (length or 1.0)
            points.append(QPointF(x, box.bottom() - 2 - (box.height() - 4) * float(self.height_values[n] - low) / span))
        painter.drawPolyline(QPolygonF(points))
