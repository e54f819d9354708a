"""Focus of one picture: what is blurred by a known sigma, and what cannot be judged."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage import data

import defocus_backend as db
from defocus_backend.quality.classic import laplacian_variance, power_slope
from defocus_backend.quality.structure import noise_level, structured_blocks


@pytest.fixture(scope="module")
def estimator() -> db.quality.QualityEstimator:
    return db.quality.QualityEstimator(device="cpu")


def blurred(sigma: float) -> np.ndarray:
    return ndimage.gaussian_filter(data.gravel()[:256, :256].astype(float), sigma).round().astype(np.uint8)


@pytest.mark.parametrize(("sigma", "verdict"), [(0, "in focus"), (3, "soft"), (8, "out of focus")])
def test_the_verdict_follows_the_blur(estimator: db.quality.QualityEstimator, sigma: float, verdict: str) -> None:
    found = estimator.measure(blurred(sigma))
    assert found.verdict == verdict
    assert found.sigma_p10 <= found.sigma_median
    assert abs(found.sigma_median - sigma) < max(1.0, 0.2 * sigma)


@pytest.mark.parametrize(
    "noise",
    [
        lambda rng: rng.normal(100, 3, (256, 256)).round().astype(np.uint16),
        lambda rng: rng.poisson(0.1, (256, 256)).astype(np.uint16),
        lambda rng: rng.poisson(100, (256, 256)).astype(np.uint16),
        lambda rng: np.clip(rng.normal(128, 40, (200, 333)), 0, 255).astype(np.uint8),
        lambda rng: rng.normal(0, 1e-3, (256, 256)),
    ],
    ids=["camera", "single photons", "photons", "strong", "float"],
)
def test_an_empty_field_is_nothing_to_judge(estimator: db.quality.QualityEstimator, noise: object) -> None:
    found = estimator.measure(noise(np.random.default_rng(0)))  # type: ignore[operator]
    assert (found.verdict, found.reason) == ("nothing to judge", "no structure beyond noise")
    assert np.isnan(found.sigma_median)
    assert np.isnan(found.blocks).all()


def test_uneven_light_over_an_empty_field_is_nothing_to_judge(estimator: db.quality.QualityEstimator) -> None:
    y, x = np.mgrid[-1:1:256j, -1:1:256j]
    field = 200 - 60 * (y**2 + x**2) + np.random.default_rng(0).normal(0, 4, y.shape)
    assert estimator.measure(field.round().astype(np.uint8)).verdict == "nothing to judge"


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.zeros((64, 64), np.uint8), "constant"),
        (np.full((64, 64), np.nan), "no finite pixel"),
        (np.ones((8, 300)), "smaller than 32 px"),
        (np.where(data.camera() > 50, 255, data.camera()).astype(np.uint8), "of the pixels are saturated"),
    ],
)
def test_the_reason_is_given(estimator: db.quality.QualityEstimator, image: np.ndarray, reason: str) -> None:
    found = estimator.measure(image)
    assert found.verdict == "nothing to judge"
    assert reason in found.reason


def test_missing_pixels_do_not_count(estimator: db.quality.QualityEstimator) -> None:
    image = blurred(2).astype(float)
    image[:, :128] = np.nan
    found = estimator.measure(image)
    assert found.verdict != "nothing to judge"
    assert found.informative > 0.5
    assert np.isnan(found.blocks[:, 0]).all()


@pytest.mark.parametrize("white", [255, 4095, 65535, 3000])
def test_saturation_is_the_share_at_the_end_of_the_range(estimator: db.quality.QualityEstimator, white: int) -> None:
    image = (data.camera()[:256, :256].astype(float) / 255 * white * 0.7).astype(np.uint16)
    image[:32] = white  # an eighth of the picture, beyond the camera's last value
    assert estimator.measure(image).saturated == pytest.approx(1 / 8)
    assert estimator.measure(image[32:] // 2 * 2 + 1).saturated < 0.01


def test_the_noise_is_in_the_values_of_the_picture(estimator: db.quality.QualityEstimator) -> None:
    rng = np.random.default_rng(0)
    image = ndimage.gaussian_filter(data.camera()[:256, :256].astype(float), 2) * 100 + rng.normal(0, 300, (256, 256))
    assert estimator.measure(image.clip(0).astype(np.uint16)).noise == pytest.approx(300, rel=0.1)


def test_objects_are_judged_one_by_one(estimator: db.quality.QualityEstimator) -> None:
    image = np.hstack([blurred(0), blurred(8)])
    labels = np.zeros(image.shape, np.uint16)
    labels[64:192, 40:200], labels[64:192, 300:460] = 7, 3
    labels[0, 0] = 9
    found = estimator.measure(image, labels=labels)
    assert [one.label for one in found.objects] == [3, 7, 9]
    far, near, _ = found.objects
    assert (near.verdict, far.verdict) == ("in focus", "out of focus")
    assert near.pixels == far.pixels == 128 * 160


def test_objects_of_an_empty_field_are_nothing_to_judge(estimator: db.quality.QualityEstimator) -> None:
    labels = np.eye(64, dtype=int)
    found = estimator.measure(np.full((64, 64), 7, np.uint8), labels=labels)
    assert [one.verdict for one in found.objects] == ["nothing to judge"]


def test_bad_input_is_named() -> None:
    with pytest.raises(db.InputError, match="labels"):
        db.focus_quality(data.camera(), labels=np.zeros((3, 3), int))
    with pytest.raises(db.InputError, match="labels"):
        db.focus_quality(data.camera(), labels=data.camera().astype(float))
    with pytest.raises(db.InputError, match="blurred_above"):
        db.focus_quality(data.camera(), sharp_below=5, blurred_above=4)
    with pytest.raises(db.InputError, match="map_method"):
        db.focus_quality(data.camera(), map_method="entropy")


def rings(image: np.ndarray) -> float:
    """The slope as CellProfiler defines it, pixel by pixel of the whole spectrum."""
    height, width = image.shape
    power = np.abs(np.fft.fft2(image - image.mean())) ** 2
    y, x = (np.minimum(np.arange(n), n - np.arange(n)) for n in image.shape)
    ring = np.floor(np.hypot(y[:, None], x[None, :])).astype(int) + 1
    labels = np.arange(2, min(height, width) // 8)
    total = np.array([power[ring == n].sum() for n in labels])
    return float(np.polyfit(np.log(labels), np.log(total), 1)[0])


@pytest.mark.parametrize("shape", [(256, 256), (255, 200), (128, 301)])
def test_the_power_slope_is_that_of_the_whole_spectrum(shape: tuple[int, int]) -> None:
    image = data.camera()[: shape[0], : shape[1]].astype(np.float32)
    assert power_slope(image) == pytest.approx(rings(image), abs=1e-3)


def test_classic_measures_fall_with_blur() -> None:
    sharp, soft = (blurred(s).astype(np.float32) for s in (0, 3))
    assert power_slope(soft) < power_slope(sharp)
    assert laplacian_variance(soft) < laplacian_variance(sharp)
    assert laplacian_variance(sharp) == pytest.approx(ndimage.laplace(sharp.astype(float))[1:-1, 1:-1].var(), rel=1e-4)


def test_white_noise_keeps_no_structure_and_its_level() -> None:
    noise = np.random.default_rng(3).normal(0, 5, (500, 700)).astype(np.float32)
    assert noise_level(noise) == pytest.approx(5, rel=0.02)
    assert not structured_blocks(noise).any()


def test_faint_structure_in_strong_noise_is_seen() -> None:
    rng = np.random.default_rng(0)
    photo = ndimage.gaussian_filter(data.brick().astype(np.float32), 3)
    noisy = photo / photo.std() * 10 + rng.normal(0, 20, photo.shape).astype(np.float32)
    assert structured_blocks(noisy.astype(np.float32)).mean() > 0.5


def test_a_smooth_ramp_of_whole_numbers_has_no_structure() -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, 1024).round(), (256, 1024)).astype(np.float32)
    assert not structured_blocks(ramp, rounding=1.0).any()
