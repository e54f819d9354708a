"""Known motion is found, what cannot be found is not invented, and the pixels stay what they were."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cv2")

from defocus_backend.align import AlignedStack, align_stack, apply_alignment
from defocus_backend.errors import Cancelled, InputError

Make = Callable[..., Any]
STILL = (0.0, 0.0, 1.0, 0.0)


def test_motion_is_found_through_changing_focus(focusing: Any) -> None:
    found = align_stack(focusing.frames).alignment
    errors = focusing.errors(found.matrices)
    assert np.sqrt((errors**2).mean()) < 0.1
    np.testing.assert_array_equal(found.matrices[found.reference], np.eye(3))
    assert (found.correlation > 0.97).all()
    assert (found.failed, found.warnings) == ((), ())
    np.testing.assert_allclose(found.gains, 1, atol=0.01)


def test_large_shifts_between_neighbours(scene: np.ndarray, make: Make) -> None:
    drift = make(scene, [(0, 0, 1, 0), (30, -22, 1.02, 0.01), (4, 5, 1, 0)])
    assert drift.errors(align_stack(drift.frames).alignment.matrices).max() < 0.1


def test_frames_larger_than_the_working_size(scene: np.ndarray) -> None:
    """Reduced by a factor, the half pixel between the middles of large and small pixels must not be lost."""
    big = np.kron(scene, np.ones((4, 4), np.uint8))
    frames = [big[3:1603, 10:1610], big[0:1600, 0:1600]]
    found = align_stack(frames, model="translation", reference=1).alignment
    np.testing.assert_allclose(found.matrices[0][:2, 2], [-10, -3], atol=0.1)


@pytest.mark.parametrize("model", ["translation", "similarity", "affine", "homography"])
def test_every_model_finds_its_own_motion(scene: np.ndarray, make: Make, model: str) -> None:
    size = 1.01 if model != "translation" else 1
    motions = [(n * 1.3, -n * 0.7, size**n, 0.004 * n * (size != 1)) for n in range(3)]
    bend = np.eye(3)
    if model in ("affine", "homography"):
        bend[0, 1], bend[1, 1] = 0.006, 1.005
    if model == "homography":
        bend[2, :2] = 2e-5, -1e-5
    drift = make(scene, motions, bend=bend)
    assert drift.errors(align_stack(drift.frames, model=model).alignment.matrices).max() < 0.1


@pytest.mark.parametrize(
    ("model", "lock"),
    [
        ("similarity", "scale"),
        ("similarity", "rotation"),
        ("similarity", "x, y"),
        ("affine", "rotation"),
        ("affine", "scale, shear"),
        ("homography", "shear, rotation"),
        ("homography", "perspective, x"),
    ],
)
def test_locked_degrees_do_not_move(scene: np.ndarray, make: Make, model: str, lock: str) -> None:
    drift = make(scene, walk_of_three(), side=128)
    found = align_stack(drift.frames, model=model, lock=lock).alignment
    for number in range(3):
        parts = found.parts(number)
        held = {
            "x": parts.shift[0],
            "y": parts.shift[1],
            "scale": parts.scale - 1,
            "rotation": parts.rotation,
            "shear": np.abs(parts.shear - np.eye(2)).max(),
            "perspective": np.abs(parts.perspective).max(),
        }
        for degree in lock.split(", "):
            assert abs(held[degree]) < 1e-9, degree
    assert set(found.lock) == set(lock.split(", "))
    assert not np.allclose(found.matrices[0], np.eye(3), atol=1e-4)


def walk_of_three() -> list[tuple[float, float, float, float]]:
    return [(0, 0, 1, 0), (1.5, 1, 1.01, 0.006), (2, 2.5, 1.02, 0.01)]


def test_a_blank_frame_keeps_the_last_transform_and_the_chain_goes_on(scene: np.ndarray, make: Make) -> None:
    drift = make(scene, walk_of_five())
    frames = drift.frames.copy()
    frames[3] = 0.5
    found = align_stack(frames, reference=2).alignment
    assert found.failed == (3,)
    assert "frame 3" in found.warnings[0]
    np.testing.assert_allclose(found.matrices[3], found.matrices[2], atol=1e-12)
    errors = drift.errors(found.matrices)
    assert np.delete(errors, 3).max() < 0.1


def walk_of_five() -> list[tuple[float, float, float, float]]:
    return [(1.2 * n, -0.8 * n, 1.006**n, 0.002 * n) for n in range(5)]


def test_a_blank_first_frame_does_not_set_the_range_of_the_others(scene: np.ndarray, make: Make) -> None:
    drift = make(scene, walk_of_five())
    frames = (drift.frames * 3000 + 100).astype(np.uint16)
    frames[0] = 100
    found = align_stack(frames, reference=2).alignment
    assert found.failed == (1,)
    assert drift.errors(found.matrices)[1:].max() < 0.1


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_frames_without_a_picture_are_left_where_they_are(noise: float) -> None:
    frames = 0.5 + noise * np.random.default_rng(0).standard_normal((4, 96, 96))
    stack = align_stack(frames)
    assert stack.alignment.failed == (1, 2, 3)
    np.testing.assert_array_equal(stack.alignment.matrices, np.broadcast_to(np.eye(3), (4, 3, 3)))
    np.testing.assert_array_equal(np.stack(list(stack)), frames)


def test_another_scene_is_not_forced_upon_the_first(scene: np.ndarray, make: Make) -> None:
    """After a cut each half is aligned in itself."""
    first, second = make(scene, walk_of_five()), make(scene[::-1].T.copy(), walk_of_five())
    found = align_stack(np.concatenate([first.frames, second.frames]), reference=0).alignment
    assert found.failed == (5,)
    np.testing.assert_allclose(found.matrices[5], found.matrices[4], atol=1e-12)
    start = np.linalg.inv(found.matrices[7])
    assert second.errors(np.stack([m @ start for m in found.matrices[5:]])).max() < 0.1


def test_exposure_and_white_balance_are_matched(colour_photo: np.ndarray) -> None:
    gains = np.array([[1, 1, 1], [1.2, 1.1, 0.9], [0.8, 0.85, 0.9], [1, 1, 1]])
    base = colour_photo[100:292, 100:356] * 0.7
    frames = np.rint(base * gains[:, None, None]).astype(np.uint8)
    stack = align_stack(frames, channel_axis=-1, reference=0)
    np.testing.assert_allclose(stack.alignment.gains, gains, rtol=0.005)
    for frame in stack:
        assert np.abs(frame.astype(float) - stack[0]).mean() < 1
    unmatched = align_stack(frames, channel_axis=-1, reference=0, match_exposure=False)
    np.testing.assert_array_equal(unmatched.alignment.gains, 1)


def test_transforms_of_colour_frames_apply_to_gray_ones_and_the_reverse(colour_photo: np.ndarray) -> None:
    gains = np.array([[1, 1, 1], [0.8, 0.8, 0.8], [1, 1, 1]])
    colour = np.rint(colour_photo[100:292, 100:356] * 0.7 * gains[:, None, None]).astype(np.uint8)
    gray = colour[..., 1]
    for known, others, axis in (
        (align_stack(colour, channel_axis=-1, reference=0), gray, None),
        (align_stack(gray, reference=0), colour, -1),
    ):
        found = apply_alignment(others, known.alignment, channel_axis=axis)
        assert np.abs(found[1].astype(float) - found[0]).mean() < 1
    two = apply_alignment(colour, replace(known.alignment, gains=np.ones((3, 2))), channel_axis=-1)
    with pytest.raises(InputError, match="gains of 2 channels"):
        two[1]


def test_blur_is_no_exposure(scene: np.ndarray) -> None:
    from scipy import ndimage

    frames = [ndimage.gaussian_filter(scene.astype(float), s).clip(0, 255).astype(np.uint8) for s in (0, 3, 6)]
    np.testing.assert_allclose(align_stack(frames).alignment.gains, 1, atol=0.005)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64, np.bool_])
@pytest.mark.parametrize("channel_axis", [None, 0, -1])
def test_dtype_and_layout_are_kept(scene: np.ndarray, make: Make, dtype: Any, channel_axis: int | None) -> None:
    shades = make(scene, walk_of_three(), side=128).frames
    values = shades > 0.4 if dtype is np.bool_ else (shades * {np.uint8: 255, np.uint16: 60000}.get(dtype, 2000))
    frames = values.astype(dtype)
    if channel_axis is not None:
        frames = np.stack([frames] * 3, channel_axis if channel_axis < 0 else 1)
    stack = align_stack(frames, channel_axis=channel_axis, model="similarity")
    assert all(f.dtype == frames.dtype for f in stack)
    assert all((len(stack), *f.shape) == stack.shape for f in stack)
    if channel_axis is not None:
        assert stack[0].shape[channel_axis] == 3
    if np.issubdtype(dtype, np.floating):
        gain = stack.alignment.gains[0].max()
        assert frames[0].min() * (1 - 1e-6) <= stack[0].min() * gain
        assert stack[0].max() * gain <= frames[0].max() * (1 + 1e-6)
    difference = np.abs(stack[0].astype(float) - stack[1].astype(float)).mean() / np.ptp(frames.astype(float))
    before = np.abs(frames[0].astype(float) - frames[1].astype(float)).mean() / np.ptp(frames.astype(float))
    assert difference < before / 3


def test_alpha_moves_with_its_picture_and_has_no_gain(colour_photo: np.ndarray) -> None:
    alpha = np.zeros(colour_photo.shape[:2], np.uint8)
    alpha[150:250, 200:400] = 255
    whole = np.dstack([colour_photo, alpha])
    frames = [whole[10:310, 20:420], (whole[15:315, 24:424] * [0.8, 0.8, 0.8, 1]).astype(np.uint8)]
    stack = align_stack(frames, channel_axis=-1, reference=0)
    assert stack.alignment.gains.shape == (2, 3)
    assert np.abs(stack[0][..., 3].astype(float) - stack[1][..., 3])[8:-8, 8:-8].mean() < 1


def test_the_middle_frame_is_the_reference_and_untouched(focusing: Any) -> None:
    stack = align_stack(focusing.frames, border="mark")
    assert stack.alignment.reference == 6
    np.testing.assert_array_equal(stack[6], focusing.frames[6])
    other = align_stack(focusing.frames, reference=2)
    np.testing.assert_array_equal(other[2], focusing.frames[2][other.window])


@pytest.mark.parametrize("kind", ["list", "generator", "callable", "iterable", "dask"])
def test_any_source_of_frames(scene: np.ndarray, make: Make, kind: str) -> None:
    frames = make(scene, walk_of_three(), side=128).frames
    expected = np.stack(list(align_stack(frames)))

    class Once:
        def __iter__(self) -> Any:
            return iter(frames)

    sources: dict[str, Callable[[], Any]] = {
        "list": lambda: list(frames),
        "generator": lambda: (f for f in frames),
        "callable": lambda: lambda: iter(frames),
        "iterable": Once,
        "dask": lambda: pytest.importorskip("dask.array").from_array(frames, chunks=(1, -1, -1)),
    }
    stack = align_stack(sources[kind]())
    for _ in range(2):
        np.testing.assert_array_equal(np.stack(list(stack)), expected)
    np.testing.assert_array_equal(stack[0], expected[0])


def test_frames_are_read_one_at_a_time(scene: np.ndarray, make: Make) -> None:
    import weakref

    frames = make(scene, walk_of_five(), side=96).frames
    alive: list[weakref.ref[Any]] = []
    most = 0

    def read() -> Any:
        nonlocal most
        for values in np.concatenate([frames] * 4):
            fresh = values.copy()
            alive.append(weakref.ref(fresh))
            most = max(most, sum(ref() is not None for ref in alive))
            yield fresh
            del fresh

    for _ in align_stack(read):
        pass
    assert most <= 2


def test_progress_and_cancel(focusing: Any) -> None:
    seen: list[tuple[int, int, str]] = []
    align_stack(focusing.frames[:3], progress=lambda *told: seen.append(told))
    assert seen == [(n, 3, "frames") for n in (1, 2, 3)]
    with pytest.raises(Cancelled):
        align_stack(focusing.frames, cancel=lambda: len(seen) == 3)


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"model": "spline"}, "model"),
        ({"lock": "zoom"}, "lock"),
        ({"lock": 3}, "lock"),
        ({"lock": None}, "lock"),
        ({"lock": (1, 2)}, "lock"),
        ({"model": "translation", "lock": ("x", "y")}, "lock"),
        ({"border": "mirror"}, "border"),
        ({"interpolation": "nearest"}, "interpolation"),
        ({"reference": 12}, "reference"),
        ({"reference": -1}, "reference"),
        ({"match_exposure": "yes"}, "match_exposure"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(focusing: Any, options: dict[str, Any], argument: str) -> None:
    with pytest.raises(InputError) as caught:
        align_stack(focusing.frames, **options)
    assert caught.value.argument == argument


def test_frames_that_differ_are_refused(focusing: Any) -> None:
    with pytest.raises(InputError, match=r"stack\[1\]"):
        align_stack([focusing.frames[0], focusing.frames[1][:100]])
    with pytest.raises(InputError, match="no slices"):
        align_stack([])
    with pytest.raises(InputError, match="three or more dimensions"):
        align_stack(focusing.frames[0])


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (5, 7), (3, 200)])
def test_frames_too_small_to_align_come_back(shape: tuple[int, int]) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, *shape), dtype=np.uint8)
    stack = align_stack(frames, border="mark")
    assert isinstance(stack, AlignedStack)
    assert [np.shape(f) for f in stack] == [shape] * 3


def test_one_frame_alone(focusing: Any) -> None:
    stack = align_stack(focusing.frames[:1])
    np.testing.assert_array_equal(stack[0], focusing.frames[0])
    assert stack.alignment.correlation.shape == (0,)


def test_a_missing_opencv_is_named(focusing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(InputError, match="pip install opencv-python-headless"):
        align_stack(focusing.frames)


def test_floats_of_a_darker_frame_reach_the_reference(scene: np.ndarray, make: Make) -> None:
    """The kernel must not overshoot the frame, but matching its exposure may go beyond its own brightest value."""
    shades = make(scene, [STILL, (0.4, 0.3, 1, 0), STILL], side=128).frames.astype(np.float32)
    shades *= np.float32([1, 0.8, 1])[:, None, None]
    stack = align_stack(shades, reference=0)
    assert stack.alignment.gains[1] == pytest.approx(0.8, rel=0.01)
    brightest = shades[0] > 0.9
    np.testing.assert_allclose(stack[1][stack[0] > 0.9].mean(), shades[0][brightest].mean(), atol=0.01)
    assert stack[1].max() <= 1, "the unit range is kept"
    large = align_stack(3000 * shades, reference=0)
    assert large[1].max() == pytest.approx(3000 * shades[1].max() / large.alignment.gains[1, 0], rel=0.01)
    assert large[1].max() > 1.1 * 3000 * shades[1].max()


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("channel_axis", [None, -1, 0])
def test_what_a_masked_frame_hides_stays_hidden_and_misleads_nothing(
    scene: np.ndarray, make: Make, dtype: Any, channel_axis: int | None
) -> None:
    drift = make(scene, walk_of_three(), side=160)
    frames = (drift.frames * 3000).astype(dtype)
    missing = np.zeros(frames.shape, bool)
    missing[:, :, 60:100] = True  # a fixed bar, brighter than anything else, as a marker on the sensor is
    frames[missing] = 60_000
    if channel_axis is not None:
        axis = channel_axis if channel_axis < 0 else 1
        frames, missing = np.stack([frames] * 3, axis), np.stack([missing] * 3, axis)
    masked = [np.ma.MaskedArray(values, hidden) for values, hidden in zip(frames, missing, strict=True)]
    stack = align_stack(masked, channel_axis=channel_axis, model="similarity")
    assert drift.errors(stack.alignment.matrices).max() < 0.2
    for frame in stack:
        if dtype is np.uint16:
            assert isinstance(frame, np.ma.MaskedArray)
        known = np.ma.masked_invalid(frame)
        assert known.max() <= 4000
        hidden = np.ma.getmaskarray(known)
        assert 0.2 < hidden.mean() < 0.4
        if channel_axis is not None:
            assert (hidden == hidden.all(channel_axis, keepdims=True)).all()
