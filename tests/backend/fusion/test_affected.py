"""How far a painted pixel of the decision map is carried into the fused image."""

from __future__ import annotations

import numpy as np
import pytest

from defocus_backend.errors import InputError
from defocus_backend.fusion import affected_pixels, decision_reach, fuse_by_index
from defocus_backend.params import BlendParams

RADIUS = 3
BLEND = {"blend": "decision", "blend_settings": BlendParams(radius=RADIUS)}


def test_all_that_changes_in_the_fused_image_is_affected_and_the_bound_is_tight() -> None:
    stack = np.random.default_rng(0).random((2, 50, 60)).astype(np.float32)
    index = np.zeros((50, 60), np.int32)
    painted = index.copy()
    painted[20, 30] = 1
    options = {**BLEND, "value_range": (0.0, 1.0), "device": "cpu"}
    before, after = (fuse_by_index(stack, i, **options) for i in (index, painted))
    affected = affected_pixels(painted != index, **BLEND)
    moved = np.abs(after - before) > 1e-6
    assert not (moved & ~affected).any()
    assert affected.sum() == (4 * RADIUS + 1) ** 2
    rows, columns = np.nonzero(moved)
    reach = decision_reach(**BLEND)
    assert (rows.min(), rows.max()) == (20 - reach, 20 + reach)
    assert (columns.min(), columns.max()) == (30 - reach, 30 + reach)


@pytest.mark.parametrize("blend", ["octaves", "pixels"])
def test_nothing_changes_beyond_the_reach(blend: str) -> None:
    stack = np.random.default_rng(0).random((2, 20, 600)).astype(np.float32)
    index = np.zeros((20, 600), np.int32)
    painted = index.copy()
    painted[10:13, 300:320] = 1
    before, after = (
        fuse_by_index(stack, i, blend=blend, value_range=(0.0, 1.0), device="cpu") for i in (index, painted)
    )
    affected = affected_pixels(painted != index, blend=blend)
    assert affected.any()
    assert not affected.all()
    assert not ((np.abs(after - before) > 1e-6) & ~affected).any()


def test_a_region_is_that_part_of_the_whole() -> None:
    changed = np.zeros((40, 50), bool)
    changed[5, 5] = changed[30, 49] = True
    whole = affected_pixels(changed, **BLEND)
    for region in (np.s_[0:9, 8:20], np.s_[20:40, 40:50], np.s_[10:12, 20:21]):
        np.testing.assert_array_equal(affected_pixels(changed, **BLEND, region=region), whole[region])


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("changed", {"changed": np.zeros(4, bool)}),
        ("blend", {"blend": "none"}),
        ("region", {"region": np.s_[3:3, 0:4]}),
        ("region", {"region": np.s_[0:4:2, 0:4]}),
    ],
)
def test_what_cannot_be_used_is_refused(argument: str, options: dict[str, object]) -> None:
    with pytest.raises(InputError) as caught:
        affected_pixels(**({"changed": np.zeros((4, 4), bool)} | options))
    assert caught.value.argument == argument
