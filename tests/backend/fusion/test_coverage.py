"""What a stack holds and misses, on maps whose content is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from defocus_backend.errors import InputError
from defocus_backend.fusion import Fusion
from defocus_backend.fusion.coverage import coverage, never_in_focus, settle_decision
from defocus_backend.fusion.height import HeightAccumulator, find_height

SHAPE = (60, 80)


def fusion(height: np.ndarray, z: np.ndarray, *, growth: float = 1.2) -> Fusion:
    """The maps of a stack at positions `z` of a surface (H, W) that is sharp where a slice meets it."""
    index = np.abs(height[None] - z[:, None, None]).argmin(0).astype(np.int32)
    sigma = (growth * np.abs(height - z[index])).astype(np.float32)
    low, high = min(z[0], z[-1]), max(z[0], z[-1])
    never = sigma > 3.5
    known = np.where(never, np.nan, np.clip(height, low, high)).astype(np.float32)
    return Fusion(
        image=np.zeros(SHAPE, np.uint8),
        index=index,
        sigma=sigma,
        confidence=np.ones(SHAPE, np.float32),
        height=known,
        height_error=np.full(SHAPE, 0.1, np.float32),
        inferred=np.zeros(SHAPE, bool),
        never_in_focus=never,
    )


def ramp(low: float, high: float) -> np.ndarray:
    return np.broadcast_to(np.linspace(low, high, SHAPE[1]), SHAPE)


def test_an_even_ramp_needs_all_slices_alike() -> None:
    z = np.arange(8.0)
    found = coverage(fusion(ramp(-0.5, 7.5), z), 8)
    np.testing.assert_allclose(found.shares, 1 / 8, atol=0.01)
    assert found.never == found.untold == 0
    assert (found.gaps, found.idle, found.trim) == ((), (), (0, 7))


def test_slices_outside_the_object_add_nothing() -> None:
    found = coverage(fusion(ramp(3.6, 6.4), np.arange(12.0)), 12)
    assert found.idle == (0, 1, 2, 3, 7, 8, 9, 10, 11)
    assert found.trim == (3, 7)
    assert "slices 3 to 7 would be enough" in found.report()


def test_what_tells_nothing_does_not_keep_a_slice() -> None:
    maps = fusion(ramp(3.6, 6.4), np.arange(12.0))
    maps.index[:, :5] = 11
    maps.inferred[:, :5] = True
    found = coverage(maps, 12)
    assert 11 in found.idle
    assert found.untold == pytest.approx(5 / 80)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_missing_slice_is_named_with_its_z(sign: int) -> None:
    """Positions 0 1 2 6 7 8: what lies near 4 is 2 slices, 2.4 px, off at best."""
    z = sign * np.array([0.0, 1, 2, 6, 7, 8])
    gap = coverage(fusion(sign * ramp(0, 8), z), z=z).gaps
    assert len(gap) == 1
    assert (gap[0].before, gap[0].after) == (2, 3)
    assert gap[0].z == pytest.approx(4 * sign)
    assert gap[0].share == pytest.approx(2 / 8, abs=0.06)


def test_a_large_hole_is_found_although_nothing_in_it_has_a_height() -> None:
    z = np.array([0.0, 1, 2, 12, 13, 14])
    maps = fusion(ramp(0, 14), z)
    assert maps.never_in_focus.any()
    gap = coverage(maps, z=z).gaps
    assert [(g.before, g.after) for g in gap if g.share > 0.2] == [(2, 3)]


@pytest.mark.parametrize(("low", "high", "side"), [(-8, 4, "before"), (4, 16, "after")])
def test_beyond_the_ends_the_stack_must_be_longer(low: float, high: float, side: str) -> None:
    found = coverage(fusion(ramp(low, high), np.arange(9.0)), z_step=None, slices=9)
    assert len(found.gaps) == 1
    assert getattr(found.gaps[0], side) is None
    # Never sharp from 3.5 px on, that is 2.9 slices beyond the end.
    assert found.never == pytest.approx((8 - 3.5 / 1.2) / 12, abs=0.02)
    assert found.gaps[0].share == pytest.approx(found.never)
    assert f"{'before the first' if side == 'before' else 'after the last'} slice" in found.report("um")


def test_the_report_goes_into_json() -> None:
    z = np.array([0.0, 1, 2, 6, 7, 8])
    found = coverage(fusion(ramp(-9, 8), z), z=z)
    read = json.loads(json.dumps(found.to_dict()))
    assert read["z"] == list(z)
    assert read["gaps"][0]["before"] is None
    assert read["never"] == found.never


def test_bad_arguments_are_refused() -> None:
    maps = fusion(ramp(0, 7), np.arange(8.0))
    with pytest.raises(InputError, match=r"^slices\b"):
        coverage(maps)
    with pytest.raises(InputError, match="at least 8"):
        coverage(maps, 5)
    with pytest.raises(InputError, match=r"^z\b"):
        coverage(maps, 8, z=[0, 1])


def test_flat_places_may_be_in_focus() -> None:
    sigma = torch.full(SHAPE, 9.0)
    confidence = torch.ones(SHAPE)
    confidence[:, :40] = 0.01
    sigma[:, 70:] = 1.0
    sigma[0, 60] = torch.inf
    never = never_in_focus(sigma, confidence, 3.5)
    assert not never[:, :35].any()
    assert never[1:, 45:64].all()
    assert not never[:, 76:].any()
    assert not never[0, 60]


def test_a_soft_object_in_focus_is_not_out_of_focus() -> None:
    """Sigma that is least within the stack, but large: the object is soft, and where it is in focus is known."""
    truth = torch.full(SHAPE, 4.2)
    truth[:, 40:] = 14.0
    found = HeightAccumulator(SHAPE, np.arange(9.0), torch.device("cpu"))
    for position in range(9):
        found.update((4 * (position - truth) ** 2 + 4.5**2).sqrt(), torch.ones(SHAPE))
    relief = find_height(found, torch.rand(SHAPE), torch.ones(SHAPE, dtype=torch.bool))
    assert not relief.never[:, :40].any()
    assert relief.never[:, 40:].all()
    assert (relief.height[:, :36] - 4.2).abs().max() < 0.1
    assert relief.height[:, 40:].isnan().all()


def test_the_decision_is_smooth_where_nothing_is_sharp() -> None:
    rng = np.random.default_rng(0)
    index = torch.from_numpy(np.where(rng.random(SHAPE) < 0.7, 8, rng.integers(0, 9, SHAPE)).astype(np.int32))
    never = torch.zeros(SHAPE, dtype=torch.bool)
    never[10:50, 20:70] = True
    settled = settle_decision(index, never, 9)
    assert (settled[never] == 8).all()
    assert torch.equal(settled[~never], index[~never])
    assert settled.dtype == torch.int32
    assert settle_decision(index, torch.zeros_like(never), 9) is index
