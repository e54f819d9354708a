"""`fuse` on files with times, positions and channels, and `info`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import Result
from scipy import ndimage

from defocus_backend.io import Calibration, Channel, open_nd, write_nd

Invoke = Callable[..., Result]
CALIBRATION = Calibration(
    spacing={"T": 2.0, "Z": 0.5, "Y": 0.1, "X": 0.1},
    units={"T": "s", "Z": "µm", "Y": "µm", "X": "µm"},
    channels=(Channel(name="noise", colour=(0, 0, 255)), Channel(name="GFP", colour=(0, 255, 0))),
)


@pytest.fixture
def values(photo: np.ndarray) -> np.ndarray:
    """Two times, two channels, three slices; the first channel is noise, the second a photo of growing blur."""
    blurred = np.stack([ndimage.gaussian_filter(photo[:48, :64].astype(float), 2 * n) for n in range(3)])
    noise = np.random.default_rng(0).normal(500, 30, blurred.shape)
    return np.stack([np.stack([noise, blurred * 10 + 100 * t]) for t in range(2)]).astype(np.uint16)


@pytest.mark.parametrize("suffix", [".ome.tif", ".ome.zarr"])
def test_one_result_with_all_times_and_channels(
    defocus: Invoke, tmp_path: Path, values: np.ndarray, suffix: str
) -> None:
    pytest.importorskip("zarr") if suffix == ".ome.zarr" else None
    write_nd(tmp_path / f"cells{suffix}", values, axes="TCZYX", calibration=CALIBRATION)
    done = defocus("fuse", tmp_path / f"cells{suffix}", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "2 focal stacks of 3 slices, focus estimated in channel 1 (GFP), which has the most detail" in done.output
    names = {"cells_index.png", "cells_sigma.png", f"cells_fused{suffix}", f"cells_maps{suffix}"}
    assert {p.name for p in (tmp_path / "out").iterdir()} == names
    fused = open_nd(tmp_path / "out" / f"cells_fused{suffix}")
    assert (fused.axes, fused.shape, fused.dtype) == ("TCYX", (2, 2, 48, 64), np.uint16)
    assert fused.calibration.channels == CALIBRATION.channels
    assert fused.calibration.spacing == {"T": 2.0, "Y": 0.1, "X": 0.1}
    maps = open_nd(tmp_path / "out" / f"cells_maps{suffix}")
    labels = [c.name for c in maps.calibration.channels]
    assert labels[:2] == ["index", "sigma / px"]
    assert set(np.unique(maps[:, 0])) <= {0, 1, 2}
    # The result is what the library makes of the same planes.
    assert "confidence" not in labels


def test_choices_are_taken_and_shown(defocus: Invoke, tmp_path: Path, values: np.ndarray) -> None:
    path = tmp_path / "cells.ome.tif"
    write_nd(path, values, axes="TCZYX", calibration=CALIBRATION)
    done = defocus(
        *("fuse", path, "--out", tmp_path / "out", "--times", "1", "--focus-channels", "gfp:3", "--json"),
        *("--focus-channels", "0:1", "--format", "ome.zarr", "--confidence", "--name", "mine"),
    )
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert summary["images"][0]["shape"] == [1, 2, 3, 48, 64]
    assert "channel 1 (GFP) x 0.75 + 0 (noise) x 0.25" in summary["images"][0]["decided"]
    assert summary["parameters"]["times"] == "1"
    maps = open_nd(tmp_path / "out" / "mine_maps.ome.zarr")
    assert "confidence" in [c.name for c in maps.calibration.channels]
    assert open_nd(tmp_path / "out" / "mine_fused.ome.zarr").shape == (1, 2, 48, 64)


def test_every_scene_and_position_has_its_result(defocus: Invoke, tmp_path: Path, values: np.ndarray) -> None:
    path = tmp_path / "well.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(values[0, 1], metadata={"axes": "ZYX", "Name": "left 1"}, photometric="minisblack")
        tiff.write(values[0, 1, 0], metadata={"axes": "YX", "Name": "map"}, photometric="minisblack")
        tiff.write(values[1, 1], metadata={"axes": "ZYX", "Name": "right"}, photometric="minisblack")
    done = defocus("fuse", path, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "map: left out" in done.output
    fused = sorted(p.name for p in (tmp_path / "out").glob("*fused*"))
    assert fused == ["well_left-1_fused.ome.tif", "well_right_fused.ome.tif"]
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for name in ("A 1", "A-1"):
            tiff.write(values[0, 1], metadata={"axes": "ZYX", "Name": name}, photometric="minisblack")
    done = defocus("fuse", path, "--out", tmp_path / "same", "--z-step", "500", "--z-unit", "nm")
    assert done.exit_code == 0, done.output
    fused = sorted(p.name for p in (tmp_path / "same").glob("*fused*"))
    assert fused == ["well_A-1_1_fused.ome.tif", "well_A-1_fused.ome.tif"]
    names = [c.name for c in open_nd(tmp_path / "same" / "well_A-1_maps.ome.tif").calibration.channels]
    assert "height / nm" in names
    tifffile.imwrite(tmp_path / "p.tif", values[:, 1], metadata={"axes": "TZYX"}, photometric="minisblack")
    done = defocus("fuse", tmp_path / "p.tif", "--axes", "PZYX", "--positions", "1", "--out", tmp_path / "p")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "p" / "p_p1_fused.ome.tif").is_file()


def test_a_single_plane_can_be_a_picture(defocus: Invoke, tmp_path: Path, values: np.ndarray) -> None:
    write_nd(tmp_path / "a.ome.tif", values[0, 1], axes="ZYX", calibration=CALIBRATION)
    done = defocus("fuse", tmp_path / "a.ome.tif", "--format", "png", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "a_fused.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--axes", "TYX"], "5 letters"),
        (["--focus-channels", "DAPI"], "noise, GFP"),
        (["--times", "0-7"], "--times: got 0-7; expected numbers from 0 to 1"),
        (["--times", "one"], "--times"),
        (["--positions", "0"], "an axis P"),
        (["--scene", "left"], "scene"),
        (["--format", "png"], "ome.tif or ome.zarr"),
        (["--keep-slices"], "--keep-slices"),
        (["--lock", "scale"], "--lock: got this option with a file of several axes"),
        (["--interpolation", "lanczos"], "--interpolation: got this option with a file of several axes"),
        (["--audit"], "--audit: got this option with a file of several axes"),
        (["--axes", "ZCTYX", "--focus-channels", "2"], "0 to 1"),
    ],
)
def test_refusals(defocus: Invoke, tmp_path: Path, values: np.ndarray, arguments: list[str], message: str) -> None:
    write_nd(tmp_path / "a.ome.tif", values, axes="TCZYX", calibration=CALIBRATION)
    done = defocus("fuse", tmp_path / "a.ome.tif", "--out", tmp_path / "out", *arguments)
    assert done.exit_code == 2
    assert message in done.output
    assert [p.name for p in tmp_path.iterdir()] == ["a.ome.tif"]


def test_what_is_no_stack(defocus: Invoke, tmp_path: Path, values: np.ndarray, slices: list[Path]) -> None:
    write_nd(tmp_path / "a.ome.tif", values[:, :, 0], axes="TCYX")
    done = defocus("fuse", tmp_path / "a.ome.tif", "--out", tmp_path / "out")
    assert done.exit_code == 2
    wanted = "two or more slices along an axis Z; if the file names the axis differently, state the order with axes"
    assert f"expected {wanted}" in done.output
    done = defocus("fuse", *slices, "--axes", "ZYX")
    assert done.exit_code == 2
    assert "--axes: got 3 files" in done.output


def test_info(defocus: Invoke, tmp_path: Path, values: np.ndarray, picture: Path) -> None:
    write_nd(tmp_path / "a.ome.tif", values, axes="TCZYX", calibration=CALIBRATION)
    done = defocus("info", tmp_path / "a.ome.tif", picture, weights=False)
    assert done.exit_code == 0, done.output
    for said in ("TCZYX", "2 x 2 x 3 x 48 x 64", "Z 0.5 µm", "1 GFP #00ff00", "2 focal stacks of 3", "no focal stack"):
        assert said in done.output
    found = json.loads(defocus("info", "--json", tmp_path / "a.ome.tif", weights=False).output)
    assert found["axes"] == "TCZYX"
    assert found["shape"] == [2, 2, 3, 48, 64]
    assert defocus("info", tmp_path / "absent.czi", weights=False).exit_code == 2
