"""Published sharpening methods against their defining equations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage import data

from defocus_backend.compare import SHARPEN_METHODS, sharpen_with
from defocus_backend.compare.cas import cas
from defocus_backend.compare.gum import generalised_difference, generalised_product, generalised_sum, gum
from defocus_backend.compare.unsharp import unsharp_mask
from defocus_backend.errors import InputError


def blurred() -> np.ndarray:
    return ndimage.gaussian_filter(data.camera()[100:196, 200:320], 1.5)


def test_unsharp_mask_is_equation_7() -> None:
    image = blurred().astype(float)
    expected = np.clip(image + 0.5 * (image - ndimage.gaussian_filter(image, 2)), 0, 255)
    np.testing.assert_allclose(unsharp_mask(image, gain=0.5, sigma=2), expected, atol=1e-9)


def test_generalised_operations() -> None:
    x, y = np.random.default_rng(0).uniform(0.01, 0.99, (2, 50))
    half = np.full(50, 0.5)
    np.testing.assert_allclose(generalised_sum(x, half), x)
    np.testing.assert_allclose(generalised_sum(x, generalised_difference(y, x)), y)
    np.testing.assert_allclose(generalised_product(np.full(50, 2.0), x), generalised_sum(x, x))
    np.testing.assert_allclose(generalised_sum(x, y), x * y / (x * y + (1 - x) * (1 - y)))


@pytest.mark.parametrize("sharpness", [0.0, 1.0])
def test_cas_of_one_pixel_by_hand(sharpness: float) -> None:
    cross = np.array([[0, 0.3, 0], [0.4, 0.5, 0.6], [0, 0.7, 0]])
    weight = -np.sqrt(min(0.3, 1 - 0.7) / 0.7) / (8 - 3 * sharpness)
    expected = (weight * (0.3 + 0.4 + 0.6 + 0.7) + 0.5) / (1 + 4 * weight)
    assert cas(cross, sharpness=sharpness, value_range=(0, 1))[1, 1] == pytest.approx(expected)


@pytest.mark.parametrize("method", SHARPEN_METHODS)
def test_gradients_grow(method: str) -> None:
    image = blurred()
    sharper = sharpen_with(method, image)
    assert sharper.dtype == image.dtype
    assert np.abs(np.diff(sharper.astype(float))).mean() > 1.02 * np.abs(np.diff(image.astype(float))).mean()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("method", SHARPEN_METHODS)
@pytest.mark.parametrize("value", [0, 1, 90, 255])
def test_flat_images_stay(method: str, value: int) -> None:
    for shape in ((1, 1), (9, 12)):
        flat = np.full(shape, value, np.uint8)
        np.testing.assert_array_equal(sharpen_with(method, flat), flat)


@pytest.mark.parametrize("method", SHARPEN_METHODS)
def test_colour_and_dtypes(method: str) -> None:
    image = data.astronaut()[:64, :80]
    expected = sharpen_with(method, image, channel_axis=-1)
    assert expected.shape == image.shape
    first = np.moveaxis(image / 255, -1, 0)
    found = sharpen_with(method, first, channel_axis=0, value_range=(0, 1))
    np.testing.assert_allclose(np.moveaxis(found, 0, -1) * 255, expected, atol=0.51)
    wide = sharpen_with(method, image.astype(np.uint16) * 257, channel_axis=-1)
    np.testing.assert_allclose(wide / 257, expected, atol=0.51)


def test_bad_input_is_named() -> None:
    image = blurred()
    for name in SHARPEN_METHODS:
        with pytest.raises(InputError, match="image"):
            sharpen_with(name, image * np.nan)
        with pytest.raises(InputError, match="image"):
            sharpen_with(name, np.stack([image] * 3, -1))
    with pytest.raises(InputError, match="name"):
        sharpen_with("magic", image)
    with pytest.raises(InputError, match="sharpness"):
        cas(image, sharpness=2)
    with pytest.raises(InputError, match="window"):
        gum(image, window=2)
    with pytest.raises(InputError, match="exponent"):
        gum(image, exponent=0)
