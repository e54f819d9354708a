"""Which slices a stack layer or several layers give, and where the results lie."""

from __future__ import annotations

import json

import numpy as np
import pytest
from napari.layers import Image

from defocus_backend.errors import InputError
from napari_defocus._layers import LayerSource
from napari_defocus._stacks import StackChoice, guess_axes
from napari_defocus._widgets._stackbox import parse_slices


def source(shape, labels=None, **more):
    data = np.arange(np.prod(shape)).reshape(shape)
    options = {} if labels is None else {"axis_labels": labels}
    return LayerSource.of(Image(data, contrast_limits=(0, 1), **options, **more))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (("t", "z", "c", "y", "x"), (1, 2)),
        (("Z", "t", "Channel", "y", "x"), (0, 2)),
        (None, (None, "ask")),
        (("t", "z", "", "y", "x"), (1, "ask")),
    ],
)
def test_axes_are_found_by_name_and_asked_for_where_there_is_none(labels, expected):
    assert guess_axes(source((2, 3, 2, 4, 5), labels)) == expected


@pytest.mark.parametrize(("length", "z"), [(9, 0), (3, None)])
def test_a_single_axis_without_a_name_is_z_unless_it_may_hold_channels(length, z):
    assert guess_axes(source((length, 4, 5)))[0] == z


def test_slices_of_one_time_and_channel():
    stack = source((2, 3, 2, 4, 5), ("t", "z", "c", "y", "x"))
    choice = StackChoice((stack,), axis=1, channel_axis=2)
    assert choice.axes == "TZCYX"
    assert [*choice.plan] == [(0,), (1,)]
    assert choice.plan.focus == {0: 1.0}
    slices = choice.plan.slices((1,), 1)
    assert len(slices) == 3
    np.testing.assert_array_equal(slices[2], stack.data[1, 2, 1])
    np.testing.assert_array_equal(slices.rows(1, 3)[0], stack.data[1, 0, 1, 1:3])
    np.testing.assert_array_equal(choice.stack().part(choice.key((1,), 1)), slices, err_msg="as the script has it")
    assert choice.layout(channels=True).shape == (2, 1, 2, 4, 5)
    assert choice.layout().shape == (2, 1, 1, 4, 5)
    one = StackChoice((stack,), axis=1, channel_axis=2, fixed={0: 1})
    assert one.axes == "ZCYX"
    assert one.layout(channels=True).shape == (2, 4, 5)
    assert one.layout().shape == (4, 5)
    assert one.place == {"t": 1}


def test_some_slices_of_a_window_in_another_order():
    stack = source((4, 6, 8), ("z", "y", "x"), scale=(0.5, 2, 3), translate=(0, 10, 20))
    choice = StackChoice((stack,), numbers=(3, 1, 0), window=(slice(1, 5), slice(2, 8)))
    np.testing.assert_array_equal(np.asarray(choice.stack()), stack.data[[3, 1, 0], 1:5, 2:8])
    np.testing.assert_allclose(choice.z(), [1.5, 0.5, 0])
    np.testing.assert_allclose(choice.layout().spatial["translate"], (10 + 1 * 2, 20 + 2 * 3))
    np.testing.assert_array_equal(choice.place_of(np.array([0, 1, 2, 3])), [2, 1, -1, 0])
    again = StackChoice.from_dict(json.loads(json.dumps(choice.as_dict())), [stack])
    assert again == choice


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("", [0, 1, 2, 3, 4]), ("1-3", [1, 2, 3]), ("0, 4", [0, 4]), ("3-", [3, 4]), ("all but 1, 2", [0, 3, 4])],
)
def test_slices_in_words(text, numbers):
    assert parse_slices(text, 5) == numbers


@pytest.mark.parametrize("text", ["x", "7", "1--2", "all but"])
def test_words_that_name_no_slices(text):
    with pytest.raises(InputError, match="slices"):
        parse_slices(text, 5)


def test_height_is_in_the_unit_of_z():
    stack = source((3, 4, 5), ("z", "y", "x"), scale=(0.5, 1, 1), translate=(10, 0, 0), units=("um",) * 3)
    plan = StackChoice((stack,))
    np.testing.assert_allclose(plan.z(), [10, 10.5, 11])
    np.testing.assert_allclose(stack.place(0, np.array([10.25, 11])), [0.5, 2], err_msg="the other way round")
    assert plan.z_unit == "µm"


def test_several_layers():
    layers = tuple(source((4, 5), scale=(2, 3), units=("um", "um")) for _ in range(3))
    plan = StackChoice(layers)
    assert len(plan) == 3
    np.testing.assert_array_equal(plan.plan.slices(()), [layer.data for layer in layers])
    assert plan.layout().shape == (4, 5)
    deep = plan.layout(slices=True)
    stacked = Image(np.zeros(deep.shape), **deep.spatial)
    np.testing.assert_allclose(stacked.scale, (1, 2, 3))
    assert [str(unit) for unit in stacked.units] == ["pixel", "micrometer", "micrometer"]


def test_what_cannot_be_fused_says_why():
    with pytest.raises(InputError, match="at least two"):
        StackChoice((source((1, 4, 5)),))
    with pytest.raises(InputError, match="shape"):
        StackChoice((source((4, 5)), source((4, 6))))
    for other in ({"scale": (2, 1)}, {"translate": (0, 3)}, {"units": ("um", "um")}, {"rotate": 10}):
        with pytest.raises(InputError, match=next(iter(other))):
            StackChoice((source((4, 5)), source((4, 5), **other)))
    with pytest.raises(InputError, match="channel axis"):
        StackChoice((source((3, 2, 4, 5)),), axis=1, channel_axis=1)


def test_the_rendered_photographs_are_not_taken_for_moved_ones():
    import defocus_backend as db
    from napari_defocus._sample_data import focal_stack

    assert not db.alignment_needed(focal_stack()[0][0], channel_axis=-1).needed


def test_a_stack_with_a_unit_along_z_is_a_microscopes():
    """A stage does not scale or turn the picture: what grows along z there is blur, not a motion of the camera."""
    import defocus_backend as db
    from napari_defocus._sample_data import z_stack

    values, known, _ = next(made for made in z_stack() if np.ndim(made[0]) == 3)
    layer = Image(values, **{k: v for k, v in known.items() if k in ("scale", "units", "axis_labels")})
    choice = StackChoice((LayerSource.of(layer),), axis=0)
    assert choice.calibrated
    assert not db.alignment_needed(values, calibrated=True).needed
    assert not StackChoice((source((3, 64, 64), tuple("zyx")),), axis=0).calibrated
