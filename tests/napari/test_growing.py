"""The image so far while a fusion runs."""

from __future__ import annotations

import threading

import numpy as np
from small_stacks import focal_stack

from napari_defocus._widgets import _growing


def test_the_image_grows_where_the_stack_lies_and_goes_at_the_end(opened, finish, monkeypatch):
    seen, wait = [], threading.Event()

    class Eager(_growing.Intake):
        """Every slice, and the window has looked before the next one."""

        def __init__(self, choice):
            super().__init__(choice, pause=0.0)

        def __call__(self, image):
            super().__call__(image)
            wait.wait(0.3)

    monkeypatch.setattr("napari_defocus._widgets.fusion.Intake", Eager)
    viewer, open_widget = opened
    viewer.add_image(focal_stack(), name="cells", axis_labels=("z", "y", "x"), scale=(2, 0.5, 0.5), translate=(0, 3, 4))
    widget = open_widget()
    viewer.layers.events.inserted.connect(lambda event: seen.append(event.value))
    made = finish(widget)
    growing = seen[0]
    assert growing.name == "cells so far"
    assert growing not in viewer.layers
    assert growing.data.shape == (20, 22)
    for corner in ((-0.5, -0.5), (19.5, 21.5)):
        whole = [2 * x + 0.5 for x in corner]
        np.testing.assert_allclose(growing.data_to_world(corner), made["fused"].data_to_world(whole))
    assert not [x for x in viewer.layers if "so far" in x.name]


def test_of_several_times_it_says_which_one_grows(opened, finish, monkeypatch):
    class Eager(_growing.Intake):
        def __init__(self, choice):
            super().__init__(choice, pause=0.0)

        def __call__(self, image):
            super().__call__(image)
            threading.Event().wait(0.3)

    monkeypatch.setattr("napari_defocus._widgets.fusion.Intake", Eager)
    viewer, open_widget = opened
    several = np.stack([np.stack([focal_stack()] * 2, 1)] * 2)
    viewer.add_image(several, name="cells", axis_labels=("t", "z", "c", "y", "x"))
    widget = open_widget()
    widget.box.which.value = "all"
    names = set()
    viewer.layers.events.inserted.connect(
        lambda event: event.value.events.name.connect(lambda e: names.add(e.source.name))
    )
    viewer.layers.events.inserted.connect(lambda event: names.add(event.value.name))
    finish(widget)
    assert {"cells so far (t = 0)", "cells so far (t = 1)"} <= names
    assert not [x for x in viewer.layers if "so far" in x.name]


def test_a_quick_run_shows_none():
    calls = []
    intake = _growing.Intake(None, pause=100.0)
    intake(lambda: calls.append(1))
    assert calls == []
    assert intake.latest() is None
