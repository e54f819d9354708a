"""Ctrl-C that is not lost, and for work that can be stopped between two steps and gone on with later."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

_pressed = False
_last = -math.inf
_IMPATIENT = 1.0
"""Seconds after Ctrl-C within which another one does nothing."""


@contextlib.contextmanager
def remember_interrupt() -> Iterator[None]:
    """Let Ctrl-C interrupt at once, as always, and remember it for `check_interrupt`.

    Within the next second another one does nothing: what was begun is then being cleared away. A library that is just
    being loaded, or a callback from one, may swallow the exception. A job that a script has put in the background
    ignores Ctrl-C, and goes on doing so.
    """
    global _pressed
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return

    def handler(number: int, frame: FrameType | None) -> None:
        global _pressed, _last
        again, _last = time.monotonic() - _last < _IMPATIENT, time.monotonic()
        if not (_pressed and again):
            _pressed = True
            signal.default_int_handler(number, frame)

    try:
        previous = signal.signal(signal.SIGINT, handler)
    except ValueError:  # not in the main thread, which alone receives signals
        yield
        return
    try:
        yield
    finally:
        _pressed = False
        signal.signal(signal.SIGINT, previous)


def check_interrupt() -> None:
    """Interrupt now if Ctrl-C was pressed and its exception did not arrive."""
    if _pressed:
        raise KeyboardInterrupt


@contextlib.contextmanager
def stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C ask for a stop after the current step; a second one interrupts at once."""
    pressed = False

    def handler(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            signal.default_int_handler(number, frame)
        pressed = True

    try:
        previous = signal.signal(signal.SIGINT, handler)
    except ValueError:  # not in the main thread, which alone receives signals
        yield lambda: False
        return
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, previous)


@contextlib.contextmanager
def end_as_interrupt() -> Iterator[None]:
    """Let queueing systems, and terminals that are closed, end a batch as cleanly as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():  # which alone receives signals
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # What nohup has set to be ignored stays so.
    before = {n: signal.signal(n, interrupt) for n in numbers if signal.getsignal(n) is not signal.SIG_IGN}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
