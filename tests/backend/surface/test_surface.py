"""Surfaces with known values: roughness, form, profiles, views and a lens."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

import defocus_backend as db
from defocus_backend import surface

X = np.arange(600) * 0.5
WAVE = np.broadcast_to(3 * np.sin(2 * np.pi * X / 20), (400, 600))
"""A wave of 20 units, 3 units high, on pixels of half a unit."""


@pytest.mark.parametrize("seed", [0, 1])
def test_a_normal_surface_has_the_known_parameters(seed: int) -> None:
    found = surface.roughness(np.random.default_rng(seed).normal(7, 2, (500, 600)))
    assert found.sq == pytest.approx(2, rel=0.02)
    assert found.sa == pytest.approx(2 * math.sqrt(2 / math.pi), rel=0.02)
    assert found.ssk == pytest.approx(0, abs=0.03)
    assert found.sku == pytest.approx(3, rel=0.02)


def test_a_tilted_wave_has_the_known_parameters() -> None:
    even = np.broadcast_to(3 * np.cos(2 * np.pi * X / 20), WAVE.shape)  # no part of it is a tilt
    found = surface.roughness(even + 0.3 * X + np.linspace(0, 40, 400)[:, None], pixel_size=0.5)
    assert found.sa == pytest.approx(3 * 2 / math.pi, rel=0.02)
    assert found.sq == pytest.approx(3 / math.sqrt(2), rel=0.02)
    assert found.sz == pytest.approx(6, rel=0.05)
    assert found.sku == pytest.approx(1.5, rel=0.02)


def test_gaps_take_no_part() -> None:
    wave = np.array(WAVE)
    wave[100:200, 50:90] = np.nan
    found = surface.roughness(wave)
    assert found.sq == pytest.approx(3 / math.sqrt(2), rel=0.02)
    assert found.known == pytest.approx(1 - 4000 / 240000)


def test_the_filters_let_half_of_their_nesting_index_through() -> None:
    whole = 3 / math.sqrt(2)
    assert surface.roughness(WAVE, l_filter=20, pixel_size=0.5).sq == pytest.approx(whole / 2, rel=0.03)
    assert surface.roughness(WAVE, s_filter=20, pixel_size=0.5).sq == pytest.approx(whole / 2, rel=0.04)
    assert surface.roughness(WAVE, l_filter=200, pixel_size=0.5).sq == pytest.approx(whole, rel=0.02)


def test_the_form_is_taken_off() -> None:
    y, x = np.mgrid[-1:1:90j, -1:1:120j]
    bowl = 5 + 2 * x - y + 3 * x**2 + x * y
    assert np.abs(surface.level_height(bowl, "quadric")).max() < 1e-9
    assert np.abs(surface.level_height(5 + 2 * x - y)).max() < 1e-9
    assert surface.level_height(bowl, "mean").mean() == pytest.approx(0, abs=1e-9)
    assert (surface.level_height(bowl, "none") == bowl).all()


def test_a_profile_has_the_units_and_the_gaps_of_the_map() -> None:
    ramp = np.add.outer(np.arange(40.0), 2 * np.arange(50.0))
    ramp[:, 30] = np.nan
    line = surface.height_profile(ramp, (0, 0), (30, 40), pixel_size=0.1)
    assert line.distance[-1] == pytest.approx(5.0)
    assert line.height[10] == pytest.approx(6 + 16)
    assert np.isnan(line.height[38])
    with pytest.raises(db.InputError, match="end"):
        surface.height_profile(ramp, (0, 0), (40, 10))


def test_what_cannot_be_measured_is_named() -> None:
    for given in (np.full((4, 4), np.nan), np.zeros(5), np.zeros((0, 3))):
        with pytest.raises(db.InputError, match="height"):
            surface.roughness(given)
    with pytest.raises(db.InputError, match="s_filter"):
        surface.roughness(WAVE, s_filter=5, l_filter=2)
    with pytest.raises(db.InputError, match="form"):
        surface.level_height(WAVE, "sphere")  # type: ignore[arg-type]


def test_a_plane_moves_as_a_whole() -> None:
    photo = data.camera()[:64, :128]
    seen = surface.parallax_view(photo, np.full(photo.shape, 10.0), math.degrees(math.atan(0.5)), pivot=0)
    assert np.abs(seen[:, :-5].astype(int) - photo[:, 5:]).mean() < 2  # 10 units at a slope of one half
    still = surface.parallax_view(photo, np.full(photo.shape, 10.0), 0)
    assert np.abs(still.astype(int) - photo).mean() < 2


def test_the_near_covers_the_far_and_the_far_fills_what_is_uncovered() -> None:
    photo = np.full((40, 90), 50, np.uint8)
    photo[:, 30:60] = 200
    height = np.where(photo == 200, 20.0, 0.0)
    seen = surface.parallax_view(photo, height, math.degrees(math.atan(0.5)), pivot=0)[20]
    assert seen[21:48].min() == 200  # moved to the left by 10 px, whole
    assert seen[:18].max() == seen[52:].max() == 50
    behind = surface.parallax_view(photo, height, math.degrees(math.atan(0.5)), pivot=0, nearest="low")[20]
    assert behind[61:].max() == 50  # the ground is nearer now, stays, and covers what moved behind it
    assert behind[42:58].min() == 200


def test_eyes_see_opposite_shifts() -> None:
    photo = data.camera()[:64, :128]
    left, right = surface.stereo_pair(photo, np.full(photo.shape, 8.0), 20, pivot=0)
    assert surface.side_by_side((left, right)).shape == (64, 256)
    assert surface.anaglyph((left, right)).shape == (64, 128, 3)
    assert (surface.anaglyph((left, right))[..., 1] == right).all()
    assert not (left == right).all()


def test_a_lens_keeps_its_focus_and_blurs_the_rest() -> None:
    photo = data.camera()
    height = np.zeros(photo.shape)
    height[:, 256:] = 10
    near, far = (surface.refocus(photo, height, z, aperture=0.6) for z in (10.0, 0.0))
    assert (near[:, 300:] == photo[:, 300:]).mean() > 0.99
    assert (far[:, :210] == photo[:, :210]).mean() > 0.99
    detail = lambda a: np.diff(a.astype(float), axis=1).std()  # noqa: E731
    assert detail(near[:, :200]) < 0.6 * detail(photo[:, :200])
    assert near.dtype == photo.dtype
    assert (surface.refocus(photo, height, 5.0, aperture=0) == photo).all()


@pytest.mark.parametrize("suffix", ["gif", "mp4"])
def test_an_animation_has_its_frames(tmp_path: Path, suffix: str) -> None:
    photo = data.camera()[:65, :97]
    height = np.add.outer(np.zeros(65), np.linspace(0, 20, 97))
    path = tmp_path / f"rock.{suffix}"
    surface.write_animation(path, surface.rocking_views(photo, height, 10, frames=8))
    if suffix == "gif":
        with Image.open(path) as found:
            assert found.n_frames == 8
    else:
        cv2 = pytest.importorskip("cv2")
        assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT) == 8
    with pytest.raises(db.InputError, match="path"):
        surface.write_animation(tmp_path / "rock.avi", [])


def test_the_command(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from defocus_backend.cli import main

    db.write_map(tmp_path / "h.tif", WAVE[:96, :120].astype(np.float32))
    db.write_image(tmp_path / "p.png", data.camera()[:96, :120])
    arguments = ["surface", str(tmp_path / "h.tif"), "--pixel-size", "0.5", "--form", "mean", "--json"]
    views = ["--image", str(tmp_path / "p.png"), "--refocus", "3", "--anaglyph", "--stereo", "--rock", "gif"]
    done = CliRunner().invoke(main, [*arguments, *views, "--level", "--profile", "10", "0", "10", "100"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["roughness"]["sq"] == pytest.approx(3 / math.sqrt(2), rel=0.02)
    made = {Path(output["path"]).name for output in found["outputs"]}
    assert made == {"h_level.tif", "h_profile.csv", "p_refocus.png", "p_anaglyph.png", "p_stereo.png", "p_rock.gif"}
    assert all((tmp_path / name).stat().st_size for name in made)
    assert len((tmp_path / "h_profile.csv").read_text().splitlines()) == 102
    assert CliRunner().invoke(main, ["surface", str(tmp_path / "h.tif"), "--stereo"]).exit_code == 2
