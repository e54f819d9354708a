"""Whether a stack needs aligning is decided by what moved, not by what went out of focus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

pytest.importorskip("cv2")

from defocus_backend.align import align_stack, alignment_needed
from defocus_backend.align.blur import blur_difference, blurred

Make = Callable[..., Any]
STILL = (0.0, 0.0, 1.0, 0.0)


@pytest.mark.parametrize("degrees", [0.3, 1.0, 3.0])
def test_a_turn_about_the_middle_is_motion(scene: np.ndarray, make: Make, degrees: float) -> None:
    drift = make(scene, [(0, 0, 1, np.deg2rad(degrees) * n) for n in range(4)])
    verdict = alignment_needed(drift.frames)
    assert verdict.needed
    assert 0 in verdict.displaced


@pytest.mark.parametrize("count", [30, 100])
def test_one_bumped_frame_is_found_and_named(scene: np.ndarray, make: Make, count: int) -> None:
    bumped = count // 3
    pair = make(scene, [STILL, (3, -2, 1, 0)], side=96).frames
    rng = np.random.default_rng(0)
    frames = (pair[int(n == bumped)] + 0.01 * rng.standard_normal(pair[0].shape) for n in range(count))
    verdict = alignment_needed(np.stack(list(frames)).astype(np.float32))
    assert verdict.needed
    assert verdict.displaced == (bumped,)
    assert f"1 of {count} frames" in verdict.reason


def blobs(sigmas: list[float]) -> np.ndarray:
    """Bright discs on a dark ground, more and more out of focus."""
    y, x = np.mgrid[:128, :128]
    rng = np.random.default_rng(2)
    scene = sum(
        (((x - cx) ** 2 + (y - cy) ** 2 < r**2) * 0.3 for cx, cy, r in ((64, 64, 40), (50, 60, 12), (84, 74, 9))),
        np.zeros((128, 128)),
    )
    frames = [ndimage.gaussian_filter(scene, s) + 0.002 * rng.standard_normal(scene.shape) for s in sigmas]
    return np.stack(frames).astype(np.float32)


def test_growing_blur_is_no_change_of_scale() -> None:
    frames = blobs([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert not alignment_needed(frames).needed
    parts = align_stack(frames, reference=0).alignment.parts(5)
    assert abs(parts.scale - 1) < 0.01


def test_a_microscopes_stack_is_not_scaled_but_its_stage_may_slip(scene: np.ndarray, make: Make) -> None:
    growing = make(scene, [(0, 0, 1.02**n, 0) for n in range(5)]).frames
    assert alignment_needed(growing).needed
    assert not alignment_needed(growing, calibrated=True).needed
    slipped = make(scene, [STILL, STILL, (6, 3, 1, 0), (6, 3, 1, 0)]).frames
    assert alignment_needed(slipped, calibrated=True).needed


def test_frames_without_links_are_a_veto(scene: np.ndarray, make: Make) -> None:
    frames = make(scene, [(3.0 * n, 0, 1, 0) for n in range(6)]).frames.copy()
    assert alignment_needed(frames).needed
    frames[3:5] = np.random.default_rng(0).random((2, *frames.shape[1:]))
    verdict = alignment_needed(frames)
    assert not verdict.needed
    assert "2 of 6 frames cannot be compared (3, 4)" in verdict.reason


def test_a_gaussian_between_two_pictures_is_measured_and_undone(scene: np.ndarray) -> None:
    sharp = (scene / 255).astype(np.float32)
    base, soft = (ndimage.gaussian_filter(sharp, s) for s in (1.0, np.hypot(1.0, 2.4)))
    everywhere = np.ones(base.shape, bool)
    amount = blur_difference(base, soft, everywhere)
    assert np.median(amount) == pytest.approx(2.4, abs=0.3)
    np.testing.assert_allclose(blur_difference(soft, base, everywhere), -amount, atol=0.8)
    inner = np.s_[16:-16, 16:-16]
    before, after = (np.abs(p - soft)[inner].mean() for p in (base, blurred(base, amount)))
    assert after < before / 5
