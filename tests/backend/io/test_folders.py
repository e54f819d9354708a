"""Which files of a folder are frames, and in which order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from defocus_backend.errors import DefocusWarning, FileError, InputError
from defocus_backend.io import write_image
from defocus_backend.io.folders import frames, natural_order, own_results


def made(folder: Path, *names: str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for name in names:
        write_image(folder / name, np.zeros((4, 5), np.uint8))
    return [folder / name for name in names]


def test_the_order_of_a_shell_becomes_that_of_the_numbers(tmp_path: Path) -> None:
    paths = made(tmp_path, *(f"shot{n}.png" for n in range(1, 13)))
    with pytest.warns(DefocusWarning, match=r"order of their numbers, shot1\.png, shot2\.png"):
        assert frames(sorted(paths)) == tuple(paths)


def test_an_order_that_somebody_chose_stays(tmp_path: Path) -> None:
    paths = made(tmp_path, *(f"shot{n}.png" for n in range(1, 13)))
    assert frames(paths) == tuple(paths)
    assert frames(paths[::-1]) == tuple(paths[::-1])
    mixed = [paths[n] for n in (3, 1, 2, 10)]
    with pytest.warns(DefocusWarning, match="neither increase nor decrease"):
        assert frames(mixed) == tuple(mixed)
    plain = made(tmp_path, "near.png", "far.png", "middle.png")
    assert frames(plain) == tuple(plain)


def test_a_folder_is_its_frames(tmp_path: Path) -> None:
    paths = made(tmp_path / "in", "z1.jpg", "z2.jpeg", "z10.jpg")
    (tmp_path / "in" / "notes.txt").touch()
    (tmp_path / "in" / ".z3.jpg").write_bytes(paths[0].read_bytes())
    made(tmp_path / "in" / "@eaDir", "z1.jpg")
    assert frames([tmp_path / "in"]) == tuple(paths)
    made(tmp_path / "in", "z.tif")
    with pytest.raises(InputError, match=r"kinds \.jpg, \.tif"):
        frames([tmp_path / "in"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no pictures"):
        frames([tmp_path / "empty"])


def test_results_beside_their_sources_are_no_frames(tmp_path: Path) -> None:
    sources = made(tmp_path, "IMG_1.jpg", "IMG_2.jpg")
    results = made(tmp_path, "IMG_fused.jpg", "IMG_index.tif", "IMG_index.png", "IMG_sigma.tif", "IMG_sigma.png")
    assert own_results([*sources, *results]) == set(results)
    assert own_results(results) == set(results)  # in a folder of their own too
    with pytest.warns(DefocusWarning, match=r"IMG_fused\.jpg: left out, an earlier result"):
        assert frames([*sources, tmp_path / "IMG_fused.jpg"]) == tuple(sources)


@pytest.mark.parametrize(
    "names",
    [
        ("IMG_fused.jpg",),  # alone it was meant
        ("a_fused.jpg", "b_fused.jpg"),  # results to be fused again
        ("cell_raw.tif", "cell_gfp.tif"),  # what others call so
        ("x_index.png", "y.png"),
        ("a_aligned.tif", "b_aligned.tif"),
    ],
)
def test_what_only_looks_like_a_result_is_read(tmp_path: Path, names: tuple[str, ...]) -> None:
    paths = made(tmp_path, *names)
    assert own_results(paths) == set()
    assert frames(paths) == tuple(paths)


def test_names_that_nobody_expects() -> None:
    assert sorted(["a" + "9" * 5000, "a1"], key=natural_order)[0] == "a1"
    with pytest.raises((FileError, InputError)):
        frames([Path("x" * 5000)])
