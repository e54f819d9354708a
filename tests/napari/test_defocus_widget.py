"""The defocus widget on a real viewer, with the library replaced by one that answers at once."""

from __future__ import annotations

import time

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils import progress
from qtpy.compat import isalive
from qtpy.QtGui import QGuiApplication
from skimage.io import imread, imsave

from defocus_backend.methods import MAP_METHODS, NETWORK_METHODS
from defocus_backend.params import MapParams
from napari_defocus._layers import KEY, LayerSource
from napari_defocus._widgets._objects import save


@pytest.fixture
def opened(library, show_widget, readers):  # noqa: ARG001
    """A viewer without a window, and a function that opens the widget beside it."""
    from napari_defocus._widgets.defocus import DefocusWidget

    viewer = ViewerModel()

    def open_widget():
        return show_widget(DefocusWidget(viewer))

    return viewer, open_widget


def test_says_that_there_is_no_image(opened):
    _, open_widget = opened
    widget = open_widget()
    assert "no image" in widget.status.text()
    assert not widget.run_button.isEnabled()


def test_map_lies_where_the_image_lies(opened, gray, library, finish):
    viewer, open_widget = opened
    image = viewer.add_image(
        gray, name="cells", scale=(0.5, 0.25), translate=(3, 4), units=("um", "um"), axis_labels=("y", "x"), rotate=10
    )
    widget = open_widget()
    made = finish(widget)
    layer = made["sigma"]
    assert layer.name == "cells defocus map [px]"
    np.testing.assert_array_equal(layer.data, library.defocus_map(gray).sigma)
    np.testing.assert_allclose(layer.scale, image.scale)
    np.testing.assert_allclose(layer.translate, image.translate)
    np.testing.assert_allclose(layer.rotate, image.rotate)
    assert layer.units == image.units
    assert layer.axis_labels == ("y", "x")
    assert tuple(layer.contrast_limits) == (0, 19)
    assert layer.metadata[KEY]["operation"] == "defocus_map"
    assert layer.metadata[KEY]["arguments"]["step"] == 8
    assert layer.metadata[KEY]["versions"]["torch"]


def test_second_run_updates_and_keeps_the_display(opened, gray, finish):
    viewer, open_widget = opened
    image = viewer.add_image(gray, name="cells")
    widget = open_widget()
    layer = finish(widget)["sigma"]
    layer.colormap = "magma"
    layer.name = "mine"
    image.name = "renamed"
    image.data = 255 - gray
    again = finish(widget)["sigma"]
    assert again is layer or again == layer
    assert layer.colormap.name == "magma"
    assert layer.name == "mine"
    assert [x.name for x in viewer.layers] == ["renamed", "mine"]
    widget.new_layers.setChecked(True)
    finish(widget)
    assert len(viewer.layers) == 3


def test_cancel_leaves_nothing(opened, gray, library, qtbot):
    viewer, open_widget = opened
    viewer.add_image(gray)
    widget = open_widget()
    library.units, library.pause = 100, 0.05
    widget.run()
    assert widget.cancel_button.isEnabled()
    assert not widget.run_button.isEnabled()
    qtbot.waitUntil(lambda: "tiles" in widget.status.text(), timeout=30_000)
    start = time.monotonic()
    widget.cancel()
    qtbot.waitUntil(lambda: widget.current_run is None, timeout=1000)
    assert time.monotonic() - start < 1
    assert len(viewer.layers) == 1
    assert "cancelled" in widget.status.text()
    assert not list(progress._all_instances)


def test_an_error_is_told_with_advice(opened, gray, library, qtbot, monkeypatch):
    told = []
    monkeypatch.setattr("napari_defocus._widgets._base.tell", lambda error, _: told.append(error))
    viewer, open_widget = opened
    viewer.add_image(gray)
    widget = open_widget()
    library.error = RuntimeError("torch says no")
    widget.run()
    qtbot.waitUntil(lambda: widget.current_run is None, timeout=30_000)
    assert "torch says no" in str(told[0])
    assert "Try another device" in widget.status.text()
    viewer.add_points([[1, 1]])
    assert "Try another device" in widget.status.text(), "the reason stays readable"
    assert len(viewer.layers) == 2
    assert widget.run_button.isEnabled()


def test_deleted_input(opened, gray, library, qtbot):
    viewer, open_widget = opened
    image = viewer.add_image(gray, name="cells")
    widget = open_widget()
    library.pause = 0.05
    widget.run()
    viewer.layers.remove(image)
    qtbot.waitUntil(lambda: widget.current_run is None, timeout=30_000)
    assert [layer.name for layer in viewer.layers] == ["cells defocus map [px]"]
    assert "no image" in widget.status.text()
    assert not widget.run_button.isEnabled()


def test_colour_multiscale_and_lazy_inputs(opened, gray, library, finish):
    viewer, open_widget = opened
    widget = open_widget()
    colour = np.stack([gray, gray, 255 - gray], axis=-1)
    inputs = {
        "colour": viewer.add_image(colour, rgb=True, name="colour"),
        "multiscale": viewer.add_image([gray, gray[::2, ::2]], multiscale=True, name="multiscale"),
        "lazy": viewer.add_image(da.from_array(gray), name="lazy"),
    }
    for layer in inputs.values():
        widget.image.layer = layer
        made = finish(widget)["sigma"]
        axis = -1 if layer.rgb else None
        wanted = library.defocus_map(colour if layer.rgb else gray, channel_axis=axis).sigma
        np.testing.assert_array_equal(made.data, wanted)


def test_the_slice_in_view_or_all(opened, library, finish):
    viewer, open_widget = opened
    data = (np.random.default_rng(1).random((2, 3, 20, 24)) * 255).astype(np.uint8)
    viewer.add_image(data, name="cells", scale=(5, 4, 0.5, 0.5))
    widget = open_widget()
    viewer.dims.set_point(0, 5)
    viewer.dims.set_point(1, 8)
    made = finish(widget)["sigma"]
    np.testing.assert_array_equal(made.data, library.defocus_map(data[1, 2]).sigma)
    widget.which.value = "all"
    made = finish(widget)["sigma"]
    assert made.data.shape == data.shape
    np.testing.assert_array_equal(made.data[0, 1], library.defocus_map(data[0, 1]).sigma)
    np.testing.assert_allclose(made.scale, (5, 4, 0.5, 0.5))
    assert len(viewer.layers) == 2


def test_further_layers_overlay_and_readout(opened, gray, finish, qtbot):
    viewer, open_widget = opened
    viewer.add_image(gray, name="cells")
    widget = open_widget()
    for box in widget.outputs.values():
        box.setChecked(True)
    made = finish(widget)
    assert set(made) == {"sigma", "raw", "guide", "confidence", "deviation"}
    assert widget.plot.counts.sum() == gray.size
    widget.overlay.setChecked(True)
    widget.sharp_below.setValue(4)
    qtbot.waitUntil(lambda: not widget._marks.busy, timeout=30_000)
    overlay = viewer.layers["cells in focus"]
    np.testing.assert_array_equal(overlay.data, made["sigma"].data < 4)
    assert not made["sigma"].visible, "the marks lie on the picture"
    widget.overlay.setChecked(False)
    assert overlay not in viewer.layers
    assert made["sigma"].visible
    viewer.cursor.position = (3, 50)
    assert f"{made['sigma'].data[3, 50]:.2f} px" in widget.readout.text()


def test_a_method_without_a_unit_makes_a_map_that_is_not_taken_for_pixels(opened, gray, show_widget, finish):
    from napari_defocus._widgets.sharpen import SharpenWidget

    viewer, open_widget = opened
    viewer.add_image(gray, name="cells")
    widget = open_widget()
    method = widget.settings.main["map_method"]
    assert set(method.choices) == {*NETWORK_METHODS, *MAP_METHODS}
    method.value = "entropy"
    assert method.native.currentText() == "entropy (relative)"
    assert "larger is more blurred" in method.native.itemData(method.native.currentIndex(), 3)
    assert not widget.settings.weights.isEnabled()
    assert widget.settings.arguments(LayerSource.of(viewer.layers["cells"]))["weights"] is None
    made = finish(widget)
    (layer,) = made.values()
    assert layer.name == "cells entropy [relative]"
    assert widget.map_layer is layer
    assert not widget.overlay.isEnabled()
    assert widget.plot.unit == "relative"
    viewer.cursor.position = (3, 50)
    assert "relative blur" in widget.readout.text()
    sharpen = show_widget(SharpenWidget(viewer))
    sharpen.live.setChecked(False)
    sharpen.image.layer = viewer.layers["cells"]
    assert sharpen.map.layer is None
    method.value = "pixelnet"
    made = finish(widget)
    assert widget.map_layer is made["sigma"]
    assert widget.overlay.isEnabled()
    assert len(viewer.layers) == 3
    method.value = "deviation"
    assert finish(widget)["relative deviation"].name == "cells deviation [relative]"


def test_table_of_objects(opened, gray, finish, qtbot, tmp_path):
    viewer, open_widget = opened
    viewer.add_image(gray, name="cells")
    objects = np.zeros(gray.shape, int)
    objects[5:10, 5:10], objects[20:30, 30:40] = 3, 7
    labels = viewer.add_labels(objects, name="objects")
    widget = open_widget()
    sigma = finish(widget)["sigma"].data
    widget.measure()
    qtbot.waitUntil(lambda: bool(widget.objects.rows), timeout=30_000)
    assert [row[:2] for row in widget.objects.rows] == [(3, 25), (7, 100)]
    assert widget.objects.rows[1][2] == pytest.approx(sigma[objects == 7].mean())
    assert labels.features["mean sigma [px]"][7] == pytest.approx(sigma[objects == 7].mean())
    widget.objects.table.setCurrentCell(1, 0)
    assert labels.selected_label == 7, "a click shows the object"
    path = tmp_path / "table.csv"
    save(widget.objects.rows, path)
    assert path.read_text().splitlines()[0].startswith("label,area [px],mean sigma [px]")
    assert len(path.read_text().splitlines()) == 3


def test_reset(opened, gray):
    viewer, open_widget = opened
    viewer.add_image(gray)
    widget = open_widget()
    before = widget.settings.main.values() | widget.settings.refinement.values()
    widget.settings.main["step"].value = 32
    widget.settings.refinement["refine_radius"].value = 3
    widget.settings.refinement["refine_edge_tolerance"].value = 0.5
    widget.sharp_below.setValue(9)
    widget.reset()
    assert widget.settings.main.values() | widget.settings.refinement.values() == before
    assert before == {k: v["default"] for k, v in MapParams.describe().items() if k not in ("weights", "tile")}
    assert widget.sharp_below.value() == pytest.approx(1.5)


def test_the_copied_script_makes_the_same_map(opened, gray, library, finish, tmp_path, monkeypatch):
    viewer, open_widget = opened
    path = tmp_path / "cells.tif"
    imsave(path, gray, check_contrast=False)
    (image,) = viewer.open(path)
    widget = open_widget()
    widget.settings.main["step"].value = 16
    made = finish(widget)["sigma"]
    asked = library.calls[-1]
    widget.copy_script()
    text = QGuiApplication.clipboard().text()
    monkeypatch.chdir(tmp_path)
    exec(compile(text, "script", "exec"), {})
    assert library.calls[-1] == asked
    np.testing.assert_array_equal(imread(tmp_path / "sigma.tif"), made.data)
    assert image.source.path in text


@pytest.mark.parametrize("limits", [False, True])
def test_the_copied_script_of_all_slices_has_their_value_range(opened, library, finish, tmp_path, monkeypatch, limits):
    viewer, open_widget = opened
    noise = np.random.default_rng(1).random((2, 20, 24))
    imsave(tmp_path / "cells.tif", (noise * [[[500]], [[9000]]]).astype(np.uint16), check_contrast=False)
    (image,) = viewer.open(tmp_path / "cells.tif")
    image.contrast_limits = (10, 5000)
    widget = open_widget()
    widget.which.value = "all"
    widget.settings.range.value = "limits" if limits else "auto"
    made = finish(widget)["sigma"]
    asked = library.calls[-2:]
    low, high = asked[0][1]["value_range"]
    assert (low, high) == (10, 5000) if limits else low < 5 and high > 8000
    widget.copy_script()
    monkeypatch.chdir(tmp_path)
    exec(compile(QGuiApplication.clipboard().text(), "script", "exec"), {})
    assert library.calls[-2:] == asked
    np.testing.assert_array_equal(imread(tmp_path / "sigma.tif"), made.data)


def test_on_a_real_viewer_from_opening_to_closing_during_a_run(make_napari_viewer, gray, library, finish, qtbot):
    viewer = make_napari_viewer()
    viewer.add_image(gray, name="cells")
    _, widget = viewer.window.add_plugin_dock_widget("napari-defocus", "Defocus map")
    finish(widget)
    made = viewer.layers["cells defocus map [px]"]
    assert made.colorbar.visible
    assert made.name_overlay.visible, "the name, which ends with the unit, stands beside the bar"
    assert made.name_overlay.position == made.colorbar.position
    library.units, library.pause = 200, 0.02
    widget.run()
    qtbot.wait(100)
    viewer.window.remove_dock_widget(widget)
    qtbot.wait(200)
    assert not isalive(widget), "napari leaves what was docked to Python's garbage collector, in whichever thread"
    assert len(viewer.layers) == 2
    viewer.add_image(gray)
