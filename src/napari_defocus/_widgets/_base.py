"""What the four widgets share: running, cancelling, the layers that come out, what is said about them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QGuiApplication, QKeySequence
from qtpy.QtWidgets import QCheckBox, QProgressBar, QShortcut

from defocus_backend.errors import DefocusError
from defocus_backend.progress import CancelCallback, ProgressCallback
from napari_defocus._garbage import load_library, spare_what_is_there
from napari_defocus._layers import LayerSource, Result, identity, made_by, place_of, provenance
from napari_defocus._preferences import preference
from napari_defocus._recipe import Recipe
from napari_defocus._show import clear_earlier, show_stepwise
from napari_defocus._widgets._memory import Memory
from napari_defocus._widgets._panel import Panel, button, row, tabs_after, wrapped
from napari_defocus._widgets._tools import RunTools
from napari_defocus._worker import Call, WorkerRun, advice, guarded, tell

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

_BREATH_MS = 10


@dataclass
class WidgetJob:
    """One run: the call for the worker, the layers to make of what it returns, and what is recorded about it.

    Attributes
    ----------
    source : Source
    operation : str
        Function of the library.
    arguments : mapping
        Settings of the run; what differs later makes its results stale.
    call : callable
        For the worker.
    layers : callable
        From what the call returns to layers.
    place : mapping
        Index on each further axis by its name, where the run takes one position of several.
    """

    source: LayerSource
    operation: str
    arguments: Mapping[str, Any]
    call: Call
    layers: Callable[[Any], Sequence[Result]]
    place: Mapping[str, int] = field(default_factory=dict)


class OperationWidget(Panel):
    """Base of the widgets; a subclass says what its controls are, what a run is and what the script.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Given by napari because of its name.
    """

    title: ClassVar[str] = ""
    about: ClassVar[str] = ""
    key: ClassVar[str] = ""
    """Name of the widget's settings in files."""
    words: ClassVar[Mapping[str, str]] = {}
    """What the library calls an argument, and what its control is called here."""
    _docked = False

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self._shown_problem = ""
        self.failure = ""
        self.current_run: WorkerRun | None = None
        self.made_layers: dict[str, Layer] = {}
        self._ran: WidgetJob | None = None
        self.memory = Memory(self.key)
        self._lay_out()
        self.build()
        self._body.addStretch(1)
        self.tools = RunTools(self)
        self.outer.insertWidget(self.outer.indexOf(self.progress_bar), self.tools)
        tabs_after(self.scroll_area, [self.new_layers, self.run_button, self.cancel_button, *self.tools.controls])
        self.memory.restore()
        for form in self.forms:
            form.changed.connect(self.update_state)
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
    def job(self) -> WidgetJob:
        """The run that the controls describe; raises `DefocusError` where they contradict each other."""

    @abstractmethod
    def recipe(self) -> Recipe:
        """The calls of that run, for the script."""

    def finished(self, value: Any) -> None:
        """Called after the layers of a run were shown."""

    def slice_changed(self) -> None:
        """Called when the viewer's sliders show another slice."""

    def input_in_view(self) -> Layer | None:
        """The layer of which the results that are shown were made."""
        of = {made_by(x).get("source_id") for x in self.tools.results()}
        return next((x for x in self.viewer.layers if identity(x) in of), None)

    def notes(self) -> list[str]:
        """What is to be known about the results that are shown."""
        return []

    def reset(self) -> None:
        """Put every control back to its default."""
        for form in self.forms:
            form.reset()

    # Layout

    def _lay_out(self) -> None:
        self.status, self.notice = wrapped(""), wrapped("")
        self.notice.setObjectName("notice")
        self.notice.setStyleSheet("QLabel#notice { color: #e3b617; }")
        self.notice.setVisible(False)
        self.progress_bar = QProgressBar()
        self.progress_bar.setVisible(False)
        self.run_button = button("Run", f"{self.title}: start with these settings (Ctrl+Return).", self.run)
        self.run_button.setObjectName("run")
        self.run_button.setStyleSheet("QPushButton#run { font-weight: bold; padding: 7px; }")
        self.cancel_button = button("Cancel", "Stop the run; no layer is left half made.", self.cancel)
        self.cancel_button.setEnabled(False)
        self.new_layers = QCheckBox("New layers each run")
        self.new_layers.setToolTip(
            "Keep the layers of earlier runs and add new ones; otherwise a second run updates them "
            "and keeps your display settings."
        )
        buttons = row(self.run_button, self.cancel_button)
        buttons.setStretch(0, 2)
        buttons.setStretch(1, 1)
        self.outer.addWidget(self.notice)
        self.outer.addWidget(self.new_layers)
        self.outer.addLayout(buttons)
        self.outer.addWidget(self.progress_bar)
        self.outer.addWidget(self.status)
        shortcut = QShortcut(QKeySequence("Ctrl+Return"), self, self.run)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        self.add(wrapped(self.about))

    def event(self, event: QEvent | None) -> bool:  # Qt's name
        """Go with the dock: napari only takes a closed widget out of it.

        What then is left to Python's garbage collector may be deleted in any thread, which Qt does not survive.
        """
        if event is not None and event.type() == QEvent.Type.ParentChange:
            docked, self._docked = self._docked, self.parent() is not None
            if docked and not self._docked:
                self.closed()
                self.deleteLater()
        return super().event(event)

    def closed(self) -> None:
        """Called when the dock is closed: saves the settings for the next time."""
        self.tools.compare.end()
        self.memory.save()

    def words_for(self) -> dict[str, str]:
        """The names that the controls have for what the library calls its arguments."""
        return {k: v for form in self.forms for k, v in form.words().items()} | dict(self.words)

    # State

    def update_state(self, *_: Any) -> None:
        """Enable what can be used now and say what is missing."""
        if not isalive(self):
            return
        problem = self.problem()
        busy = self.current_run is not None
        self.run_button.setEnabled(not problem and not busy)
        self.cancel_button.setEnabled(busy)
        self.tools.update_state(problem, busy)
        if not busy and (problem or self.status.text() == self._shown_problem):
            self.say(self.failure or problem)
            self._shown_problem = self.status.text()
        self._notice(busy)

    def say(self, text: str) -> None:
        """Show a line at the bottom."""
        self.status.setText(text)
        self.status.setVisible(bool(text))

    def _notice(self, busy: bool) -> None:
        """Say what is to be known about the results: of another place than is shown, older than the settings."""
        lines = []
        shown = [layer for layer in self.made_layers.values() if layer in self.viewer.layers]
        if shown and self._ran is not None and not busy:
            lines = self.notes()
            place = place_of(shown[-1])
            here = self.place_in_view()
            apart = {name: n for name, n in place.items() if name in here and here[name] != n}
            if apart:
                of = ", ".join(f"{name} = {n}" for name, n in apart.items())
                at = ", ".join(f"{name} = {here[name]}" for name in apart)
                lines.append(f"These results are of {of}; the sliders show {at}.")
            if self._is_stale():
                lines.append("The settings have changed since this run: the results are of the earlier ones.")
        self.notice.setText("\n".join(lines))
        self.notice.setVisible(bool(lines))

    def place_in_view(self) -> dict[str, int]:
        """Index that the sliders show on every leading axis of the input, by the axis's name."""
        return {}

    def _is_stale(self) -> bool:
        assert self._ran is not None
        if self.problem():
            return False
        try:
            return dict(self.job().arguments) != dict(self._ran.arguments)
        except DefocusError:
            return True

    def _on_layers(self, event: Any = None) -> None:  # noqa: ARG002
        if isalive(self):
            self.refresh_layers()

    def _on_dims(self, event: Any = None) -> None:  # noqa: ARG002
        if isalive(self):
            self.slice_changed()
            self._notice(self.current_run is not None)

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
            self._fail(error)
            return
        self.memory.save()
        self.start(job)

    def start(self, job: WidgetJob) -> WorkerRun:
        """Start a job; its layers are shown when it returns."""
        self._job = job
        self.failure = ""
        self._steps: Iterator[None] | None = None
        self._over = False

        def call(progress: ProgressCallback, cancel: CancelCallback) -> Any:
            load_library()
            return job.call(progress, cancel)

        self._release = spare_what_is_there()
        self.destroyed.connect(self._release)
        run = WorkerRun(call, f"{self.title} of {job.source.name}", self)
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
        made = provenance(job.source, job.operation, job.arguments, job.place)
        self.made_layers = {}
        yield
        if not self.new_layers.isChecked():
            clear_earlier(self.viewer, results, made)
        for shown in show_stepwise(self.viewer, results, made, new_layers=self.new_layers.isChecked()):
            self.made_layers = shown
            yield
        self._message = "done: " + ", ".join(layer.name for layer in self.made_layers.values())
        self._ran = job
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
        self._message = self.failure = advice(error, self.words_for())
        tell(error, self.words_for())

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
        if self.failure or not self.problem():
            self.say(self._message)

    def _fail(self, error: DefocusError) -> None:
        """Show why something did not start."""
        self.failure = advice(error, self.words_for())
        tell(error, self.words_for())
        self.say(self.failure)

    def copy_script(self) -> None:
        """Put the run as a Python script on the clipboard."""
        try:
            text = self.recipe().script()
        except DefocusError as error:
            self._fail(error)
            return
        clipboard = QGuiApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(text)
        self.say("the script is on the clipboard")
