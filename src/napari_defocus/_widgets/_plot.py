"""A small drawing of a map's histogram with a curve, marks and a band over it; it computes nothing."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

SIGMA_MAX = 19.0
"""Largest sigma that the networks distinguish, in pixels: the end of every sigma axis."""

_BINS = 76
_SAMPLE = 60_000
"""Pixels of a map that are counted at most: a bar's height then is right within a pixel."""


def theme_colors() -> dict[str, QColor]:
    """Colours of text, bars, frames and marks in napari's theme."""
    from napari.settings import get_settings
    from napari.utils.theme import get_theme

    theme = get_theme(get_settings().appearance.theme)
    names = {"text": "text", "bars": "current", "frame": "foreground", "mark": "warning"}
    return {name: QColor(getattr(theme, value).as_hex()) for name, value in names.items()}


class Drawing(QWidget):
    """A small picture of fixed height that a subclass paints in the colours of napari's theme."""

    height_hint = 120

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:  # Qt's name
        return QSize(240, self.height_hint)

    minimumSizeHint = sizeHint

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: ARG002  Qt's name
        colors = theme_colors()
        painter = QPainter(self)
        try:
            self._paint(painter, colors)
        finally:
            painter.end()  # a painter that is still at work when Qt flushes the window takes the program down

    @abstractmethod
    def _paint(self, painter: QPainter, colors: dict[str, QColor]) -> None:
        """Paint all of it."""


class SigmaPlot(Drawing):
    """Histogram of a defocus map over 0 to 19 px, with a curve (gain or weight) drawn over it.

    Parameters
    ----------
    curve_label : str
        What the curve shows, at the top left; empty where there is none.
    empty : str
        Text while there is no map.
    """

    def __init__(self, curve_label: str = "", empty: str = "no map yet", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._label = curve_label
        self._empty = empty
        self.counts: NDArray[Any] = np.zeros(_BINS)
        self.curve: tuple[NDArray[Any], NDArray[Any], float] | None = None
        self.marks: dict[str, float] = {}
        self.band: tuple[float, float] | None = None
        self.span = (0.0, SIGMA_MAX)
        self.unit = "px"

    def set_map(self, sigma: NDArray[Any] | None, unit: str = "px") -> None:
        """Take the map whose histogram is drawn; NaN left out. Maps without a unit have another axis."""
        self.unit, self.span, self.counts = unit, (0.0, SIGMA_MAX), np.zeros(_BINS)
        if sigma is not None:
            step = max(1, math.ceil(math.sqrt(sigma.size / _SAMPLE)))
            values = sigma[..., ::step, ::step].reshape(-1)
            values = values[np.isfinite(values)]
            if unit != "px" and values.size:
                self.span = (float(values.min()), float(values.max()))
            self.counts, _ = np.histogram(values, _BINS, self.span)
        self.update()

    def set_curve(self, sigma: NDArray[Any], values: NDArray[Any], top: float) -> None:
        """Draw a curve from 0 at the bottom to `top` at the top."""
        self.curve = (sigma, values, top)
        self.update()

    def set_marks(self, marks: dict[str, float], band: tuple[float, float] | None = None) -> None:
        """Draw named vertical lines and a shaded band."""
        self.marks, self.band = marks, band
        self.update()

    def _paint(self, painter: QPainter, colors: dict[str, QColor]) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = painter.font()
        font.setPointSizeF(max(7.5, font.pointSizeF() * 0.85))
        painter.setFont(font)
        metrics = QFontMetrics(font)
        line = metrics.height()
        box = QRectF(8, line + 2, self.width() - 16, self.height() - 2 * line - 8)
        painter.setPen(QPen(colors["frame"], 1))
        painter.drawRect(box)
        self._paint_band(painter, box, colors)
        self._paint_bars(painter, box, colors)
        self._paint_curve(painter, box, colors)
        self._paint_marks(painter, box, colors, line)
        self._paint_axis(painter, box, colors, metrics)

    def _x(self, box: QRectF, sigma: float) -> float:
        return box.left() + box.width() * min(max(sigma / SIGMA_MAX, 0.0), 1.0)

    def _paint_band(self, painter: QPainter, box: QRectF, colors: dict[str, QColor]) -> None:
        if self.band is None:
            return
        low, high = (self._x(box, v) for v in self.band)
        shade = QColor(colors["mark"])
        shade.setAlpha(50)
        painter.fillRect(QRectF(low, box.top(), high - low, box.height()), shade)

    def _paint_bars(self, painter: QPainter, box: QRectF, colors: dict[str, QColor]) -> None:
        if not self.counts.any():
            painter.setPen(colors["text"])
            painter.drawText(box, int(Qt.AlignmentFlag.AlignCenter), self._empty)
            return
        width = box.width() / _BINS
        # The square root keeps a small sharp part visible beside a large background.
        heights = np.sqrt(self.counts / self.counts.max()) * (box.height() - 2)
        for i, height in enumerate(heights):
            bar = QRectF(box.left() + i * width, box.bottom() - float(height), width, float(height))
            painter.fillRect(bar, colors["bars"])

    def _paint_curve(self, painter: QPainter, box: QRectF, colors: dict[str, QColor]) -> None:
        if self.curve is None:
            return
        sigma, values, top = self.curve
        scale = (box.height() - 2) / top if top > 0 else 0.0
        points = [
            QPointF(self._x(box, float(s)), box.bottom() - 1 - scale * float(v))
            for s, v in zip(sigma, values, strict=True)
        ]
        painter.setPen(QPen(colors["text"], 2))
        painter.drawPolyline(QPolygonF(points))
        painter.setPen(colors["text"])
        painter.drawText(QPointF(box.left(), box.top() - 4), f"{self._label} (top: {top:g})")

    def _paint_marks(self, painter: QPainter, box: QRectF, colors: dict[str, QColor], line: int) -> None:
        painter.setPen(QPen(colors["mark"], 1.5))
        for i, (name, value) in enumerate(self.marks.items()):
            x = self._x(box, value)
            painter.drawLine(QPointF(x, box.top()), QPointF(x, box.bottom()))
            width = painter.fontMetrics().horizontalAdvance(name)
            left = x + 3 if x + 3 + width < box.right() else x - 3 - width
            painter.drawText(QPointF(left, box.top() + line * (0.9 + i)), name)

    def _paint_axis(self, painter: QPainter, box: QRectF, colors: dict[str, QColor], metrics: QFontMetrics) -> None:
        painter.setPen(colors["text"])
        y = box.bottom() + metrics.ascent() + 3
        if self.unit != "px":
            name = "relative: more blurred to the right"
            painter.drawText(QPointF(box.right() - metrics.horizontalAdvance(name), y), name)
            return
        for tick in (0, 5, 10, 15):
            x = self._x(box, tick)
            painter.drawLine(QPointF(x, box.bottom()), QPointF(x, box.bottom() + 3))
            painter.drawText(QPointF(x + (2 if tick == 0 else -metrics.horizontalAdvance(str(tick)) / 2), y), str(tick))
        name = "sigma [px]"
        painter.drawText(QPointF(box.right() - metrics.horizontalAdvance(name), y), name)
