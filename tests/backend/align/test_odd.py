"""Frames that do not belong to a stack are found, whatever its length; frames that do are not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

pytest.importorskip("cv2")

from defocus_backend.align import align_stack, alignment_needed
from defocus_backend.align.needed import frames_that_do_not_belong
from defocus_backend.stacks import as_source

SIDE = (120, 150)


def texture(seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    found = sum(s * ndimage.gaussian_filter(rng.standard_normal((SIDE[0] + 40, SIDE[1] + 40)), s) for s in (1, 3, 8))
    return np.asarray(0.15 + 0.6 * (found - found.min()) / np.ptp(found))


def series(count: int) -> list[NDArray[np.float64]]:
    """A scene that goes through focus, from a blur of 3 px to one of 3 px, with noise."""
    scene, rng = texture(0), np.random.default_rng(1)
    blurred = [ndimage.gaussian_filter(scene, s) for s in (3, 1.5, 0.5, 1.5, 3)]
    return [blurred[5 * n // count] + rng.normal(0, 0.005, scene.shape) for n in range(count)]


def window(frames: list[NDArray[np.float64]], y: int = 20, x: int = 20) -> list[NDArray[np.float64]]:
    return [f[y : y + SIDE[0], x : x + SIDE[1]] for f in frames]


def as_bytes(frames: list[NDArray[np.float64]]) -> NDArray[np.uint8]:
    return np.stack([np.clip(np.rint(255 * f), 0, 255).astype(np.uint8) for f in frames])


@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("count", [5, 30])
def test_a_bumped_frame_is_named(count: int, calibrated: bool) -> None:
    whole = series(count)
    frames = window(whole)
    frames[count // 2] = window(whole, 26, 15)[count // 2]
    found = alignment_needed(as_bytes(frames), calibrated=calibrated)
    assert [f.number for f in found.bumped] == [count // 2]
    assert "displaced by" in str(found.bumped[0])
    assert found.odd == ()


def test_a_bumped_middle_frame_is_neither_the_reference_nor_the_measure_of_the_others() -> None:
    whole = series(9)
    frames = window(whole)
    frames[4] = window(whole, 26, 15)[4]
    assert alignment_needed(as_bytes(frames)).displaced == (4,)
    found = align_stack(as_bytes(frames)).alignment
    assert found.reference in (3, 5)
    at = found.matrices[:, :2, 2]
    assert np.abs(np.delete(at, 4, 0)).max() < 0.5
    np.testing.assert_allclose(at[4], (5, -6), atol=0.5)


def test_a_look_at_what_does_not_belong_finds_the_same_as_the_whole_one() -> None:
    whole = series(9)
    frames = window(whole)
    frames[3], frames[6] = window(whole, 26, 15)[3], window([texture(9)])[0]
    stack = as_bytes(frames)
    every, some = alignment_needed(stack), frames_that_do_not_belong(as_source(stack))
    assert (some.odd, some.bumped) == (every.odd, every.bumped)
    assert [f.number for f in (*some.odd, *some.bumped)] == [6, 3]


@pytest.mark.parametrize("where", [0, 3, 6])
def test_a_frame_of_another_scene_is_named(where: int) -> None:
    frames = window(series(7))
    frames[where] = window([texture(9)])[0]
    found = alignment_needed(as_bytes(frames))
    assert [str(f) for f in found.odd] == [f"frame {where} (shows something else)"]


def test_black_and_overexposed_frames_are_named() -> None:
    frames = window(series(7))
    frames[2] = 0 * frames[2]
    frames[5] = 3 * frames[5] + 0.3
    found = alignment_needed(as_bytes(frames))
    assert [f.number for f in found.odd] == [2, 5]
    assert found.odd[0].reason == "black"
    assert found.odd[1].reason.startswith("overexposed")


def test_frames_that_belong_are_not_named() -> None:
    whole = series(9)
    drifting = [window(whole, 20 + n, 20 - n)[n] for n in range(9)]
    flicker = [f * gain for f, gain in zip(window(whole), (1, 0.6, 1.1) * 3, strict=True)]
    # The ends of a z-stack hold noise alone, and each slice may show something else.
    rng = np.random.default_rng(2)
    sections = [0.02 + rng.normal(0, 0.01, SIDE), *window(whole)[1:-1], 0.02 + rng.normal(0, 0.01, SIDE)]
    unlike = window([texture(n) for n in range(6)])
    for frames, calibrated in ((window(whole), False), (drifting, False), (flicker, False), (sections, True)):
        found = alignment_needed(as_bytes(frames), calibrated=calibrated)
        assert found.odd == ()
        assert found.bumped == ()
    assert alignment_needed(as_bytes(unlike)).odd == ()
