"""Which slices a stack layer or several layers give, and where the results lie."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image

from defocus_backend.errors import InputError
from napari_defocus._layers import Source
from napari_defocus._stacks import StackPlan, guess_axes


def source(shape, labels=None, **more):
    data = np.arange(np.prod(shape)).reshape(shape)
    options = {} if labels is None else {"axis_labels": labels}
    return Source.of(Image(data, contrast_limits=(0, 1), **options, **more))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [(("t", "z", "c", "y", "x"), (1, 2)), (("Z", "t", "Channel", "y", "x"), (0, 2)), (None, (2, None))],
)
def test_axes_are_found_by_name(labels, expected):
    assert guess_axes(source((2, 3, 2, 4, 5), labels)) == expected


def test_slices_of_one_time_and_channel():
    stack = source((2, 3, 2, 4, 5), ("t", "z", "c", "y", "x"))
    plan = StackPlan((stack,), axis=1, channel_axis=2)
    assert [*plan.frames()] == [{0: 0}, {0: 1}]
    slices = plan.slices({0: 1}, 1)
    assert len(slices) == 3
    np.testing.assert_array_equal(slices[2], stack.data[1, 2, 1])
    np.testing.assert_array_equal(plan.slices({0: 1}, 0, (slice(1, 3), slice(0, 2)))[0], stack.data[1, 0, 0, 1:3, :2])
    assert plan.layout(channels=True).shape == (2, 1, 2, 4, 5)
    assert plan.layout().shape == (2, 1, 1, 4, 5)
    one = StackPlan((stack,), axis=1, channel_axis=2, fixed={0: 1})
    assert one.layout(channels=True).shape == (2, 4, 5)
    assert one.layout().shape == (4, 5)


def test_height_is_in_the_unit_of_z():
    stack = source((3, 4, 5), ("z", "y", "x"), scale=(0.5, 1, 1), translate=(10, 0, 0), units=("um",) * 3)
    plan = StackPlan((stack,))
    np.testing.assert_allclose(plan.z(), [10, 10.5, 11])
    np.testing.assert_allclose(stack.place(0, np.array([10.25, 11])), [0.5, 2], err_msg="the other way round")
    assert plan.z_unit == "µm"


def test_several_layers():
    layers = tuple(source((4, 5), scale=(2, 3), units=("um", "um")) for _ in range(3))
    plan = StackPlan(layers)
    assert len(plan) == 3
    assert plan.layout().shape == (4, 5)
    deep = plan.layout(slices=True)
    stacked = Image(np.zeros(deep.shape), **deep.spatial)
    np.testing.assert_allclose(stacked.scale, (1, 2, 3))
    assert [str(unit) for unit in stacked.units] == ["pixel", "micrometer", "micrometer"]


def test_what_cannot_be_fused_says_why():
    with pytest.raises(InputError, match="at least two"):
        StackPlan((source((1, 4, 5)),))
    with pytest.raises(InputError, match="shape"):
        StackPlan((source((4, 5)), source((4, 6))))
    with pytest.raises(InputError, match="channel axis"):
        StackPlan((source((3, 2, 4, 5)),), axis=1, channel_axis=1)
