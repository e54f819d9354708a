"""The common area holds no invented pixel, marks are where frames end, and transforms survive as JSON."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from defocus_backend.align import Alignment, align_stack, alignment_needed, apply_alignment
from defocus_backend.align.area import common_window, covered_lines, covered_mask
from defocus_backend.errors import FileError, InputError

Make = Callable[..., Any]


def shifted(*shifts: tuple[float, float], shape: tuple[int, int] = (40, 60)) -> Alignment:
    matrices = np.stack([np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]]) for x, y in shifts])
    count = len(shifts)
    return Alignment(matrices, np.ones((count, 1)), np.ones(count - 1), shape, 0)


def test_common_area_of_shifted_frames() -> None:
    """A frame seen 5 px to the left is missing where x + 5 passes its last column; two pixels are the kernel's."""
    found = shifted((0, 0), (5, 0), (0, -3))
    assert found.crop == (slice(5, 38), slice(2, 53))
    mask = found.mask
    assert mask[found.crop].all()
    np.testing.assert_array_equal(mask, np.pad(np.ones((33, 51), bool), ((5, 2), (2, 7))))


def test_the_mask_is_where_every_source_pixel_exists() -> None:
    rng = np.random.default_rng(0)
    shape = (50, 70)
    rows, columns = np.mgrid[:50, :70]
    points = np.stack([columns, rows, np.ones(shape)])
    for _ in range(20):
        matrix = np.eye(3) + rng.normal(0, 0.02, (3, 3)) * [[1, 1, 200], [1, 1, 200], [0.02, 0.02, 0]]
        x, y, depth = np.tensordot(matrix, points, 1)
        x, y = x / depth, y / depth
        expected = (x >= 2) & (x <= 67) & (y >= 2) & (y <= 47)
        found = covered_mask(covered_lines(matrix, shape, 2), shape)
        assert (found != expected).sum() <= 1  # a pixel exactly on the line
        window = common_window(covered_lines(matrix, shape, 2), shape)
        assert window is not None
        assert expected[window].all()
        assert expected[window].size > 0.75 * expected.sum()


def test_no_invented_pixel_within_the_common_area(scene: np.ndarray, make: Make) -> None:
    """What lies just outside the frames must not matter: frames in a dark surround and in a light one are alike."""
    motions = [(3.3 * n, -2.1 * n, 1.01**n, 0.01 * n) for n in range(3)]
    drift = make(scene, motions, side=128)
    found = Alignment(drift.matrices, np.ones((3, 1)), np.ones(2), (128, 128), 1)
    assert found.crop is not None
    whole = []
    for surround in (0.2, 0.7):  # within the values of every frame, to which results are clipped
        padded = np.pad(drift.frames, ((0, 0), (20, 20), (20, 20)), constant_values=surround)
        shift = np.array([[1, 0, 20], [0, 1, 20], [0, 0, 1.0]])
        moved = np.stack([shift @ m @ np.linalg.inv(shift) for m in drift.matrices])
        stack = apply_alignment(padded, Alignment(moved, np.ones((3, 1)), np.ones(2), (168, 168), 1), border="mark")
        rows, columns = (slice(s.start + 20, s.stop + 20) for s in found.crop)
        whole.append(np.stack([f[rows, columns] for f in stack]))
    np.testing.assert_array_equal(*whole)
    # OpenCV counts positions in float32: 1e-5 px between the two ways to cut the same window. Before release 5 it also
    # rounds them to 1/32 px.
    atol = 1e-4 if int(cv2.__version__.split(".")[0]) >= 5 else 0.03
    np.testing.assert_allclose(np.stack(list(apply_alignment(drift.frames, found))), whole[0], atol=atol)


def test_marked_borders(scene: np.ndarray) -> None:
    frames = np.stack([scene[n : n + 100, 50 : 50 + 120] for n in (0, 6, 12)])
    floats = align_stack(frames / 255.0, border="mark", model="translation")
    assert np.isnan(floats[2]).any()
    np.testing.assert_array_equal(np.isnan(floats[2]), ~floats.alignment.covered(2))
    assert not np.isnan(floats[1]).any()
    marked = align_stack(frames, border="mark", model="translation")
    assert [np.shape(f) for f in marked] == [(100, 120)] * 3
    np.testing.assert_array_equal(np.ma.getmaskarray(marked[2]), ~marked.alignment.covered(2))
    assert marked[2].dtype == np.uint8
    seen = [image.valid for image in marked.images()]
    assert seen[1] is None
    np.testing.assert_array_equal(np.asarray(seen[2]), marked.alignment.covered(2))


def test_marked_colour_frames_reach_the_fusion(colour_photo: np.ndarray) -> None:
    frames = np.stack([colour_photo[n : n + 100, 50 : 50 + 120] for n in (0, 6, 12)])
    for axis, moved in ((-1, frames), (0, np.moveaxis(frames, -1, 1))):
        marked = align_stack(moved, channel_axis=axis, border="mark", model="translation")
        valid = [image.valid for image in marked.images()][2]
        np.testing.assert_array_equal(np.asarray(valid), marked.alignment.covered(2))


def test_missing_pixels_stay_missing_and_spread_no_further_than_the_kernel(scene: np.ndarray, make: Make) -> None:
    drift = make(scene, [(0, 0, 1, 0), (2.5, 1.5, 1, 0)], side=128)
    frames = drift.frames.copy()
    frames[1, 60:64, 60:64] = np.nan
    stack = align_stack(frames, reference=0, border="mark", model="translation")
    lost = np.isnan(stack[1]) & stack.alignment.covered(1)
    assert lost[59:61, 58:60].all()
    assert 16 <= lost.sum() <= 14**2
    clean = apply_alignment(drift.frames, stack.alignment, border="mark")[1]
    kept = ~lost & stack.alignment.covered(1)
    np.testing.assert_allclose(stack[1][kept], clean[kept], atol=1e-6)


def test_frames_without_a_common_area_are_refused_or_marked() -> None:
    apart = shifted((0, 0), (50, 0), (-50, 0))
    assert apart.crop is None
    assert not apart.mask.any()
    frames = np.zeros((3, 40, 60), np.uint8)
    with pytest.raises(InputError, match="common area"):
        apply_alignment(frames, apart)
    assert len(list(apply_alignment(frames, apart, border="mark"))) == 3


def test_json_round_trip(focusing: Any, tmp_path: Path) -> None:
    stack = align_stack(focusing.frames, lock="rotation", border="mark")
    frames = focusing.frames.copy()
    frames[3] = 0
    for found in (stack.alignment, align_stack(frames).alignment):
        found.save(tmp_path / "found.json")
        again = Alignment.load(tmp_path / "found.json")
        for name in ("matrices", "gains", "correlation"):
            np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
        for name in ("shape", "reference", "model", "lock", "failed", "warnings", "interpolation", "crop"):
            assert getattr(again, name) == getattr(found, name), name
    np.testing.assert_array_equal(
        np.stack(list(apply_alignment(focusing.frames, stack.alignment, border="mark"))), np.stack(list(stack))
    )


def test_other_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError):
        Alignment.load(tmp_path / "absent.json")
    good = shifted((0, 0), (1, 1)).to_json()
    assert len(Alignment.from_json(good)) == 2
    for bad in ("", "[]", "{}", good.replace("alignment 1", "alignment 2"), good.replace("[1.0, 0.0, 0.0]", "[1.0]")):
        with pytest.raises(InputError) as caught:
            Alignment.from_json(bad)
        assert caught.value.argument == "alignment"


def test_an_alignment_of_another_stack_is_refused() -> None:
    known = shifted((0, 0), (1, 1))
    for frames in (np.zeros((3, 40, 60)), np.zeros((2, 40, 61))):
        with pytest.raises(InputError, match="as in the alignment"):
            apply_alignment(frames, known)


def test_whether_alignment_is_needed(scene: np.ndarray, make: Make) -> None:
    still = make(scene, [(0, 0, 1, 0)] * 4, noise=0.02)
    verdict = alignment_needed(still.frames)
    assert not verdict.needed
    assert "at most" in verdict.reason
    # Neighbours move a tenth of a pixel, which only the pairs far apart can show.
    creeping = make(scene, [(0.1 * n, 0, 1, 0) for n in range(40)], side=96)
    assert alignment_needed(creeping.frames).needed
    # In so small a picture a thousandth moves nothing by half a pixel; a hundredth does.
    assert not alignment_needed(make(scene, [(0, 0, 1.001**n, 0) for n in range(2)]).frames).needed
    breathing = alignment_needed(make(scene, [(0, 0, 1.01**n, 0) for n in range(2)]).frames)
    assert breathing.needed
    assert "scale +1.0" in breathing.reason
    blank = alignment_needed(np.zeros((5, 64, 64), np.uint8))
    assert (blank.needed, blank.reason) == (False, "no two frames are similar enough to compare")
    assert not alignment_needed(still.frames[:1]).needed
