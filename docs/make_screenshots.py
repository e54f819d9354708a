"""Take the pictures of the plugin's pages: python docs/make_screenshots.py (under xvfb where there is no display)."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
os.environ["NAPARI_DEFOCUS_SETTINGS"] = tempfile.mkdtemp()
os.environ.setdefault("NAPARI_CONFIG", str(Path(tempfile.mkdtemp()) / "settings.yaml"))

import napari
import numpy as np
from PIL import Image
from qtpy.QtWidgets import QApplication
from superqt import QCollapsible

IMAGES = Path(__file__).parent / "images"
SIZE = (1400, 900)
PLUGIN = "napari-defocus"


def wait(until: Callable[[], bool] = lambda: False, seconds: float = 300) -> None:
    """Handle events until something holds."""
    end = time.monotonic() + seconds
    while not until() and time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.005)


def take(viewer: napari.Viewer, name: str, reset: bool = True) -> None:
    """Write one picture of the whole window."""
    if reset:
        viewer.reset_view()
    wait(seconds=0.7)
    IMAGES.mkdir(exist_ok=True)
    path = IMAGES / f"plugin-{name}.png"
    # In all its colours: a palette of 256 has none left for the few pixels at the top of a colour bar.
    shown = Image.fromarray(viewer.window.screenshot(canvas_only=False, flash=False)[..., :3])
    shown.save(path, optimize=True)
    print(path)


def open_with(sample: str, widget: str) -> tuple[napari.Viewer, Any]:
    """A viewer with a sample and a widget."""
    viewer = napari.Viewer(show=True, show_welcome_screen=False)
    viewer.window.resize(*SIZE)
    viewer.open_sample(PLUGIN, sample)
    _, opened = viewer.window.add_plugin_dock_widget(PLUGIN, widget)
    wait(seconds=0.2)
    return viewer, opened


def run(widget: Any, start: Callable[[], None] | None = None) -> Any:
    """Run a widget to its end; its layers."""
    (start or widget.run)()
    wait(lambda: widget.current_run is None)
    return widget.made_layers


def settle(widget: Any) -> None:
    """Wait for the live preview."""
    wait(seconds=0.2)
    wait(lambda: not widget._preview.busy)


def journeys() -> None:
    """The pictures of the tutorial, taken on the way through it."""
    import journeys as ways
    from skimage.transform import SimilarityTransform, warp

    from napari_defocus import _sample_data

    folder = Path(tempfile.mkdtemp())
    made: list[napari.Viewer] = []

    def new_viewer() -> napari.Viewer:
        made.append(napari.Viewer(show=True, show_welcome_screen=False))
        made[-1].window.resize(*SIZE)
        return made[-1]

    def look(viewer: napari.Viewer, name: str) -> None:
        take(viewer, name, reset=not name.startswith(("surface", "retouch")))

    slices = _sample_data.focal_stack()[0][0][::2]
    size = slices[0].shape[:2]
    moved = []
    for number, picture in enumerate(slices):  # a lens that breathes, and a hand that is not steady
        about = np.array(size[::-1]) / 2
        zoom = SimilarityTransform(translation=-about) + SimilarityTransform(scale=1 + 0.006 * number)
        motion = zoom + SimilarityTransform(translation=np.add(about, (2.0 * number, -1.5 * number)))
        moved.append(np.round(warp(picture, motion.inverse, mode="edge", preserve_range=True)).astype(np.uint8))
    ways.stack_journey(new_viewer, folder, np.stack(moved), look)
    ways.photo_journey(new_viewer, folder, _sample_data.photo()[0][0], look)


def defocus() -> None:
    """Map, overlay and table."""
    viewer, widget = open_with("photo", "Defocus map")
    run(widget)
    widget.sharp_below.setValue(2.0)
    widget.overlay.setChecked(True)
    height, width = viewer.layers["photo"].data.shape[:2]
    objects = np.zeros((height, width), np.uint8)
    objects[40:200, 180:300], objects[330:480, 40:300], objects[220:400, 400:500] = 1, 2, 3
    viewer.add_labels(objects, name="objects", opacity=0.3).contour = 3
    widget.measure()
    wait(lambda: bool(widget.objects.rows), 20)
    widget.objects_section.expand()
    wait(seconds=0.3)
    bar = widget.scroll_area.verticalScrollBar()
    bar.setValue(bar.maximum())
    take(viewer, "defocus")
    viewer.close()


def sharpen() -> None:
    """The gain curve over the histogram."""
    viewer, widget = open_with("photo", "Adaptive sharpening")
    run(widget, widget.compute_map)
    widget.params["max_gain"].value = 4.0
    settle(widget)
    viewer.layers["photo defocus map [px]"].visible = False
    take(viewer, "sharpen")
    viewer.close()


def shallow() -> None:
    """A click on what shall be in focus."""
    viewer, widget = open_with("photo", "Shallow depth of field")
    run(widget, widget.compute_map)
    widget.range.setValue((1.0, 5.0))
    widget.focus_at((400.0, 200.0))
    settle(widget)
    viewer.layers["photo defocus map [px]"].visible = False
    take(viewer, "shallow")
    viewer.close()


def fusion() -> None:
    """The decision map over the fused image."""
    viewer, widget = open_with("focal_stack", "Focus fusion")
    made = run(widget)
    viewer.layers["focal stack"].visible = False
    made["index"].visible = True
    made["index"].opacity = 0.35
    take(viewer, "fusion")
    made["index"].visible = False
    for section in widget.findChildren(QCollapsible):
        section.collapse(animate=False)
    for part in (widget.profile, widget.audit):
        section = next(s for s in widget.findChildren(QCollapsible) if s.isAncestorOf(part))
        section.expand(animate=False)
    widget.profile.look_at((0.0, 150.0, 300.0))
    wait(lambda: not widget.profile.busy)
    widget.audit.run()
    wait(lambda: not widget.audit.busy)
    wait(seconds=0.3)  # the text of the check has its height only now
    widget.scroll_area.ensureWidgetVisible(widget.audit)
    take(viewer, "trust")
    viewer.close()


def surface() -> None:
    """The height of the z-stack in three dimensions."""
    viewer, widget = open_with("z_stack", "Focus fusion")
    run(widget)
    widget.relief.show_surface()
    bar = widget.scroll_area.verticalScrollBar()
    bar.setValue(bar.maximum())
    take(viewer, "surface", reset=False)
    viewer.close()


def measure() -> None:
    """The height measured along a line, and the picture refocused."""
    viewer, widget = open_with("z_stack", "Focus fusion")
    run(widget)
    for section in widget.findChildren(QCollapsible):
        section.collapse(animate=False)
    for part in (widget.measure, widget.refocus):
        section = next(s for s in widget.findChildren(QCollapsible) if s.isAncestorOf(part))
        section.expand(animate=False)
    widget.measure.draw_line()
    widget.measure.measure()
    wait(lambda: not widget.measure.busy)
    for layer in viewer.layers:
        layer.visible = "levelled" in layer.name or layer.name == "profile line"
    wait(seconds=0.3)
    widget.scroll_area.ensureWidgetVisible(widget.refocus)
    take(viewer, "measure")
    widget.refocus.on.setChecked(True)
    wait(lambda: not widget.refocus._work.busy)
    widget.refocus.focus.setValue(widget.refocus.focus.minimum())
    wait(lambda: not widget.refocus._work.busy)
    for layer in viewer.layers:
        layer.visible = "refocused" in layer.name
    take(viewer, "refocus")
    viewer.close()


if __name__ == "__main__":
    known = {f.__name__: f for f in (defocus, sharpen, shallow, fusion, surface, measure, journeys)}
    for wanted in sys.argv[1:] or known:
        known[wanted]()
