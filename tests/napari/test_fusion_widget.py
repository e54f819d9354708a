"""The fusion widget: what comes out for which stack, and painting on the decision map."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from tifffile import imread, imwrite

import defocus_backend as db


@pytest.fixture
def opened(library, show_widget, readers):  # noqa: ARG001
    """A viewer without a window, and a function that opens the widget beside it."""
    from napari_defocus._widgets.fusion import FusionWidget

    viewer = ViewerModel()

    def open_widget():
        return show_widget(FusionWidget(viewer))

    return viewer, open_widget


@pytest.fixture
def stack():
    return (np.random.default_rng(1).random((4, 40, 48)) * 4000 + 300).astype(np.uint16)


def never(sigma, above):
    """Where the library says that nothing was in focus, at the fake's confidence."""
    import torch

    from defocus_backend.fusion.coverage import never_in_focus

    confidence = np.full(sigma.shape, 0.5, np.float32)
    return never_in_focus(torch.from_numpy(sigma.astype(np.float32)), torch.from_numpy(confidence), above).numpy()


def test_the_bound_of_never_in_focus_is_the_librarys(opened):
    from defocus_backend.params import NEVER_ABOVE

    assert opened[1]().never_above.value() == NEVER_ABOVE


def test_layers_of_a_microscope_stack(opened, stack, finish, qtbot):
    viewer, open_widget = opened
    image = viewer.add_image(
        stack, name="cells", scale=(0.5, 0.1, 0.1), translate=(2, 0, 0), units=("um",) * 3, axis_labels=("z", "y", "x")
    )
    widget = open_widget()
    widget.outputs["weights"].setChecked(True)
    widget.outputs["sigmas"].setChecked(True)
    widget.outputs["height error"].setChecked(True)
    made = finish(widget)
    assert {layer.name for layer in made.values()} == {
        "cells fused",
        "cells decision map",
        "cells height [µm]",
        "cells height error [µm]",
        "cells confidence",
        "cells never in focus",
        "cells weight maps",
        "cells defocus map per slice",
    }
    index = stack.argmax(axis=0)
    assert isinstance(made["index"], Labels)
    np.testing.assert_array_equal(made["index"].data, index)
    assert made["index"].data.dtype == np.uint8
    wanted = (2 + 0.5 * (index + 0.25)).astype(np.float32)
    wanted[0, 0] = np.nan
    np.testing.assert_allclose(made["height"].data, wanted)
    assert tuple(made["height"].contrast_limits) == (2.0, 3.5)
    assert made["fused"].data.dtype == np.uint16
    np.testing.assert_array_equal(made["never"].data, never(index * 2, widget.never_above.value()))
    for role in ("fused", "index", "height"):
        np.testing.assert_allclose(made[role].scale, (0.1, 0.1))
        assert made[role].axis_labels == ("y", "x")
    np.testing.assert_allclose(made["weights"].scale, image.scale)
    widget.never_above.setValue(1.5)
    qtbot.waitUntil(lambda: not widget._judging.busy, timeout=30_000)
    np.testing.assert_array_equal(made["never"].data, never(index * 2, 1.5))


def test_a_bound_that_is_moved_back_gives_the_mask_of_the_run_again(opened, stack, library, finish, qtbot):
    viewer, open_widget = opened
    viewer.add_image(stack, name="cells")
    widget = open_widget()
    library.soft = np.s_[10:20, 10:20]
    widget.never_above.setValue(2.5)
    layer = finish(widget)["never"]
    run = layer.data.copy()
    assert never(stack.argmax(axis=0) * 2, 2.5)[library.soft].any()
    for above in (1.5, 2.5):
        layer.data[:] = 0
        widget.never_above.setValue(above)
        qtbot.waitUntil(lambda: not widget._judging.busy, timeout=30_000)
        assert not layer.data[library.soft].any()
        assert layer.data.sum() > run.sum() if above < 2.5 else (layer.data == run).all()


def test_painting_updates_the_fused_image_there_and_undo_takes_it_back(opened, stack, finish, qtbot):
    viewer, open_widget = opened
    viewer.add_image(stack, name="cells")
    widget = open_widget()
    made = finish(widget)
    labels, fused = made["index"], made["fused"]
    before = fused.data.copy()
    automatic = labels.data.copy()
    options = {name: widget.arguments[name] for name in ("blend", "radius", "eps", "delta")}
    options["value_range"] = next(iter(widget._fused.ranges.values()))

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


def test_what_nobody_painted_near_stays_as_the_run_blended_it(opened, library, finish, qtbot):
    data = (np.random.default_rng(5).random((3, 60, 80)) * 4000).astype(np.uint16)
    library.brighter = 7
    viewer, open_widget = opened
    viewer.add_image(data, name="cells")
    widget = open_widget()
    widget.details["radius"].value = 2
    made = finish(widget)
    labels, fused = made["index"], made["fused"]
    before = fused.data.copy()
    labels.visible = True
    labels.brush_size = 5
    labels.paint((30, 40), int(labels.data[30, 40] + 1) % 3)
    qtbot.wait(50)
    qtbot.waitUntil(lambda: not widget.repainter.busy, timeout=30_000)
    changed = fused.data != before
    painted = np.nonzero(labels.data != widget.repainter.automatic)
    assert changed[painted].all()
    reach = [(int(p.min()) - 4, int(p.max()) + 4) for p in painted]
    outside = np.ones(changed.shape, bool)
    outside[reach[0][0] : reach[0][1] + 1, reach[1][0] : reach[1][1] + 1] = False
    assert not changed[outside].any()
    widget.undo()
    qtbot.wait(50)
    qtbot.waitUntil(lambda: not widget.repainter.busy, timeout=30_000)
    np.testing.assert_array_equal(fused.data, before)


def test_every_parameter_of_fusion_has_a_control(opened):
    from defocus_backend.params import FusionParams, SliceMapParams

    widget = opened[1]()
    assert set(widget.arguments) == set(FusionParams.describe())
    assert len(widget.settings.main.values() | widget.settings.refinement.values()) == len(SliceMapParams.describe())
    widget.params["blend"].value = "decision"
    assert not widget.details["firmness"].enabled


def test_the_brush_takes_the_slice_in_view(opened, stack, finish):
    viewer, open_widget = opened
    viewer.add_image(stack, name="cells")
    widget = open_widget()
    made = finish(widget)
    viewer.dims.set_point(0, 2)
    widget.paint()
    assert made["index"].selected_label == 2
    assert made["index"].mode == "paint"


def test_the_brush_takes_the_selected_of_several_layers_else_the_topmost_in_view(opened, stack, finish):
    viewer, open_widget = opened
    shots = [viewer.add_image(picture, name=f"shot {i}") for i, picture in enumerate(stack)]
    widget = open_widget()
    widget.kind.value = "layers"
    labels = finish(widget)["index"]
    shots[3].visible = False
    for active, number in ((shots[1], 1), (labels, 2), (shots[3], 3)):
        viewer.layers.selection.active = active
        widget.paint()
        assert labels.selected_label == number


def test_a_result_is_no_slice_unless_it_is_ticked(opened, stack, finish):
    viewer, open_widget = opened
    for i, picture in enumerate(stack):
        viewer.add_image(picture, name=f"shot {i}")
    widget = open_widget()
    widget.kind.value = "layers"
    fused = finish(widget)["fused"]
    assert fused not in widget._ticked()
    (item,) = (item for item in widget._items() if item.text() == fused.name)
    item.setCheckState(Qt.CheckState.Checked)
    viewer.add_points(np.zeros((1, 2)))
    assert fused in widget._ticked()


def test_the_number_of_a_channel_is_no_matter_where_there_are_none(opened, stack, finish):
    viewer, open_widget = opened
    viewer.add_image(np.stack([stack, stack]), name="channels", axis_labels=tuple("czyx"))
    widget = open_widget()
    widget.judge.setValue(1)
    widget.stack.layer = viewer.add_image(stack, name="cells")
    np.testing.assert_array_equal(finish(widget)["index"].data, stack.argmax(axis=0))


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
    viewer.add_image(stack, name="cells", scale=(0.5, 0.1, 0.1), translate=(2, 0, 0))
    widget = open_widget()
    made = finish(widget)
    made["index"].data[5, 6] ^= 1
    widget.show_surface()
    surface = viewer.layers["cells surface"]
    assert surface.vertices.shape == (40 * 48, 3)
    np.testing.assert_allclose(surface.scale, (0.5, 0.1, 0.1))
    place = surface.vertices[:, 0].reshape(40, 48)
    index = stack.argmax(axis=0)
    assert place[20, 20] == pytest.approx(index[20, 20] + 0.25), "between the slices"
    assert place[5, 6] == index[5, 6] ^ 1, "painted"
    assert place[0, 0] == index[0, 0], "no height there"
    assert surface.texture.shape == (40, 48)
    assert viewer.dims.ndisplay == 3


@pytest.mark.parametrize("axes", ["czyx", "tczyx", "zcyx"])
def test_the_surface_shows_the_channel_that_was_judged(opened, stack, finish, axes):
    viewer, open_widget = opened
    channels = np.stack([stack[::-1], stack])
    data = channels.swapaxes(0, 1) if axes[0] == "z" else channels
    viewer.add_image(data[None] if axes[0] == "t" else data, name="cells", axis_labels=tuple(axes))
    widget = open_widget()
    widget.judge.setValue(1)
    made = finish(widget)
    widget.show_surface()
    low, high = made["fused"].contrast_limits
    wanted = np.clip((made["fused"].data.reshape(2, 40, 48)[1] - low) / (high - low), 0, 1)
    np.testing.assert_allclose(viewer.layers[-1].texture, wanted, atol=1e-5)


@pytest.mark.parametrize(("relief", "times"), [(20.0, 1.0), (0.2, 100.0), (4.0, 5.0), (200.0, 0.2), (0.0, 1.0)])
def test_a_relief_is_stretched_until_it_can_be_seen(relief, times):
    from napari_defocus._surface import stretch

    assert stretch(np.linspace(0, relief / 0.98, 1000), 100.0) == pytest.approx(times)


def test_two_axes_that_are_one_are_refused(opened, stack, library):
    viewer, open_widget = opened
    viewer.add_image(np.stack([stack, stack]), name="cells")
    widget = open_widget()
    widget.channel_axis.value = widget.z_axis.value
    widget.run()
    assert widget.current_run is None
    assert "channel axis" in widget.status.text()
    assert library.calls == []


@pytest.mark.parametrize(
    ("axes", "where"), [("zyx", "view"), ("czyx", "view"), ("tzcyx", "view"), ("tzcyx", "all"), ("tzyx", "all")]
)
def test_the_copied_script_gives_the_same_layers(opened, finish, tmp_path, monkeypatch, axes, where):
    sizes = {"t": 2, "c": 2, "z": 3, "y": 20, "x": 24}
    shape = [sizes[a] for a in axes]
    data = (np.random.default_rng(7).random(shape) * 4000).astype(np.uint16)
    path = tmp_path / "cells.tif"
    imwrite(path, data, photometric="minisblack")
    viewer, open_widget = opened
    (image,) = viewer.open(path)
    image.axis_labels = tuple(axes)
    image.scale = [0.5 if a == "z" else 1 for a in axes]
    widget = open_widget()
    if axes[0] == "t":
        viewer.dims.set_point(0, 1)
    widget.which.value = where
    widget.judge.setValue("c" in axes)
    made = finish(widget)
    widget.copy_script()
    monkeypatch.chdir(tmp_path)
    exec(compile(QGuiApplication.clipboard().text(), "script", "exec"), {})
    for t in range(sizes["t"]) if where == "all" else [None]:
        prefix = "" if t is None else f"{t}_"
        maps = [0] * (made["index"].data.ndim - 2)
        if t is not None:
            maps[0] = t
        for role in ("index", "height"):
            np.testing.assert_array_equal(imread(tmp_path / f"{prefix}{role}.tif"), made[role].data[tuple(maps)])
        fused = made["fused"].data if t is None else made["fused"].data[t]
        fused = fused.reshape(-1, 20, 24)
        for c in range(len(fused)):
            name = f"{prefix}fused_{c}.tif" if "c" in axes else f"{prefix}fused.tif"
            np.testing.assert_array_equal(imread(tmp_path / name), fused[c])


def test_the_copied_script_of_several_layers(opened, finish, tmp_path, monkeypatch):
    viewer, open_widget = opened
    for i, picture in enumerate((np.random.default_rng(4).random((3, 40, 48, 3)) * 255).astype(np.uint8)):
        imwrite(tmp_path / f"shot{i}.tif", picture, photometric="rgb")
        viewer.open(tmp_path / f"shot{i}.tif")
    widget = open_widget()
    widget.kind.value = "layers"
    made = finish(widget)
    widget.copy_script()
    monkeypatch.chdir(tmp_path)
    exec(compile(QGuiApplication.clipboard().text(), "script", "exec"), {})
    for role in ("fused", "index", "height"):
        np.testing.assert_array_equal(imread(tmp_path / f"{role}.tif"), made[role].data)
