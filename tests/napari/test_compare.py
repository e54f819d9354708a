"""The input against the result: in its place, and on one side of a line that is dragged."""

from __future__ import annotations

import numpy as np

ZYX = ("z", "y", "x")


def _visible(viewer):
    return [x for x in viewer.layers if x.visible]


def _fused(opened, stack, finish, **place):
    viewer, open_widget = opened
    image = viewer.add_image(stack, name="cells", axis_labels=ZYX, **place)
    widget = open_widget()
    assert not widget.tools.compare.toggle.isEnabled()
    assert not widget.tools.compare.split.isEnabled()
    return viewer, widget, image, finish(widget)


def test_before_and_after(opened, stack, finish):
    viewer, widget, image, made = _fused(opened, stack, finish)
    image.visible = False
    widget.tools.compare.toggle.setChecked(True)
    assert _visible(viewer) == [image]
    widget.tools.compare.toggle.setChecked(False)
    assert _visible(viewer) == [made["fused"]]


def test_the_split_view_follows_its_line_and_the_slice(opened, stack, finish, qtbot):
    viewer, widget, _, made = _fused(opened, stack, finish, scale=(2, 0.5, 0.5), translate=(0, 3, 4))
    compare, seen = widget.tools.compare, _visible(viewer)
    viewer.dims.set_point(0, 2)
    compare.split.setChecked(True)
    qtbot.waitUntil(lambda: "before" in viewer.layers and not compare.busy)
    before = viewer.layers["before"]
    assert _visible(viewer) == [made["fused"], before], "the input lies over the result"
    np.testing.assert_array_equal(before.data, stack[1][:, :22])
    np.testing.assert_allclose(before.data_to_world((0, 0)), (3, 4))

    compare.share.setValue(250)
    np.testing.assert_array_equal(before.data, stack[1][:, :11])
    assert compare.near_line((5, 4 + 10.5 * 0.5))
    assert not compare.near_line((5, 4 + 43 * 0.5))
    compare.drag_to((5, 4 + 32.5 * 0.5))
    np.testing.assert_array_equal(before.data, stack[1][:, :33])

    viewer.dims.set_point(0, 4)
    qtbot.waitUntil(lambda: np.array_equal(before.data, stack[2][:, :33]))
    compare.toggle.setChecked(True)
    assert "before" not in viewer.layers, "one way at a time"
    assert not compare.split.isChecked()
    compare.toggle.setChecked(False)
    assert _visible(viewer) == seen


def test_the_layer_of_the_split_view_goes_with_the_dock_and_is_no_input(opened, stack, finish, qtbot):
    viewer, widget, _, _ = _fused(opened, stack, finish)
    names, count = [x.name for x in viewer.layers], len(widget.box.items())
    callbacks = list(viewer.mouse_drag_callbacks)
    widget.tools.compare.split.setChecked(True)
    qtbot.waitUntil(lambda: "before" in viewer.layers)
    assert len(widget.box.items()) == count
    widget.closed()
    assert [x.name for x in viewer.layers] == names
    assert list(viewer.mouse_drag_callbacks) == callbacks
