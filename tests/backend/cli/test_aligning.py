"""`defocus fuse --align`: what auto decides and says, the files of an alignment, and what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import Result

pytest.importorskip("cv2")

from defocus_backend.align import Alignment
from defocus_backend.io import read_image, write_image

Invoke = Callable[..., Result]
SHIFTS = ((0, 0), (3, 2), (5, 6))
GAINS = [1, 0.7, 1, 1.3, 0.8]


@pytest.fixture
def moving(tmp_path: Path, photo: np.ndarray) -> list[Path]:
    """Three pictures of one scene, the window of each further to the right and down."""
    folder = tmp_path / "moving"
    folder.mkdir()
    paths = [folder / f"step_{n}.png" for n in range(3)]
    for (x, y), path in zip(SHIFTS, paths, strict=True):
        write_image(path, photo[100 + y : 196 + y, 150 + x : 278 + x])
    return paths


def test_auto_aligns_what_moves_and_says_why(defocus: Invoke, moving: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--transforms", out / "t.json", "--export-aligned", out / "frames", "--out", out)
    result = defocus("fuse", *moving, "--json")
    assert result.exit_code == 0, result.output
    assert "2 of 3 frames are displaced" in result.stderr
    assert json.loads(result.stdout)["alignment"]["aligned"] is True
    result = defocus("fuse", *moving, "--align", "translation", "--json", *options)
    assert result.exit_code == 0, result.output
    found = Alignment.load(out / "t.json")
    for number, (x, y) in enumerate(SHIFTS):
        np.testing.assert_allclose(found.matrices[number][:2, 2], [3 - x, 2 - y], atol=0.05)
    frames = [read_image(out / "frames" / f"step_{n}_aligned.png").array for n in range(3)]
    assert all(np.abs(f.astype(int) - frames[1]).mean() < 1 for f in frames)
    assert read_image(out / "step_fused.png").array.shape == frames[0].shape
    facts = json.loads(result.stdout)["alignment"]
    assert facts["rows"][1] - facts["rows"][0] == frames[0].shape[0]
    again = defocus("fuse", *moving, "--apply-transforms", out / "t.json", "--out", tmp_path / "again", "--quiet")
    assert (again.exit_code, again.output) == (0, "")
    np.testing.assert_array_equal(
        read_image(tmp_path / "again" / "step_fused.png").array, read_image(out / "step_fused.png").array
    )


def test_marked_borders_keep_the_size_of_the_reference(defocus: Invoke, moving: list[Path], tmp_path: Path) -> None:
    result = defocus("fuse", *moving, "--border", "mark", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    fused = read_image(tmp_path / "out" / "step_fused.png").array
    assert fused.shape == (96, 128)
    # Where only the middle frame, the reference, has pixels, they are its own: the first frame ends 3 px before the
    # right border and 2 px before the lower one, the last begins 2 px after the left border and 4 px after the upper.
    own = read_image(moving[1]).array
    np.testing.assert_array_equal(fused[:4, -3:], own[:4, -3:])
    np.testing.assert_array_equal(fused[-2:, :2], own[-2:, :2])


def test_exported_frames_with_marked_borders_are_read_back(defocus: Invoke, photo: np.ndarray, tmp_path: Path) -> None:
    paths = [tmp_path / f"step_{n}.png" for n in range(3)]
    for n, path in enumerate(paths):
        write_image(path, photo[100 + 8 * n : 196 + 8 * n, 150 + 12 * n : 278 + 12 * n])
    marked = ("--align", "translation", "--border", "mark", "--export-aligned", tmp_path / "frames")
    result = defocus("fuse", *paths, *marked, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    files = [tmp_path / "frames" / f"step_{n}_aligned.png" for n in range(3)]
    frames = np.stack([read_image(path).array for path in files])
    assert frames.shape == (3, 96, 128, 2)
    there = frames[..., 1] > 0
    assert there[1].all()
    # Interpolation may cost the outermost row or column of a frame that moved.
    assert 83 * 115 < there[0].sum() <= 88 * 116
    assert 83 * 115 < there[2].sum() <= 88 * 116
    result = defocus("fuse", *files, "--align", "off", "--out", tmp_path / "again")
    assert result.exit_code == 0, result.output
    fused = read_image(tmp_path / "out" / "step_fused.png").array
    again = read_image(next((tmp_path / "again").glob("*_fused.png"))).array
    assert (again[..., 1] == 255).all()
    alone = there.sum(0) == 1
    assert alone.sum() > 2 * 7 * 11
    for image in (fused, again[..., 0]):
        np.testing.assert_array_equal(image[alone], frames[1, ..., 0][alone])
    # No pixel comes from a frame that does not have it.
    index = tifffile.imread(next((tmp_path / "again").glob("*_index.tif")))
    assert np.take_along_axis(there, index[None].astype(int), 0).all()


def test_pages_of_one_file_and_still_pictures_are_left_alone(
    defocus: Invoke, moving: list[Path], slices: list[Path], tmp_path: Path
) -> None:
    pages = tmp_path / "pages.tif"
    tifffile.imwrite(pages, np.stack([read_image(p).array for p in moving]), photometric="minisblack")
    for files, words in (([pages], "pages of one file"), (slices, "not aligned: corners move by at most")):
        result = defocus("fuse", *files, "--out", tmp_path / "out")
        assert result.exit_code == 0, result.output
        assert words in result.stderr
    off = defocus("fuse", *moving, "--align", "off", "--out", tmp_path / "off", "--method", "mean", weights=False)
    assert off.exit_code == 0, off.output
    assert read_image(tmp_path / "off" / "step_fused.png").array.shape == (96, 128)


def test_a_frame_that_cannot_be_aligned_is_told(defocus: Invoke, moving: list[Path], tmp_path: Path) -> None:
    write_image(moving[2], np.full((96, 128), 90, np.uint8))
    result = defocus("fuse", *moving, "--align", "similarity", "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    assert "warning: frame 2: no reliable link" in result.stderr
    assert json.loads(result.stdout)["alignment"]["failed"] == [2]


def test_without_opencv_auto_goes_on_and_a_wish_is_refused(
    defocus: Invoke, moving: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    result = defocus("fuse", *moving, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "pip install opencv-python-headless" in result.stderr
    result = defocus("fuse", *moving, "--align", "affine", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "pip install opencv-python-headless" in result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--lock", "zoom"), "--lock: got 'zoom'"),
        (("--align", "off", "--transforms", "t.json"), "--align"),
        (("--align", "off", "--apply-transforms", "t.json"), "--align: got this option with apply_transforms"),
        (("--align", "affine", "--apply-transforms", "t.json"), "--align: got this option with apply_transforms"),
        (("--lock", "scale", "--apply-transforms", "t.json"), "--lock"),
        (("--no-match-exposure", "--apply-transforms", "t.json"), "--no-match-exposure"),
        (("--apply-transforms", "absent.json"), "absent.json: cannot be read"),
        (("--method", "mean", "--border", "mark"), "--border"),
        (("--align", "off", "--lock", "scale"), "--lock: got this option with align off"),
        (("--align", "off", "--interpolation", "lanczos"), "--interpolation: got this option with align off"),
        (("--align", "off", "--border", "mark"), "--border: got this option with align off"),
    ],
)
def test_refusals(defocus: Invoke, moving: list[Path], options: tuple[str, ...], words: str) -> None:
    result = defocus("fuse", *moving, *options, weights="--method" not in options)
    assert result.exit_code == 2
    assert words in result.stderr
    assert {p.name for p in moving[0].parent.iterdir()} == {p.name for p in moving}


@pytest.fixture
def flickering(tmp_path: Path, photo: np.ndarray) -> list[Path]:
    """Five photographs of one scene under a lamp that flickers."""
    folder = tmp_path / "lamp"
    folder.mkdir()
    paths = [folder / f"lamp_{n}.png" for n in range(5)]
    for gain, path in zip(GAINS, paths, strict=True):
        write_image(path, np.rint(0.6 * gain * photo[100:228, 150:310]).astype(np.uint8))
    return paths


@pytest.mark.parametrize("align", ["off", "auto"])
def test_brightness_is_matched_without_alignment(
    defocus: Invoke, flickering: list[Path], tmp_path: Path, align: str
) -> None:
    result = defocus("fuse", *flickering, "--align", align, "--out", tmp_path / "out", "--json", "--audit")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert facts["alignment"]["aligned"] is False
    np.testing.assert_allclose(facts["gains"], GAINS, rtol=0.02)
    assert "brightness: 3 of 5 slices matched, gains 0.70 to 1.30" in result.stderr
    # The frames are one picture: at equal brightness nothing is left to choose between, lose or make up.
    fused = read_image(tmp_path / "out" / "lamp_fused.png").array.astype(int)
    assert np.abs(fused - read_image(flickering[0]).array).max() <= 2
    assert (facts["audit"]["soft"], facts["audit"]["made_up"], facts["audit"]["outside"]) == (0, 0, 0)
    assert read_image(tmp_path / "out" / "lamp_audit.tif").array.shape == fused.shape
    result = defocus("fuse", *flickering, "--align", align, "--no-match-exposure", "--out", tmp_path / "raw", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["gains"] is None


def test_an_aligned_stack_is_matched_once(defocus: Invoke, flickering: list[Path], tmp_path: Path) -> None:
    result = defocus("fuse", *flickering, "--align", "translation", "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    gains = np.array(json.loads(result.stdout)["gains"])
    np.testing.assert_allclose(gains / gains[0], GAINS, rtol=0.02)
    assert "brightness" not in result.stderr


def test_a_microscopes_slices_are_matched_only_if_asked(
    defocus: Invoke, flickering: list[Path], tmp_path: Path
) -> None:
    pages = tmp_path / "pages.tif"
    tifffile.imwrite(pages, np.stack([read_image(p).array for p in flickering]), photometric="minisblack")
    for options, gains in (((), None), (("--match-exposure",), pytest.approx(GAINS, rel=0.02))):
        result = defocus("fuse", pages, "--out", tmp_path / "out", "--json", *options)
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["gains"] == gains


def test_hot_pixels_leave_no_trail_in_what_is_aligned(defocus: Invoke, moving: list[Path], tmp_path: Path) -> None:
    hot = [(20, 30), (50, 90), (70, 40)]
    for path in moving:
        frame = read_image(path).array.copy() // 2
        frame[tuple(np.transpose(hot))] = 255
        write_image(path, frame)
    result = defocus("fuse", *moving, "--json", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "repaired: 3 hot or dead pixels" in result.stderr
    assert json.loads(result.stdout)["repaired_pixels"] == 3
    assert read_image(tmp_path / "out" / "step_fused.png").array.max() < 160
    kept = defocus("fuse", *moving, "--json", "--no-repair-pixels", "--out", tmp_path / "kept")
    assert "repaired_pixels" not in json.loads(kept.stdout)
    assert read_image(tmp_path / "kept" / "step_fused.png").array.max() > 200


def test_a_flat_frame_is_divided_by(defocus: Invoke, moving: list[Path], tmp_path: Path) -> None:
    x = np.linspace(-1, 1, 128)
    flat = np.broadcast_to(200 * (1 - 0.4 * x**2), (96, 128))
    write_image(tmp_path / "flat.png", flat.astype(np.uint8))
    still = read_image(moving[0]).array * (flat / 200)  # one picture in all frames: no decision changes the result
    for path in moving:
        write_image(path, still.astype(np.uint8))
    options = ("--align", "off", "--quiet", "--flat-frame", tmp_path / "flat.png")
    assert defocus("fuse", *moving, *options, "--out", tmp_path / "flatted").exit_code == 0
    assert defocus("fuse", *moving, *options[:3], "--out", tmp_path / "shaded").exit_code == 0
    flatted, shaded = (
        read_image(tmp_path / name / "step_fused.png").array.astype(float) for name in ("flatted", "shaded")
    )
    ratio = (shaded.mean(0) / flatted.mean(0))[8:-8]
    np.testing.assert_allclose(ratio, flat[0, 8:-8] / np.median(flat), atol=0.01)


def test_a_frame_that_does_not_belong_is_left_out_and_the_rest_keeps_its_numbers(
    defocus: Invoke, moving: list[Path], photo: np.ndarray, tmp_path: Path
) -> None:
    still = [moving[0].with_name(f"still_{n}.png") for n in range(4)]
    for path in still:
        write_image(path, read_image(moving[0]).array)
    write_image(still[1], photo[100:196, 150:278][::-1, ::-1])
    result = defocus("fuse", *still, "--json", "--height", "--cull", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert "left out: frame 1 (shows something else)" in result.stderr
    assert facts["left_out"] == [{"frame": 1, "reason": "shows something else"}]
    assert facts["alignment"]["aligned"] is False
    index = tifffile.imread(tmp_path / "out" / "still_index.tif")
    assert not (index == 1).any()
    assert set(np.unique(index)) <= {0, 2, 3}
    kept = defocus("fuse", *still, "--json", "--keep-all", "--out", tmp_path / "kept")
    assert "left_out" not in json.loads(kept.stdout)


def test_a_bumped_frame_is_left_out_where_frames_are_not_aligned(
    defocus: Invoke, photo: np.ndarray, tmp_path: Path
) -> None:
    pages = np.stack([photo[100 + d : 196 + d, 150 - d : 278 - d] for d in (0, 0, 0, 6, 0, 0)])
    tifffile.imwrite(tmp_path / "stack.tif", pages, photometric="minisblack")
    result = defocus("fuse", tmp_path / "stack.tif", "--json", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert [out["frame"] for out in json.loads(result.stdout)["left_out"]] == [3]
