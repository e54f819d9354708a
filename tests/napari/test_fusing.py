"""What a run of the fusion widget reports and returns, without the widget."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest
from napari.layers import Image

from defocus_backend.params import FusionParams
from napari_defocus._layers import Source
from napari_defocus._stacks import StackPlan
from napari_defocus._widgets._fusing import fuse_plan, fusion_layers, never_again

ARGUMENTS = {**asdict(FusionParams()), "value_range": None, "device": "cpu"}


def run(plan, progress=lambda *_: None, never_above=5.0):
    return fuse_plan(plan, ARGUMENTS, False, never_above, progress, lambda: False)


@pytest.mark.parametrize("units", [1, 4, 8, 52], ids=["few", "one pass", "two passes", "bands"])
@pytest.mark.parametrize("axes", ["zyx", "tczyx"])
def test_the_bar_ends_full_and_never_goes_beyond(library, units, axes):
    library.units = units
    shape = [{"t": 2, "c": 3, "z": 4, "y": 20, "x": 24}[axis] for axis in axes]
    data = (np.random.default_rng(0).random(shape) * 255).astype(np.uint8)
    source = Source.of(Image(data, axis_labels=tuple(axes)))
    plan = StackPlan((source,), axes.index("z"), axes.index("c"), 1) if "c" in axes else StackPlan((source,))
    reports = []
    run(plan, lambda *report: reports.append(report))
    done, totals, units_shown = zip(*reports, strict=True)
    assert set(totals) == {data[..., 0, 0].size}, "the slices there are"
    assert list(done) == sorted(done)
    assert done[-1] == totals[0]
    assert set(units_shown) == {"slices"}


@pytest.fixture
def wedge(library):
    """A stack whose least sigma grows by steps from 0 to 10 px, with an object that is soft by itself."""
    data = np.zeros((6, 30, 60), np.uint8)
    for number in range(6):
        data[number, :, 10 * number : 10 * number + 10] = 200
    library.soft = np.s_[5:15, 38:52]
    return StackPlan((Source.of(Image(data)),))


def test_a_moved_bound_adds_below_that_of_the_run_and_takes_above(wedge, library):
    fused = run(wedge, never_above=5.0)
    masks = [never_again(fused, above) > 0 for above in (1.0, 3.0, 4.9, 5.0, 5.1, 7.0, 9.0)]
    np.testing.assert_array_equal(masks[3], fused.never_in_focus)
    for lower, higher in pairwise(masks):
        assert (lower | ~higher).all(), "what is above a bound is above a lower one"
    shares = [mask.mean() for mask in masks]
    assert shares[0] > shares[1] > shares[3] > shares[5] > shares[6] > 0
    assert not any(mask[library.soft].any() for mask in masks)


def test_whoever_paints_on_the_mask_leaves_that_of_the_run_alone(wedge):
    fused = run(wedge)
    (layer,) = (result for result in fusion_layers(wedge, fused, ["never"]) if result.role == "never")
    for mask in (layer.data, never_again(fused, fused.never_above)):
        np.testing.assert_array_equal(mask, fused.never_in_focus)
        assert not np.shares_memory(mask, fused.never_in_focus)
