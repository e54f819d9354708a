"""The fusion widget with the real library on small stacks: what comes out, and painting on the decision map."""

from __future__ import annotations

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import Qt
from small_stacks import focal_stack

import defocus_backend as db

ZYX = ("z", "y", "x")


def test_layers_of_a_microscope_stack(opened, stack, finish, qtbot):
    viewer, open_widget = opened
    place = {"scale": (0.5, 0.1, 0.1), "translate": (2, 0, 0), "units": ("um",) * 3, "axis_labels": ZYX}
    image = viewer.add_image(stack, name="cells", **place)
    widget = open_widget()
    for name in ("weights", "sigmas", "height error"):
        widget.outputs[name].setChecked(True)
    made = finish(widget)
    names = ("fused", "decision map", "height [µm]", "height error [µm]", "confidence", "never in focus")
    assert {x.name for x in made.values()} == {
        *(f"cells {name}" for name in names),
        "cells weight maps",
        "cells defocus map per slice [px]",
    }
    wanted = db.fuse(stack, z=[2, 2.5, 3], keep_slices=True)
    np.testing.assert_array_equal(made["fused"].data, wanted.image)
    np.testing.assert_array_equal(made["index"].data, wanted.index)
    np.testing.assert_array_equal(made["height"].data, wanted.height)
    np.testing.assert_array_equal(made["never"].data, wanted.never_in_focus)
    np.testing.assert_array_equal(made["weights"].data, wanted.weights)
    assert isinstance(made["index"], Labels)
    assert made["index"].data.dtype == np.uint8
    assert tuple(made["height"].contrast_limits) == (2.0, 3.0)
    for role in ("fused", "index", "height"):
        np.testing.assert_allclose(made[role].scale, (0.1, 0.1))
        assert made[role].axis_labels == ("y", "x")
    np.testing.assert_allclose(made["weights"].scale, image.scale)
    run = made["never"].data.copy()
    for above in (1.0, widget.fused.never_above):
        widget.never_above.setValue(above)
        qtbot.waitUntil(lambda: not widget._judging.busy, timeout=30_000)
    np.testing.assert_array_equal(made["never"].data, run, err_msg="moved back it is the run's mask")


def test_every_option_of_the_library_has_a_control(opened):
    from defocus_backend.params import BlendParams, DecisionParams, FusionParams, SliceMapParams

    viewer, open_widget = opened
    viewer.add_image(focal_stack(), axis_labels=ZYX)
    widget = open_widget()
    shown = widget.params.values() | widget.details.values() | widget.settings.main.values()
    shown |= widget.settings.refinement.values()
    for group in (DecisionParams, BlendParams, SliceMapParams):
        assert set(group.names()) - set(shown) <= {"never_above", "weights", "tile"}
    assert {"decision", "blend"} <= set(shown) <= set(FusionParams.names())
    assert widget.never_above.value() == DecisionParams.never_above
    widget.params["blend"].value = "decision"
    assert not widget.details["firmness"].enabled


def test_painting_updates_the_image_erasing_and_undo_take_it_back(opened, stack, finish, settled):
    viewer, open_widget = opened
    viewer.add_image(stack, name="cells", axis_labels=ZYX)
    widget = open_widget()
    made = finish(widget)
    labels, fused = made["index"], made["fused"]
    before, automatic = fused.data.copy(), labels.data.copy()
    widget.retouch.slice.setValue(2)
    widget.retouch.brush.setValue(7)
    widget.retouch.paint()
    assert (labels.mode, labels.selected_label, labels.brush_size) == ("paint", 2, 7), "the slice that the slider shows"
    assert viewer.dims.point[0] == 2
    labels.paint((20, 8), 2)
    settled(widget)
    corrections = np.where(labels.data != automatic, labels.data.astype(int), -1)
    assert (corrections >= 0).any()
    painted = fused.data.copy()
    np.testing.assert_array_equal(painted, db.fuse_corrected(stack, before, automatic, corrections).image)
    widget.retouch.undo()
    settled(widget)
    np.testing.assert_array_equal(fused.data, before)
    widget.retouch.redo()
    settled(widget)
    np.testing.assert_array_equal(fused.data, painted)
    widget.retouch.erase()
    labels.paint((20, 8), labels.colormap.background_value)
    settled(widget)
    np.testing.assert_array_equal(labels.data, automatic, err_msg="what is erased is automatic again, not slice 0")
    np.testing.assert_array_equal(fused.data, before)
    widget.retouch.undo()
    settled(widget)
    np.testing.assert_array_equal(fused.data, painted)
    widget.retouch.automatic()
    settled(widget)
    np.testing.assert_array_equal(fused.data, before)


def test_labels_that_are_no_slices_cannot_be_chosen(opened, stack, finish):
    viewer, open_widget = opened
    viewer.add_image(stack, name="cells", axis_labels=ZYX)
    widget = open_widget()
    widget.box.slices.setText("all but 1")
    labels = finish(widget)["index"]
    for wanted, taken in ((77, 2), (1, 0), (2, 2), (3, 3)):
        labels.selected_label = wanted
        assert labels.selected_label == taken, "3 gives back to the automatic decision"
    assert set(np.unique(labels.data)) <= {0, 2}, "numbered as the slider numbers them"


def test_the_retouch_mode_shows_the_slice_and_leaves_all_as_it_was(opened, stack, finish, settled):
    viewer, open_widget = opened
    viewer.add_image(stack, name="cells", axis_labels=ZYX)
    widget = open_widget()
    made = finish(widget)
    seen = {x.name: (x.visible, x.opacity) for x in viewer.layers}
    viewer.dims.set_point(0, 1)
    widget.retouch.mode.setChecked(True)
    settled(widget)
    np.testing.assert_array_equal(viewer.layers["slice 1"].data, stack[1])
    assert viewer.layers.index("slice 1") == viewer.layers.index(made["fused"]) + 1
    assert made["index"].contour == 1
    assert made["index"].selected_label == 1
    viewer.dims.set_point(0, 2)
    settled(widget)
    np.testing.assert_array_equal(viewer.layers["slice 2"].data, stack[2])
    assert made["index"].selected_label == 2, "the brush follows the slider"
    widget.retouch.slice.setValue(0)
    assert viewer.dims.point[0] == 0, "and the slider the brush"
    settled(widget)
    widget.retouch.mode.setChecked(False)
    assert {x.name: (x.visible, x.opacity) for x in viewer.layers} == seen
    assert made["index"].contour == 0


def test_a_second_run_keeps_corrections(opened, stack, finish, settled):
    viewer, open_widget = opened
    viewer.add_image(stack, name="cells", axis_labels=ZYX)
    widget = open_widget()
    labels = finish(widget)["index"]
    labels.visible = True
    labels.paint((20, 8), 2)
    settled(widget)
    where = widget.repainter.painted
    widget.params["blend"].value = "decision"
    assert "settings have changed" in widget.notice.text()
    made = finish(widget)
    settled(widget)
    assert "corrections are kept" in widget.notice.text()
    assert "settings have changed" not in widget.notice.text()
    fusion = db.fuse(stack, z=[0, 1, 2], blend="decision")
    np.testing.assert_array_equal(made["index"].data[where], 2)
    np.testing.assert_array_equal(made["index"].data[~where], fusion.index[~where])
    wanted = db.fuse_corrected(stack, fusion.image, fusion.index, np.where(where, 2, -1), blend="decision").image
    np.testing.assert_array_equal(made["fused"].data, wanted)
    labels.undo()
    np.testing.assert_array_equal(made["index"].data[where], 2, err_msg="undo steps of the run before are gone")


def test_corrections_that_do_not_fit_stay_in_their_layers(opened, finish, settled):
    viewer, open_widget = opened
    stacks = np.stack([focal_stack(), focal_stack(seed=1)])
    viewer.add_image(stacks, name="cells", axis_labels=("t", *ZYX))
    widget = open_widget()
    labels = finish(widget)["index"]
    assert labels.name == "cells decision map (t = 0)"
    labels.visible = True
    labels.paint((20, 8), 2)
    settled(widget)
    painted = labels.data.copy()
    viewer.dims.set_point(0, 1)
    assert "results are of t = 0; the sliders show t = 1" in widget.notice.text()
    made = finish(widget)
    assert "(corrected)" in widget.notice.text()
    assert made["index"] is not labels
    np.testing.assert_array_equal(labels.data, painted)


def test_a_run_leaves_no_map_of_an_earlier_one(opened, stack, finish):
    viewer, open_widget = opened
    viewer.add_image(stack, name="cells", axis_labels=ZYX)
    widget = open_widget()
    assert "height" in finish(widget)
    widget.outputs["height"].setChecked(False)
    finish(widget)
    assert not any("height" in layer.name for layer in viewer.layers)


def test_a_stack_that_does_not_name_its_axes_is_asked_for_them(opened, finish):
    viewer, open_widget = opened
    data = np.stack([focal_stack(), focal_stack(seed=1)])
    viewer.add_image(data, name="cells")
    widget = open_widget()
    assert not widget.run_button.isEnabled()
    assert "choose the z axis" in widget.status.text()
    texts = [widget.box.z_axis.itemText(i) for i in range(widget.box.z_axis.count())]
    assert texts[1:] == [f"axis {viewer.dims.axis_labels[a]} ({n})" for a, n in enumerate(data.shape[:2])]
    widget.box.z_axis.value = 1
    assert "choose the channel axis" in widget.status.text()
    assert not widget.run_button.isEnabled()
    widget.box.channel_axis.value = 0
    assert widget.run_button.isEnabled()
    made = finish(widget)
    np.testing.assert_array_equal(made["index"].data.squeeze(), db.fuse(data[0], z=[0, 1, 2]).index)


def test_layers_that_lie_elsewhere_are_refused(opened, stack):
    viewer, open_widget = opened
    for n, picture in enumerate(stack):
        viewer.add_image(picture, name=f"shot {n}", scale=(1 + (n == 1), 1))
    widget = open_widget()
    assert "3 2-D images are open" in widget.box.hint.text()
    widget.box.hint_button.click()
    widget.run()
    assert widget.current_run is None
    assert "shot 1" in widget.status.text()
    assert "scale" in widget.status.text()


def test_the_brush_takes_the_selected_of_several_layers_else_the_topmost_in_view(opened, stack, finish):
    viewer, open_widget = opened
    shots = [viewer.add_image(picture, name=f"shot {i}") for i, picture in enumerate(stack)]
    widget = open_widget()
    widget.box.kind.value = "layers"
    made = finish(widget)
    np.testing.assert_array_equal(made["fused"].data, db.fuse(list(stack)).image)
    labels = made["index"]
    assert made["fused"] not in widget.box.ticked(), "a result is no slice unless it is ticked"
    (item,) = (item for item in widget.box.items() if item.text() == made["fused"].name)
    item.setCheckState(Qt.CheckState.Checked)
    viewer.add_points(np.zeros((1, 2)))
    assert made["fused"] in widget.box.ticked()
    shots[2].visible = False
    for active, number in ((shots[0], 0), (labels, 1), (shots[2], 2)):
        viewer.layers.selection.active = active
        widget.retouch.paint()
        assert labels.selected_label == number


def test_the_number_of_a_channel_is_no_matter_where_there_are_none(opened, stack, finish):
    viewer, open_widget = opened
    viewer.add_image(np.stack([stack, stack]), name="channels", axis_labels=("c", *ZYX))
    widget = open_widget()
    widget.box.judge.setValue(1)
    widget.box.stack.layer = viewer.add_image(stack, name="cells", axis_labels=ZYX)
    np.testing.assert_array_equal(finish(widget)["index"].data, db.fuse(stack, z=[0, 1, 2]).index)


def test_two_positions_are_not_aligned_together(opened, stack):
    viewer, open_widget = opened
    viewer.add_image(np.stack([stack, stack]), name="cells", axis_labels=("t", *ZYX))
    widget = open_widget()
    widget.align.mode.value = "translation"
    widget.box.which.value = "all"
    widget.run()
    assert widget.current_run is None
    assert "the position in view" in widget.status.text()
    assert "the position in view" in widget.failure, "the reason stays readable"


def test_seven_open_pictures_are_offered_as_slices(opened, finish):
    viewer, open_widget = opened
    pictures = focal_stack(count=7)
    for number, picture in enumerate(pictures):
        viewer.add_image(picture, name=f"picture {number}")
    widget = open_widget()
    box = widget.box
    assert box.hint.isVisible()
    assert box.hint.text() == "7 2-D images are open: fuse them?"
    assert not widget.run_button.isEnabled()
    box.hint_button.click()
    assert [layer.name for layer in box.ticked()] == [f"picture {n}" for n in range(7)]
    assert not box.hint.isVisible()
    made = finish(widget)
    np.testing.assert_array_equal(made["fused"].data, db.fuse(pictures).image)


def test_one_picture_or_a_stack_needs_no_hint(opened, stack):
    viewer, open_widget = opened
    viewer.add_image(stack[0])
    widget = open_widget()
    assert not widget.box.hint.isVisible()
    viewer.add_image(stack, name="cells", axis_labels=("z", "y", "x"))
    assert not widget.box.hint.isVisible()
