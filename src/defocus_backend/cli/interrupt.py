"""Ctrl-C that is never lost, and a clean stop between two steps for work that can be resumed."""

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
"""Seconds after Ctrl-C during which a second one is ignored."""


@contextlib.contextmanager
def remember_interrupt() -> Iterator[None]:
    """Let Ctrl-C interrupt at once, as usual, and remember it for `check_interrupt`.

    For the next second a second Ctrl-C is ignored, while temporary files are removed. Ctrl-C is remembered because a
    library that is being imported, or a callback from it, may swallow the exception. A background job of a script
    ignores Ctrl-C and continues to do so.
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
    except ValueError:  # not in the main thread, and only that receives signals
        yield
        return
    try:
        yield
    finally:
        _pressed = False
        signal.signal(signal.SIGINT, previous)


def check_interrupt() -> None:
    """Raise `KeyboardInterrupt` if Ctrl-C was pressed and its exception was lost."""
    if _pressed:
        raise KeyboardInterrupt


@contextlib.contextmanager
def stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C request a stop after the current step; a second one interrupts at once."""
    pressed = False

    def handler(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            signal.default_int_handler(number, frame)
        pressed = True

    try:
        previous = signal.signal(signal.SIGINT, handler)
    except ValueError:  # not in the main thread, and only that receives signals
        yield lambda: False
        return
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, previous)


@contextlib.contextmanager
def end_as_interrupt() -> Iterator[None]:
    """End a batch as cleanly as Ctrl-C does when a queueing system stops it or its terminal is closed."""
    if threading.current_thread() is not threading.main_thread():  # only that receives signals
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # Signals that nohup ignores stay ignored.
    before = {n: signal.signal(n, interrupt) for n in numbers if signal.getsignal(n) is not signal.SIG_IGN}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
