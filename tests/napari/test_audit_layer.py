"""The check of a fused picture: the numbers of the library, and a layer that lies on the picture."""

from __future__ import annotations

import numpy as np
from small_stacks import focal_stack

import defocus_backend as db
from defocus_backend.fusion.audit import audit

ZYX = ("z", "y", "x")


def test_the_check_shows_what_was_lost(opened, finish, qtbot):
    viewer, open_widget = opened
    stack = focal_stack(3, 96, 144)
    viewer.add_image(stack, name="cells", axis_labels=ZYX, scale=(2, 0.5, 0.5), translate=(0, 3, 4))
    widget = open_widget()
    assert not widget.audit.check.isEnabled()
    made = finish(widget)
    assert widget.audit.check.isEnabled()
    image = made["fused"].data
    image[:64, :64] = image[:64, :64].mean()  # whoever spoilt it: its detail is gone
    widget.audit.check.click()
    qtbot.waitUntil(lambda: not widget.audit.busy, timeout=60_000)
    wanted = audit(image, stack)
    layer = viewer.layers["cells detail kept"]
    np.testing.assert_array_equal(layer.data, np.kron(wanted.ratio, np.ones((32, 32), np.float32))[:96, :144])
    assert layer.data[:64, :64].max() < 0.7 < layer.data[64:].min()
    np.testing.assert_allclose(layer.translate, (3, 4))
    assert wanted.report() in widget.audit.text.text()
    assert widget.audit.check.isEnabled(), "again, after more was painted"
    assert layer.metadata["napari-defocus"]["soft"] == wanted.soft >= 4 / 15
    assert layer not in [widget.box.stack.layer, *widget.box.ticked()]


def test_one_position_of_several_is_checked_and_named(opened, finish, qtbot):
    viewer, open_widget = opened
    stack = focal_stack(3, 64, 64)
    data = np.stack([stack[::-1], stack])
    viewer.add_image(data, name="cells", axis_labels=("t", *ZYX))
    widget = open_widget()
    widget.box.which.value = "all"
    finish(widget)
    viewer.dims.set_point(0, 1)
    widget.audit.run()
    qtbot.waitUntil(lambda: not widget.audit.busy, timeout=60_000)
    wanted = audit(db.fuse(stack, z=[0, 1, 2]).image, stack)
    np.testing.assert_array_equal(viewer.layers["cells detail kept (t = 1)"].data[::32, ::32], wanted.ratio)
