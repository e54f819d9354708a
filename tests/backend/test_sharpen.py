"""Equations 7 to 10."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy import ndimage

from defocus_backend.errors import InputError
from defocus_backend.params import SharpenParams
from defocus_backend.sharpen import Sharpener, gain_map, sharpen


def gain(level: np.ndarray, a1: float, b1: float, a2: float, b2: float, most: float) -> np.ndarray:
    """Eqs 8 to 10 as they are printed, on the map scaled to [0, 1]."""
    rising = 1 / (1 + np.exp(-a1 * (level - b1)))
    falling = 1 - 1 / (1 + np.exp(-a2 * (level - b2)))
    return most * rising * falling


def of_paper(alpha1: float, beta1: float, alpha2: float, beta2: float) -> dict[str, float]:
    """A logistic curve of slope alpha goes from 0.1 to 0.9 over 2 ln(9) / alpha."""
    widths = [19 * 2 * np.log(9) / alpha for alpha in (alpha1, alpha2)]
    return {"rise_at": 19 * beta1, "rise_width": widths[0], "fall_at": 19 * beta2, "fall_width": widths[1]}


def test_the_defaults_are_those_of_fig_11() -> None:
    sigma = np.linspace(0, 19, 400)[None]
    np.testing.assert_allclose(gain_map(sigma), gain_map(sigma, **of_paper(30, 0.15, 92, 0.4)), atol=0.0015)


@pytest.mark.parametrize("values", [(50, 0.1, 25, 0.3, 1), (30, 0.15, 92, 0.4, 2)])
def test_gain_is_the_printed_equation(values: tuple[float, ...]) -> None:
    level = np.linspace(0, 1, 101)[None]
    a1, b1, a2, b2, most = values
    found = gain_map(19 * level, max_gain=most, **of_paper(a1, b1, a2, b2))
    np.testing.assert_allclose(found, gain(level, *values), atol=1e-5)


def test_flanks_are_at_half_and_at_a_tenth_where_the_options_say() -> None:
    options = {"rise_at": 4.0, "rise_width": 1.0, "fall_at": 12.0, "fall_width": 2.0}
    at = [[4.0, 3.5, 4.5, 12.0, 11.0, 13.0]]
    np.testing.assert_allclose(gain_map(at, max_gain=2, **options), [[1, 0.2, 1.8, 1, 1.8, 0.2]], atol=1e-4)


def test_scale_does_not_depend_on_the_map() -> None:
    """Never divided by the map's own maximum: a part has the gain that it has in the whole."""
    sigma = np.random.default_rng(0).uniform(0, 19, (20, 20))
    np.testing.assert_allclose(gain_map(sigma)[:5, :5], gain_map(sigma[:5, :5]), rtol=1e-5)


def test_sharpening_is_unsharp_masking_with_that_gain(colour_photo: np.ndarray) -> None:
    image = colour_photo[:80, :90]
    sigma = np.random.default_rng(0).uniform(0, 10, image.shape[:2])
    found = sharpen(image, sigma, channel_axis=-1, low_pass=1.5)
    smooth = ndimage.gaussian_filter(image.astype(float), (1.5, 1.5, 0))
    expected = image + gain_map(sigma)[..., None] * (image - smooth)
    assert found.image.dtype == np.uint8
    np.testing.assert_allclose(found.image, np.clip(np.rint(expected), 0, 255), atol=1)
    np.testing.assert_allclose(found.low_pass, smooth, atol=0.51)
    np.testing.assert_array_equal(found.gain, gain_map(sigma))


def test_sharp_and_far_out_of_focus_stay_as_they_are(photo: np.ndarray) -> None:
    """The rising flank leaves a gain of 2 / (1 + e^4.5) = 0.022 at sigma 0, the falling one none at 19."""
    far = sharpen(photo, np.full(photo.shape, 19.0)).image
    assert np.array_equal(far, photo)
    sharp = sharpen(photo, np.zeros(photo.shape)).image
    detail = np.abs(photo - ndimage.gaussian_filter(photo.astype(float), 2.0))
    assert (np.abs(sharp.astype(float) - photo) <= 0.022 * detail + 0.51).all()


def test_nan_gets_no_gain() -> None:
    assert gain_map(np.array([[np.nan, 4.0]])).tolist()[0][0] == 0


@pytest.mark.parametrize("argument", ["max_gain", "rise_at", "rise_width", "fall_at", "fall_width", "low_pass"])
def test_bad_parameters_are_named(argument: str) -> None:
    with pytest.raises(InputError) as caught:
        sharpen(np.zeros((4, 4)), np.zeros((4, 4)), **{argument: -1})
    assert caught.value.argument == argument


def test_map_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="sigma"):
        sharpen(np.zeros((4, 4)), np.zeros((4, 5)))
    with pytest.raises(InputError, match="sigma"):
        gain_map(np.zeros(4))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_prepared_image_gives_the_same_numbers_whatever_came_before(colour_photo: np.ndarray, dtype: type) -> None:
    image = colour_photo[:40, :50].astype(dtype)
    sigma = np.random.default_rng(0).uniform(0, 10, image.shape[:2])
    sigma[3, 4] = np.nan
    ready = Sharpener(image, sigma, channel_axis=-1)
    for options in ({"max_gain": 4.0}, {"fall_at": 11.4}, {"low_pass": 1.0}, {"max_gain": 0.5, "low_pass": 3.0}, {}):
        found, wanted = ready.apply(SharpenParams(**options)), sharpen(image, sigma, channel_axis=-1, **options)
        np.testing.assert_array_equal(found.image, wanted.image)
        np.testing.assert_array_equal(found.gain, wanted.gain)
        np.testing.assert_array_equal(found.low_pass, wanted.low_pass)
        found.low_pass[:] = 0  # a result belongs to its caller


def test_while_only_the_gain_changes_nothing_is_filtered(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = Sharpener(photo, np.full(photo.shape, 4.0))
    first = ready.apply(SharpenParams(max_gain=1))
    monkeypatch.setattr(sys.modules[Sharpener.__module__], "gaussian_blur", None)
    second = ready.apply(SharpenParams(max_gain=2))
    assert np.abs(second.image.astype(int) - photo).sum() > np.abs(first.image.astype(int) - photo).sum()
