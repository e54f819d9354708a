"""Calibration, distances and autofocus, on a simulated widefield microscope whose z is known."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import defocus_backend as db
from defocus_backend.calibration.fit import fit_calibration
from defocus_backend.calibration.model import SPECIMEN_SHARE
from defocus_backend.quality.result import FocusQuality
from defocus_backend.synthetic.microscope import SimulatedMicroscope, draw_membranes, draw_nuclei

APERTURE, PIXEL = 0.3, 0.65
"""The simulated microscope's, in micrometres."""
SLOPE = math.tan(math.asin(APERTURE)) / (2 * PIXEL)
"""Growth of the geometric sigma in pixels per micrometre: half the radius of the disc."""


def nuclei(seed: int) -> np.ndarray:
    return draw_nuclei(256, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def calibration() -> db.DefocusCalibration:
    scope = SimulatedMicroscope(nuclei(1), 1.0)
    z = np.arange(-42.0, 43.0, 6.0)
    return db.calibrate_defocus(scope.stack(z), z=z, pixel_size=PIXEL, device="cpu")


def test_the_fit_finds_the_focus_and_the_aperture(calibration: db.DefocusCalibration) -> None:
    one = calibration.channel()
    assert one.z0 == pytest.approx(1.0, abs=0.5)
    assert one.slope_below == pytest.approx(SLOPE, rel=0.12)
    assert one.slope_above == pytest.approx(SLOPE, rel=0.12)
    assert calibration.aperture() == pytest.approx(APERTURE, rel=0.12)
    assert one.reach_below > 35
    assert one.reach_above > 35


def test_one_picture_says_how_far_it_is_from_focus(calibration: db.DefocusCalibration) -> None:
    one, estimator = calibration.channel(), db.quality.QualityEstimator(device="cpu")
    scope = SimulatedMicroscope(nuclei(5), 0.0, seed=3)
    for z in (-35.0, -20.0, 12.0, 28.0):
        scope.move(z)
        found = one.distance(estimator.measure(scope.snap()).sigma_median)
        # Another specimen than the calibration's: its texture shifts sigma by several per cent.
        assert float(found.distance) == pytest.approx(abs(z), rel=0.15)
        assert 0.03 * abs(z) < float(found.error) < 0.25 * abs(z)


def test_beyond_the_calibration_nothing_is_said(calibration: db.DefocusCalibration) -> None:
    found = calibration.channel().distance([18.9, np.nan, 0.1])
    assert np.isnan(found.distance[:2]).all()
    assert found.distance[2] == 0
    assert found.error[2] > 0


@pytest.mark.parametrize("focus", [-20.0, -7.0, 3.0, 14.0, 20.0])
def test_autofocus_takes_three_pictures(calibration: db.DefocusCalibration, focus: float) -> None:
    scope = SimulatedMicroscope(nuclei(8), focus, seed=4)
    found = db.autofocus(scope.snap, scope.move, calibration, start=0.0, device="cpu")
    assert found.focused, found.reason
    assert scope.shots == len(found.pictures) <= 3
    assert scope.z == found.z
    assert abs(scope.z - focus) < calibration.channel().depth_of_field / 2


def test_autofocus_refuses_an_empty_field(calibration: db.DefocusCalibration) -> None:
    scope = SimulatedMicroscope(np.full((256, 256), 40.0, np.float32), 8.0, noise=5)
    found = db.autofocus(scope.snap, scope.move, calibration, start=3.0, device="cpu")
    assert (found.focused, scope.z, scope.shots) == (False, 3.0, 1)
    assert "no structure beyond noise" in found.reason


def test_autofocus_stays_within_its_limits(calibration: db.DefocusCalibration) -> None:
    scope = SimulatedMicroscope(nuclei(8), 20.0, seed=4)
    found = db.autofocus(scope.snap, scope.move, calibration, start=0.0, limits=(-5, 5), device="cpu")
    assert not found.focused
    assert scope.z == 0
    assert "limits" in found.reason
    with pytest.raises(db.InputError, match="start"):
        db.autofocus(scope.snap, scope.move, calibration, start=9.0, limits=(-5, 5), device="cpu")


def planes(z: np.ndarray, surface: np.ndarray, *, above: float = 1.2, scatter: float = 0.03) -> list[FocusQuality]:
    """Measured blocks of an ideal instrument with this focal surface over its blocks."""
    rng = np.random.default_rng(0)
    result = []
    for one in z:
        away = one - surface
        blocks = np.hypot(0.9, 0.5 * np.where(away < 0, 1.0, above) * away)
        blocks = (blocks * (1 + scatter * rng.standard_normal(blocks.shape))).astype(np.float32)
        known = {"sigma_median": float(np.median(blocks)), "sigma_p10": 0.0, "in_focus": 0.0, "informative": 1.0}
        rest = {"noise": 0.0, "saturated": 0.0, "power_slope": 0.0, "laplacian_variance": 0.0, "scatter": 0.2}
        result.append(FocusQuality(verdict="soft", reason="", blocks=blocks, **known, **rest))
    return result


def blocks_of(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Centres of the blocks, from the middle of the field in pixels."""
    y, x = np.mgrid[: shape[0] // 64, : shape[1] // 64]
    return (y + 0.5) * 64 - shape[0] / 2, (x + 0.5) * 64 - shape[1] / 2


def test_tilt_and_bowl_of_the_focal_surface() -> None:
    y, x = blocks_of((512, 768))
    surface = 1.5 + 4e-3 * x - 2e-3 * y + 8e-6 * (x**2 + y**2)
    found = fit_calibration(planes(np.arange(-24, 25, 2.0), surface), np.arange(-24, 25, 2.0), (512, 768))
    assert found.z0 == pytest.approx(1.5, abs=0.1)
    assert (found.slope_below, found.slope_above) == pytest.approx((0.5, 0.6), rel=0.03)
    assert (found.tilt_x, found.tilt_y) == pytest.approx((4e-3, -2e-3), abs=3e-4)
    assert found.bowl == pytest.approx(8e-6, rel=0.15)
    assert found.sigma0 == pytest.approx(0.9, abs=0.05)
    # A sharp picture has half a pixel of blur by itself.
    assert found.depth_of_field == pytest.approx(np.hypot(0.9, 0.5) * (1 / 0.5 + 1 / 0.6), rel=0.06)
    assert found.surface((512, 768))[0, 0] == pytest.approx(1.5 - 4e-3 * 384 + 2e-3 * 256 + 8e-6 * 212992, abs=0.3)


def test_the_error_of_sigma_holds_two_thirds_of_the_blocks() -> None:
    flat, z = np.zeros((6, 6)), np.arange(-24, 25, 2.0)
    one = fit_calibration(planes(z, flat), z, (384, 384))
    inside = []
    for place, measured in zip(z, planes(z, flat, scatter=0.031), strict=True):
        if abs(place) > 4:
            expected = one.sigma_at(place - one.z0)
            inside.append(np.abs(measured.blocks - expected) <= one.sigma_error(expected))
    assert 0.6 < np.mean(inside) < 0.78


def test_an_error_is_never_below_what_specimens_differ_by() -> None:
    z = np.arange(-24, 25, 2.0)
    one = fit_calibration(planes(z, np.zeros((4, 4)), above=1.0, scatter=1e-4), z, (256, 256))
    found = one.distance(one.sigma_at(20.0))
    assert float(found.distance) == pytest.approx(20, rel=0.02)
    assert float(found.error) == pytest.approx(SPECIMEN_SHARE * 20, rel=0.1)


def test_a_calibration_survives_its_file(tmp_path: Path) -> None:
    z = np.arange(-24, 25, 2.0)
    one = fit_calibration(planes(z, np.zeros((4, 4))), z, (256, 256), name="GFP")
    whole = db.DefocusCalibration(
        unit="um",
        pixel_size=0.3,
        shape=(256, 256),
        map_method="pixelnet",
        weights="a.pth",
        channels=(one, replace(one, name="DAPI")),
    )
    db.write_calibration(tmp_path / "c.json", whole)
    assert db.read_calibration(tmp_path / "c.json") == whole
    assert whole.channel("DAPI").name == whole.channel(1).name == "DAPI"
    with pytest.raises(db.InputError, match="GFP, DAPI"):
        whole.channel("RFP")


@pytest.mark.parametrize(
    "content",
    ["[]", "{", '{"format": "defocus-calibration", "version": 9}', '{"format": "defocus-calibration", "version": 1}'],
)
def test_other_files_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "c.json").write_text(content)
    with pytest.raises(db.FileError, match=r"c\.json"):
        db.read_calibration(tmp_path / "c.json")


def test_stacks_that_settle_nothing_are_refused() -> None:
    z = np.arange(0, 50, 2.0)
    with pytest.raises(db.InputError, match="end of the planes"):
        fit_calibration(planes(z, np.full((4, 4), -10.0)), z, (256, 256))
    with pytest.raises(db.InputError, match="judged"):
        fit_calibration(planes(z[:3], np.zeros((4, 4))), z[:3], (256, 256))
    with pytest.raises(db.InputError, match="z_step"):
        db.calibrate_defocus([np.zeros((64, 64))] * 5)


def test_the_commands(tmp_path: Path, calibration: db.DefocusCalibration) -> None:
    from click.testing import CliRunner

    from defocus_backend.cli import main

    scope = SimulatedMicroscope(draw_membranes(192, np.random.default_rng(0)), 0.0)
    stack = scope.stack(range(-30, 31, 10))
    known = db.Calibration(spacing={"Z": 10.0, "Y": PIXEL, "X": PIXEL}, units={"Z": "µm", "Y": "µm", "X": "µm"})
    db.write_nd(tmp_path / "z.ome.tif", np.stack(stack), axes="ZYX", calibration=known)
    done = CliRunner().invoke(
        main, ["calibrate", str(tmp_path / "z.ome.tif"), "--out", str(tmp_path / "c.json"), "--json"]
    )
    assert done.exit_code == 0, done.output
    (fact,) = json.loads(done.stdout)["channels"]
    assert fact["aperture"] == pytest.approx(APERTURE, rel=0.2)
    assert fact["z0"] == pytest.approx(30, abs=2)  # from the first plane
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    assert db.read_calibration(tmp_path / "c.json").unit == "um"

    db.write_calibration(tmp_path / "c.json", calibration)
    scope = SimulatedMicroscope(nuclei(9), 0.0)
    scope.move(20.0)
    db.write_image(tmp_path / "p.png", scope.snap())
    options = ["--calibration", str(tmp_path / "c.json")]
    assert CliRunner().invoke(main, ["map", str(tmp_path / "p.png"), *options]).exit_code == 0
    distance = db.read_map(tmp_path / "p_defocus.tif")
    assert np.nanmedian(distance) == pytest.approx(20, rel=0.15)
    out = tmp_path / "t.csv"
    assert CliRunner().invoke(main, ["qc", str(tmp_path / "p.png"), "--out", str(out), *options]).exit_code == 0
    header, row = (line.split(",") for line in out.read_text().splitlines())
    assert float(row[header.index("defocus_um")]) == pytest.approx(20, rel=0.12)
    assert float(row[header.index("defocus_error_um")]) > 0


def test_the_distance_from_one_name_and_in_files(tmp_path: Path, calibration: db.DefocusCalibration) -> None:
    """A stack whose planes all lie beyond the focus: the nearest of them counts."""
    stack = SimulatedMicroscope(nuclei(9), 0.0).stack((16.0, 20.0, 24.0))
    db.write_calibration(tmp_path / "c.json", calibration)
    for number, plane in enumerate(stack):
        db.write_image(tmp_path / f"p{number}.tif", plane)
    planes = [tmp_path / f"p{number}.tif" for number in range(3)]
    options = {"calibration": tmp_path / "c.json", "out": tmp_path / "out", "align": "off", "name": "cells"}
    made = db.fuse_files(planes, db.FuseFiles.of(options))
    assert {path.name for path in made.paths} >= {"cells_defocus.tif", "cells_defocus.png", "cells_defocus_error.tif"}
    distance = db.read_map(tmp_path / "out" / "cells_defocus.tif")
    found = db.defocus_distance(db.fuse(stack, device="cpu"), calibration)
    np.testing.assert_allclose(distance, found.distance, atol=0.05)
    assert np.nanmedian(distance) == pytest.approx(16, rel=0.15)

    db.write_nd(tmp_path / "cells.ome.tif", np.stack(stack), axes="ZYX")
    db.fuse_files([tmp_path / "cells.ome.tif"], db.FuseFiles.of({**options, "align": "auto"}))
    maps = db.open_nd(tmp_path / "out" / "cells_maps.ome.tif")
    names = [channel.name for channel in maps.calibration.channels]
    assert names[-2:] == ["defocus / um", "defocus_error / um"]
    np.testing.assert_allclose(maps.pick("C", len(names) - 2)[...], found.distance, atol=0.05)

    quality = db.defocus_distance(db.focus_quality(stack[0], device="cpu"), calibration)
    one_map = db.defocus_distance(db.defocus_map(stack[0], device="cpu"), calibration)
    assert float(quality.distance) == pytest.approx(float(np.nanmedian(one_map.distance)), rel=0.1)


def test_a_calibration_counts_for_its_own_network(tmp_path: Path, calibration: db.DefocusCalibration) -> None:
    db.write_calibration(tmp_path / "c.json", replace(calibration, map_method="blurnet"))
    db.write_image(tmp_path / "p.png", nuclei(9)[:64, :64].astype(np.uint8))
    with pytest.raises(db.InputError, match=r"calibration.*blurnet"):
        db.map_files([tmp_path / "p.png"], db.MapFiles.of({"calibration": tmp_path / "c.json"}))
    with pytest.raises(db.InputError, match="channel"):
        db.MapFiles.of({"channel": "GFP"})


def test_calibrations_of_the_first_version_are_read(tmp_path: Path, calibration: db.DefocusCalibration) -> None:
    """They had the method and the weights in one text."""
    known = replace(calibration, weights="mine.pth")
    db.write_calibration(tmp_path / "c.json", known)
    content = json.loads((tmp_path / "c.json").read_text())
    content["method"] = f"{content.pop('map_method')}, {content.pop('weights')}"
    (tmp_path / "c.json").write_text(json.dumps({**content, "version": 1}))
    assert db.read_calibration(tmp_path / "c.json") == known
