"""Equations 11 and 12, and what the printed form of eq 12 gets wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defocus_backend.errors import Cancelled, InputError
from defocus_backend.params import ShallowParams
from defocus_backend.shallow import ShallowRenderer, shallow_depth_of_field, shallow_weights, weight_parameters


def test_parameters_for_the_papers_example() -> None:
    gamma, scale = weight_parameters(ShallowParams())
    assert gamma == pytest.approx(8.046, abs=5e-4)
    assert scale == pytest.approx(7.078, abs=5e-4)


def test_weights_pass_through_the_two_points() -> None:
    found = shallow_weights(np.array([[2.0, 6.0]]), sharp_below=2, blur_above=6, sharp_weight=0.99, blur_weight=0.02)
    np.testing.assert_allclose(found, [[0.99, 0.02]], atol=1e-5)


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 9), st.floats(0.05, 9))
def test_weights_never_rise_with_blur(near: float, gap: float) -> None:
    far = min(near + gap, 9.9)
    if not near < far:
        return
    sigma = np.linspace(0, 19, 400)[None]
    weights = shallow_weights(sigma, sharp_below=near, blur_above=far)[0]
    assert (np.diff(weights) <= 1e-6).all()
    assert weights.min() >= 0
    assert weights.max() <= 1
    assert weights[-1] == 0, "the printed equation would be back at W0 here"


def test_focus_elsewhere_turns_the_map() -> None:
    weights = shallow_weights(np.array([[0.0, 8.0, 16.0]]), focus=8)[0]
    assert weights[1] > 0.999
    assert weights[0] < 0.01
    assert weights[2] < 0.01


def halves(shape: tuple[int, int] = (96, 128)) -> tuple[np.ndarray, np.ndarray]:
    """A textured colour image, in focus (0) on the left and far out of focus (12) on the right."""
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    sigma = np.where(np.arange(shape[1]) < shape[1] // 2, 0.0, 12.0) * np.ones(shape)
    return image, sigma


@pytest.mark.parametrize("blur", ["guided", "lens"])
def test_result_is_eq_11(blur: str) -> None:
    image, sigma = halves()
    found = shallow_depth_of_field(
        image, sigma, channel_axis=-1, blur=blur, radius=8, lens_radius=5, edge_tolerance=9000
    )
    weights = found.weights[..., None]
    expected = weights * found.sharpened + (1 - weights) * found.background.astype(float)
    assert found.image.dtype == np.uint8
    # The parts are themselves rounded and clipped for the caller.
    np.testing.assert_allclose(found.image, expected, atol=2)


@pytest.mark.parametrize("blur", ["guided", "lens"])
def test_the_blurred_half_loses_its_texture_and_the_sharp_half_does_not(blur: str) -> None:
    image, sigma = halves()
    found = shallow_depth_of_field(
        image, sigma, channel_axis=-1, blur=blur, radius=8, lens_radius=5, edge_tolerance=9000, sharpen_gain=0
    )
    assert np.array_equal(found.image[:, :60], image[:, :60])
    assert found.image[:, 70:].std() < 0.4 * image[:, 70:].std()


@pytest.mark.parametrize("blur", ["guided", "lens"])
def test_the_subject_does_not_bleed_into_the_background(blur: str) -> None:
    """A white subject on black: with filling, the background beside it stays black."""
    image = np.zeros((64, 64), np.uint8)
    image[16:48, 16:48] = 255
    sigma = np.where(image > 0, 0.0, 12.0)
    settings = {
        "blur": blur,
        "radius": 12,
        "edge_tolerance": 60000.0,
        "lens_radius": 8,
        "sharpen_gain": 0,
        "highlights": 1.0,
    }
    bled, filled = (
        shallow_depth_of_field(image, sigma, fill_subject=fill, **settings).image[image == 0] for fill in (False, True)
    )
    assert bled.max() > 60
    assert filled.max() <= 1


def test_bright_points_become_discs() -> None:
    image = np.zeros((65, 65), np.uint8)
    image[32, 32] = 255
    found = shallow_depth_of_field(
        image, np.full(image.shape, 12.0), blur="lens", lens_radius=10, highlights=2.2, fill_subject=False
    ).image
    yy, xx = np.mgrid[-32:33, -32:33]
    inside, outside = np.hypot(yy, xx) < 9, np.hypot(yy, xx) > 12
    assert found[inside].min() > 0
    assert np.ptp(found[inside]) <= 1, "a disc is even"
    assert found[outside].max() == 0


def test_refusals() -> None:
    flat = np.zeros((8, 8))
    with pytest.raises(InputError, match="sharp_below"):
        shallow_weights(flat, sharp_below=7, blur_above=7)
    with pytest.raises(InputError, match="focus"):
        shallow_weights(flat, focus=-1)
    with pytest.raises(InputError, match="blur"):
        shallow_depth_of_field(flat, flat, blur="motion")
    with pytest.raises(Cancelled):
        shallow_depth_of_field(flat, flat, cancel=lambda: True)


@pytest.mark.parametrize("blur", ["guided", "lens"])
def test_a_prepared_image_gives_the_same_numbers_whatever_came_before(blur: str) -> None:
    image, sigma = halves((40, 48))
    ready = ShallowRenderer(image, sigma, channel_axis=-1)
    common = {"blur": blur, "radius": 4, "lens_radius": 3.0}
    for options in (
        {},
        {"blur_above": 5.0},
        {"fill_subject": False},
        {"fill_subject": False, "sharp_below": 2.0},
        {"sharpen_gain": 1.0},
        {"radius": 6, "lens_radius": 5.0},
        {"focus": 12.0},
    ):
        arguments = {**common, **options}
        wanted = shallow_depth_of_field(image, sigma, channel_axis=-1, **arguments)
        focus = arguments.pop("focus", None)
        found = ready.apply(ShallowParams(**arguments), focus=focus)
        for name in ("image", "weights", "background", "sharpened"):
            np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))


def test_the_background_is_blurred_again_only_for_what_it_depends_on() -> None:
    image, sigma = halves((40, 48))
    ready = ShallowRenderer(image, sigma, channel_axis=-1)
    plain = ShallowParams(radius=4, fill_subject=False)
    assert ready.needs_background(plain)
    assert not ready.can_estimate(plain)
    ready.apply(plain)
    assert not ready.needs_background(ShallowParams(radius=4, fill_subject=False, blur_above=5), focus=3)
    assert ready.needs_background(ShallowParams(radius=5, fill_subject=False))
    filled = ShallowParams(radius=4)
    ready.apply(filled)
    assert ready.needs_background(ShallowParams(radius=4, blur_above=5)), "another part is painted over"
    assert ready.can_estimate(ShallowParams(radius=4, blur_above=5))
    assert not ready.can_estimate(ShallowParams(radius=5, blur_above=5))


def test_an_estimate_mixes_by_the_right_weights_with_the_last_background() -> None:
    image, sigma = halves((40, 48))
    ready = ShallowRenderer(image, sigma, channel_axis=-1)
    before = ready.apply(ShallowParams(radius=4))
    found = ready.apply(ShallowParams(radius=4, blur_above=5), estimate=True)
    np.testing.assert_array_equal(found.background, before.background)
    np.testing.assert_array_equal(found.weights, shallow_weights(sigma, blur_above=5))
    weights = found.weights[..., None]
    expected = weights * found.sharpened + (1 - weights) * found.background.astype(float)
    np.testing.assert_allclose(found.image, expected, atol=2)
