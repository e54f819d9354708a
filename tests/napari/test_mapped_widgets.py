"""Sharpening and shallow depth of field: the real library on a small image, with a map that is given."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.events import Event
from qtpy.QtGui import QGuiApplication
from skimage.io import imread, imsave

import defocus_backend as db
from napari_defocus._layers import KEY
from napari_defocus._widgets.shallow import ShallowWidget, _clicker
from napari_defocus._widgets.sharpen import SharpenWidget


@pytest.fixture
def sigma(gray):
    return np.broadcast_to(np.linspace(0, 12, gray.shape[1], dtype=np.float32), gray.shape).copy()


@pytest.fixture
def viewer(gray, sigma):
    made = ViewerModel()
    image = made.add_image(gray, name="cells", scale=(0.5, 0.5))
    about = {KEY: {"role": "sigma", "source_id": str(image.unique_id)}}
    made.add_image(sigma, name="cells defocus map [px]", scale=(0.5, 0.5), metadata=about)
    return made


@pytest.fixture
def sharpen(viewer, show_widget):
    return show_widget(SharpenWidget(viewer))


@pytest.fixture
def shallow(viewer, show_widget):
    return show_widget(ShallowWidget(viewer))


def settle(widget, qtbot):
    previews = [p for name in ("_drawing", "_preview", "_weighing") if (p := getattr(widget, name, None))]
    qtbot.waitUntil(lambda: not any(p.busy for p in previews), timeout=60_000)


def test_run_gives_what_the_library_gives(sharpen, gray, sigma, finish):
    made = finish(sharpen)
    wanted = db.sharpen(gray, sigma, device="auto")
    np.testing.assert_array_equal(made["sharpened"].data, wanted.image)
    np.testing.assert_array_equal(made["gain map"].data, wanted.gain)
    np.testing.assert_allclose(made["sharpened"].scale, (0.5, 0.5))
    assert made["sharpened"].name == "cells sharpened"
    assert tuple(made["gain map"].contrast_limits) == (0, 2)


def test_preview_and_curve_follow_the_controls(sharpen, viewer, gray, sigma, qtbot):
    assert sharpen.plot.counts.sum() == sigma.size
    sharpen.params["max_gain"].value = 4.0
    sharpen.advanced["fall_at"].value = 9.5
    settle(sharpen, qtbot)
    wanted = db.sharpen(gray, sigma, max_gain=4.0, fall_at=9.5)
    np.testing.assert_array_equal(viewer.layers["cells sharpened"].data, wanted.image)
    at, values, top = sharpen.plot.curve
    assert top == 4
    np.testing.assert_allclose(values, db.gain_map(at[None], max_gain=4.0, fall_at=9.5)[0])
    layers = len(viewer.layers)
    sharpen.params["max_gain"].value = 1.0
    settle(sharpen, qtbot)
    assert len(viewer.layers) == layers


def test_no_preview_unless_wanted(sharpen, viewer, qtbot):
    sharpen.live.setChecked(False)
    sharpen.params["max_gain"].value = 4.0
    settle(sharpen, qtbot)
    assert len(viewer.layers) == 2
    assert sharpen.plot.curve is not None


def test_without_a_map_it_offers_to_make_one(gray, show_widget, library, finish, qtbot):
    viewer = ViewerModel()
    viewer.add_image(gray, name="cells")
    widget = show_widget(SharpenWidget(viewer))
    assert "Compute the map" in widget.status.text()
    assert not widget.run_button.isEnabled()
    assert widget.compute_button.isEnabled()
    finish(widget, widget.compute_map)
    settle(widget, qtbot)
    assert widget.map.layer.name == "cells defocus map [px]"
    assert widget.run_button.isEnabled()
    assert "cells sharpened" in viewer.layers
    assert len([c for c in library.calls if c[0] == "defocus_map"]) == 1


def test_all_slices_with_one_map_each(gray, sigma, show_widget, finish, qtbot):
    viewer = ViewerModel()
    stack = np.stack([gray, 255 - gray])
    viewer.add_image(stack, name="cells", scale=(3, 1, 1))
    viewer.add_image(np.stack([sigma, sigma + 2]), name="map", scale=(3, 1, 1))
    widget = show_widget(SharpenWidget(viewer))
    widget.image.layer = viewer.layers["cells"]
    widget.foreign.setChecked(True)
    widget.map.layer = viewer.layers["map"]
    widget.which.value = "all"
    made = finish(widget)
    for i in range(2):
        wanted = db.sharpen(stack[i], sigma + 2 * i)
        np.testing.assert_array_equal(made["sharpened"].data[i], wanted.image)
    viewer.dims.set_point(0, 3)
    settle(widget, qtbot)
    np.testing.assert_array_equal(viewer.layers["cells sharpened preview"].data, db.sharpen(stack[1], sigma + 2).image)


def test_a_map_of_one_slice_serves_no_other(gray, library, show_widget, finish, qtbot):
    viewer = ViewerModel()
    stack = np.stack([gray, 255 - gray, gray // 2])
    viewer.add_image(stack, name="cells")
    widget = show_widget(SharpenWidget(viewer))
    viewer.dims.set_point(0, 1)
    finish(widget, widget.compute_map)
    settle(widget, qtbot)
    preview = viewer.layers["cells sharpened preview"]
    assert widget.run_button.isEnabled()

    shown = preview.data.copy()
    widget.params["max_gain"].value = 4.0
    viewer.dims.set_point(0, 2)
    settle(widget, qtbot)
    assert "another slice" in widget.status.text()
    assert not widget.run_button.isEnabled()
    assert not preview.visible
    np.testing.assert_array_equal(preview.data, shown, err_msg="what waited was dropped")
    assert not widget.plot.counts.any()

    viewer.dims.set_point(0, 1)
    settle(widget, qtbot)
    assert widget.run_button.isEnabled()
    assert widget.status.text() == ""
    assert preview.visible
    wanted = db.sharpen(stack[1], library.defocus_map(stack[1]).sigma, max_gain=4.0)
    np.testing.assert_array_equal(preview.data, wanted.image)

    widget.which.value = "all"
    assert "another slice" in widget.status.text()
    assert not widget.run_button.isEnabled()
    assert preview.visible, "of the slice in view it still is"
    finish(widget, widget.compute_map)
    settle(widget, qtbot)
    for place in range(3):
        viewer.dims.set_point(0, place)
        assert widget.run_button.isEnabled()
    settle(widget, qtbot)


def test_a_map_of_somebody_else_is_taken_on_purpose_alone(gray, sigma, show_widget):
    viewer = ViewerModel()
    viewer.add_image(np.stack([gray, gray]), name="cells")
    viewer.add_image(sigma, name="map")
    widget = show_widget(SharpenWidget(viewer))
    widget.image.layer = viewer.layers["cells"]
    assert not widget.run_button.isEnabled()
    assert "no defocus map" in widget.status.text()
    widget.foreign.setChecked(True)
    widget.map.layer = viewer.layers["map"]
    assert "taken as sigma in pixels" in widget.map_note.text()
    widget.which.value = "all"
    assert widget.run_button.isEnabled()
    widget.foreign.setChecked(False)
    assert not widget.run_button.isEnabled()
    assert not widget.map_note.text()


def test_a_click_takes_no_focus_from_the_map_of_another_slice(gray, sigma, show_widget):
    viewer = ViewerModel()
    image = viewer.add_image(np.stack([gray, gray]), name="cells")
    about = {"role": "sigma", "source_id": str(image.unique_id), "arguments": {"image": [1]}}
    viewer.add_image(sigma, name="map", metadata={KEY: about})
    widget = show_widget(ShallowWidget(viewer))
    viewer.dims.set_point(0, 0)
    widget.focus_at((0.0, 10.0, 40.0))
    assert "no defocus map" in widget.status.text()
    assert "what is sharpest" in widget.focus_label.text()


def test_all_slices_share_one_value_range(gray, library, show_widget, finish, monkeypatch):
    viewer = ViewerModel()
    stack = np.stack([gray * np.uint16(20), gray * np.uint16(200) + np.uint16(9)])
    viewer.add_image(stack, name="cells")
    widget = show_widget(SharpenWidget(viewer))
    widget.live.setChecked(False)
    widget.which.value = "all"
    ranges, sharpen = [], db.sharpen

    def spy(*args, **options):
        ranges.append(options["value_range"])
        return sharpen(*args, **options)

    monkeypatch.setattr(db, "sharpen", spy)
    finish(widget, widget.compute_map)
    finish(widget)
    ranges += [options["value_range"] for name, options in library.calls if name == "defocus_map"]
    lows, highs = np.percentile(stack, (0.1, 99.9), axis=(1, 2))
    assert len(ranges) == 4
    np.testing.assert_allclose(ranges, [(lows.min(), highs.max())] * 4, rtol=1e-3)


def test_shallow_follows_its_range_and_the_click(shallow, viewer, gray, sigma, qtbot):
    shallow.params["radius"].value = 4
    shallow.range.setValue((0.5, 6.0))
    settle(shallow, qtbot)
    options = {"sharp_below": 0.5, "blur_above": 6.0, "radius": 4}
    wanted = db.shallow_depth_of_field(gray, sigma, **options)
    np.testing.assert_array_equal(viewer.layers["cells shallow"].data, wanted.image)
    np.testing.assert_array_equal(viewer.layers["cells sharp weight"].data, wanted.weights)

    shallow.focus_button.setChecked(True)
    (callback,) = viewer.mouse_drag_callbacks[-1:]
    press = Event("mouse_press", position=(5.0, 20.0))
    drag = callback(viewer, press)
    next(drag)
    press._type = "mouse_release"
    with pytest.raises(StopIteration):
        next(drag)
    focus = float(sigma[10, 40])
    assert f"{focus:.2f} px" in shallow.focus_label.text()
    settle(shallow, qtbot)
    wanted = db.shallow_depth_of_field(gray, sigma, focus=round(focus, 3), **options)
    np.testing.assert_array_equal(viewer.layers["cells shallow"].data, wanted.image)

    shallow.hide()
    assert callback not in viewer.mouse_drag_callbacks
    shallow.reset()
    assert shallow.ends == {"sharp_below": 1.0, "blur_above": 7.0}
    assert "what is sharpest" in shallow.focus_label.text()
    settle(shallow, qtbot)


def test_a_drag_is_no_click_and_a_click_outside_says_so(shallow):
    import weakref

    drag = _clicker(weakref.ref(shallow))(None, event := Event("mouse_press", position=(5.0, 20.0)))
    next(drag)
    event._type = "mouse_move"
    with pytest.raises(StopIteration):
        next(drag)
    assert "what is sharpest" in shallow.focus_label.text()
    shallow.focus_at((500.0, 500.0))
    assert "no defocus map" in shallow.status.text()


def test_settings_that_contradict_each_other_are_told_without_a_pop_up(shallow, qtbot, viewer):
    settle(shallow, qtbot)
    before = viewer.layers["cells shallow"].data
    shallow.range.setValue((5.0, 5.0))
    settle(shallow, qtbot)
    assert "“sharp below” is 5" in shallow.status.text()
    assert "“blurred above”" in shallow.status.text(), "in the words of the controls"
    assert viewer.layers["cells shallow"].data is before


@pytest.mark.usefixtures("readers")
@pytest.mark.parametrize(
    ("kind", "where"), [("sharpen", "view"), ("shallow", "view"), ("sharpen", "all"), ("shallow", "all")]
)
def test_the_copied_script_gives_the_same_image(gray, sigma, show_widget, finish, tmp_path, monkeypatch, kind, where):
    stack = where == "all"
    slices = np.stack([gray * np.uint16(20), gray * np.uint16(200)])
    imsave(tmp_path / "cells.tif", slices if stack else gray, check_contrast=False)
    imsave(tmp_path / "map.tif", np.stack([sigma, sigma + 2]) if stack else sigma, check_contrast=False)
    viewer = ViewerModel()
    viewer.open(tmp_path / "cells.tif")
    viewer.open(tmp_path / "map.tif")
    widget = show_widget(SharpenWidget(viewer) if kind == "sharpen" else ShallowWidget(viewer))
    widget.image.layer = viewer.layers["cells"]
    widget.foreign.setChecked(True)
    widget.map.layer = viewer.layers["map"]
    widget.which.value = where
    widget.live.setChecked(False)
    if kind == "sharpen":
        widget.params["max_gain"].value = 3.5
    else:
        widget.params["radius"].value = 5
        widget.range.setValue((0.5, 4.0))
        widget.focus_at((20, 30))
    made = finish(widget)
    widget.copy_script()
    monkeypatch.chdir(tmp_path)
    exec(compile(QGuiApplication.clipboard().text(), "script", "exec"), {})
    names = {"sharpen": ("sharpened", "gain map"), "shallow": ("shallow", "sharp weight")}[kind]
    for name in names:
        np.testing.assert_array_equal(imread(tmp_path / f"{name.replace(' ', '_')}.tif"), made[name].data)


def test_a_preview_starts_anew_when_the_image_changes(sharpen, viewer, gray, sigma, qtbot):
    sharpen.params["max_gain"].value = 4.0
    settle(sharpen, qtbot)
    ready = sharpen._ready[1]
    sharpen.params["max_gain"].value = 3.0
    settle(sharpen, qtbot)
    assert sharpen._ready[1] is ready
    viewer.layers["cells"].data[:10] = 7
    viewer.layers["cells"].refresh()
    sharpen.params["max_gain"].value = 5.0
    settle(sharpen, qtbot)
    changed = gray.copy()
    changed[:10] = 7
    wanted = db.sharpen(changed, sigma, max_gain=5.0)
    np.testing.assert_array_equal(viewer.layers["cells sharpened"].data, wanted.image)


def test_an_estimate_goes_before_the_exact_image(shallow, viewer, gray, sigma, qtbot):
    shown = []
    shallow.params["radius"].value = 4
    settle(shallow, qtbot)
    shallow._preview.ready.connect(lambda found: shown.append(found["image"]))
    shallow.range.setValue((0.5, 5.0))
    settle(shallow, qtbot)
    wanted = db.shallow_depth_of_field(gray, sigma, sharp_below=0.5, blur_above=5.0, radius=4)
    assert len(shown) == 2
    np.testing.assert_array_equal(shown[1], wanted.image)
    np.testing.assert_array_equal(viewer.layers["cells shallow"].data, wanted.image)


@pytest.mark.usefixtures("readers")
def test_a_map_and_what_is_made_of_it_are_one_script(gray, show_widget, finish, tmp_path, monkeypatch, qtbot):
    imsave(tmp_path / "cells.tif", gray, check_contrast=False)
    viewer = ViewerModel()
    (image,) = viewer.open(tmp_path / "cells.tif")
    widget = show_widget(SharpenWidget(viewer))
    widget.image.layer = image
    finish(widget, widget.compute_map)
    settle(widget, qtbot)
    assert "cells sharpened" in viewer.layers, "a preview comes as soon as there is a map"
    made = finish(widget)
    script = widget.recipe().script()
    assert script.count("imread(") == 1
    assert "db.defocus_map(" in script
    monkeypatch.chdir(tmp_path)
    exec(compile(script, "script", "exec"), {})
    np.testing.assert_array_equal(imread(tmp_path / "sharpened.tif"), made["sharpened"].data)
    widget.map.layer.data = widget.map.layer.data + 1
    assert "db.defocus_map(" not in widget.recipe().script(), "a map that was changed is read, not made"


def test_settings_that_changed_after_a_run_are_told(sharpen, finish):
    sharpen.live.setChecked(False)
    finish(sharpen)
    assert not sharpen.notice.text()
    sharpen.params["max_gain"].value = 5.0
    assert "settings have changed" in sharpen.notice.text()


def test_the_handles_are_the_ends_of_the_curve(sharpen):
    from defocus_backend.params import SharpenParams

    sharpen.range.setValue((1.9, 9.5))
    arguments = sharpen.arguments()
    assert (arguments["rise_at"], arguments["fall_at"]) == (1.9, 9.5)
    sharpen.reset()
    assert sharpen.range.value() == pytest.approx((SharpenParams.rise_at, SharpenParams.fall_at), abs=0.01)


def test_previews_of_one_slice_go_with_the_dock(gray, sigma, show_widget, qtbot):
    viewer = ViewerModel()
    image = viewer.add_image(np.stack([gray, gray]), name="cells")
    about = {KEY: {"role": "sigma", "source_id": str(image.unique_id)}}
    viewer.add_image(np.stack([sigma, sigma]), name="cells defocus map [px]", metadata=about)
    widget = show_widget(SharpenWidget(viewer))
    widget.changed()
    settle(widget, qtbot)
    assert "cells sharpened preview" in viewer.layers
    widget.closed()
    assert [x.name for x in viewer.layers] == ["cells", "cells defocus map [px]"]
