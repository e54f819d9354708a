"""Blur along z at a place: the sharpest slice is marked, and a click shows it."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

ZYX = ("z", "y", "x")


def _gravel():
    """Three slices of gravel, each sharp in a strip of its own and blurred by 3 px elsewhere."""
    from scipy.ndimage import gaussian_filter
    from skimage import data

    sharp = data.gravel()[:96, :144] * 16.0
    blurred, columns = gaussian_filter(sharp, 3), np.arange(144)[None] // 48
    return np.stack([np.where(columns == n, sharp, blurred) for n in range(3)]).astype(np.uint16)


def _click(plot, place):
    QTest.mouseClick(plot, Qt.MouseButton.LeftButton, pos=QPoint(round(plot.x_of(place)), plot.height() // 2))


@pytest.fixture
def looked(opened, qtbot):
    """A widget beside a stack whose three strips are sharp in slices 0, 1 and 2, and a function that looks."""
    viewer, open_widget = opened
    viewer.add_image(
        _gravel(), name="cells", axis_labels=ZYX, scale=(2, 0.5, 0.5), translate=(10, 0, 0), units=("um",) * 3
    )
    widget = open_widget()

    def look(row, column):
        widget.profile.look_at((0, row * 0.5, column * 0.5))
        qtbot.waitUntil(lambda: not widget.profile.busy, timeout=60_000)
        return widget.profile.plot.profile

    return viewer, widget, look


def test_the_sharpest_slice_is_marked_and_a_click_or_a_key_jumps_to_another(looked):
    viewer, widget, look = looked
    for place in range(3):
        found = look(48, 24 + 48 * place)
        assert found.best == place
        assert found.sigma[place] < 1 < np.delete(found.sigma, place).min()
    assert "slice 2 (z = 14 µm) is sharpest" in widget.profile.text.text()
    plot = widget.profile.plot
    _click(plot, 0)
    assert viewer.dims.point[0] == 10
    _click(plot, 2)
    assert viewer.dims.point[0] == 14
    QTest.keyClick(plot, Qt.Key.Key_Left)
    assert viewer.dims.point[0] == 12


def test_outside_and_where_there_is_no_texture_it_says_so(looked):
    viewer, widget, look = looked
    widget.profile.look_at((0, -50, 3))
    assert "no pixel" in widget.profile.text.text()
    viewer.layers["cells"].data = np.full((3, 96, 144), 700, np.uint16)
    assert look(48, 40).best is None
    assert "too little texture" in widget.profile.text.text()
    assert widget.profile.plot.grab() is not None
    viewer.layers.clear()
    widget.profile.look_at((0, 3, 3))
    assert "no stack" in widget.profile.text.text()


def test_the_click_is_listened_for_only_while_the_button_is_down(looked):
    viewer, widget, _ = looked
    before = list(viewer.mouse_drag_callbacks)
    widget.profile.pick.setChecked(True)
    assert len(viewer.mouse_drag_callbacks) == len(before) + 1
    widget.profile.hide()
    assert list(viewer.mouse_drag_callbacks) == before
