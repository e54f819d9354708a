"""How long the window is blocked by actions other than runs: python benchmarks/window.py (under xvfb where needed)

Opens the widgets and a sample, then moves the sliders of the overlay, of sharpening and of shallow depth of field on a
picture of five megapixels. A timer of 5 ms notes gaps in the event loop. A second thread looks every 5 ms what the
window's thread is at: the innermost code of this plugin or of napari and vispy that it is in has the time. On a busy
machine a gap also holds the time of others, so the processor time of the window's own thread is given beside it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("NAPARI_CONFIG", str(Path(tempfile.mkdtemp()) / "settings.yaml"))
os.environ.setdefault("NAPARI_DEFOCUS_SETTINGS", tempfile.mkdtemp())

import napari
import numpy as np
from qtpy.QtCore import QEventLoop, Qt, QTimer

TICK_S = 0.005
WIDGETS = ("Defocus map", "Adaptive sharpening", "Shallow depth of field", "Focus fusion")
OURS, NAPARIS = "plugin", "napari"
_PACKAGES = {"napari_defocus": OURS, "defocus_backend": OURS, "napari": NAPARIS, "vispy": NAPARIS}


class Watcher:
    """The longest gap between two ticks of each phase, and whose code the window was in."""

    def __init__(self) -> None:
        self._main = threading.get_ident()
        self._seen: Counter[str] = Counter()
        self._last = time.perf_counter(), time.thread_time()
        self._gaps: list[tuple[float, float, float]] = []
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start(round(1000 * TICK_S))
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while True:
            time.sleep(TICK_S)
            self._look_once()  # a separate call: a frame stored here would keep its painter alive

    def _look_once(self) -> None:
        frame = sys._current_frames().get(self._main)
        while frame is not None:
            parts = Path(frame.f_code.co_filename).parts
            owner = next((_PACKAGES[p] for p in reversed(parts) if p in _PACKAGES), None)
            if owner is not None:
                self._seen[owner] += 1
                return
            frame = frame.f_back

    def _tick(self) -> None:
        now = time.perf_counter(), time.thread_time()
        seen, self._seen = self._seen, Counter()
        share = seen[OURS] / max(1, seen.total())
        wall, busy = (1000 * (b - a) for a, b in zip(self._last, now, strict=True))
        self._last = now
        self._gaps.append((wall, busy, busy * share))

    def report(self, phase: str, steps: list[float]) -> None:
        """Print a row for what was watched since the last one."""
        self._tick()
        wall, busy, own = np.array(self._gaps).max(0)
        self._gaps = []
        step = f"{statistics.median(steps):10.0f}" if steps else f"{'':10s}"
        print(f"{phase:40s} {wall:8.0f} {busy:10.0f} {own:12.0f} {step}", flush=True)


def wait(until: Callable[[], bool], seconds: float = 120) -> None:
    """Run the event loop until something holds."""
    loop, timer, end = QEventLoop(), QTimer(), time.monotonic() + seconds
    timer.timeout.connect(lambda: loop.quit() if until() or time.monotonic() > end else None)
    timer.start(2)
    loop.exec()
    timer.stop()


def pause(seconds: float) -> None:
    """Run the event loop for some time."""
    end = time.monotonic() + seconds
    wait(lambda: time.monotonic() > end)


def scene(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A photograph tiled to a size, and a map that rises from left to right."""
    from skimage import data

    photo = data.astronaut()
    repeats = [-(-n // m) for n, m in zip((height, width), photo.shape[:2], strict=True)]
    image = np.ascontiguousarray(np.tile(photo, (*repeats, 1))[:height, :width])
    return image, np.ascontiguousarray(np.broadcast_to(np.linspace(0, 12, width, dtype=np.float32), (height, width)))


def timed(step: Callable[[], None], settled: Callable[[], bool]) -> float:
    """Milliseconds from a step to what it shows."""
    start = time.perf_counter()
    step()
    wait(settled)
    return 1000 * (time.perf_counter() - start)


def sliders(viewer: Any, watcher: Watcher, size: tuple[int, int], repeats: int) -> None:
    """The overlay and both previews."""
    from napari_defocus._layers import KEY, identity

    image, sigma = scene(*size)
    picture = viewer.add_image(image, rgb=True, name="picture")
    about = {KEY: {"role": "sigma", "source": "picture", "source_id": identity(picture), "operation": "defocus_map"}}
    viewer.add_image(sigma, name="map", metadata=about, contrast_limits=(0, 19))
    viewer.layers.selection.active = picture
    pause(1)
    _, widget = viewer.window.add_plugin_dock_widget("napari-defocus", "Defocus map")
    pause(1)
    watcher.report("(layers and widget)", [])

    def overlay(i: int) -> Callable[[], None]:
        return lambda: widget.sharp_below.setValue(2 + i / 5)

    first = timed(lambda: widget.overlay.setChecked(True), lambda: "picture in focus" in viewer.layers)
    watcher.report("overlay: the first", [first])
    steps = [timed(overlay(i), lambda: not widget._marks.busy) for i in range(repeats)]
    watcher.report("overlay: a step", steps)
    viewer.window.remove_dock_widget(widget)
    for name in WIDGETS[1:3]:
        _, widget = viewer.window.add_plugin_dock_widget("napari-defocus", name)
        pause(0.5)
        watcher.report("(widget)", [])
        first = timed(lambda w=widget: w.changed(), lambda w=widget: not w._preview.busy)  # type: ignore[misc]
        watcher.report(f"{name}: the first", [first])

        def move(i: int, widget: Any = widget) -> Callable[[], None]:
            low, high = widget.range.value()
            return lambda: widget.range.setValue((low, high + i / 10))

        steps = [timed(move(i + 1), lambda w=widget: not w._preview.busy) for i in range(repeats)]  # type: ignore[misc]
        watcher.report(f"{name}: a step", steps)
        viewer.window.remove_dock_widget(widget)
        pause(0.3)
        watcher.report("(closing)", [])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, nargs=2, default=(1920, 2560))
    parser.add_argument("--repeats", type=int, default=8)
    chosen = parser.parse_args()
    viewer = napari.Viewer(show_welcome_screen=False)
    viewer.window.resize(1400, 900)
    pause(1)
    watcher = Watcher()
    head = ("milliseconds", "longest", "processor", "the plugin's", "step")
    print(f"{head[0]:40s} {head[1]:>8s} {head[2]:>10s} {head[3]:>12s} {head[4]:>10s}")
    for name in WIDGETS:
        start = time.perf_counter()
        _, widget = viewer.window.add_plugin_dock_widget("napari-defocus", name)
        opened = 1000 * (time.perf_counter() - start)
        pause(0.2)
        watcher.report(f"opening {name}", [opened])
        viewer.window.remove_dock_widget(widget)
        pause(0.1)
        watcher.report("(closing)", [])
    print("torch is imported:", "torch" in sys.modules)
    start = time.perf_counter()
    viewer.open_sample("napari-defocus", "photo")
    watcher.report("opening a sample", [1000 * (time.perf_counter() - start)])
    viewer.layers.clear()
    sliders(viewer, watcher, tuple(chosen.size), chosen.repeats)
    print(f"load {os.getloadavg()[0]:.1f}")
    viewer.close()


if __name__ == "__main__":
    main()
