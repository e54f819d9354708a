"""Composed scenes: their blur is known, and they look as cameras and microscopes make them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage import data

from defocus_backend.arrays import as_image
from defocus_backend.synthetic import degrade
from defocus_backend.synthetic.compositions import (
    KINDS,
    Scene,
    SharpPictures,
    compose,
    draw_blur,
    enlarge,
    retone,
    trust_map,
)
from defocus_backend.synthetic.drawn import draw_filaments, draw_leaves, draw_phase_contrast
from defocus_backend.synthetic.patches import list_photos


@pytest.mark.parametrize("kind", KINDS)
def test_a_scenes_sigma_is_that_of_its_layers(photos: Path, kind: str) -> None:
    pictures = SharpPictures(list_photos(photos), 128)
    scene = compose(pictures, np.random.default_rng(3), degrade.CLEAN, kind=kind, sigmas=(1.0, 6.0), psf="gaussian")
    assert scene.picture.shape == scene.sigma.shape == scene.trust.shape == (128, 128)
    levels = np.unique(scene.sigma)
    if kind == "uniform":
        assert levels.tolist() == [1]
    elif kind == "ramp":
        assert 1 <= levels.min() < levels.max() <= 6
        assert len(levels) > 50
    else:
        assert set(levels.tolist()) <= {1, 6}
        fine = ndimage.gaussian_filter(ndimage.laplace(scene.picture) ** 2, 4)
        inside = [ndimage.binary_erosion(scene.sigma == s, iterations=12) for s in (1, 6)]
        if all(i.any() for i in inside):
            assert np.median(fine[inside[0]]) > 5 * np.median(fine[inside[1]])


def test_a_blur_beyond_the_levels_is_called_the_last_of_them(photos: Path) -> None:
    """Far from focus a stack is blurred by more than 19 px: nothing else tells the network what to say there."""
    rng = np.random.default_rng(0)
    drawn = np.array([draw_blur(rng) for _ in range(2000)])
    assert 0.05 < (drawn > 19).mean() < 0.12
    pictures = SharpPictures(list_photos(photos), 128)
    scene = compose(pictures, rng, degrade.CLEAN, kind="ramp", sigmas=(10.0, 30.0))
    assert scene.sigma.max() == 19
    assert scene.sigma.min() < 18


def test_trust_is_low_where_a_photo_is_out_of_focus_itself(photo: np.ndarray) -> None:
    image = photo.astype(np.float32)
    blurred = ndimage.gaussian_filter(image, 4)
    structured = ndimage.gaussian_filter((blurred - ndimage.gaussian_filter(blurred, 12)) ** 2, 8) > 60
    assert trust_map(image)[structured].mean() > 0.8
    assert trust_map(blurred)[structured].mean() < 0.4
    assert trust_map(np.full((40, 40), 90, np.float32)).min() == 1


def test_a_tone_curve_keeps_order_or_turns_it_round(photo: np.ndarray) -> None:
    picture, rng = photo[:64, :64].astype(np.float32), np.random.default_rng(0)
    signs = []
    for _ in range(200):
        changed = retone(picture, 0.5, rng)
        assert changed.min() >= 0
        assert changed.max() <= 255
        ranks = np.corrcoef(picture.ravel().argsort().argsort(), changed.ravel().argsort().argsort())[0, 1]
        assert abs(ranks) > 0.95
        signs.append(ranks < 0)
    assert 0.08 < np.mean(signs) < 0.23, "some pictures are turned negative"
    assert retone(picture, 0.0, rng) is picture


@pytest.mark.parametrize("factor", [1.2, 1.5])
def test_blur_grows_with_an_enlarged_scene(factor: float) -> None:
    """Measured by the width of an edge: the edge of a blurred step is the blur's own distribution."""
    side, sigma = 256, 3.0
    step = np.zeros((side, side), np.float32)
    step[:, side // 2 :] = 200
    even = np.full((side, side), sigma, np.float32)
    scene = Scene(degrade.blur(step, sigma), even, np.ones_like(even), "uniform", "gaussian")
    larger = enlarge(scene, factor, np.random.default_rng(0))
    assert larger.picture.shape == (side, side)
    density = np.diff(larger.picture.mean(0))
    x = np.arange(len(density))
    centre = (density * x).sum() / density.sum()
    width = np.sqrt((density * (x - centre) ** 2).sum() / density.sum())
    assert width == pytest.approx(factor * sigma, rel=0.02)
    assert larger.sigma.mean() == pytest.approx(width, rel=0.04)


def test_a_sharp_scene_enlarged_is_a_little_blurred(photo: np.ndarray) -> None:
    picture = photo[:128, :128].astype(np.float32)
    sharp = Scene(picture, np.zeros_like(picture), np.ones_like(picture), "uniform", "gaussian")
    assert np.unique(enlarge(sharp, 1.0, np.random.default_rng(0)).sigma).tolist() == [0]
    sigmas = [float(enlarge(sharp, f, np.random.default_rng(0)).sigma.mean()) for f in (1.1, 1.3, 1.5)]
    assert sigmas == sorted(sigmas)
    assert 0 < sigmas[0] < sigmas[-1] < 1
    far = Scene(picture, np.full_like(picture, 18), np.ones_like(picture), "uniform", "gaussian")
    assert enlarge(far, 1.5, np.random.default_rng(0)).sigma.max() == 19


def test_pictures_of_16_bits_are_stretched_and_keep_fractions_of_gray_values(photo: np.ndarray) -> None:
    picture = degrade.blur(photo[:64, :64].astype(np.float32), 4)
    deep = degrade.degrade(picture, replace(degrade.CLEAN, deep=1.0), np.random.default_rng(0))
    # As the library brings 16 bits to the unit range, see `arrays.as_image`.
    expected = as_image(picture.astype(np.float64) + 1000).gray.numpy() * 255
    np.testing.assert_allclose(deep, expected.clip(0, 255), atol=0.01)
    assert not (degrade.degrade(picture, degrade.CLEAN, np.random.default_rng(0)) % 1).any()


def test_drawn_microscopy_is_dark_with_bright_threads_or_gray_with_halos() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        threads = draw_filaments(160, rng)
        assert threads.max() > np.median(threads) + 30
        assert np.median(threads) - threads.min() < 30
        phase = draw_phase_contrast(160, rng)
        ground = np.median(phase)
        assert 20 < ground < 235
        # Beyond a dark rim there is a bright one, and the other way round.
        assert phase.max() > ground + 10
        assert phase.min() < ground - 10


def test_dead_leaves_are_sharp_to_the_pixel_and_differ() -> None:
    first, second = (draw_leaves(160, np.random.default_rng(n)) for n in (1, 2))
    assert np.abs(first - second).mean() > 10
    fine = [ndimage.laplace(ndimage.gaussian_filter(first, s)).var() for s in (0, 1)]
    assert fine[0] > 10 * fine[1]
    assert first.min() >= 0
    assert first.max() <= 255


def test_a_patchwork_shows_parts_of_its_photographs_with_other_brightness() -> None:
    stripes = np.tile(np.float32([0, 0, 255, 255]), (160, 40))
    patchwork = draw_leaves(160, np.random.default_rng(3), [stripes])
    along, across = (np.abs(np.diff(patchwork, axis=axis)) for axis in (0, 1))
    # The stripes are upright wherever they are, so that neighbours in a column are mostly alike and in a row not.
    assert np.median(along) < 0.5 < 3 < np.median(across[:, 1::2])
    assert len(np.unique(np.rint(patchwork / 16))) > 8


def test_a_shrunk_photograph_has_the_size_asked_for_and_more_fine_detail(tmp_path: Path) -> None:
    soft = ndimage.gaussian_filter(data.astronaut()[..., 1], 1)
    Image.fromarray(soft).save(tmp_path / "soft.png")
    pictures = SharpPictures(list_photos(tmp_path), 64)

    def detail(shrunk: float) -> float:
        rng = np.random.default_rng(5)
        crops = [pictures.draw(rng, shrunk=shrunk) for _ in range(30)]
        assert all(crop.shape == trust.shape == (128, 128) for crop, trust in crops)
        return float(np.median([ndimage.laplace(crop).var() / crop.var() for crop, _ in crops]))

    assert detail(1.0) > 1.5 * detail(0.0)


def test_every_training_scene_is_finite_and_in_range(tmp_path: Path) -> None:
    """White in both photographs of a blend was 255.00002, and its negative to the power of 2.2 not a number."""
    rng = np.random.default_rng(4)
    for n in range(2):
        Image.fromarray(rng.choice([0, 255], (140, 140)).astype(np.uint8)).save(tmp_path / f"{n}.png")
    pictures = SharpPictures(list_photos(tmp_path), 64)
    often = replace(degrade.CLEAN, blended=1.0, tone=1.0)
    for index in range(250):
        scene = compose(pictures, np.random.default_rng(index), often, kind="uniform")
        assert np.isfinite(scene.picture).all()
        assert 0 <= scene.picture.min() <= scene.picture.max() <= 255
