"""Long work beside the window: progress, cancel and errors of one blocking call into the library.

The call runs in a plain thread that knows nothing of Qt: what it reports and what it ends with go through queues,
which a timer in the main thread empties. No signal crosses threads and no Qt object can be deleted in one thread while
the other uses it, as can happen at the end of Qt's own workers. Cancel frees the window at once, even while the
library is inside a long operation: the call is asked to stop, its result is dropped, and the next call waits until it
has ended.
"""

from __future__ import annotations

import contextlib
import queue
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QCoreApplication, QEventLoop, QObject, QTimer, Signal

from defocus_backend.errors import Cancelled, DefocusError, DeviceError, InputError, WeightsError
from defocus_backend.progress import CancelCallback, ProgressCallback

Call = Callable[[ProgressCallback, CancelCallback], Any]
"""A blocking call into the library that takes its two callbacks."""

_POLL = 30
_POLL_PREVIEW = 4
"""How often a timer looks after a run and after a preview, in ms."""
_ending: set[threading.Thread] = set()
"""Calls that were cancelled and have not reached their next look at the flag yet."""


class RunFailed(DefocusError):
    """An error that the library did not raise on purpose, with advice on what can be done."""


@dataclass
class _Outcome:
    value: Any = None
    error: BaseException | None = None


def advice(error: BaseException, words: Mapping[str, str] | None = None) -> str:
    """One line for the user: what went wrong and what to do about it.

    Parameters
    ----------
    error : Exception
    words : mapping
        What the library calls an argument, and what its control is called.
    """
    text = str(error) or type(error).__name__
    if isinstance(error, DeviceError):
        return f"{text}\nChoose the device 'cpu', a larger step, or a smaller image."
    if isinstance(error, WeightsError):
        return f"{text}\nChoose other weights in the widget or in Preferences."
    if isinstance(error, InputError):
        return f"{_in_words(error, words or {})}\nChange this input or setting and run again."
    if isinstance(error, MemoryError):
        return "Out of memory.\nClose other layers, or run on the current slice only."
    return text


def _in_words(error: InputError, words: Mapping[str, str]) -> str:
    """The error with the names that the controls have in place of those of the arguments."""
    if error.argument not in words and not any(name in error.wanted for name in words):
        return str(error)
    wanted = error.wanted
    for name, text in words.items():
        wanted = re.sub(rf"\b{name}\b", f"“{text}”", wanted)
    return f"“{words.get(error.argument, error.argument)}” is {error.given}; it must be {wanted}."


def guarded(error: BaseException) -> BaseException:
    """Errors on purpose as they are; all others as `RunFailed`, so that no thread worker swallows them."""
    if isinstance(error, DefocusError | MemoryError):
        return error
    wrapped = RunFailed(
        f"The run failed inside the library ({type(error).__name__}: {error}).\n"
        "Try another device, a larger step or the current slice only; the traceback shows the developers where."
    )
    wrapped.__cause__ = error
    return wrapped


def tell(error: BaseException, words: Mapping[str, str] | None = None) -> None:
    """Show an error as a napari notification; unexpected ones with their traceback."""
    from napari.utils.notifications import notification_manager, show_error

    if isinstance(error, RunFailed):
        notification_manager.receive_error(type(error), error, error.__traceback__)
    else:
        show_error(advice(error, words))


def beside_the_window(call: Callable[[], Any]) -> Any:
    """What a call returns, made in a thread while the window handles its events; at once where there is no window."""
    if QCoreApplication.instance() is None or threading.current_thread() is not threading.main_thread():
        return call()
    outcome = _Outcome()

    def work() -> None:
        try:
            outcome.value = call()
        except BaseException as error:  # handed to the main thread, whatever it is
            outcome.error = error

    thread = threading.Thread(target=work, name="napari-defocus: sample", daemon=True)
    thread.start()
    loop, timer = QEventLoop(), QTimer()
    timer.setInterval(_POLL)
    timer.timeout.connect(lambda: None if thread.is_alive() else loop.quit())
    timer.start()
    loop.exec()
    timer.stop()
    if outcome.error is not None:
        raise outcome.error
    return outcome.value


def wait_for_ending_calls(timeout: float = 10.0) -> bool:
    """Wait until cancelled calls have noticed; True if none is left."""
    for thread in _still_ending():
        thread.join(timeout)
    return not _still_ending()


def _still_ending() -> list[threading.Thread]:
    _ending.difference_update({t for t in _ending if not t.is_alive()})
    return list(_ending)


class WorkerRun(QObject):
    """One call of the library, from start to its layers.

    Exactly one of `returned`, `failed` and `cancelled` is emitted, then `ended`.
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
        self._thread: threading.Thread | None = None
        self._bar: Any = None
        self._phase = ""
        self._outcome = _Outcome()
        self._reports: queue.SimpleQueue[tuple[int, int, str]] = queue.SimpleQueue()
        # Single, started anew after each look: napari handles events while it draws the bar.
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_POLL)
        self._timer.timeout.connect(self._look)

    def start(self) -> None:
        """Start the thread, the timer that watches it and the bar in the activity dock."""
        from napari.utils import cancelable_progress

        self._bar = bar = cancelable_progress(total=0, desc=self._title)
        # A widget that is closed takes its run along, but not the bar.
        self.destroyed.connect(lambda: bar.close())
        # The thread holds on to what it needs, not to this object, which must die in the main thread.
        call, outcome, reports, stop = self._call, self._outcome, self._reports, self.stop_flag
        before = _still_ending()

        def work() -> None:
            for thread in before:
                thread.join()
            try:
                outcome.value = call(lambda *report: reports.put(report), stop.is_set)
            except BaseException as error:  # handed to the main thread, whatever it is
                outcome.error = guarded(error)

        self._thread = threading.Thread(target=work, name=f"napari-defocus: {self._title}", daemon=True)
        self._thread.start()
        self._timer.start()

    def cancel(self) -> None:
        """Ask to stop; `cancelled` follows within a fraction of a second."""
        self.stop_flag.set()

    def _look(self) -> None:
        thread = self._thread
        if thread is None:
            return
        if bool(getattr(self._bar, "is_canceled", False)):
            self.stop_flag.set()
        ended = not thread.is_alive()
        if self.stop_flag.is_set():
            if not ended:
                _ending.add(thread)
            self._finish(_Outcome(error=Cancelled("cancelled")))
        elif ended:
            self._finish(self._outcome)
        else:
            latest = _last(self._reports)
            if latest is not None:
                self._show_progress(*latest)
            if isalive(self):
                self._timer.start()

    def _show_progress(self, done: int, total: int, what: str) -> None:
        bar = self._bar
        if what != self._phase or total != bar.total:
            self._phase = what
            bar.reset(total=total)
            bar.set_description(f"{self._title}: {what}")
        bar.update(done - bar.n)
        if isalive(self):  # the widget may have been closed among the events that napari handled
            self.progressed.emit(done, total, what)

    def _finish(self, outcome: _Outcome) -> None:
        self._thread = None
        self._bar.close()
        if not isalive(self):  # the widget was closed while the bar was
            return
        if isinstance(outcome.error, Cancelled):
            self.cancelled.emit()
        elif outcome.error is not None:
            self.failed.emit(outcome.error)
        else:
            self.returned.emit(outcome.value)
        self.ended.emit()


def _last(reports: queue.SimpleQueue[tuple[int, int, str]]) -> tuple[int, int, str] | None:
    """The newest of the waiting reports, None if none waits."""
    latest = None
    with contextlib.suppress(queue.Empty):
        while True:
            latest = reports.get_nowait()
    return latest


class Preview(QObject):
    """Cheap calls that follow a slider: debounced, beside the window, and only the latest one counts.

    A call returns its result, or an iterator of results from quick to exact; of these each is shown, and the
    rest is left as soon as a newer call waits.

    Parameters
    ----------
    parent : QObject or None
    delay : int
        Milliseconds between a call and its start.
    show : callable or None
        Shows a result in steps: the window handles its events after each item of the iterator that this returns.

    Signals
    -------
    ready : object
        A result of the newest call.
    failed : Exception
    """

    ready = Signal(object)
    failed = Signal(object)

    def __init__(
        self, parent: QObject | None = None, delay: int = 20, show: Callable[[Any], Iterator[None]] | None = None
    ) -> None:
        super().__init__(parent)
        self._show = show
        self._steps: Iterator[None] | None = None
        self._stepping = False
        self._next: Callable[[], Any] | None = None
        self._call: Callable[[], Any] | None = None
        self._thread: threading.Thread | None = None
        self._found: queue.SimpleQueue[_Outcome] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._closed = False
        self._wait = QTimer(self)
        self._wait.setSingleShot(True)
        self._wait.setInterval(delay)
        self._wait.timeout.connect(self._start)
        self._watch = QTimer(self)
        self._watch.setInterval(_POLL_PREVIEW)
        self._watch.timeout.connect(self._look)
        self.destroyed.connect(self._stop.set)

    @property
    def busy(self) -> bool:
        """Whether a call runs or waits."""
        return self._thread is not None or self._next is not None

    def superseded(self) -> bool:
        """Whether the call that runs is no longer wanted; a cancel callback for the library."""
        return self._stop.is_set()

    def submit(self, call: Callable[[], Any]) -> None:
        """Replace whatever waits by this call."""
        self._next = call
        self._stop.set()
        if self._thread is None and not self._wait.isActive():
            self._wait.start()

    def drop(self) -> None:
        """Forget what waits and ignore what runs; a result that is shown in steps is shown to its end."""
        while self._steps is not None and not self._stepping:
            self._step()
        self._next = None
        self._closed = self._thread is not None
        self._stop.set()
        self._wait.stop()

    def _start(self) -> None:
        call, self._next = self._next, None
        if call is None or self._thread is not None:
            return
        self._closed = False
        self._stop.clear()
        self._call = call  # stored here, so that its objects are freed in the main thread
        found, stop = self._found, self._stop

        def work() -> None:
            try:
                value = call()
                for one in value if isinstance(value, Iterator) else (value,):
                    found.put(_Outcome(value=one))
                    if stop.is_set():
                        break
            except Cancelled:
                pass
            except BaseException as error:  # handed to the main thread, whatever it is
                found.put(_Outcome(error=guarded(error)))

        self._thread = threading.Thread(target=work, name="napari-defocus: preview", daemon=True)
        self._thread.start()
        self._watch.start()

    def _look(self) -> None:
        thread = self._thread
        ended = thread is not None and not thread.is_alive()  # asked first: nothing comes after the end
        if self._stepping:
            return  # a step of showing handles events too
        self._step()
        with contextlib.suppress(queue.Empty):
            while self._steps is None:
                self._deliver(self._found.get_nowait())
        if ended and self._steps is None and isalive(self):
            self._thread = self._call = None
            self._closed = False
            self._watch.stop()
            if self._next is not None:
                self._wait.start()

    def _deliver(self, outcome: _Outcome) -> None:
        if self._closed or not isalive(self):
            return
        if outcome.error is not None:
            self.failed.emit(outcome.error)
            return
        if self._show is not None:
            self._steps = self._show(outcome.value)
        self.ready.emit(outcome.value)

    def _step(self) -> None:
        """Show a little more."""
        steps, self._steps = self._steps, None
        if steps is None:
            return
        self._stepping = True
        try:
            next(steps)
        except StopIteration:
            return
        finally:
            self._stepping = False
        self._steps = steps
