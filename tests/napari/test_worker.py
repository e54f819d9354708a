"""Runs and previews: results, errors, cancelling, and no thread left behind."""

from __future__ import annotations

import threading
import time

import pytest
from qtpy.QtCore import QObject, Qt, QTimer

from defocus_backend.errors import Cancelled, InputError
from napari_defocus._worker import Preview, RunFailed, WorkerRun, advice, guarded


@pytest.fixture
def watch(qtbot):
    """Starts a call; returns what the run told, in order."""

    def start(call, *, cancel_after=None):
        told = []
        run = WorkerRun(call, "test")
        run.progressed.connect(lambda *report: told.append(report))
        run.returned.connect(lambda value: told.append(("returned", value)))
        run.failed.connect(lambda error: told.append(("failed", error)))
        run.cancelled.connect(lambda: told.append("cancelled"))
        with qtbot.waitSignal(run.ended, timeout=30_000):
            run.start()
            if cancel_after is not None:
                qtbot.wait(cancel_after)
                run.cancel()
        return told

    return start


def test_returns_a_value_after_its_progress(watch):
    def call(progress, cancel):
        progress(1, 2, "tiles")
        time.sleep(0.12)
        return "value" if not cancel() else None

    told = watch(call)
    assert told[0] == (1, 2, "tiles")
    assert told[-1] == ("returned", "value")


def test_a_runtime_error_is_not_swallowed(watch):
    def call(progress, cancel):  # noqa: ARG001
        raise RuntimeError("shapes do not match")

    (what, error), *_ = watch(call)
    assert what == "failed"
    assert isinstance(error, RunFailed)
    assert "shapes do not match" in str(error)
    assert isinstance(error.__cause__, RuntimeError)


def test_an_error_on_purpose_stays_what_it_is(watch):
    wrong = InputError("step", "7", "one of 4, 8")

    def call(progress, cancel):  # noqa: ARG001
        raise wrong

    assert watch(call) == [("failed", wrong)]
    assert "Change this input" in advice(wrong)
    assert guarded(wrong) is wrong


def test_cancel_ends_within_a_second_even_inside_a_long_operation(watch):
    def call(progress, cancel):  # noqa: ARG001
        time.sleep(1.5)
        raise Cancelled("late")

    start = time.monotonic()
    told = watch(call, cancel_after=50)
    assert time.monotonic() - start < 1
    assert told == ["cancelled"]


def test_only_the_latest_preview_counts(qtbot):
    preview, seen, started = Preview(), [], []

    def call(number):
        started.append(number)
        time.sleep(0.05)
        return number

    preview.ready.connect(seen.append)
    for number in range(10):
        preview.submit(lambda number=number: call(number))
        qtbot.wait(5)
    qtbot.waitUntil(lambda: not preview.busy, timeout=30_000)
    assert seen[-1] == 9
    assert len(started) < 10


def test_a_dropped_preview_is_not_shown(qtbot):
    preview, seen = Preview(), []
    preview.ready.connect(seen.append)
    preview.submit(lambda: time.sleep(0.1))
    qtbot.wait(50)
    preview.drop()
    qtbot.waitUntil(lambda: not preview.busy, timeout=30_000)
    assert seen == []


def test_the_window_handles_its_events_between_the_steps_of_showing_a_preview(qtbot):
    events = []

    def show(value):
        for step in range(3):
            events.append((value, step))
            QTimer.singleShot(0, lambda: events.append("window"))
            yield

    preview = Preview(show=show)
    preview.submit(lambda: iter("ab"))
    qtbot.waitUntil(lambda: not preview.busy, timeout=30_000)
    assert [x for x in events if x != "window"] == [(value, step) for value in "ab" for step in range(3)]
    assert events[1::2] == ["window"] * 6


def test_a_preview_that_is_dropped_while_it_is_shown_is_shown_to_its_end(qtbot):
    shown = []

    def show(value):  # noqa: ARG001
        for step in range(3):
            shown.append(step)
            yield

    preview = Preview(show=show)
    preview.submit(lambda: None)
    qtbot.waitUntil(lambda: bool(shown), timeout=30_000)
    preview.drop()
    assert shown == [0, 1, 2]
    qtbot.waitUntil(lambda: not preview.busy, timeout=30_000)
    assert shown == [0, 1, 2]


def test_a_widget_that_is_closed_takes_its_run_along(qtbot):
    from napari.utils import progress as bars

    stopped = threading.Event()

    def call(progress, cancel):  # noqa: ARG001
        while not cancel():
            time.sleep(0.01)
        stopped.set()

    before, widget = len(bars._all_instances), QObject()
    run = WorkerRun(call, "test", widget)
    widget.destroyed.connect(run.stop_flag.set)
    run.start()
    assert len(bars._all_instances) == before + 1
    widget.deleteLater()
    qtbot.waitUntil(stopped.is_set, timeout=30_000)
    assert len(bars._all_instances) == before


def test_nothing_of_qt_is_touched_outside_the_main_thread(qtbot):
    """Results of a preview are handed over by the main thread, the last ones too."""
    preview, threads = Preview(), []
    preview.ready.connect(lambda _: threads.append(threading.current_thread()), Qt.ConnectionType.DirectConnection)
    preview.submit(lambda: iter(range(3)))
    qtbot.waitUntil(lambda: not preview.busy, timeout=30_000)
    assert threads == [threading.main_thread()] * 3
