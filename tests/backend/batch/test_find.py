"""Which files are a stack, in which order, and what it is called."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from defocus_backend.batch.find import Finder
from defocus_backend.errors import InputError
from defocus_backend.io.folders import natural_order


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4)).save(path)
    return path


def pages(path: Path, count: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.zeros((count, 4, 4), np.uint8), photometric="minisblack")
    return path


def found(*roots: Path, **options: object) -> dict[str, list[str]]:
    stacks, _ = Finder(roots, **options).scan()  # type: ignore[arg-type]
    return {stack.name: [path.name for path in stack.files] for stack in stacks}


def test_numbers_in_names_order_the_slices(tmp_path: Path) -> None:
    for n in (10, 9, 100):
        picture(tmp_path / "moss" / f"z{n}.png")
    assert found(tmp_path) == {"moss": ["z9.png", "z10.png", "z100.png"]}
    assert sorted(["b2", "B10", "a"], key=natural_order) == ["a", "b2", "B10"]


def test_every_folder_and_every_paged_file_is_a_stack(tmp_path: Path) -> None:
    for path in ("a/1.jpg", "a/2.jpg", "a/deep/1.png", "a/deep/2.png", ".hidden/1.png", ".hidden/2.png"):
        picture(tmp_path / path)
    pages(tmp_path / "b" / "cells.tif", 3)
    (tmp_path / "a" / "notes.txt").write_text("?")
    assert found(tmp_path) == {"a": ["1.jpg", "2.jpg"], "a_deep": ["1.png", "2.png"], "b_cells": ["cells.tif"]}


def test_zarr_folders_and_microscopes_files_are_stacks_of_their_own(tmp_path: Path) -> None:
    for path in ("day/cells.ome.zarr/0/0.png", "day/cells.ome.zarr/0/1.png", "day/preview.png"):
        picture(tmp_path / path)
    (tmp_path / "day" / "plate.czi").write_bytes(b"?")
    stacks = {"day_cells": ["cells.ome.zarr"], "day_plate": ["plate.czi"]}
    assert found(tmp_path) == stacks
    assert found(tmp_path / "day" / "cells.ome.zarr") == {"cells": ["cells.ome.zarr"]}
    assert found(tmp_path, singles=True) == {"day_preview": ["preview.png"]}


def test_what_is_no_stack_is_left_out_with_a_reason(tmp_path: Path) -> None:
    picture(tmp_path / "overview.png")
    picture(tmp_path / "plate" / "label.jpg")
    pages(tmp_path / "plate" / "well.tif", 2)
    pages(tmp_path / "one" / "page.tif", 1)
    stacks, left = Finder([tmp_path]).scan()
    assert [stack.name for stack in stacks] == ["plate_well"]
    assert {item.path.name: item.why for item in left} == {
        "overview.png": "a single picture; a stack has two or more",
        "label.jpg": "a single picture beside stacks of many pages",
        "page.tif": "a single picture; a stack has two or more",
    }


def test_file_types_of_one_folder_are_not_mixed(tmp_path: Path) -> None:
    for path in ("s/1.jpg", "s/2.JPEG", "s/1.png", "s/2.png"):
        picture(tmp_path / path)
    assert found(tmp_path) == {"s": ["1.jpg", "2.JPEG"], "s_png": ["1.png", "2.png"]}
    assert found(tmp_path, pattern="*.png") == {"s": ["1.png", "2.png"]}


def test_the_folder_of_the_results_is_not_searched(tmp_path: Path) -> None:
    for path in ("s/1.jpg", "s/2.jpg", "out/s/1.jpg", "out/s/2.jpg", "earlier/s/1.jpg", "earlier/s/2.jpg"):
        picture(tmp_path / path)
    (tmp_path / "earlier" / "s" / "batch.json").write_text("{}")
    assert set(found(tmp_path, skip=[tmp_path / "out"])) == {"s"}


def test_names_tell_several_roots_apart(tmp_path: Path) -> None:
    for path in ("day1/raw/s/1.png", "day1/raw/s/2.png", "day2/raw/s/1.png", "day2/raw/s/2.png"):
        picture(tmp_path / path)
    assert set(found(tmp_path / "day1" / "raw", tmp_path / "day2" / "raw")) == {"day1_raw_s", "day2_raw_s"}
    assert set(found(tmp_path / "day1" / "raw" / "s")) == {"s"}
    assert set(found(tmp_path / "day1", tmp_path / "day1" / "raw")) == {"raw_s"}


def test_roots_on_several_drives_share_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("c/s/1.png", "c/s/2.png", "d/t/1.png", "d/t/2.png"):
        picture(tmp_path / path)

    def refuse(_: object) -> str:
        raise ValueError("Paths don't have the same drive")

    monkeypatch.setattr(os.path, "commonpath", refuse)
    assert set(found(tmp_path / "c", tmp_path / "d")) == {"s", "t"}


def test_long_names_are_cut_and_stay_different(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["ä" * 60] * 3)  # 120 bytes each
    for path in ("s/1.png", "s/2.png", "t/1.png", "t/2.png"):
        picture(deep / path)
    names = list(found(tmp_path))
    assert len(set(names)) == 2
    for name in names:
        assert len(name.encode()) <= 150
        assert name.startswith("ä" * 60 + "_ä")
    assert list(found(tmp_path)) == names


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_can_be_printed_though_the_files_cannot(tmp_path: Path) -> None:
    for path in (b"pl\xe4tze/1.png", b"pl\xe4tze/2.png"):
        picture(tmp_path / os.fsdecode(path))
    (stack,), _ = Finder([tmp_path]).scan()
    assert stack.name == "pl_tze"
    assert os.fsencode(stack.files[0].parent.name) == b"pl\xe4tze"
    assert list(found(stack.files[0].parent)) == ["pl_tze"]


def test_equal_names_are_made_unequal(tmp_path: Path) -> None:
    for path in ("a_b/1.png", "a_b/2.png", "a/b/1.png", "a/b/2.png"):
        picture(tmp_path / path)
    pages(tmp_path / "a" / "b.tif", 2)
    names = list(found(tmp_path))
    assert len(names) == len(set(names)) == 3


def test_a_stack_keeps_its_name_while_others_arrive(tmp_path: Path) -> None:
    for path in ("b_c/1.png", "b_c/2.png"):
        picture(tmp_path / path)
    finder = Finder([tmp_path])
    before = finder.scan()[0][0]
    for path in ("b/c/1.png", "b/c/2.png"):  # sorts first and would have the same name
        picture(tmp_path / path)
    after = {stack.files[0].parent: stack.name for stack in finder.scan()[0]}
    assert after[before.files[0].parent] == before.name
    assert len(set(after.values())) == 2


class TestGroupBy:
    def test_groups_name_the_stack_and_order_its_slices(self, tmp_path: Path) -> None:
        for name in ("A01_z2.png", "A01_z10.png", "B02_z1.png", "B02_z3.png", "other.png"):
            picture(tmp_path / name)
        options = {"group_by": r"(?P<stack>[A-H]\d+)_z(?P<slice>\d+)"}
        assert found(tmp_path, **options) == {
            "A01": ["A01_z2.png", "A01_z10.png"],
            "B02": ["B02_z1.png", "B02_z3.png"],
        }
        _, left = Finder([tmp_path], **options).scan()
        assert [item.path.name for item in left] == ["other.png"]

    def test_groups_may_be_numbered_and_may_reach_into_folders(self, tmp_path: Path) -> None:
        for name in ("z1/field3.png", "z2/field3.png", "z1/field4.png", "z2/field4.png"):
            picture(tmp_path / name)
        assert set(found(tmp_path, group_by=r"z\d+/(field\d+)")) == {"field3", "field4"}
        slices, _ = Finder([tmp_path], group_by=r"(?P<slice>z\d+)/(?P<stack>field3)").scan()
        assert [path.parent.name for path in slices[0].files] == ["z1", "z2"]

    @pytest.mark.parametrize(
        "heights",
        [
            ["-2", "-1", "0", "1", "+2"],
            [".25", ".5", ".75"],
            ["-1.5", "-0.25", "2e-06", "1", "10"],
            ["20991231235959000001", "20991231235959000002"],  # a float has too few digits
            ["1_0", "1_2", "1_10", "2_0"],  # no number to us
        ],
    )
    def test_numbers_order_the_slices_by_their_value(self, tmp_path: Path, heights: list[str]) -> None:
        for height in heights:
            picture(tmp_path / f"a z{height}.png")
        names = found(tmp_path, group_by=r"(?P<stack>\w+) z(?P<slice>.+)\.png")
        assert names == {"a": [f"a z{height}.png" for height in heights]}

    @pytest.mark.parametrize("expression", ["(", "z[0-9]+", "(?P<slice>z)"])
    def test_an_expression_without_a_stack_is_refused(self, tmp_path: Path, expression: str) -> None:
        with pytest.raises(InputError, match="--group-by"):
            Finder([tmp_path], group_by=expression)


def test_files_may_be_given_themselves(tmp_path: Path) -> None:
    stack = pages(tmp_path / "cells.tif", 2)
    assert found(stack) == {"cells": ["cells.tif"]}
    with pytest.raises(InputError, match="DIR"):
        Finder([tmp_path / "absent"])


def test_relative_paths_stay_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "s" / "1.png")
    picture(tmp_path / "s" / "2.png")
    monkeypatch.chdir(tmp_path)
    stacks, _ = Finder([Path()]).scan()
    assert stacks[0].files == (Path("s/1.png"), Path("s/2.png"))


def test_a_damaged_frame_fails_with_its_stack_and_a_damaged_stack_on_its_own(tmp_path: Path) -> None:
    for n in range(2):
        pages(tmp_path / "s" / f"{n}.tif", 1)
    for path in (tmp_path / "s" / "2.tif", tmp_path / "p" / "damaged.tif"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"II*\0nonsense")
    assert found(tmp_path) == {"p_damaged": ["damaged.tif"], "s": ["0.tif", "1.tif", "2.tif"]}


def test_single_pictures(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b" / "a.jpg")
    assert found(tmp_path, singles=True) == {"a": ["a.png"], "b_a": ["a.jpg"]}
