"""Blur along z at a place that is clicked: a small plot with the best slice marked, in which a click jumps there."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.compat import isalive
from qtpy.QtCore import QPointF, QRectF, Qt, Signal
from qtpy.QtGui import QColor, QHideEvent, QKeyEvent, QMouseEvent, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from napari_defocus._fusing import FusedStack
from napari_defocus._garbage import load_library
from napari_defocus._layers import identity, position
from napari_defocus._stacks import show_slice
from napari_defocus._widgets._owned import Owned
from napari_defocus._widgets._plot import Drawing
from napari_defocus._worker import Preview, tell

_AROUND = 96
"""Pixels on every side of the place that are mapped with it: the network sees about 60."""
_UNSURE = 0.1
"""Confidence below which a slice says nothing about the blur at the place."""


@dataclass(frozen=True)
class Profile:
    """Blur at one place in every slice.

    Attributes
    ----------
    numbers : (N,) array
        Of the slices, as the slider counts them.
    z : (N,) array or None
        Their places along z; None where they are only counted.
    unit : str
    sigma, confidence : (N,) arrays
        Blur in px and its confidence.
    """

    numbers: NDArray[np.intp]
    z: NDArray[np.float64] | None
    unit: str
    sigma: NDArray[np.float64]
    confidence: NDArray[np.float64]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Slices whose blur is known here."""
        return np.asarray(np.isfinite(self.sigma) & (self.confidence >= _UNSURE))

    @property
    def best(self) -> int | None:
        """Place among the slices of the sharpest one; None where none is known."""
        return int(np.argmin(np.where(self.known, self.sigma, np.inf))) if self.known.any() else None


def blur_along_z(stack: FusedStack, frame: tuple[int, ...], row: int, column: int, device: str) -> Profile:
    """Map the surroundings of a place in every slice, by the library and its default map.

    Parameters
    ----------
    stack : FusedStack
    frame : tuple of int
        Index along the looped axes.
    row, column : int
        Of the maps of the stack.
    device : str
    """
    db = load_library()

    choice = stack.choice
    window = tuple(slice(max(0, n - _AROUND), n + _AROUND + 1) for n in (row, column))
    at = row - window[0].start, column - window[1].start
    value_range, colour = stack.value_range(frame, choice.judge), choice.source.channel_axis
    sigma, confidence = np.full(len(choice), np.nan), np.zeros(len(choice))
    for number, piece in enumerate(stack.part(frame, choice.judge, (window[0], window[1]))):
        pixels = np.asarray(np.ma.filled(piece, 0))
        found = db.defocus_map(pixels, channel_axis=colour, value_range=value_range, device=device)
        sigma[number], confidence[number] = found.sigma[at], found.confidence[at]
    return Profile(choice.taken, choice.z(), choice.z_unit, sigma, confidence)


class ProfileBox(Owned, QWidget):
    """The button that listens for a click, the plot and what it says; for the fusion widget."""

    def __init__(self, owner: Any) -> None:
        super().__init__(owner)
        self._belong_to(owner)
        self._callback: Any = None
        self._stack: FusedStack | None = None
        self.pick = QPushButton("Click in the image")
        self.pick.setCheckable(True)
        self.pick.setMinimumWidth(60)
        self.pick.setToolTip("While pressed: a click in the image shows how blurred every slice is at that place.")
        self.plot = ZPlot()
        self.text = QLabel("no place yet")
        self.text.setToolTip("The slice that is sharpest at the place.")
        self.text.setWordWrap(True)
        self._work = Preview(self)
        self._work.ready.connect(self._show)
        self._work.failed.connect(tell)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (self.pick, self.plot, self.text):
            layout.addWidget(part)
        self.pick.toggled.connect(self._listen)
        self.plot.chosen.connect(self._jump)

    def _listen(self, on: bool) -> None:
        callbacks = self._owner.viewer.mouse_drag_callbacks
        if self._callback is not None and self._callback in callbacks:
            callbacks.remove(self._callback)
        self._callback = _clicker(weakref.ref(self)) if on else None
        if on:
            callbacks.append(self._callback)

    def hideEvent(self, event: QHideEvent | None) -> None:  # Qt's name
        """Stop to listen for clicks when nobody sees the button."""
        self.pick.setChecked(False)
        super().hideEvent(event)

    def look_at(self, world: Any) -> None:
        """Find the blur of every slice under a point of the world."""
        owner = self._owner
        stack = owner.stack_in_view()
        layers = [] if stack is None else owner.viewer.layers
        source = next((x for x in layers if identity(x) == stack.choice.source.identity), None)
        if stack is None or source is None:
            self.text.setText("There is no stack to look through.")
            return
        here = source.world_to_data(tuple(world)[-source.ndim :])[-2:]
        row, column = (round(float(x)) - first for x, first in zip(here, stack.start, strict=True))
        height, width = stack.maps().shape[-2:]
        if not (0 <= row < height and 0 <= column < width):
            self.text.setText("There is no pixel of the stack under the click.")
            return
        at = position(source, world)
        frame, device = tuple(at[a] for a in stack.choice.looped), owner.device
        self.text.setText("looking ...")
        self._work.submit(lambda: (stack, row, column, blur_along_z(stack, frame, row, column, device)))

    def _show(self, found: Any) -> None:
        stack, row, column, profile = found
        self._stack = stack
        self.plot.show_profile(profile)
        where = f"row {row}, column {column}"
        if profile.best is None:
            self.text.setText(f"{where}: too little texture to say which slice is sharp")
            return
        number, sigma = profile.numbers[profile.best], profile.sigma[profile.best]
        z = (
            ""
            if profile.z is None or profile.unit == "slices"
            else f" (z = {profile.z[profile.best]:.4g} {profile.unit})"
        )
        self.text.setText(f"{where}: slice {number}{z} is sharpest, sigma {sigma:.2f} px")

    def _jump(self, number: int) -> None:
        """Show a slice of the stack in place of the results."""
        owner = self._owner
        if self._stack is None:
            return
        if owner.tools.compare.toggle.isEnabled() and not owner.retouch.mode.isChecked():
            owner.tools.compare.toggle.setChecked(True)
        show_slice(self._stack.choice, owner.viewer, number)


def _clicker(box: weakref.ref[ProfileBox]) -> Callable[..., Iterator[None]]:
    """A callback for the viewer that outlives neither a drag nor the widget."""

    def clicked(_: Any, event: Any) -> Iterator[None]:
        yield
        if event.type == "mouse_move":
            return
        found = box()
        if found is not None and isalive(found):
            found.look_at(event.position)

    return clicked


class ZPlot(Drawing):
    """Sigma over the slices; a click, or the arrow keys, choose one.

    Signals
    -------
    chosen : int
        Number of a slice, as the slider counts them.
    """

    chosen = Signal(int)
    height_hint = 110

    def __init__(self) -> None:
        super().__init__()
        self.profile: Profile | None = None
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("blur over the slices")
        self.setToolTip(
            "Sigma in pixels in every slice, at the place that was clicked. Hollow points: too little texture to say. "
            "A click, or the arrow keys, show that slice."
        )
        self._current: int | None = None

    def show_profile(self, profile: Profile) -> None:
        """Draw this one."""
        self.profile, self._current = profile, profile.best
        self.update()

    def x_of(self, place: int) -> float:
        """Where a slice is drawn, by its place among them."""
        box, count = self._box(), 1 if self.profile is None else len(self.profile.numbers)
        return box.left() + box.width() * (place + 0.5) / count

    def _box(self) -> QRectF:
        line = self.fontMetrics().height()
        return QRectF(8, line + 2, self.width() - 16, self.height() - 2 * line - 8)

    def _choose(self, place: int) -> None:
        if self.profile is None:
            return
        self._current = int(np.clip(place, 0, len(self.profile.numbers) - 1))
        self.update()
        self.chosen.emit(int(self.profile.numbers[self._current]))

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # Qt's name
        if event is not None and self.profile is not None:
            box = self._box()
            self._choose(int((event.position().x() - box.left()) / box.width() * len(self.profile.numbers)))
        super().mousePressEvent(event)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # Qt's name
        steps = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}
        if event is not None and self._current is not None and event.key() in steps:
            self._choose(self._current + steps[Qt.Key(event.key())])
            return
        super().keyPressEvent(event)

    def _paint(self, painter: QPainter, colors: dict[str, QColor]) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box, profile = self._box(), self.profile
        painter.setPen(QPen(colors["frame"], 1))
        painter.drawRect(box)
        painter.setPen(colors["text"])
        if profile is None:
            painter.drawText(box, int(Qt.AlignmentFlag.AlignCenter), "no place yet")
            return
        finite = np.isfinite(profile.sigma)
        top = max(1.0, float(np.max(profile.sigma[finite], initial=0.0)) * 1.1)
        places = [n for n in range(len(finite)) if finite[n]]
        points = [QPointF(self.x_of(n), box.bottom() - box.height() * float(profile.sigma[n]) / top) for n in places]
        painter.drawText(QPointF(box.left(), box.top() - 4), f"sigma [px], top: {top:.1f}")
        self._paint_mark(painter, box, colors)
        painter.setPen(QPen(colors["text"], 1.5))
        painter.drawPolyline(QPolygonF(points))
        for n, point in zip(places, points, strict=True):
            painter.setBrush(colors["text"] if profile.known[n] else Qt.BrushStyle.NoBrush)
            painter.drawEllipse(point, 2.5, 2.5)
        below = box.bottom() + painter.fontMetrics().ascent() + 3
        for n in {0, len(finite) - 1}:
            name = str(profile.numbers[n])
            painter.drawText(QPointF(self.x_of(n) - painter.fontMetrics().horizontalAdvance(name) / 2, below), name)
        middle = QRectF(box.left(), box.bottom() + 3, box.width(), painter.fontMetrics().height())
        painter.drawText(middle, int(Qt.AlignmentFlag.AlignHCenter), "slice")

    def _paint_mark(self, painter: QPainter, box: QRectF, colors: dict[str, QColor]) -> None:
        """The best slice, and the one that was chosen."""
        profile = self.profile
        if profile is not None and self._current is not None and self._current != profile.best:
            painter.setPen(QPen(colors["frame"], 3))
            painter.drawLine(
                QPointF(self.x_of(self._current), box.top()), QPointF(self.x_of(self._current), box.bottom())
            )
        if profile is None or profile.best is None:
            return
        painter.setPen(QPen(colors["mark"], 1.5))
        x = self.x_of(profile.best)
        painter.drawLine(QPointF(x, box.top()), QPointF(x, box.bottom()))
        name = f"best: {profile.numbers[profile.best]}"
        width = painter.fontMetrics().horizontalAdvance(name)
        painter.drawText(
            QPointF(min(x + 3, box.right() - width), box.top() + painter.fontMetrics().height() * 0.9), name
        )
