"""How a widget is laid out: a column that scrolls, rows with labels, sections that fold, buttons below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLayout,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible, QLabeledRangeSlider, QLabeledSlider

from napari_defocus._widgets._form import Form

LABEL_WIDTH = 105


class Panel(QWidget):
    """A column of controls that scrolls when it is taller than the dock; never sideways."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._body = QVBoxLayout()
        self._body.setContentsMargins(6, 6, 6, 6)
        inner = QWidget()
        inner.setLayout(self._body)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # nothing in it is reached by its own focus
        area.setWidget(inner)
        self.scroll_area = area
        self.outer = QVBoxLayout(self)
        self.outer.setContentsMargins(4, 4, 4, 4)
        self.outer.addWidget(area, 1)

    def sizeHint(self) -> QSize:  # Qt's name
        return QSize(340, 720)

    def minimumSizeHint(self) -> QSize:  # Qt's name
        inner, bar = self.scroll_area.widget(), self.scroll_area.verticalScrollBar()
        width = inner.minimumSizeHint().width() if inner is not None else 0
        return QSize(width + (bar.sizeHint().width() if bar is not None else 0) + 12, 260)

    def add(self, part: QWidget) -> None:
        """Put a part under the others."""
        self._body.addWidget(part)

    def add_rows(self, rows: Sequence[tuple[str, QWidget]]) -> QFormLayout:
        """Put labelled rows under the others."""
        form = labelled(rows)
        self._body.addLayout(form)
        return form

    def add_form(self, form: Form, section: str = "") -> QCollapsible | None:
        """Put generated controls under the others, folded under a heading where one is given."""
        self.forms.append(form)
        if not section:
            self.add(form.panel(LABEL_WIDTH))
            return None
        return self.add_section(section, form.panel(LABEL_WIDTH))

    def add_section(self, heading: str, *parts: QWidget, opened: bool = False) -> QCollapsible:
        """Put parts under a heading that folds them away."""
        folded = section(heading, *parts, opened=opened)
        self.add(folded)
        return folded


def section(heading: str, *parts: QWidget, opened: bool = False) -> QCollapsible:
    """Parts under a heading that folds them away; what is folded does not take the Tab key."""
    folded = QCollapsible(heading)
    folded.setDuration(0)
    folded.layout().setContentsMargins(0, 0, 0, 0)
    folded.content().layout().setContentsMargins(4, 2, 4, 2)
    for part in parts:
        folded.addWidget(part)
    # Folded, superqt leaves the content in a strip of no height, where the keyboard still finds it.
    folded.toggled.connect(folded.content().setVisible)
    if opened:
        folded.expand(animate=False)
    folded.content().setVisible(opened)
    return folded


def labelled(rows: Sequence[tuple[str, QWidget]]) -> QFormLayout:
    """Rows of a name and a control, which bears that name for screen readers too."""
    form = QFormLayout()
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for label, control in rows:
        name = QLabel(label)
        name.setToolTip(control.toolTip())
        name.setMinimumWidth(LABEL_WIDTH)
        name.setWordWrap(True)
        name.setBuddy(control)
        control.setAccessibleName(label)
        form.addRow(name, control)
    return form


def tabs_after(area: QScrollArea, controls: Sequence[QWidget]) -> None:
    """Let the Tab key go through what an area holds, then through these controls."""
    body = area.widget()
    last: QWidget = area
    found = area.nextInFocusChain()
    while found is not None and found is not area:
        takes_tab = found.focusPolicy() & Qt.FocusPolicy.TabFocus and found.focusProxy() is None
        last = found if takes_tab and body is not None and body.isAncestorOf(found) else last
        found = found.nextInFocusChain()
    for control in controls:
        QWidget.setTabOrder(last, control)
        last = control


def name_handles(slider: QLabeledSlider | QLabeledRangeSlider, names: Sequence[str]) -> None:
    """Let the keyboard and screen readers find the handles of a slider, one name for each.

    The handles of a range do not move by keys, so the numbers beside them take the keyboard: a number can be typed, and
    the arrow keys move the handle. A single slider moves by itself.
    """
    if isinstance(slider, QLabeledRangeSlider):
        slider.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        slider._slider.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        for label, name in zip(slider._handle_labels, names, strict=True):
            label.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            label.setAccessibleName(name)
            label.installEventFilter(_HandleKeys(slider))
        return
    slider.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    slider._slider.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    for part in (slider._slider, slider._label):
        part.setAccessibleName(names[0])


class _HandleKeys(QObject):
    """Moves the handle of a range by the arrow keys and the page keys, pressed in the number beside it."""

    _STEPS: ClassVar[dict[int, float]] = {
        Qt.Key.Key_Up: 0.1,
        Qt.Key.Key_Down: -0.1,
        Qt.Key.Key_PageUp: 1.0,
        Qt.Key.Key_PageDown: -1.0,
    }

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # Qt's name
        slider = self.parent()
        if not isinstance(event, QKeyEvent) or event.type() != QEvent.Type.KeyPress:
            return False
        step = self._STEPS.get(event.key()) if isinstance(slider, QLabeledRangeSlider) else None
        if step is None:
            return False
        number, ends = slider._handle_labels.index(watched), list(slider.value())
        ends[number] += step
        low, high = slider.minimum(), slider.maximum()
        bounds = (low, ends[1]) if number == 0 else (ends[0], high)
        ends[number] = min(max(ends[number], bounds[0]), bounds[1])
        slider.setValue(tuple(ends))
        return True


def button(text: str, tip: str, slot: Callable[[], object]) -> QPushButton:
    """A button that may be narrower than its text, so that it does not widen the dock."""
    made = QPushButton(text)
    made.setToolTip(tip)
    made.setMinimumWidth(60)
    made.clicked.connect(slot)
    return made


def row(*parts: QWidget) -> QHBoxLayout:
    """Parts side by side."""
    layout = QHBoxLayout()
    for part in parts:
        layout.addWidget(part)
    return layout


def beside(*parts: QWidget) -> QWidget:
    """Parts side by side, as one part without a margin."""
    return group(row(*parts))


def group(layout: QLayout) -> QWidget:
    """A layout as one part without a margin."""
    made = QWidget()
    made.setLayout(layout)
    layout.setContentsMargins(0, 0, 0, 0)
    return made


def wrapped(text: str) -> QLabel:
    """A text that wraps instead of widening the dock."""
    label = QLabel(text)
    label.setWordWrap(True)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    return label
