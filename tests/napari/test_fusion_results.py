"""What the fusion widget leaves behind: scripts, surfaces, presets, saved results."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtGui import QGuiApplication
from small_stacks import focal_stack, moved_stack
from tifffile import imread, imwrite

import defocus_backend as db

ZYX = ("z", "y", "x")


@pytest.mark.parametrize(("axes", "where"), [("zcyx", "view"), ("tzcyx", "all"), ("tzyx", "all")])
def test_the_copied_script_gives_the_same_layers(opened, finish, settled, tmp_path, monkeypatch, axes, where):
    stacks = [focal_stack(seed=n) for n in range(4)]
    data = np.array(stacks).reshape(2, 2, 3, 40, 44)
    data = {"zcyx": data[0].swapaxes(0, 1), "tzcyx": data.swapaxes(1, 2), "tzyx": data[:, 0]}[axes]
    path = tmp_path / "cells.tif"
    imwrite(path, np.ascontiguousarray(data), photometric="minisblack")
    viewer, open_widget = opened
    (image,) = viewer.open(path)
    image.axis_labels = tuple(axes)
    image.scale = [0.5 if a == "z" else 1 for a in axes]
    widget = open_widget()
    widget.box.which.value = where
    widget.box.judge.setValue("c" in axes)
    made = finish(widget)
    labels = made["index"]
    place = (*widget.repainter.stack.map_at((1,) if where == "all" else ()), 12, slice(4, 9))
    labels.data[place] = 2
    widget.repainter.touch()
    settled(widget)
    widget.copy_script()
    monkeypatch.chdir(tmp_path)
    exec(compile(QGuiApplication.clipboard().text(), "script", "exec"), {})
    for file, role in {"fused": "fused", "index": "index", "height": "height"}.items():
        shown = made[role].data
        np.testing.assert_array_equal(imread(tmp_path / f"{file}.tif").reshape(shown.shape), shown, err_msg=role)


@pytest.mark.parametrize("channels", [False, True])
def test_aligned_it_says_what_was_found_and_the_script_does_the_same(
    opened, finish, settled, tmp_path, monkeypatch, channels
):
    data = np.stack([moved_stack(), moved_stack() // 2], 1) if channels else moved_stack()
    path = tmp_path / "cells.tif"
    imwrite(path, data, photometric="minisblack")
    viewer, open_widget = opened
    (image,) = viewer.open(path)
    image.axis_labels = tuple("zcyx") if channels else ZYX
    widget = open_widget()
    if not channels:
        finish(widget)
        assert "Not aligned, although" in widget.notice.text()
    widget.align.mode.value = "auto" if channels else "translation"
    made = finish(widget)
    assert "Aligned" in widget.notice.text()
    assert "cropped from 160 x 180" in widget.notice.text()
    window = widget.repainter.stack.aligned[0].window
    np.testing.assert_allclose(made["fused"].translate[-2:], [w.start for w in window])
    labels = made["index"]
    labels.visible = True
    labels.data[20:26, 20:30] = 2
    widget.repainter.touch()
    settled(widget)
    widget.copy_script()
    monkeypatch.chdir(tmp_path)
    exec(compile(QGuiApplication.clipboard().text(), "script", "exec"), {})
    for number, shown in enumerate(np.moveaxis(made["fused"].data, -3, 0) if channels else [made["fused"].data]):
        file = tmp_path / (f"fused_{number}.tif" if channels else "fused.tif")
        np.testing.assert_array_equal(imread(file), shown.squeeze())
    np.testing.assert_array_equal(imread(tmp_path / "index.tif"), labels.data.squeeze())


def test_the_copied_script_of_several_colour_layers(opened, finish, tmp_path, monkeypatch):
    viewer, open_widget = opened
    for i, picture in enumerate(focal_stack() // 20):
        imwrite(tmp_path / f"shot{i}.tif", np.stack([picture] * 3, -1).astype(np.uint8), photometric="rgb")
        viewer.open(tmp_path / f"shot{i}.tif")
    widget = open_widget()
    widget.box.kind.value = "layers"
    made = finish(widget)
    assert made["fused"].rgb
    widget.copy_script()
    monkeypatch.chdir(tmp_path)
    exec(compile(QGuiApplication.clipboard().text(), "script", "exec"), {})
    for role in ("fused", "index", "height"):
        np.testing.assert_array_equal(imread(tmp_path / f"{role}.tif"), made[role].data)


def test_a_lazy_stack_with_a_part_of_its_slices_in_view(opened, finish):
    viewer, open_widget = opened
    data = focal_stack(5)
    image = viewer.add_image(da.from_array(data, chunks=(1, -1, -1)), name="cells", axis_labels=ZYX, scale=(1, 2, 2))
    image.corner_pixels = np.array([[0, 4, 6], [0, 35, 39]])
    widget = open_widget()
    widget.box.slices.setText("1-4")
    widget.box.reversed.setChecked(True)
    widget.box.visible_part.setChecked(True)
    made = finish(widget)
    wanted = db.fuse(data[4:0:-1, 4:36, 6:40], z=[4, 3, 2, 1])
    np.testing.assert_array_equal(made["fused"].data, wanted.image)
    np.testing.assert_array_equal(made["index"].data, 4 - wanted.index)
    np.testing.assert_allclose(made["fused"].translate, (8, 12))


@pytest.mark.parametrize("axes", ["zyx", "tczyx"])
def test_the_surface_alone_and_back(opened, stack, finish, axes):
    viewer, open_widget = opened
    data = stack if axes == "zyx" else np.stack([stack[::-1], stack])[None]
    viewer.add_image(data, name="cells", axis_labels=tuple(axes))
    widget = open_widget()
    widget.box.judge.setValue(axes != "zyx")
    made = finish(widget)
    where = widget.repainter.stack.map_at(())
    made["index"].data[where][5, 6] = 2 - made["index"].data[where][5, 6]
    seen, scales = {x.name: x.visible for x in viewer.layers}, {x.name: tuple(x.scale) for x in viewer.layers}
    steps = viewer.dims.range
    widget.relief.show_surface()
    (surface,) = (x for x in viewer.layers if x.visible)
    assert "surface" in surface.name
    assert viewer.dims.ndisplay == 3
    place = surface.vertices[:, 0].reshape(40, 44)
    assert place[5, 6] == made["index"].data[where][5, 6], "painted"
    height = db.fuse(stack, z=[0, 1, 2]).height
    known = np.isfinite(height)
    known[5, 6] = False
    np.testing.assert_allclose(place[known], height[known], atol=1e-4)
    assert surface.texture.shape == (40, 44)
    assert {x.name: tuple(x.scale) for x in viewer.layers if x is not surface} == scales
    widget.relief.show_flat()
    assert viewer.dims.ndisplay == 2
    assert {x.name: x.visible for x in viewer.layers} == seen
    assert viewer.dims.range == steps


@pytest.mark.parametrize(("relief", "times"), [(20.0, 1.0), (0.2, 100.0), (4.0, 5.0), (200.0, 0.2), (0.0, 1.0)])
def test_a_relief_is_stretched_until_it_can_be_seen(relief, times):
    from napari_defocus._surface import stretch

    assert stretch(np.linspace(0, relief / 0.98, 1000), 100.0) == pytest.approx(times)


def test_settings_outlast_the_widget_and_presets_serve_the_command_line(opened, stack, tmp_path):
    from click.testing import CliRunner

    from defocus_backend.cli.app import main

    viewer, open_widget = opened
    viewer.add_image(stack, name="cells", axis_labels=ZYX)
    widget = open_widget()
    widget.params["blend"].value = "decision"
    widget.details["radius"].value = 5
    widget.align.mode.value = "auto"
    widget.align.form["match_exposure"].value = False
    widget.settings.refinement["refine_iterations"].value = 3
    widget.closed()
    again = open_widget()
    assert again.memory.values() == widget.memory.values()
    again.tools.save_preset(tmp_path / "mine.toml")
    again.reset()
    assert again.params["blend"].value != "decision"
    again.tools.open_preset(tmp_path / "mine.toml")
    assert again.params["blend"].value == "decision"
    assert again.settings.refinement["refine_iterations"].value == 3
    for n, picture in enumerate(stack):
        imwrite(tmp_path / f"s{n}.tif", picture)
    order = [
        "batch",
        str(tmp_path),
        "--out",
        str(tmp_path / "out"),
        "--config",
        str(tmp_path / "mine.toml"),
        "--dry-run",
    ]
    done = CliRunner().invoke(main, order)
    assert done.exit_code == 0, done.output


def test_saved_and_opened_again_painting_goes_on(opened, stack, finish, settled, tmp_path, show_widget):
    from napari_defocus._widgets.fusion import FusionWidget

    viewer, open_widget = opened
    path = tmp_path / "cells.tif"
    imwrite(path, stack, photometric="minisblack")
    (image,) = viewer.open(path)
    image.axis_labels, image.scale, image.units = ZYX, (0.5, 0.1, 0.1), ("um",) * 3
    widget = open_widget()
    made = finish(widget)
    made["index"].visible = True
    made["index"].paint((20, 8), 2)
    settled(widget)
    corrected, automatic = made["fused"].data.copy(), widget.repainter.original.copy()
    widget.tools.save_to(tmp_path / "mine")
    assert "saved" in widget.status.text()

    later = ViewerModel()
    (image,) = later.open(path)
    image.axis_labels, image.scale, image.units = ZYX, (0.5, 0.1, 0.1), ("um",) * 3
    later.open(tmp_path / "mine.defocus", plugin="napari-defocus")
    fused = later.layers["cells fused"]
    np.testing.assert_array_equal(fused.data, corrected)
    np.testing.assert_allclose(fused.scale, (0.1, 0.1))
    assert [str(u) for u in fused.units] == ["micrometer"] * 2
    again = show_widget(FusionWidget(later))
    assert "Continued" in again.status.text()
    assert again.box.stack.layer is image
    again.retouch.automatic()
    settled(again)
    np.testing.assert_array_equal(fused.data, automatic)
    again.relief.export(tmp_path / "height.ply")
    assert (tmp_path / "height.ply").stat().st_size > 1000
    again.closed()
    third = show_widget(FusionWidget(later))
    assert third.repainter is not None, "from the layers alone, after the dock was closed"
