"""`defocus qc`: tables, verdicts, resuming, and what is written into OME-Zarr."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner, Result
from scipy import ndimage
from skimage import data

import defocus_backend as db
from defocus_backend.cli import main
from defocus_backend.quality.focus_slice import focus_slices


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["qc", *map(str, arguments)], catch_exceptions=False)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def blurred(sigma: float, side: int = 128) -> np.ndarray:
    return ndimage.gaussian_filter(data.brick()[:side, :side].astype(float), sigma).round().astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures from sharp to far out, an empty field and a damaged file."""
    inside = tmp_path / "in"
    (inside / "deep").mkdir(parents=True)
    db.write_image(inside / "sharp.png", blurred(0))
    db.write_image(inside / "deep" / "far.png", blurred(9))
    db.write_image(inside / "empty.tif", np.random.default_rng(0).normal(100, 3, (128, 128)).round().astype(np.uint16))
    (inside / "broken.tif").write_bytes(b"II*\0damaged")
    (inside / "notes.txt").write_text("not a picture")
    return inside


def test_every_picture_has_a_row_with_a_verdict(folder: Path, tmp_path: Path) -> None:
    result = run(folder, "--out", tmp_path / "t.csv")
    assert result.exit_code == 1  # one file could not be read
    rows = {Path(row["file"]).name: row for row in read(tmp_path / "t.csv")}
    assert {name: row["verdict"] for name, row in rows.items()} == {
        "sharp.png": "in focus",
        "far.png": "out of focus",
        "empty.tif": "nothing to judge",
        "broken.tif": "cannot be read",
    }
    assert rows["empty.tif"]["reason"] == "no structure beyond noise"
    assert rows["empty.tif"]["sigma_median_px"] == ""
    assert "broken.tif" in rows["broken.tif"]["reason"]
    assert float(rows["sharp.png"]["variance_of_laplacian"]) > float(rows["far.png"]["variance_of_laplacian"])
    assert float(rows["sharp.png"]["power_log_log_slope"]) > float(rows["far.png"]["power_log_log_slope"])
    page = (tmp_path / "t.html").read_text(encoding="utf-8")
    places = [page.index(name) for name in ("broken.tif", "empty.tif", "far.png", "sharp.png")]
    assert places == sorted(places)  # worst first
    assert page.count("data:image/jpeg") == 3
    assert not (tmp_path / "t_stacks.csv").exists()


def stack(best: float, sigma_step: float = 1.2) -> np.ndarray:
    return np.stack([blurred(sigma_step * abs(z - best)) for z in range(5)])


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Times, channels and planes; the focus moves by half a plane a time in one channel, the other is empty."""
    empty = np.random.default_rng(0).normal(100, 3, (3, 5, 128, 128)).round().clip(0, 255)
    series = np.stack([np.stack([stack(1 + 0.5 * t), empty[t]]) for t in range(3)]).astype(np.uint8)
    path = tmp_path / "plate.ome.zarr"
    known = db.Calibration(
        spacing={"Z": 2.0, "Y": 0.5, "X": 0.5},
        units={"Z": "µm", "Y": "µm", "X": "µm"},
        channels=(db.Channel(name="Phase"), db.Channel(name="Empty")),
    )
    db.write_nd(path, series, axes="TCZYX", calibration=known)
    return path


def test_stacks_have_a_best_plane_and_a_drift(store: Path, tmp_path: Path) -> None:
    assert run(store, "--out", tmp_path / "t.csv", "--focus-slice").exit_code == 0
    planes, stacks = read(tmp_path / "t.csv"), read(tmp_path / "t_stacks.csv")
    assert len(planes) == 3 * 2 * 5
    assert len(stacks) == 3 * 2
    phase = [row for row in stacks if row["channel_name"] == "Phase"]
    z = [float(row["best_z"]) for row in phase]
    assert z == pytest.approx([2, 3, 4], abs=0.4)
    assert phase[0]["z_unit"] == "um"
    assert float(phase[2]["drift"]) == pytest.approx(2, abs=0.4)
    assert float(phase[0]["drift_per_time"]) == pytest.approx(1, abs=0.2)
    empty = [row for row in stacks if row["channel_name"] == "Empty"]
    assert {row["verdict"] for row in empty} == {"nothing to judge"}
    assert {row["reason"] for row in empty} == {"no structure beyond noise"}
    best = [row for row in planes if row["best_plane"] == "true"]
    assert [(row["time"], row["plane"]) for row in best] == [(r["time"], r["best_plane"]) for r in phase]
    assert float(best[0]["sigma_median_um"]) == pytest.approx(float(best[0]["sigma_median_px"]) / 2, rel=1e-4)

    import zarr

    written: Any = dict(zarr.open_group(str(store), mode="r").attrs)["focus_slice"]
    assert set(written) == {"Phase"}
    assert written["Phase"]["per_timepoint"] == {row["time"]: int(row["best_plane"]) for row in phase}
    assert set(written["Phase"]["dataset_statistics"]) == {
        *("z_focus_mean", "z_focus_std", "z_focus_min", "z_focus_max")
    }
    assert db.open_nd(store).shape == (3, 2, 5, 128, 128)


def test_a_plates_statistics_are_over_all_its_fields() -> None:
    rows = [
        {"scene": scene, "channel": 0, "channel_name": "Phase", "time": time, "best_plane": plane}
        for scene, time, plane in [("A/1/0", 0, 2), ("A/1/0", 1, 4), ("B/2/0", 0, 6), ("B/2/0", 1, None)]
    ]
    found = focus_slices(rows)
    assert found[""]["Phase"]["dataset_statistics"]["z_focus_mean"] == 4
    assert found["A/1/0"]["Phase"]["fov_statistics"] == {"z_focus_mean": 3, "z_focus_std": 1}
    assert found["B/2/0"]["Phase"]["per_timepoint"] == {"0": 6}


def test_only_stores_take_a_focus_slice(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "z.tif", stack(2), imagej=True, metadata={"axes": "ZYX"})
    result = run(tmp_path / "z.tif", "--out", tmp_path / "t.csv", "--focus-slice")
    assert result.exit_code == 2
    assert "OME-Zarr" in result.stderr


def test_resume_measures_only_what_is_new_or_changed(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.tif").unlink()
    first = json.loads(run(folder, "--out", tmp_path / "t.csv", "--json").stdout)
    assert first["before"] == 0
    before = (tmp_path / "t.csv").read_bytes()
    again = json.loads(run(folder, "--out", tmp_path / "t.csv", "--json", "--resume").stdout)
    assert again["before"] == 3
    assert (tmp_path / "t.csv").read_bytes() == before
    db.write_image(folder / "sharp.png", blurred(4))
    third = json.loads(run(folder, "--out", tmp_path / "t.csv", "--json", "--resume").stdout)
    assert third["before"] == 2
    other = run(folder, "--out", tmp_path / "t.csv", "--json", "--resume", "--sharp-below", 0.5)
    assert json.loads(other.stdout)["before"] == 0


def test_a_torn_ledger_goes_on(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.tif").unlink()
    run(folder, "--out", tmp_path / "t.csv")
    ledger = tmp_path / ".t.csv.jsonl"
    ledger.write_bytes(ledger.read_bytes()[:-20])
    again = json.loads(run(folder, "--out", tmp_path / "t.csv", "--json", "--resume").stdout)
    assert again["before"] == 2
    assert len(read(tmp_path / "t.csv")) == 3


def test_processes_measure_what_one_measures(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.tif").unlink()
    run(folder, "--out", tmp_path / "one.csv", "--jobs", 1)
    run(folder, "--out", tmp_path / "two.csv", "--jobs", 2)
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


def test_planes_in_single_files_are_grouped(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    for n, plane in enumerate(stack(3)):
        db.write_image(inside / f"A01_z{n}.png", plane)
    expression = r"(?P<stack>[A-H]\d\d)_z(?P<slice>\d+)"
    assert run(inside, "--out", tmp_path / "t.csv", "--group-by", expression, "--z-step", 0.5).exit_code == 0
    (row,) = read(tmp_path / "t_stacks.csv")
    assert row["best_plane"] == "3"
    assert float(row["best_z"]) == pytest.approx(1.5, abs=0.1)
    assert {Path(r["file"]).name for r in read(tmp_path / "t.csv")} == {f"A01_z{n}.png" for n in range(5)}


def test_thresholds_in_micrometres(tmp_path: Path) -> None:
    db.write_image(tmp_path / "p.png", blurred(3))
    arguments = (tmp_path / "p.png", "--out", tmp_path / "t.csv", "--unit", "um", "--sharp-below", 1)
    result = run(*arguments)
    assert result.exit_code == 1
    assert "--pixel-size" in result.stderr
    assert run(*arguments, "--pixel-size", 0.1).exit_code == 0  # 3 px are 0.3 um
    assert read(tmp_path / "t.csv")[0]["verdict"] == "in focus"


def test_objects_get_a_table(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    db.write_image(tmp_path / "p.png", np.hstack([blurred(0), blurred(8)]))
    labels = np.zeros((128, 256), np.uint8)
    labels[20:100, 20:100], labels[20:100, 150:230] = 1, 2
    db.write_image(tmp_path / "labels" / "p.png", labels)
    assert run(tmp_path / "p.png", "--out", tmp_path / "t.csv", "--labels", tmp_path / "labels").exit_code == 0
    rows = read(tmp_path / "t_objects.csv")
    assert [(r["label"], r["verdict"]) for r in rows] == [("1", "in focus"), ("2", "out of focus")]


def test_parquet_holds_the_same(folder: Path, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    run(folder, "--out", tmp_path / "t.parquet", "--no-report")
    run(folder, "--out", tmp_path / "t.csv", "--no-report")
    frame = pandas.read_parquet(tmp_path / "t.parquet")
    assert list(frame["verdict"]) == [row["verdict"] for row in read(tmp_path / "t.csv")]
    assert frame["sigma_median_px"].isna().sum() == 2


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--out", "t.txt"), "--out"),
        (("--out", "t.csv", "--channels", "GFP"), ""),
        (("--out", "t.csv", "--sharp-below", 9), "--blurred-above"),
    ],
)
def test_bad_options_are_named(folder: Path, tmp_path: Path, arguments: tuple[object, ...], named: str) -> None:
    (folder / "broken.tif").unlink()
    result = run(folder, *(tmp_path / a if str(a).startswith("t.") else a for a in arguments))
    assert result.exit_code in (1, 2)
    assert named in result.stderr
