"""Composed scenes: their own truth, and that the masks mean what they say."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.truth import SceneWithTruth, scene_with_truth
from defocus_backend.errors import InputError


@pytest.fixture(scope="module")
def scene() -> SceneWithTruth:
    photo = np.random.default_rng(0).integers(0, 256, (112, 128), dtype=np.uint8)
    return scene_with_truth(photo, slices=5, seed=3)


def test_parts_do_not_overlap_and_all_are_there(scene: SceneWithTruth) -> None:
    parts = (scene.textured, scene.occlusion, scene.bars, scene.never)
    assert all(part.any() for part in parts)
    assert not (scene.never & (scene.textured | scene.occlusion | scene.bars)).any()
    assert not (scene.textured & scene.occlusion).any()


def test_only_what_is_never_in_focus_lies_outside_the_stack(scene: SceneWithTruth) -> None:
    depth = scene.stack.depth
    assert depth[scene.never].min() > 4 + 1
    assert depth[~scene.never].min() >= 0
    assert depth[~scene.never].max() <= 4


def test_away_from_edges_a_pixel_is_truest_in_the_slice_of_its_depth(scene: SceneWithTruth) -> None:
    error = np.abs(scene.stack.slices.astype(float) - scene.stack.sharp)
    for n in range(5):
        here = scene.textured & (scene.stack.depth == n)
        if here.sum() > 100:
            assert error[:, here].mean(axis=1).argmin() == n


def test_bars_are_thin_and_before_everything(scene: SceneWithTruth) -> None:
    from scipy import ndimage

    assert not ndimage.binary_erosion(scene.bars, np.ones((7, 7))).any()
    around = ndimage.binary_dilation(scene.bars, iterations=2) & ~scene.bars
    assert scene.stack.depth[scene.bars].mean() < scene.stack.depth[around & ~scene.never].mean() - 0.5


def test_what_is_before_the_focus_spreads_over_what_is_behind() -> None:
    """In focus, a constant scene is itself in every slice: surfaces that failed to cover would leave seams."""
    scene = scene_with_truth(np.full((96, 96), 100, np.uint8), slices=5, seed=1)
    away = ~(scene.bars | scene.occlusion)
    from scipy import ndimage

    far = ndimage.distance_transform_edt(~scene.bars) > 12
    assert np.abs(scene.stack.slices.astype(int) - 100)[:, away & far].max() <= 2


def test_colour_and_noise_are_reproducible() -> None:
    photo = np.random.default_rng(1).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    first, again = (scene_with_truth(photo, slices=5, noise=3.0, seed=2).stack for _ in range(2))
    assert first.slices.shape == (5, 96, 96, 3)
    np.testing.assert_array_equal(first.slices, again.slices)


@pytest.mark.parametrize(
    ("argument", "changes"),
    [
        ("photo", {"photo": np.zeros((50, 96), np.uint8)}),
        ("front", {"front": np.zeros((96, 97), np.uint8)}),
        ("slices", {"slices": 4}),
        ("photo", {"photo": np.zeros((96, 96, 4), np.uint8)}),
        ("psf", {"psf": "gausian"}),
        ("noise", {"noise": -1.0}),
    ],
)
def test_refusals(argument: str, changes: dict) -> None:
    given = {"photo": np.zeros((96, 96), np.uint8), **changes}
    with pytest.raises(InputError, match=argument):
        scene_with_truth(given.pop("photo"), **given)
