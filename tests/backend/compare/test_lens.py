"""The lens renderer against what a disc does to points, edges and even fields."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from defocus_backend.compare.lens import lens_blur
from defocus_backend.errors import InputError
from defocus_backend.filters.disc import disc_blur


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 1, (48, 56))


def test_what_is_in_focus_stays(picture: np.ndarray) -> None:
    depth = np.full(picture.shape, 7.5)
    for focus in (None, 7.5):
        np.testing.assert_allclose(lens_blur(picture, depth, focus=focus, value_range=(0, 1)), picture, atol=1e-9)


@pytest.mark.parametrize("highlights", [1.0, 2.2])
def test_one_depth_out_of_focus_is_one_disc(picture: np.ndarray, highlights: float) -> None:
    found = lens_blur(
        picture, np.full(picture.shape, 3.0), focus=1, reach=4, radius=8, highlights=highlights, value_range=(0, 1)
    )
    expected = disc_blur(torch.from_numpy(picture)[None] ** highlights, 4.0)[0].numpy() ** (1 / highlights)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_depth_between_layers_is_their_mixture(picture: np.ndarray) -> None:
    found = lens_blur(
        picture, np.full(picture.shape, 2.5), focus=0, reach=4, radius=4, highlights=1, value_range=(0, 1)
    )
    low, high = (disc_blur(torch.from_numpy(picture)[None], r)[0].numpy() for r in (2.0, 3.0))
    # Half of the light in either layer; the nearer one covers half of the farther.
    np.testing.assert_allclose(found, (0.5 * low + 0.5 * 0.5 * high) / 0.75, atol=1e-9)


def test_an_even_field_stays_even_at_any_depth() -> None:
    depth = np.random.default_rng(1).uniform(-5, 90, (40, 40))
    found = lens_blur(np.full((40, 40), 0.3), depth, focus=20, radius=9, value_range=(0, 1))
    np.testing.assert_allclose(found, 0.3, atol=1e-6)


def test_a_sharp_subject_keeps_its_outline_and_does_not_bleed() -> None:
    subject = np.zeros((60, 80), dtype=bool)
    subject[:, 30:50] = True
    picture = np.where(subject, 1.0, 0.2)
    depth = np.where(subject, 1.0, 4.0)
    found = lens_blur(picture, depth, radius=6, highlights=1, value_range=(0, 1))
    np.testing.assert_allclose(found, picture, atol=1e-6)
    # With the background in focus the subject, out of focus before it, has a soft rim that lies over it.
    blurred = lens_blur(picture, depth, focus=4, radius=6, highlights=1, value_range=(0, 1))
    assert 0.3 < blurred[30, 52] < 0.9
    np.testing.assert_allclose(blurred[:, 60:], 0.2, atol=1e-6)


def test_highlights_stay_bright() -> None:
    picture = np.full((41, 41), 0.1)
    picture[20, 20] = 1.0
    depth = np.full(picture.shape, 1.0)
    plain, bright = (
        lens_blur(picture, depth, focus=0, radius=3, highlights=h, value_range=(0, 1))[20, 20] for h in (1.0, 2.2)
    )
    assert bright > plain > 0.1


def test_disparity_is_depth_turned_around(picture: np.ndarray) -> None:
    depth = np.tile(np.linspace(0, 1, picture.shape[1]), (picture.shape[0], 1))
    expected = lens_blur(picture, depth, focus=0.3, radius=5, value_range=(0, 1))
    found = lens_blur(picture, 1 - depth, focus=0.7, radius=5, nearest="high", value_range=(0, 1))
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_dtype_and_layout_are_those_of_the_image() -> None:
    image = np.random.default_rng(2).integers(0, 65536, (3, 20, 24), dtype=np.uint16)
    found = lens_blur(image, np.arange(480.0).reshape(20, 24), channel_axis=0)
    assert found.shape == image.shape
    assert found.dtype == image.dtype


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("depth", {"depth": np.zeros((4, 5))}),
        ("depth", {"depth": np.full((48, 56), np.nan)}),
        ("radius", {"radius": 0}),
        ("reach", {"reach": -1}),
        ("focus", {"focus": float("inf")}),
        ("nearest", {"nearest": "left"}),
        ("highlights", {"highlights": 0}),
    ],
)
def test_refusals(picture: np.ndarray, argument: str, options: dict[str, object]) -> None:
    given = {"depth": np.zeros(picture.shape), **options}
    with pytest.raises(InputError, match=rf"^{argument}:"):
        lens_blur(picture, **given)
