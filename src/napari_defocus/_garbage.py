"""Python's garbage collector during a run: it must neither stop the window nor delete widgets beside it.

A full collection goes through the million objects of napari and torch. That takes some tenths of a second, in which no
thread runs, the window's neither. And it happens in whichever thread is at work just then: garbage that holds a
widget would be deleted there, which Qt does not survive.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from importlib import import_module

_held: set[object] = set()


def spare_what_is_there() -> Callable[[], None]:
    """Let the collector pass over all objects that there are now, until the function that is returned is called.

    What is made from now on is collected as ever. Calls may overlap: the last to be released lets go of all.
    """
    if not _held and gc.get_freeze_count():
        return lambda: None  # somebody else has frozen what was there, and may not want it thawed
    token = object()
    _held.add(token)
    gc.freeze()

    def release() -> None:
        if token in _held:
            _held.discard(token)
            if not _held:
                gc.unfreeze()

    return release


def load_library() -> None:
    """Import the library with torch, with the collector off: what is imported stays."""
    if "torch" in sys.modules:
        return
    enabled = gc.isenabled()
    gc.disable()
    try:
        import_module("defocus_backend.defocus")
    finally:
        if enabled:
            gc.enable()
    if _held:
        gc.freeze()
