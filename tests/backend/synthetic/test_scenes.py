"""Rendered focal stacks: the lens model's own invariants."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from defocus_backend.errors import InputError
from defocus_backend.synthetic import scenes
from defocus_backend.synthetic.degrade import blur


def noise_photo(shape: tuple[int, ...] = (96, 128)) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("psf", ["disc", "gaussian"])
def test_a_flat_scene_is_blurred_evenly_and_sharp_in_its_slice(psf: str) -> None:
    photo = noise_photo()
    stack = scenes.focal_stack(photo, np.full(photo.shape, 2.0), slices=5, blur_per_slice=1.5, psf=psf)
    np.testing.assert_array_equal(stack.slices[2], photo)
    for n, image in enumerate(stack.slices):
        expected = blur(photo.astype(np.float32), 1.5 * abs(n - 2), psf)
        assert np.abs(image - np.clip(expected, 0, 255)).max() <= 0.51
        np.testing.assert_allclose(stack.true_sigma(n), 1.5 * abs(n - 2))


def test_shapes_types_and_truth() -> None:
    photo = noise_photo((60, 80, 3))
    depth = scenes.tilted_depth((60, 80), 7)
    stack = scenes.focal_stack(photo, depth, slices=7)
    assert stack.slices.shape == (7, 60, 80, 3)
    assert stack.slices.dtype == np.uint8
    np.testing.assert_array_equal(stack.z, np.arange(7))
    np.testing.assert_array_equal(stack.depth, depth)
    np.testing.assert_array_equal(stack.sharp, photo)


@pytest.mark.parametrize("make", [scenes.tilted_depth, scenes.stepped_depth, scenes.bump_depth])
def test_depths_span_the_slices(make: Callable[..., np.ndarray]) -> None:
    depth = make((51, 71), 9)
    assert depth.shape == (51, 71)
    assert depth.dtype == np.float32
    assert depth.min() == pytest.approx(0, abs=0.05)
    assert depth.max() == pytest.approx(8, abs=0.2)


@pytest.mark.parametrize("make", [scenes.tilted_depth, scenes.bump_depth])
def test_a_slope_is_sharpest_where_it_is_in_focus(make: Callable[..., np.ndarray]) -> None:
    photo = noise_photo()
    stack = scenes.focal_stack(photo, make(photo.shape, 5), slices=5, blur_per_slice=2.0)
    error = np.abs(stack.slices.astype(float) - photo)
    for n in range(5):
        near = np.abs(stack.depth - n) < 0.3
        assert error[:, near].mean(axis=1).argmin() == n


@pytest.mark.parametrize("row", [20, 108])
def test_a_surface_without_steps_displaces_nothing(row: int) -> None:
    """Layers of a slope that hid each other would push what is blurred towards the far side."""
    photo = np.zeros((128, 32), np.uint8)
    photo[row - 2 : row + 3] = 200
    depth = scenes.tilted_depth(photo.shape, 5)
    lines = scenes.focal_stack(photo, depth, slices=5, occlusion=False).slices.astype(float).mean(2)
    centres = (lines * np.arange(128)).sum(1) / lines.sum(1)
    assert np.abs(centres - row).max() < 0.5


def test_light_is_kept_on_a_constant_photograph() -> None:
    """Layers that failed to cover each other would leave dark seams."""
    photo = np.full((80, 90), 137, np.uint8)
    for depth in (scenes.stepped_depth(photo.shape, 5), scenes.bump_depth(photo.shape, 5)):
        stack = scenes.focal_stack(photo, depth, slices=5, blur_per_slice=2.5)
        assert np.abs(stack.slices.astype(int) - 137).max() <= 1


class TestOcclusion:
    """A bright near half beside a dark far half."""

    photo = np.zeros((64, 128), np.uint8)
    photo[:, :64] = 200
    depth = np.where(np.arange(128) < 64, 0.0, 8.0) * np.ones((64, 1))
    stack = scenes.focal_stack(photo, depth, slices=9, blur_per_slice=1.0)

    def test_a_sharp_foreground_keeps_a_clean_edge(self) -> None:
        """The far half, though blurred by 8 px, takes no light from the object that hides it."""
        near = self.stack.slices[0]
        assert (near[:, :63] >= 199).all()
        assert (near[:, 65:] <= 1).all()

    def test_a_blurred_foreground_spreads_over_the_sharp_background(self) -> None:
        row = self.stack.slices[8][32].astype(int)
        assert row[63:65] == pytest.approx([100, 100], abs=12)
        assert row[72] > 20
        assert (np.diff(row) <= 1).all()


def test_noise_is_reproducible_and_of_the_strength_asked_for() -> None:
    photo = np.full((128, 128), 128, np.uint8)
    depth = np.zeros(photo.shape)
    first, again, other = (
        scenes.focal_stack(photo, depth, slices=2, noise=4.0, seed=seed).slices for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert first[0].std() == pytest.approx(4.0, rel=0.05)


@pytest.mark.parametrize(
    ("argument", "changes"),
    [
        ("photo", {"photo": np.zeros((8, 8))}),
        ("photo", {"photo": np.zeros((8, 8, 4), np.uint8)}),
        ("depth", {"depth": np.zeros((8, 9))}),
        ("depth", {"depth": np.full((8, 8), np.nan)}),
        ("slices", {"slices": 0}),
        ("blur_per_slice", {"blur_per_slice": -1}),
        ("noise", {"noise": float("nan")}),
        ("psf", {"psf": "box"}),
    ],
)
def test_refusals(argument: str, changes: dict) -> None:
    given = {"photo": np.zeros((8, 8), np.uint8), "depth": np.zeros((8, 8)), **changes}
    with pytest.raises(InputError, match=argument):
        scenes.focal_stack(given.pop("photo"), given.pop("depth"), **given)
