"""Scores of slices, the running best and the soft mean, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from defocus_backend.arrays import as_image
from defocus_backend.filters import gaussian_blur, laplacian
from defocus_backend.fusion.decision import (
    RunningBest,
    SoftSum,
    nearest_slice,
    noise_level,
    slice_score,
    soft_weights,
)
from defocus_backend.params import FusionParams

CPU = torch.device("cpu")


def test_ties_go_to_the_lowest_index_and_nan_never_wins() -> None:
    best = RunningBest((1, 3), CPU)
    for values in ([1.0, torch.nan, torch.nan], [1.0, 5.0, torch.nan], [1.5, 5.0, torch.nan]):
        best.update(torch.tensor([values]), 2 - torch.tensor([values]), torch.ones(1, 3))
    assert best.index.tolist() == [[2, 1, 0]]
    np.testing.assert_array_equal(best.best, [[1.5, 5.0, np.nan]])
    np.testing.assert_array_equal(best.sigma, [[0.5, -3.0, np.inf]])


def test_neighbours_of_the_best_are_those_of_the_whole_stack() -> None:
    scores = torch.from_numpy(np.random.default_rng(0).standard_normal((7, 20, 30)).astype(np.float32))
    scores[3, :4] = torch.nan
    best = RunningBest((20, 30), CPU)
    won = [best.update(s, s, s) for s in scores]
    filled = scores.nan_to_num(-torch.inf)
    index = filled.argmax(0)
    np.testing.assert_array_equal(best.index, index)
    edged = torch.cat([torch.full((1, 20, 30), torch.nan), scores, torch.full((1, 20, 30), torch.nan)])
    for offset, kept in enumerate((best.below, best.best, best.above)):
        np.testing.assert_array_equal(kept, edged.gather(0, index[None] + offset)[0])
    last = torch.stack(won).long().mul(torch.arange(7)[:, None, None]).amax(0)
    np.testing.assert_array_equal(last, index)


@pytest.mark.parametrize("z", [[0.0, 1.0, 3.0, 7.0], [9.0, 4.0, 3.5, -1.0]])
def test_nearest_slice_with_uneven_rising_or_falling_steps(z: list[float]) -> None:
    height = torch.linspace(-3, 11, 57).reshape(3, 19)
    expected = np.abs(height.numpy() - np.array(z)[:, None, None]).argmin(0)
    found = nearest_slice(height, np.array(z)).numpy()
    apart = np.abs(np.diff(np.sort(np.abs(height.numpy() - np.array(z)[:, None, None]), axis=0)[:2], axis=0)[0]) > 1e-6
    np.testing.assert_array_equal(found[apart], expected[apart])


def test_soft_sum_is_the_mean_weighted_by_the_exponential_of_the_score() -> None:
    rng = np.random.default_rng(1)
    scores = torch.from_numpy(rng.normal(0, 30, (6, 11, 13)).astype(np.float32))
    pixels = torch.from_numpy(rng.random((6, 3, 11, 13), dtype=np.float32))
    scores[2] = torch.nan
    soft = SoftSum(0.7)
    for image, score in zip(pixels, scores, strict=True):
        soft.add(image, score)
    share = torch.exp(0.7 * (scores.double() - scores.nan_to_num(-torch.inf).amax(0))).nan_to_num(0)
    expected = (share[:, None] * pixels).sum(0) / share.sum(0)
    np.testing.assert_allclose(soft.result(), expected, atol=1e-5)
    np.testing.assert_allclose(soft_weights(scores, 0.7), share / share.sum(0), atol=1e-5)


@pytest.mark.parametrize("noise", [2.0, 6.0])
def test_noise_is_found_in_a_picture_and_comes_from_its_least_textured_slice(noise: float, photo: np.ndarray) -> None:
    """Up to the steps in which the median of whole gray values moves."""
    rng = np.random.default_rng(2)
    blurred = gaussian_blur(torch.from_numpy(photo.astype(np.float32)), 3.0).numpy()
    slices = [np.rint(p + rng.normal(0, noise, p.shape)).clip(0, 255).astype(np.uint8) for p in (photo, blurred)]
    assert 255 * noise_level(as_image(s) for s in slices) == pytest.approx(noise, rel=0.15)


def test_the_floor_is_a_multiple_of_the_energy_of_white_noise() -> None:
    noise = torch.from_numpy(np.random.default_rng(3).normal(0, 0.02, (256, 256)).astype(np.float32))
    energy = laplacian(gaussian_blur(noise, 0.8)).square().mean()
    flat = slice_score(torch.zeros(64, 64), torch.zeros(64, 64), 0.02, FusionParams(noise_floor=1.0))
    # Octave o has 4^-o of the noise and 2^-o of the weight.
    expected = sum(np.log(float(energy) / 4**o) / 2**o for o in range(3))
    np.testing.assert_allclose(flat, expected, atol=0.05)


def test_sigma_alone_is_the_papers_rule() -> None:
    sigma = torch.rand(9, 9) * 19
    sigma[0, 0] = torch.nan
    score = slice_score(torch.rand(9, 9), sigma, 0.01, FusionParams(decision="sigma"))
    np.testing.assert_array_equal(score, -sigma)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 3)])
def test_smallest_pictures(shape: tuple[int, int]) -> None:
    image = as_image(np.full(shape, 0.5, np.float32))
    score = slice_score(image.gray, torch.zeros(shape), noise_level([image]), FusionParams())
    assert score.shape == shape
    assert torch.isfinite(score).all()
