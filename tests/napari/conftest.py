"""A viewer for every test, layers to work on, and a library that answers at once."""

from __future__ import annotations

import os

os.environ.setdefault("QT_API", "pyqt6")
os.environ["NAPARI_ENSURE_PLUGIN_MAIN_THREAD"] = "1"
# The images here are tiny: threads that wait for each other on a busy machine only cost.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import ctypes
import inspect
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from small_stacks import focal_stack

if os.environ["QT_API"].lower().startswith("pyside"):
    # PySide releases None more often than it takes it. Before Python 3.12, where None cannot be released, thousands of
    # signals end in "deallocating None" as the interpreter shuts down, after all tests have passed.
    for _ in range(200_000):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(None))

NAPARI_OWN_WARNINGS = (
    # vispy and napari touch parts of NumPy and of Python that are on their way out.
    "ignore::DeprecationWarning:vispy",
    "ignore::DeprecationWarning:napari",
    "ignore::FutureWarning:napari",
    # Layers that are rotated out of the slice are shown without that rotation, which napari says each time.
    "ignore:Non-orthogonal slicing:UserWarning",
)


def pytest_collection_modifyitems(items):
    """Everything but napari's own warnings is an error."""
    for item in items:
        if "tests/napari" in str(item.path).replace(os.sep, "/"):
            for text in NAPARI_OWN_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(text))


@pytest.fixture
def gray() -> np.ndarray:
    """A gray image with structure, 8 bit."""
    return (np.random.default_rng(0).random((48, 64)) * 255).astype(np.uint8)


@pytest.fixture(autouse=True)
def settings_of_its_own(monkeypatch, tmp_path):
    """No test sees the settings that another one, or the user, has left."""
    monkeypatch.setenv("NAPARI_DEFOCUS_SETTINGS", str(tmp_path / "settings"))


@pytest.fixture
def stack() -> np.ndarray:
    """A small focal stack for the real library."""
    return focal_stack()


@pytest.fixture(autouse=True)
def no_thread_left():
    """Every thread that a test started ends with it."""
    yield
    from napari_defocus._worker import wait_for_ending_calls

    assert wait_for_ending_calls()
    late = [t for t in threading.enumerate() if t.name.startswith("napari-defocus")]
    for thread in late:
        thread.join(60)
    assert not [t.name for t in late if t.is_alive()]


class FakeLibrary:
    """Stands in for the slow calls of the library; remembers how it was called."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict]] = []
        self.units = 3
        self.pause = 0.0
        self.error: Exception | None = None

    def _work(self, name: str, options: dict, progress, cancel, what: str) -> None:
        from defocus_backend.progress import Reporter

        self.calls.append((name, options))
        if self.error is not None:
            raise self.error
        reporter = Reporter(self.units, what, progress, cancel)
        for _ in range(self.units):
            time.sleep(self.pause)
            reporter.advance()

    def defocus_map(self, image, *, channel_axis=None, progress=None, cancel=None, **options):
        """Sigma grows from left to right, plus the mean of the image, so that slices can be told apart."""
        inspect.signature(self.real).bind(image, channel_axis=channel_axis, **options)  # what the library has not fails
        self._work("defocus_map", {"channel_axis": channel_axis, **options}, progress, cancel, "tiles")
        image = np.asarray(image)
        gray = image if channel_axis is None else image.mean(axis=channel_axis)
        ramp = np.linspace(0, 10, gray.shape[1], dtype=np.float32)[None] + np.zeros(gray.shape, np.float32)
        ramp = ramp + np.float32(gray.mean() / 255)
        one = np.ones_like(ramp)
        return SimpleNamespace(sigma=ramp, raw=ramp + 1, guide=one, confidence=one, deviation=one)


@pytest.fixture
def readers():
    """napari's readers, which only a viewer with a window would look for."""
    from npe2 import PluginManager

    PluginManager.instance().discover()


@pytest.fixture
def library(monkeypatch) -> FakeLibrary:
    """The fake in the place of the library's slow functions."""
    import defocus_backend

    fake = FakeLibrary()
    fake.real = defocus_backend.defocus_map
    monkeypatch.setattr(defocus_backend, "defocus_map", fake.defocus_map)
    return fake


@pytest.fixture
def show_widget(qtbot):
    """Show a widget on its own, and delete it after the test."""
    from qtpy.QtCore import QCoreApplication, QEvent

    def show(widget):
        qtbot.addWidget(widget)
        widget.show()
        return widget

    yield show
    # Now, not in a later event loop: until then Python's collector could delete it in a thread of the next test.
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


@pytest.fixture
def finish(qtbot):
    """Run a widget and wait for its end; returns the layers it made."""

    def run(widget, start=None):
        (start or widget.run)()
        run_ = widget.current_run
        assert run_ is not None, widget.status.text()
        qtbot.waitUntil(lambda: widget.current_run is None, timeout=300_000)  # torch is imported in the first run
        return widget.made_layers

    return run


@pytest.fixture
def opened(show_widget, readers):  # noqa: ARG001
    """A viewer without a window, and a function that opens the widget beside it."""
    from napari.components import ViewerModel

    from napari_defocus._widgets.fusion import FusionWidget

    viewer = ViewerModel()

    def open_widget():
        return show_widget(FusionWidget(viewer))

    return viewer, open_widget


@pytest.fixture
def settled(qtbot):
    """Wait until the brush has caught up."""

    def wait(widget):
        qtbot.wait(40)
        qtbot.waitUntil(lambda: not widget.repainter.busy and not widget.retouch.busy, timeout=60_000)

    return wait
