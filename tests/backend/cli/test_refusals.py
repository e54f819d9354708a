"""What the command line refuses: exit code 2, one line, and the folder as it was."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from defocus_backend.io import read_image, write_image, write_map

Invoke = Callable[..., Result]


def names(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


def refused(result: Result, *words: object) -> None:
    """Exit code 2, nothing on stdout, and one line on stderr that names what is wrong."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("defocus: ")
    for word in words:
        assert str(word) in result.stderr


class TestRefusals:
    def test_damaged_foreign_and_missing_weights(self, defocus: Invoke, picture: Path, tmp_path: Path) -> None:
        from safetensors.numpy import save_file

        before = names(picture.parent)
        (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0")
        save_file({"a": np.zeros(3)}, tmp_path / "foreign.safetensors")
        for name in ("cut.safetensors", "foreign.safetensors", "absent.safetensors", "weights.pt"):
            refused(defocus("map", picture, "--weights", tmp_path / name, weights=False), "weights", name)
        assert names(picture.parent) == before

    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
    @pytest.mark.parametrize("command", ["map", "sharpen", "shallow", "fuse"])
    def test_truncated_pictures(self, defocus: Invoke, tmp_path: Path, suffix: str, command: str) -> None:
        path = tmp_path / f"cut{suffix}"
        write_image(path, np.random.default_rng(0).integers(0, 255, (60, 60, 3), dtype=np.uint8))
        path.write_bytes(path.read_bytes()[:400])
        refused(defocus(command, path), path)
        assert names(tmp_path) == {path.name}

    def test_pictures_that_are_absent_or_of_unknown_formats(self, defocus: Invoke, tmp_path: Path) -> None:
        (tmp_path / "a.xyz").write_bytes(b"GIF89a")
        for command in ("map", "fuse"):
            refused(defocus(command, tmp_path / "a.xyz"), "a.xyz", ".png", ".tif")
            refused(defocus(command, tmp_path / "none.png"), "none.png")
        refused(defocus("map", tmp_path), tmp_path)
        assert names(tmp_path) == {"a.xyz"}

    def test_slices_that_differ(self, defocus: Invoke, slices: list[Path], picture: Path) -> None:
        before = names(picture.parent)
        refused(defocus("fuse", *slices, picture), picture, "80x64 px RGB", "80x64 px gray uint16")
        refused(defocus("fuse", slices[0]), "one picture")
        assert names(picture.parent) == before

    def test_map_of_another_size(self, defocus: Invoke, picture: Path, tmp_path: Path) -> None:
        write_map(tmp_path / "mine.tif", np.zeros((64, 79)))
        given = ("--map", tmp_path / "mine.tif")
        refused(defocus("sharpen", picture, *given, weights=False), "mine.tif", "79x64", "80x64")
        refused(defocus("sharpen", picture, picture, *given, weights=False), "--map: got 2 pictures")
        refused(defocus("shallow", picture, "--map", picture, weights=False), "not a map")
        assert names(picture.parent) == {"photo.png"}

    @pytest.mark.parametrize(
        "option",
        [
            ("--weights", "blurnet"),
            ("--map-method", "blurnet"),
            ("--refine-radius", 9),
            ("--no-refine",),
            ("--precision", "float32"),
            ("--tile", 256),
            ("--colours", 0, 9),
        ],
    )
    def test_how_a_map_is_made_where_one_is_given(
        self, defocus: Invoke, picture: Path, tmp_path: Path, option: tuple[object, ...]
    ) -> None:
        write_map(tmp_path / "mine.tif", np.zeros((64, 80)))
        for command in (("sharpen",), ("shallow",), ("shallow", "--method", "lens")):
            result = defocus(*command, picture, "--map", tmp_path / "mine.tif", *option, weights=False)
            refused(result, f"{option[0]}: got this option with a map")
        assert names(picture.parent) == {"photo.png"}

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            (("--benchmark", "--per-photo", 12), "--per-photo: got this option with --benchmark"),
            (("--scenes", 2), "--scenes: got this option without --benchmark"),
            (("--seed", 0), "--seed: got this option without --benchmark"),
            (("--out", "a.md"), "--out: got this option without --benchmark"),
        ],
    )
    def test_options_of_the_other_evaluation(
        self, defocus: Invoke, photos: Path, given: tuple[object, ...], words: str
    ) -> None:
        refused(defocus("evaluate", "blurnet", "--photos", photos, *given, weights=False), words)

    def test_targets_that_cannot_be_written(self, defocus: Invoke, slices: list[Path], tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        before = names(tmp_path)
        for command in (("map", slices[0]), ("fuse", *slices), ("demo",)):
            started = time.perf_counter()
            refused(defocus(*command, "--out", tmp_path / "file"), tmp_path / "file", "not a folder")
            assert time.perf_counter() - started < 5, "found before the work, not after it"
        blocked = tmp_path / "moss_fused.tif"
        blocked.mkdir()
        refused(defocus("fuse", *slices, "--quiet", "--out", tmp_path), blocked)
        assert names(tmp_path) == before | {blocked.name}

    @pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
    def test_folder_without_permission(self, defocus: Invoke, picture: Path) -> None:
        picture.parent.chmod(0o500)
        try:
            refused(defocus("map", picture), "Permission denied")
        finally:
            picture.parent.chmod(0o700)

    def test_results_never_replace_inputs(self, defocus: Invoke, picture: Path) -> None:
        mask = picture.with_name("photo_in_focus.png")
        write_image(mask, read_image(picture).array)
        refused(defocus("map", picture, mask, "--threshold", 2), mask, "input")
        assert names(picture.parent) == {"photo.png", "photo_in_focus.png"}

    def test_earlier_results_that_a_pattern_takes_along_are_left_out(self, defocus: Invoke, picture: Path) -> None:
        assert defocus("map", picture).exit_code == 0
        before = names(picture.parent)
        again = defocus("map", *sorted(picture.parent.glob("*.png")), "--quiet")
        assert again.exit_code == 0
        assert again.stderr.startswith("defocus: warning: ")
        assert "photo_sigma.png: left out, an earlier result" in again.stderr
        assert names(picture.parent) == before

    def test_two_results_of_one_name(self, defocus: Invoke, picture: Path, tmp_path: Path) -> None:
        other = tmp_path / "photo.png"
        write_image(other, read_image(picture).array)
        refused(defocus("map", picture, other, "--out", tmp_path / "out"), "two results")
        assert not (tmp_path / "out").exists()

    def test_formats_that_cannot_hold_the_result(self, defocus: Invoke, slices: list[Path]) -> None:
        refused(defocus("sharpen", slices[0], "--format", "jpg"), "uint16", ".jpg")
        assert names(slices[0].parent) == {p.name for p in slices}

    def test_parameters_out_of_range(self, defocus: Invoke, picture: Path) -> None:
        result = defocus("map", picture, "--refine-radius", 0)
        assert result.exit_code == 2
        assert "--refine-radius" in result.stderr
        refused(defocus("shallow", picture, "--sharp-below", 8), "--sharp-below", "blur_above")
        refused(defocus("map", picture, "--device", "toaster"), "device", "toaster", "cuda")
        assert names(picture.parent) == {"photo.png"}

    def test_training(self, defocus: Invoke, photos: Path, tmp_path: Path) -> None:
        empty = tmp_path / "empty"
        empty.mkdir()
        out = tmp_path / "a.safetensors"
        before = names(tmp_path)
        refused(defocus("train", empty, "--out", out, weights=False), "no picture")
        refused(defocus("train", photos, "--out", tmp_path / "a.pt", weights=False), ".safetensors")
        Image.new("L", (200, 200), 90).save(empty / "flat.png")
        refused(defocus("train", empty, "--out", out, weights=False), "sharp photographs")
        (empty / "flat.png").write_bytes(b"nonsense")
        refused(defocus("train", empty, "--out", out, weights=False), "flat.png")
        (empty / "flat.png").unlink()
        refused(defocus("train", photos, "--out", photos / "a.png" / "b.safetensors", weights=False), "a.png")
        refused(defocus("train", photos, "--out", out, "--val", empty, weights=False), "no picture")
        refused(defocus("evaluate", out, "--photos", photos, weights=False), "does not exist")
        assert names(tmp_path) == before
