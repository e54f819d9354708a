"""Height, mesh and coverage on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from defocus_backend.fusion import Fusion
from defocus_backend.io import Calibration, read_image, read_map
from defocus_backend.pipeline.options import ReliefParams
from defocus_backend.pipeline.relief import ReliefPlan, without_idle_slices
from defocus_backend.stacks import as_source

Invoke = Callable[..., Any]


def test_all_that_can_be_asked_of_the_height(defocus: Invoke, slices: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    # Untrained weights: whatever their sigma, all of it counts as in focus.
    asked = ("--height", "--shaded", "--coverage", "--mesh", out / "moss.obj", "--mesh-step", 4, "--never-above", 30)
    order = (slices[1], slices[0], slices[2])  # the sharp one in the middle
    result = defocus("fuse", *order, "--out", out, *asked, "--z-step", "-0.5", "--z-unit", "µm", "--json")
    assert result.exit_code == 0, result.stderr
    summary = json.loads(result.stdout)
    made = {entry["kind"]: Path(entry["path"]).name for entry in summary["outputs"]}
    assert (
        made.items()
        >= {
            "height": "moss_height.tif",
            "height_error": "moss_height_error.tif",
            "shaded": "moss_shaded.png",
            "mesh": "moss.obj",
            "coverage": "moss_coverage.json",
            "never in focus": "moss_never.png",
        }.items()
    )
    assert all((out / name).exists() for name in made.values())
    height, error = read_map(out / "moss_height.tif"), read_map(out / "moss_height_error.tif")
    assert height.shape == read_image(out / "moss_fused.tif").array.shape
    assert np.nanmin(height) >= -1
    assert np.nanmax(height) <= 0
    assert (error[np.isfinite(error)] > 0).all()
    with tifffile.TiffFile(out / "moss_height.tif") as file:
        assert file.pages[0].description == "height / µm"
    report = json.loads((out / "moss_coverage.json").read_text())
    assert report == summary["coverage"]
    assert report["unit"] == "µm"
    assert report["z"] == [0, -0.5, -1]
    never = read_image(out / "moss_never.png").array
    np.testing.assert_array_equal(never > 0, np.isnan(height))


def test_one_file_tells_its_own_step_unit_and_pixel_size() -> None:
    nothing = ReliefPlan.of(ReliefParams(height=True), None)
    known = Calibration(spacing={"Z": 0.5, "X": 0.2, "Y": 0.2}, units={"Z": "um", "X": "um", "Y": "um"})
    found = nothing.within(known)
    assert (found.z_step, found.unit, found.pixel_size) == (0.5, "um", 0.2)
    given = ReliefPlan.of(ReliefParams(pixel_size=1.0, coverage=True), 2.0)
    assert given.within(known) == given
    assert nothing.within(Calibration()).unit == "slices"


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (("--mesh", "surface.stl"), "--mesh"),
        (("--z-step", "0"), "--z-step"),
        (("--z-unit", "um"), "--z-unit"),
        (("--shaded", "--method", "gff"), "--shaded"),
        (("--keep-slices", "--method", "gff"), "--keep-slices"),
        (("--confidence", "--method", "gff"), "--confidence"),
        (("--keep-slices", "--cull"), "--keep-slices"),
        (("--mesh-step", "3"), "--mesh-step: got 3; expected this option only together with mesh"),
        (("--exaggerate", "2.5", "--shaded"), "--exaggerate: got 2.5; expected this option only together with mesh"),
        (("--z-step", "2", "--method", "gff"), "--z-step: got this option with the method gff"),
        (("--never-above", "2", "--method", "gff"), "--never-above: got this option with the method gff"),
        (
            ("--pixel-size", "2", "--height"),
            "--pixel-size: got 2; expected this option only together with mesh or coverage",
        ),
        (("--pixel-size", "2", "--mesh", "a.ply", "--method", "gff"), "--mesh: got this option with the method gff"),
    ],
)
def test_what_cannot_be_had_is_refused(
    defocus: Invoke, slices: list[Path], tmp_path: Path, asked: tuple[str, ...], named: str
) -> None:
    result = defocus("fuse", *slices, "--out", tmp_path / "out", *asked, weights=False)
    assert result.exit_code == 2
    assert named in result.stderr
    assert not (tmp_path / "out").exists()


class Facts:
    """What a run keeps for its summary."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}


def maps(index: np.ndarray) -> Fusion:
    """A fusion in which every pixel is sharp and tells its height."""
    even = np.ones(index.shape, np.float32)
    no = np.zeros(index.shape, bool)
    return Fusion(index, index, even, even, index.astype(np.float32), even, no, no)


def test_culling_fuses_the_slices_of_use_and_counts_all() -> None:
    first = maps(np.tile(np.array([[1, 2, 4]], np.int32), (20, 30)))
    stack = [np.full((20, 90), n, np.uint8) for n in range(6)]
    seen: dict[str, Any] = {}

    def fuse(slices: Any, **options: Any) -> Fusion:
        seen.update(options, slices=[int(slices.plane(n)[0, 0]) for n in range(len(slices))])
        return maps(np.tile(np.array([[0, 1, 2]], np.int32), (20, 30)))

    run: Any = Facts()
    chosen = ReliefPlan.of(ReliefParams(cull=True), 0.5)
    again = without_idle_slices(run, as_source(stack), len(stack), first, chosen, fuse)
    assert run.facts["culled"] == [0, 3, 5]
    assert seen["slices"] == [1, 2, 4]
    np.testing.assert_allclose(seen["z"], [0.5, 1, 2])
    np.testing.assert_array_equal(again.index, first.index)


def test_nothing_idle_is_not_fused_again() -> None:
    first = maps(np.tile(np.array([[0, 1, 2]], np.int32), (20, 30)))
    never: Callable[..., Fusion] = lambda *_, **__: pytest.fail("fused again")  # noqa: E731
    run: Any = Facts()
    chosen = ReliefPlan.of(ReliefParams(cull=True), None)
    assert without_idle_slices(run, as_source([np.zeros((20, 90))] * 3), 3, first, chosen, never) is first
