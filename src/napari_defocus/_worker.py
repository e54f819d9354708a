"""Long work beside the window: progress, cancel and errors of one blocking call into the library.

The call runs in a thread of its own; a napari worker (a generator) watches it and yields what it
reports. That way Cancel frees the window at once, even while the library is inside a long operation: the
call is told to stop, its result is dropped, and the next call waits until it has ended. A generator worker
alone would swallow RuntimeErrors, which torch raises for shapes and memory, and `quit` would skip its
clean-up; here both are done from signals in the main thread.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QObject, QTimer, Signal

from defocus_backend.errors import Cancelled, DefocusError, DeviceError, InputError, WeightsError
from defocus_backend.progress import CancelCallback, ProgressCallback

Call = Callable[[ProgressCallback, CancelCallback], Any]
"""A blocking call into the library that takes its two callbacks."""

_POLL = 0.05
_ending: set[threading.Thread] = set()
"""Calls that were cancelled and have not reached their next look at the flag yet."""


class RunFailed(DefocusError):
    """An error that the library did not raise on purpose, told with what can be done about it."""


@dataclass
class _Outcome:
    value: Any = None
    error: BaseException | None = None


def advice(error: BaseException) -> str:
    """One line for the user: what went wrong and what to do about it."""
    text = str(error) or type(error).__name__
    if isinstance(error, DeviceError):
        return f"{text}\nChoose the device 'cpu', a larger step, or a smaller image."
    if isinstance(error, WeightsError):
        return f"{text}\nChoose other weights in the widget or in Preferences."
    if isinstance(error, InputError):
        return f"{text}\nChange this input or setting and run again."
    if isinstance(error, MemoryError):
        return "Out of memory.\nClose other layers, or run on the current slice only."
    return text


def guarded(error: BaseException) -> BaseException:
    """Errors on purpose as they are; all others as `RunFailed`, so that no thread worker swallows them."""
    if isinstance(error, DefocusError | MemoryError):
        return error
    wrapped = RunFailed(
        f"The run failed inside the library ({type(error).__name__}: {error}).\n"
        "Try another device, a larger step or the current slice only; the traceback tells the developers where."
    )
    wrapped.__cause__ = error
    return wrapped


def tell(error: BaseException) -> None:
    """Show an error as a napari notification; unexpected ones with their traceback."""
    from napari.utils.notifications import notification_manager, show_error

    if isinstance(error, RunFailed):
        notification_manager.receive_error(type(error), error, error.__traceback__)
    else:
        show_error(advice(error))


def wait_for_ending_calls(timeout: float = 10.0) -> bool:
    """Wait until cancelled calls have noticed; True if none is left."""
    for thread in list(_ending):
        thread.join(timeout)
    _ending.difference_update({t for t in _ending if not t.is_alive()})
    return not _ending


class Run(QObject):
    """One call of the library, from start to its layers.

    Signals arrive in the main thread. Exactly one of `returned`, `failed` and `cancelled` is emitted,
    then `ended`.
    """

    progressed = Signal(int, int, str)
    returned = Signal(object)
    failed = Signal(object)
    cancelled = Signal()
    ended = Signal()

    def __init__(self, call: Call, title: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._call = call
        self._title = title
        self.stop_flag = threading.Event()
        self._worker: Any = None
        self._bar: Any = None
        self._phase = ""
        self._outcome: _Outcome | None = None

    def start(self) -> None:
        """Start the thread, the worker that watches it and the bar in the activity dock."""
        from napari.qt.threading import create_worker
        from napari.utils import cancelable_progress

        self._bar = cancelable_progress(total=0, desc=self._title)

        def watch() -> Generator[tuple[int, int, str], None, _Outcome]:
            # napari prints its function after the end: a method would be printed with this object, and PySide6
            # refuses to print one that has been deleted since.
            return (yield from self._watch())

        self._worker = create_worker(watch, _ignore_errors=True)
        self._worker.yielded.connect(self._show_progress)
        self._worker.returned.connect(self._keep)
        self._worker.finished.connect(self._finish)
        self._worker.start()

    def cancel(self) -> None:
        """Ask to stop; `cancelled` follows within a fraction of a second."""
        self.stop_flag.set()

    @property
    def _stopped(self) -> bool:
        quitting = self._worker is not None and self._worker.abort_requested
        return self.stop_flag.is_set() or quitting or bool(getattr(self._bar, "is_canceled", False))

    def _watch(self) -> Generator[tuple[int, int, str], None, _Outcome]:
        reports: queue.SimpleQueue[tuple[int, int, str]] = queue.SimpleQueue()
        outcome = _Outcome()
        before = [t for t in _ending if t.is_alive()]

        def work() -> None:
            for thread in before:
                thread.join()
            try:
                outcome.value = self._call(lambda *report: reports.put(report), lambda: self._stopped)
            except BaseException as error:  # handed to the main thread, whatever it is
                outcome.error = guarded(error)
            finally:
                _ending.discard(threading.current_thread())

        thread = threading.Thread(target=work, name=f"napari-defocus: {self._title}", daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(_POLL)
            if self._stopped and thread.is_alive():
                _ending.add(thread)
                if not thread.is_alive():  # it ended between the two lines
                    _ending.discard(thread)
                break
            latest = None
            with contextlib.suppress(queue.Empty):
                while True:
                    latest = reports.get_nowait()
            if latest is not None:
                yield latest
        return outcome if not self._stopped else _Outcome(error=Cancelled("cancelled"))

    def _show_progress(self, report: tuple[int, int, str]) -> None:
        done, total, what = report
        bar = self._bar
        if bar is None:
            return
        if what != self._phase or total != bar.total:
            self._phase = what
            bar.reset(total=total)
            bar.set_description(f"{self._title}: {what}")
        if self._bar is bar:  # napari handles events while it draws the bar, and the run may end among them
            bar.update(done - bar.n)
        if self._bar is bar and isalive(self):
            self.progressed.emit(done, total, what)

    def _keep(self, outcome: _Outcome) -> None:
        self._outcome = outcome

    def _finish(self) -> None:
        self.stop_flag.set()  # the worker may have been quit from outside
        if self._bar is not None:
            self._bar.close()
        self._bar = self._worker = None
        outcome, self._outcome = self._outcome or _Outcome(error=Cancelled("cancelled")), None
        if not isalive(self):  # the widget was closed
            return
        if isinstance(outcome.error, Cancelled):
            self.cancelled.emit()
        elif outcome.error is not None:
            self.failed.emit(outcome.error)
        else:
            self.returned.emit(outcome.value)
        self.ended.emit()


class Preview(QObject):
    """Cheap calls that follow a slider: debounced, beside the window, and only the latest one counts.

    A call returns its result, or an iterator of results from quick to exact; of these each is shown, and the
    rest is left as soon as a newer call waits.

    Signals
    -------
    ready : object
        A result of the newest call.
    failed : Exception
    """

    ready = Signal(object)
    failed = Signal(object)
    _found = Signal(object)
    _done = Signal(object)

    def __init__(self, parent: QObject | None = None, delay: int = 20) -> None:
        super().__init__(parent)
        self._next: Callable[[], Any] | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(delay)
        self._timer.timeout.connect(self._start)
        self._found.connect(self._deliver)
        self._done.connect(self._end)

    @property
    def busy(self) -> bool:
        """Whether a call runs or waits."""
        return self._thread is not None or self._next is not None

    def superseded(self) -> bool:
        """Whether the call that runs is no longer wanted; a cancel callback for the library."""
        return self._closed or self._next is not None

    def submit(self, call: Callable[[], Any]) -> None:
        """Replace whatever waits by this call."""
        self._next = call
        if self._thread is None and not self._timer.isActive():
            self._timer.start()

    def drop(self) -> None:
        """Forget what waits and ignore what runs."""
        self._next = None
        self._closed = self._thread is not None
        self._timer.stop()

    def _start(self) -> None:
        call, self._next = self._next, None
        if call is None or self._thread is not None:
            return
        self._closed = False

        def work() -> None:
            error: BaseException | None = None
            try:
                value = call()
                for found in value if isinstance(value, Iterator) else (value,):
                    self._found.emit(found)
                    if self.superseded():
                        break
            except Cancelled:
                pass
            except BaseException as caught:  # handed to the main thread, whatever it is
                error = guarded(caught)
            with contextlib.suppress(RuntimeError):  # the widget is gone
                self._done.emit(error)

        self._thread = threading.Thread(target=work, name="napari-defocus: preview", daemon=True)
        self._thread.start()

    def _deliver(self, value: Any) -> None:
        if not self._closed:
            self.ready.emit(value)

    def _end(self, error: BaseException | None) -> None:
        if self._thread is not None:
            self._thread.join()
        self._thread = None
        if self._next is not None:
            self._timer.start()
        if error is not None and not self._closed:
            self.failed.emit(error)
        self._closed = False
