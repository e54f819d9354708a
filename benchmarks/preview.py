"""How quickly the live previews follow a slider: python benchmarks/preview.py [--threads 1] [--window]

Milliseconds of wall time and of the calling thread's processor time for one step of a slider on an image of two
megapixels, RGB, 8 bit. `--window` also measures the sharpening widget in napari, from the slider to the layer (under
xvfb where there is no display).
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import defocus_backend as db
from defocus_backend.params import ShallowParams, SharpenParams

SHAPE = (1224, 1634)


def picture() -> tuple[np.ndarray, np.ndarray]:
    """A photograph tiled to two megapixels, and a map that rises from left to right."""
    from skimage import data

    photo = data.astronaut()
    repeats = [-(-n // m) for n, m in zip(SHAPE, photo.shape[:2], strict=True)]
    image = np.tile(photo, (*repeats, 1))[: SHAPE[0], : SHAPE[1]]
    sigma = np.broadcast_to(np.linspace(0, 12, SHAPE[1], dtype=np.float32), SHAPE)
    return np.ascontiguousarray(image), np.ascontiguousarray(sigma)


def measure(name: str, step: Callable[[int], Any], repeats: int) -> None:
    """Print the median and the least time of a step, once warmed up."""
    step(0)
    wall, busy = [], []
    for i in range(1, repeats + 1):
        start, processor = time.perf_counter(), time.thread_time()
        step(i)
        wall.append(1000 * (time.perf_counter() - start))
        busy.append(1000 * (time.thread_time() - processor))
    print(f"{name:50s} {statistics.median(wall):8.0f} {min(wall):8.0f} {statistics.median(busy):10.0f}", flush=True)


def library(repeats: int) -> None:
    """The whole calls and the prepared ones."""
    image, sigma = picture()
    sharpener = db.Sharpener(image, sigma, channel_axis=-1)
    shallow = db.ShallowRenderer(image, sigma, channel_axis=-1)
    lens = db.ShallowRenderer(image, sigma, channel_axis=-1)

    def gain(i: int) -> SharpenParams:
        return SharpenParams(max_gain=1 + i / 10)

    def weight(i: int, **options: Any) -> ShallowParams:
        return ShallowParams(blur_above=5 + i / 10, **options)

    lens.apply(weight(0, blur="lens", fill_subject=False))
    measure("sharpen()", lambda i: db.sharpen(image, sigma, channel_axis=-1, max_gain=1 + i / 10), 3)
    measure("Sharpener, the gain moves", lambda i: sharpener.apply(gain(i)), repeats)
    measure("shallow_depth_of_field()", lambda _: db.shallow_depth_of_field(image, sigma, channel_axis=-1), 3)
    measure("ShallowRenderer, a handle moves: exact", lambda i: shallow.apply(weight(i)), 3)
    measure("ShallowRenderer, a handle moves: estimate", lambda i: shallow.apply(weight(i), estimate=True), repeats)
    measure(
        "ShallowRenderer, a handle moves, subject not filled",
        lambda i: lens.apply(weight(i, blur="lens", fill_subject=False)),
        repeats,
    )


def window(repeats: int) -> None:
    """From the slider of the sharpening widget to its layer, and until it is painted."""
    import napari
    from qtpy.QtWidgets import QApplication

    image, sigma = picture()
    viewer = napari.Viewer(show_welcome_screen=False)
    layer = viewer.add_image(image, rgb=True, name="photo")
    about = {"role": "sigma", "source_id": str(layer.unique_id)}
    viewer.add_image(sigma, name="map", visible=False, metadata={"napari-defocus": about})
    _, widget = viewer.window.add_plugin_dock_widget("napari-defocus", "Adaptive sharpening")
    painted = [0.0]
    viewer.window._qt_viewer.canvas._scene_canvas.events.draw.connect(lambda _: painted.append(time.perf_counter()))

    def step(i: int) -> None:
        widget.params["max_gain"].value = 1 + (i + 1) / 10
        while widget._preview.busy:
            QApplication.processEvents()
        start = time.perf_counter()
        while painted[-1] < start and time.perf_counter() - start < 5:
            viewer.window._qt_viewer.canvas.native.update()
            QApplication.processEvents()

    measure("napari: from the slider to the painted canvas", step, repeats)
    viewer.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--window", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    print(
        f"threads {chosen.threads}, load {os.getloadavg()[0]:.1f}; ms: median, least, processor of the calling thread"
    )
    library(chosen.repeats)
    if chosen.window:
        window(chosen.repeats)
