"""How long the window is blocked while a stack fuses: python benchmarks/responsiveness.py (under xvfb where needed)

A timer of 5 ms notes the gaps between its ticks in napari's event loop, first without work, then while 14 frames of
five megapixels in colour are fused by the widget, then while the layers are made. On a shared machine, a gap also
includes the time of other programs, so the processor time of the window's own thread is given as well. `--instant`
replaces the fusion by arrays of the same sizes, so that only the work of the window remains.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("NAPARI_CONFIG", str(Path(tempfile.mkdtemp()) / "settings.yaml"))

import napari
import numpy as np
from qtpy.QtCore import QEventLoop, Qt, QTimer

TICK_MS = 5
LONG_MS = 20


class Watcher:
    """Longest gaps between the ticks of a timer, by phase, in ms of wall and of processor."""

    def __init__(self) -> None:
        self.phase = ""
        self.gaps: dict[str, list[tuple[float, float]]] = {}
        self._last = time.perf_counter(), time.thread_time()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start(TICK_MS)

    def _tick(self) -> None:
        now = time.perf_counter(), time.thread_time()
        gap = 1000 * (now[0] - self._last[0]), 1000 * (now[1] - self._last[1])
        self._last = now
        self.gaps.setdefault(self.phase, []).append(gap)

    def report(self) -> None:
        """Print one row a phase."""
        print(
            f"{'phase':28s} {'ticks':>6s} {'wall: 99 %':>11s} {'longest':>8s} {'processor: 99 %':>16s} {'longest':>8s}"
        )
        for phase, gaps in self.gaps.items():
            wall, busy = np.array(gaps).T
            shown = [np.percentile(wall, 99), wall.max(), np.percentile(busy, 99), busy.max()]
            turns = ", ".join(f"{ms:.0f}" for ms in busy if ms > LONG_MS)
            print(f"{phase:28s} {len(gaps):6d} {shown[0]:11.0f} {shown[1]:8.0f} {shown[2]:16.0f} {shown[3]:8.0f}")
            if turns and phase != "no work":
                print(f"    turns of more than {LONG_MS} ms of processor, in order: {turns}")


def frames(count: int, height: int, width: int) -> np.ndarray:
    """A stack whose frames are sharp in one band each."""
    from scipy import ndimage
    from skimage import data

    photo = data.coffee()
    repeats = [-(-n // m) for n, m in zip((height, width), photo.shape[:2], strict=True)]
    sharp = np.tile(photo, (*repeats, 1))[:height, :width]
    soft = ndimage.uniform_filter(sharp, (9, 9, 1))
    stack = np.repeat(soft[None], count, axis=0)
    for n, rows in enumerate(np.array_split(np.arange(height), count)):
        stack[n, rows] = sharp[rows]
    return stack


def wait(until: Any, seconds: float = 3600) -> None:
    """Run the event loop until something holds."""
    loop, timer, end = QEventLoop(), QTimer(), time.monotonic() + seconds
    timer.timeout.connect(lambda: loop.quit() if until() or time.monotonic() > end else None)
    timer.start(50)
    loop.exec()
    timer.stop()


def instant(recipe: Any, choice: Any, options: Any, alignment: Any, progress: Any, cancel: Any) -> Any:  # noqa: ARG001
    """What `run_fusion` returns for a stack in colour, after a second of doing nothing."""
    from napari_defocus._fusing import Fused, FusedStack

    height, width = choice.source.shape[-2:]
    for done in range(20):
        time.sleep(0.05)
        progress(done + 1, 20, "slices")
    rows = np.linspace(0, len(choice) - 0.001, height)
    index = np.repeat(rows.astype(np.uint8)[:, None], width, axis=1)
    sigma = np.repeat(np.linspace(0, 9, width, dtype=np.float32)[None], height, axis=0)
    return Fused(
        stack=FusedStack(choice, options),
        image=choice.source.data[0].copy(),
        index=index,
        sigma=sigma,
        confidence=sigma / 9,
        height=index.astype(np.float32),
        height_error=sigma / 90,
        never_in_focus=(sigma > 5).astype(np.uint8),
        never_above=float(options["never_above"]),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=14)
    parser.add_argument("--size", type=int, nargs=2, default=(1920, 2560))
    parser.add_argument("--instant", action="store_true")
    chosen = parser.parse_args()
    if chosen.instant:
        import napari_defocus._widgets.fusion

        napari_defocus._widgets.fusion.run_fusion = instant
    viewer = napari.Viewer(show_welcome_screen=False)
    viewer.add_image(frames(chosen.frames, *chosen.size), rgb=True, name="stack")
    _, widget = viewer.window.add_plugin_dock_widget("napari-defocus", "Focus fusion")
    wait(lambda: False, 3)
    watcher = Watcher()
    watcher.phase = "no work"
    wait(lambda: False, 10)
    watcher.phase = "fusing"
    returned = widget._on_returned

    def on_returned(value: Any) -> None:
        watcher.phase = "making the layers"
        returned(value)

    widget._on_returned = on_returned
    start = time.perf_counter()
    widget.run()
    wait(lambda: widget.current_run is None)
    watcher.phase = "after it"
    print(
        f"{chosen.frames} frames of {chosen.size}: {time.perf_counter() - start:.0f} s, load {os.getloadavg()[0]:.1f}"
    )
    wait(lambda: False, 5)
    watcher.report()
    viewer.close()


if __name__ == "__main__":
    main()
