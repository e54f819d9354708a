"""The height as a measured surface, and refocused pictures, through the fusion widget."""

from __future__ import annotations

import numpy as np
import pytest

import defocus_backend as db

SCALE = (2.0, 0.5, 0.5)


@pytest.fixture
def tilted(opened, finish, qtbot):
    """A widget after a fusion, whose height is then a known tilted plane with ripples."""
    from small_stacks import focal_stack

    viewer, open_widget = opened
    viewer.add_image(focal_stack(), name="cells", axis_labels=("z", "y", "x"), scale=SCALE, units=("um",) * 3)
    widget = open_widget()
    finish(widget)
    y, x = np.mgrid[:40, :44]
    widget.fused.height[:] = 1 + 0.05 * x + 0.1 * np.sin(2 * np.pi * y / 8)
    widget.fused.height[0, 0] = np.nan

    def settle():
        qtbot.wait(30)
        qtbot.waitUntil(lambda: not (widget.measure.busy or widget.refocus._work.busy), timeout=60_000)

    return viewer, widget, settle


def test_before_a_run_it_says_what_is_missing(opened):
    _, open_widget = opened
    widget = open_widget()
    for control in (widget.measure.run_button, widget.measure.line_button, widget.refocus.on):
        assert not control.isEnabled()
        assert "Run a fusion first" in control.toolTip()


def test_the_tilt_is_removed_and_the_roughness_has_the_unit_of_the_stack(tilted):
    viewer, widget, settle = tilted
    widget.measure.run_button.click()
    settle()
    # A sine has Sq = amplitude / sqrt(2), and Sa = 2 / pi times the amplitude.
    level = viewer.layers["cells levelled height [µm]"]
    np.testing.assert_allclose(np.nanstd(level.data), 0.1 / np.sqrt(2), rtol=0.02)
    assert np.isnan(level.data[0, 0])
    np.testing.assert_allclose(level.scale, (0.5, 0.5))
    rough = db.surface.roughness(widget.fused.height)
    assert f"Sa {rough.sa:.4g} µm, Sq {rough.sq:.4g} µm" in widget.measure.text.text()
    assert rough.sq == pytest.approx(0.1 / np.sqrt(2), rel=0.02)
    widget.measure.form["form"].value = "none"
    widget.measure.run_button.click()
    settle()
    assert [x.name for x in viewer.layers].count("cells levelled height [µm]") == 1
    assert np.nanstd(level.data) > 0.5, "with its tilt"


def test_filters_are_those_of_the_command_line(tilted):
    _, widget, settle = tilted
    widget.measure.filters["s_filter"].setValue(20)
    widget.measure.run_button.click()
    settle()
    wanted = db.surface.roughness(widget.fused.height, s_filter=20, pixel_size=0.5)
    assert f"Sa {wanted.sa:.4g} µm" in widget.measure.text.text()
    widget.measure.filters["l_filter"].setValue(10)
    widget.measure.run_button.click()
    settle()
    assert widget.measure.text.text() == ""


def test_the_profile_follows_its_line(tilted):
    viewer, widget, settle = tilted
    widget.measure.form["form"].value = "none"
    widget.measure.line_button.click()
    settle()
    line, plot = viewer.layers["profile line"], widget.measure.plot
    line.data = [np.array([[8.0, 2.0], [8.0, 42.0]])]
    settle()
    assert plot.distance[-1] == pytest.approx(20), "40 px of 0.5 µm"
    np.testing.assert_allclose(plot.height_values, 1 + 0.05 * np.arange(2, 43), atol=1e-5)
    assert "Length 20 µm, from end to end +2 µm" in widget.measure.line_text.text()
    widget.measure.form["form"].value = "plane"
    settle()
    assert abs(plot.height_values[-1] - plot.height_values[0]) < 0.02, "without the tilt"
    assert plot.grab() is not None
    widget.measure.run_button.click()
    settle()
    assert viewer.layers[-1] is line, "not under what was measured"
    line.data = [np.array([[8.0, 2.0], [8.0, 400.0]])]
    settle()
    assert "leaves the height map" in widget.measure.line_text.text()
    viewer.layers.remove(line)
    widget.measure.line_button.click()
    settle()
    assert plot.distance.size, "a new line"


def test_refocused_at_any_plane_and_aperture(tilted):
    viewer, widget, settle = tilted
    box = widget.refocus
    box.on.setChecked(True)
    settle()
    height, image = widget.fused.height, widget.fused.image
    assert (box.focus.minimum(), box.focus.maximum()) == pytest.approx((np.nanmin(height), np.nanmax(height)), abs=1e-3)
    assert "blur radius in px per µm" in box.text.text()
    for focus, aperture in ((1.2, 3.0), (3.0, 5.0)):
        box.focus.setValue(focus)
        box.aperture.setValue(aperture)
        settle()
        (layer,) = (x for x in viewer.layers if "refocused" in x.name)
        assert layer.name == f"cells refocused at {focus:g} µm"
        wanted = db.surface.refocus(image, height, box.focus.value(), aperture=box.aperture.value())
        np.testing.assert_array_equal(layer.data, wanted)
    box.aperture.setValue(0)
    settle()
    np.testing.assert_array_equal(layer.data, image)
    box.on.setChecked(False)
    assert not [x for x in viewer.layers if "refocused" in x.name]


def test_a_large_picture_has_an_estimate_first():
    from napari_defocus._heights import HeightMap
    from napari_defocus._widgets._refocus import _refocused

    image = np.random.default_rng(0).random((600, 700, 3)).astype(np.float32)
    values = np.linspace(0, 1, 700, dtype=np.float32)[None].repeat(600, 0)
    height = HeightMap(values, image, 2, "µm", 0.5, {}, {})
    first, exact = (pixels for *_, pixels in _refocused(height, 0.5, {"aperture": 6.0}))
    assert first.shape == exact.shape == image.shape
    np.testing.assert_allclose(first.mean(), exact.mean(), rtol=0.02)


def test_painting_and_another_run_are_followed(tilted, finish, settled):
    viewer, widget, settle = tilted
    widget.refocus.on.setChecked(True)
    widget.measure.run_button.click()
    settle()
    viewer.layers["cells decision map"].paint((20, 30), 0)
    settled(widget)
    settle()
    assert widget.relief.height_in_view().values[20, 30] == 0, "the place of the slice that was painted"
    assert widget.measure.text.text() == "", "measured before the stroke"
    finish(widget)
    settle()
    assert not [x for x in viewer.layers if "levelled" in x.name], "of the run before"
    assert widget.refocus.focus.maximum() <= 4.01, "the range of the new height"


@pytest.mark.parametrize(
    ("scale", "units", "size", "unit"),
    [
        ((2, 0.5, 0.5), ("um", "um", "um"), 0.5, "µm"),
        ((2, 500, 500), ("um", "nm", "nm"), None, "µm"),
        ((2, 0.5, 0.6), ("um", "um", "um"), None, "µm"),
        ((1, 1, 1), ("pixel", "pixel", "pixel"), None, "slices"),
    ],
)
def test_lengths_have_a_unit_in_common_with_the_height_or_none(opened, stack, finish, scale, units, size, unit):
    viewer, open_widget = opened
    viewer.add_image(stack, name="cells", axis_labels=("z", "y", "x"), scale=scale, units=units)
    widget = open_widget()
    finish(widget)
    height = widget.relief.height_in_view()
    assert (height.pixel_size, height.unit) == (size, unit)
    assert height.length_unit == ("px" if size is None else unit)
