"""What the four widgets share: layout, running, cancelling, the layers that come out, the buttons below."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QSize, Qt, QTimer
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from defocus_backend.errors import DefocusError
from defocus_backend.progress import CancelCallback, ProgressCallback
from napari_defocus._garbage import load_library, spare_what_is_there
from napari_defocus._layers import Result, Source, provenance
from napari_defocus._preferences import preference
from napari_defocus._show import show_stepwise
from napari_defocus._widgets._form import Form
from napari_defocus._worker import Call, Run, advice, guarded, tell

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

LABEL_WIDTH = 105
_BREATH_MS = 10


@dataclass
class Job:
    """One run: the call for the worker, the layers to make of what it returns, and what is kept about it."""

    source: Source
    operation: str
    arguments: Mapping[str, Any]
    call: Call
    layers: Callable[[Any], Sequence[Result]]


class OperationWidget(QWidget):
    """Base of the widgets; a subclass says what its controls are, what a run is and what the script.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Given by napari because of its name.
    """

    title: ClassVar[str] = ""
    about: ClassVar[str] = ""
    _docked = False

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.forms: list[Form] = []
        self._shown_problem = ""
        self.current_run: Run | None = None
        self.made_layers: dict[str, Layer] = {}
        self._body = QVBoxLayout()
        self._body.setContentsMargins(6, 6, 6, 6)
        self._lay_out()
        self.build()
        self._body.addStretch(1)
        events = napari_viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered, events.renamed):
            event.connect(self._on_layers)
        napari_viewer.dims.events.current_step.connect(self._on_dims)
        self.refresh_layers()
        preference("device")  # napari reads the settings of all plugins the first time: not when a run starts

    # What a subclass says; a test sees that each says it, since classes of Qt cannot refuse to be made

    @abstractmethod
    def build(self) -> None:
        """Make the controls."""

    @abstractmethod
    def refresh_layers(self) -> None:
        """Offer the viewer's layers, then `update_state`."""

    @abstractmethod
    def problem(self) -> str:
        """Why nothing can run now, in words; empty where it can."""

    @abstractmethod
    def job(self) -> Job:
        """The run that the controls describe; raises `DefocusError` where they contradict each other."""

    @abstractmethod
    def script(self) -> str:
        """The same run as a Python script."""

    def finished(self, value: Any) -> None:
        """Called after the layers of a run were shown."""

    def slice_changed(self) -> None:
        """Called when the viewer's sliders show another slice."""

    def reset(self) -> None:
        """Put every control back to its default."""
        for form in self.forms:
            form.reset()

    # Layout

    def _lay_out(self) -> None:
        inner = QWidget()
        inner.setLayout(self._body)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        area.setWidget(inner)
        self.scroll_area = area
        self.status = QLabel()
        self.status.setWordWrap(True)
        self.status.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.progress_bar = QProgressBar()
        self.progress_bar.setVisible(False)
        self.run_button = _button("Run", f"{self.title}: start with these settings.", self.run)
        self.cancel_button = _button("Cancel", "Stop the run; no layer is left half made.", self.cancel)
        self.reset_button = _button("Reset to defaults", "Put every control back to its default.", self.reset)
        self.copy_button = _button(
            "Copy as Python", "Put a script that repeats this run without napari on the clipboard.", self.copy_script
        )
        self.new_layers = QCheckBox("New layers each run")
        self.new_layers.setToolTip(
            "Keep the layers of earlier runs and add new ones; otherwise a second run updates them "
            "and keeps your display settings."
        )
        self.cancel_button.setEnabled(False)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(4, 4, 4, 4)
        outer.addWidget(area, 1)
        outer.addWidget(self.new_layers)
        outer.addLayout(row(self.run_button, self.cancel_button))
        outer.addLayout(row(self.reset_button, self.copy_button))
        outer.addWidget(self.progress_bar)
        outer.addWidget(self.status)
        self.add(wrapped(self.about))

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
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for label, field in rows:
            name = QLabel(label)
            name.setToolTip(field.toolTip())
            name.setMinimumWidth(LABEL_WIDTH)
            form.addRow(name, field)
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
        folded = QCollapsible(heading)
        folded.setDuration(0)
        folded.layout().setContentsMargins(0, 0, 0, 0)
        folded.content().layout().setContentsMargins(4, 2, 4, 2)
        for part in parts:
            folded.addWidget(part)
        if opened:
            folded.expand(animate=False)
        self.add(folded)
        return folded

    def event(self, event: QEvent | None) -> bool:  # Qt's name
        """Go with the dock: napari only takes a closed widget out of it.

        What then is left to Python's garbage collector may be deleted in any thread, which Qt does not survive.
        """
        if event is not None and event.type() == QEvent.Type.ParentChange:
            docked, self._docked = self._docked, self.parent() is not None
            if docked and not self._docked:
                self.deleteLater()
        return super().event(event)

    # State

    def update_state(self, *_: Any) -> None:
        """Enable what can be used now and say what is missing."""
        problem = self.problem()
        busy = self.current_run is not None
        self.run_button.setEnabled(not problem and not busy)
        self.copy_button.setEnabled(not problem)
        self.cancel_button.setEnabled(busy)
        if not busy and (problem or self.status.text() == self._shown_problem):
            self.say(problem)
            self._shown_problem = problem

    def say(self, text: str) -> None:
        """Show a line at the bottom."""
        self.status.setText(text)
        self.status.setVisible(bool(text))

    def _on_layers(self, event: Any = None) -> None:  # noqa: ARG002
        if isalive(self):
            self.refresh_layers()

    def _on_dims(self, event: Any = None) -> None:  # noqa: ARG002
        if isalive(self):
            self.slice_changed()

    # Running

    def run(self) -> None:
        """Start what the controls describe."""
        if self.current_run is not None or self.problem():
            return
        try:
            for form in self.forms:
                form.check()
            job = self.job()
        except DefocusError as error:
            tell(error)
            self.say(advice(error))
            return
        self.start(job)

    def start(self, job: Job) -> Run:
        """Start a job; its layers are shown when it returns."""
        self._job = job
        self._steps: Iterator[None] | None = None
        self._over = False

        def call(progress: ProgressCallback, cancel: CancelCallback) -> Any:
            load_library()
            return job.call(progress, cancel)

        self._release = spare_what_is_there()
        self.destroyed.connect(self._release)
        run = Run(call, f"{self.title} of {job.source.name}", self)
        run.progressed.connect(self._on_progress)
        run.returned.connect(self._on_returned)
        run.failed.connect(self._on_failed)
        run.cancelled.connect(self._on_cancelled)
        run.ended.connect(self._on_ended)
        self.destroyed.connect(run.stop_flag.set)
        self.current_run = run
        self.progress_bar.setRange(0, 0)
        self.progress_bar.setVisible(True)
        self.say("running ...")
        self.update_state()
        run.start()
        return run

    def cancel(self) -> None:
        """Stop the run, if one is under way."""
        if self.current_run is not None:
            self.current_run.cancel()

    def _on_progress(self, done: int, total: int, what: str) -> None:
        self.progress_bar.setRange(0, total)
        self.progress_bar.setValue(done)
        self.say(f"{done} of {total} {what}")

    def _on_returned(self, value: Any) -> None:
        self._steps = self._show(value)
        self._show_next()

    def _show(self, value: Any) -> Iterator[None]:
        """From what a run returned to its layers, in steps that block the window as little as can be."""
        job = self._job
        results = job.layers(value)
        made = provenance(job.source, job.operation, job.arguments)
        self.made_layers = {}
        yield
        for shown in show_stepwise(self.viewer, results, made, new_layers=self.new_layers.isChecked()):
            self.made_layers = shown
            yield
        self._message = "done: " + ", ".join(layer.name for layer in self.made_layers.values())
        self.finished(value)

    def _show_next(self) -> None:
        """Take one step and let the window breathe."""
        if not isalive(self) or self._steps is None:
            return
        try:
            next(self._steps)
        except StopIteration:
            pass
        except Exception as error:  # whatever it was, the widget must not stay busy
            self._on_failed(guarded(error))
        else:
            QTimer.singleShot(_BREATH_MS, self._show_next)
            return
        self._steps = None
        if self._over:
            self._settle()

    def _on_failed(self, error: BaseException) -> None:
        self._message = advice(error)
        tell(error)

    def _on_cancelled(self) -> None:
        self._message = "cancelled; nothing was changed"

    def _on_ended(self) -> None:
        self._over = True
        if self._steps is None:
            self._settle()

    def _settle(self) -> None:
        self._release()
        run, self.current_run = self.current_run, None
        if run is not None:
            run.deleteLater()
        self.progress_bar.setVisible(False)
        self.update_state()
        if not self.problem():
            self.say(self._message)

    def copy_script(self) -> None:
        """Put the run as a Python script on the clipboard."""
        try:
            text = self.script()
        except DefocusError as error:
            tell(error)
            return
        clipboard = QGuiApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(text)
        self.say("the script is on the clipboard")


def _button(text: str, tip: str, slot: Callable[[], None]) -> QPushButton:
    made = QPushButton(text)
    made.setToolTip(tip)
    made.clicked.connect(slot)
    return made


def row(*parts: QWidget) -> QHBoxLayout:
    """Parts side by side."""
    layout = QHBoxLayout()
    for part in parts:
        layout.addWidget(part)
    return layout


def wrapped(text: str) -> QLabel:
    """A text that wraps instead of widening the dock."""
    label = QLabel(text)
    label.setWordWrap(True)
    return label
