"""Python's garbage collector during a run: it must neither stop the window nor delete widgets beside it.

A full collection goes through the million objects of napari and torch. That takes some tenths of a second, in which no
thread runs, the window's neither. And it happens in whichever thread is at work just then: garbage that holds a
widget would be deleted there, which Qt does not survive.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

_held: set[object] = set()
_OF_PYTHON = 1000
"""Python 3.12 begins with some 400 frozen objects of its own, other releases with none."""
_ENDINGS = {"darwin": ".dylib"}


def spare_what_is_there() -> Callable[[], None]:
    """Let the collector pass over all objects that there are now, until the function that is returned is called.

    What is made from now on is collected as ever. Calls may overlap: the last to be released lets go of all.
    """
    if not _held and gc.get_freeze_count() > _OF_PYTHON:
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


def load_library() -> ModuleType:
    """The library, imported with torch and without blocking other threads more than can be helped.

    The collector is off meanwhile: what is imported stays.
    """
    if "torch" in sys.modules:
        return import_module("defocus_backend")
    _load_binaries()
    enabled = gc.isenabled()
    gc.disable()
    try:
        import_module("defocus_backend.defocus")
    finally:
        if enabled:
            gc.enable()
    if _held:
        gc.freeze()
    return import_module("defocus_backend")


def _load_binaries() -> None:
    """Load torch's largest shared libraries, which takes half a second of processor time, beside other threads.

    An import holds Python's lock while the system loads a library, a call through ctypes does not. The import then
    finds them loaded. Where a file is missing or cannot be loaded, the import itself sees to it.
    """
    spec = find_spec("torch")
    if spec is None or not spec.submodule_search_locations or os.name != "posix":
        return
    folder, ending = Path(next(iter(spec.submodule_search_locations))) / "lib", _ENDINGS.get(sys.platform, ".so")
    load = ctypes.CDLL(None).dlopen
    load.restype, load.argtypes = ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_int)
    for name, mode in (("libtorch_global_deps", os.RTLD_GLOBAL), ("libtorch_cpu", 0), ("libtorch_python", 0)):
        path = folder / (name + ending)
        if path.exists():
            load(os.fsencode(path), os.RTLD_NOW | mode)
