"""The fusion widget: what comes out for which stack, and painting on the decision map."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

import defocus_backend as db


@pytest.fixture
def opened(library, show_widget):  # noqa: ARG001
    """A viewer without a window, and a function that opens the widget beside it."""
    from napari_defocus._widgets.fusion import FusionWidget

    viewer = ViewerModel()

    def open_widget():
        return show_widget(FusionWidget(viewer))

    return viewer, open_widget


@pytest.fixture
def stack():
    return (np.random.default_rng(1).random((4, 40, 48)) * 4000 + 300).astype(np.uint16)


def test_layers_of_a_microscope_stack(opened, stack, finish):
    viewer, open_widget = opened
    image = viewer.add_image(
        stack, name="cells", scale=(0.5, 0.1, 0.1), translate=(2, 0, 0), units=("um",) * 3, axis_labels=("z", "y", "x")
    )
    widget = open_widget()
    widget.outputs["weights"].setChecked(True)
    widget.outputs["sigmas"].setChecked(True)
    made = finish(widget)
    assert {layer.name for layer in made.values()} == {
        "cells fused",
        "cells decision map",
        "cells height [µm]",
        "cells confidence",
        "cells never in focus",
        "cells weight maps",
        "cells defocus map per slice",
    }
    index = stack.argmax(axis=0)
    assert isinstance(made["index"], Labels)
    np.testing.assert_array_equal(made["index"].data, index)
    np.testing.assert_allclose(made["height"].data, 2 + 0.5 * index)
    assert tuple(made["height"].contrast_limits) == (2.0, 3.5)
    assert made["fused"].data.dtype == np.uint16
    np.testing.assert_array_equal(made["never"].data, index * 2 > widget.never_above.value())
    for role in ("fused", "index", "height"):
        np.testing.assert_allclose(made[role].scale, (0.1, 0.1))
        assert made[role].axis_labels == ("y", "x")
    np.testing.assert_allclose(made["weights"].scale, image.scale)
    widget.never_above.setValue(1.5)
    np.testing.assert_array_equal(made["never"].data, index * 2 > 1.5)


def test_painting_updates_the_fused_image_there_and_undo_takes_it_back(opened, stack, finish, qtbot):
    viewer, open_widget = opened
    viewer.add_image(stack, name="cells")
    widget = open_widget()
    made = finish(widget)
    labels, fused = made["index"], made["fused"]
    before = fused.data.copy()
    automatic = labels.data.copy()
    options = {"value_range": next(iter(widget._fused.ranges.values())), **widget.params.values()}

    def settled():
        qtbot.wait(50)
        qtbot.waitUntil(lambda: not widget.repainter.busy, timeout=30_000)

    labels.visible = True
    labels.brush_size = 9
    labels.paint((20, 24), 3)
    settled()
    painted = db.fuse_by_index(stack, labels.data, **options)
    assert (labels.data != automatic).any()
    np.testing.assert_array_equal(fused.data, painted)
    assert (fused.data != before).any()
    widget.undo()
    settled()
    np.testing.assert_array_equal(labels.data, automatic)
    np.testing.assert_array_equal(fused.data, before)
    widget.redo()
    settled()
    np.testing.assert_array_equal(fused.data, painted)
    widget.automatic()
    settled()
    np.testing.assert_array_equal(fused.data, before)


def test_the_brush_takes_the_slice_in_view(opened, stack, finish):
    viewer, open_widget = opened
    viewer.add_image(stack, name="cells")
    widget = open_widget()
    made = finish(widget)
    viewer.dims.set_point(0, 2)
    widget.paint()
    assert made["index"].selected_label == 2
    assert made["index"].mode == "paint"


def test_channels_follow_the_decision_of_one_at_every_time(opened, finish):
    viewer, open_widget = opened
    data = (np.random.default_rng(2).random((2, 3, 2, 24, 32)) * 255).astype(np.uint8)
    viewer.add_image(da.from_array(data, chunks=(1, 1, 1, 24, 32)), name="cells", axis_labels=tuple("tzcyx"))
    widget = open_widget()
    assert (widget.z_axis.value, widget.channel_axis.value) == (1, 2)
    widget.judge.setValue(1)
    widget.which.value = "all"
    made = finish(widget)
    assert made["fused"].data.shape == (2, 1, 2, 24, 32)
    index = made["index"].data
    assert index.shape == (2, 1, 1, 24, 32)
    for t in range(2):
        np.testing.assert_array_equal(index[t, 0, 0], data[t, :, 1].argmax(axis=0))
        for c in range(2):
            wanted = db.fuse_by_index(data[t, :, c], index[t, 0, 0])
            np.testing.assert_array_equal(made["fused"].data[t, 0, c], wanted)


def test_the_time_in_view(opened, finish):
    viewer, open_widget = opened
    data = (np.random.default_rng(3).random((2, 3, 24, 32)) * 255).astype(np.uint8)
    viewer.add_image(data, name="cells", axis_labels=tuple("tzyx"))
    widget = open_widget()
    viewer.dims.set_point(0, 1)
    made = finish(widget)
    np.testing.assert_array_equal(made["index"].data, data[1].argmax(axis=0))


def test_colour_slices_in_several_layers(opened, finish):
    viewer, open_widget = opened
    data = (np.random.default_rng(4).random((3, 24, 32, 3)) * 255).astype(np.uint8)
    for i, picture in enumerate(data):
        viewer.add_image(picture, name=f"shot {i}", rgb=True, scale=(2, 2))
    widget = open_widget()
    widget.kind.value = "layers"
    made = finish(widget)
    assert made["fused"].rgb
    np.testing.assert_allclose(made["fused"].scale, (2, 2))
    np.testing.assert_array_equal(made["index"].data, data.mean(axis=-1).argmax(axis=0))
    assert "layers" in widget.script() or "slice_2" in widget.script()


def test_surface(opened, stack, finish):
    viewer, open_widget = opened
    viewer.add_image(stack, name="cells", scale=(0.5, 0.1, 0.1))
    widget = open_widget()
    finish(widget)
    widget.show_surface()
    surface = viewer.layers["cells surface"]
    assert surface.vertices.shape == (40 * 48, 3)
    np.testing.assert_allclose(surface.scale, (0.5, 0.1, 0.1))
    assert surface.texture.shape == (40, 48)
    assert viewer.dims.ndisplay == 3


def test_two_axes_that_are_one_are_refused(opened, stack, library):
    viewer, open_widget = opened
    viewer.add_image(np.stack([stack, stack]), name="cells")
    widget = open_widget()
    widget.channel_axis.value = widget.z_axis.value
    widget.run()
    assert widget.current_run is None
    assert "channel axis" in widget.status.text()
    assert library.calls == []
