"""Scores of slices, the running best and the soft mean, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from defocus_backend.arrays import as_image
from defocus_backend.filters import gaussian_blur, laplacian
from defocus_backend.fusion.decision import (
    SIGMA,
    Detail,
    combined_score,
    height_score,
    nearest_slice,
    noise_level,
    weighed_sigma,
)
from defocus_backend.params import DecisionParams


@pytest.mark.parametrize("z", [[0.0, 1.0, 3.0, 7.0], [9.0, 4.0, 3.5, -1.0]])
def test_nearest_slice_with_uneven_rising_or_falling_steps(z: list[float]) -> None:
    height = torch.linspace(-3, 11, 57).reshape(3, 19)
    expected = np.abs(height.numpy() - np.array(z)[:, None, None]).argmin(0)
    found = nearest_slice(height, np.array(z)).numpy()
    apart = np.abs(np.diff(np.sort(np.abs(height.numpy() - np.array(z)[:, None, None]), axis=0)[:2], axis=0)[0]) > 1e-6
    np.testing.assert_array_equal(found[apart], expected[apart])


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
    flat = combined_score(Detail.of(torch.zeros(64, 64)), torch.zeros(64, 64), 0.02, DecisionParams(noise_floor=1.0), 1)
    # Octave o has 4^-o of the noise and 2^-o of the weight.
    expected = sum(np.log(float(energy) / 4**o) / 2**o for o in range(3))
    np.testing.assert_allclose(flat, expected, atol=0.05)


def test_sigma_alone_is_the_papers_rule() -> None:
    sigma = torch.rand(9, 9) * 19
    score = SIGMA.score(Detail.of(torch.rand(9, 9)), sigma, 0.01, DecisionParams(), 1)
    np.testing.assert_array_equal(score, -sigma)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 3)])
def test_smallest_pictures(shape: tuple[int, int]) -> None:
    image = as_image(np.full(shape, 0.5, np.float32))
    score = combined_score(Detail.of(image.gray), torch.zeros(shape), noise_level([image]), DecisionParams(), 1)
    assert score.shape == shape
    assert torch.isfinite(score).all()


@pytest.mark.parametrize("pooling", [2, 4, 8])
def test_sigma_of_cells_counts_as_that_of_their_pixels(pooling: int) -> None:
    """On a ramp of sigma, which interpolation keeps."""
    detail = Detail.of(torch.from_numpy(np.random.default_rng(4).random((64, 96), dtype=np.float32)))
    ramp = torch.linspace(0, 10, 96).expand(64, 96)
    whole = combined_score(detail, ramp, 0.01, DecisionParams(), 1)
    cells = combined_score(
        detail, ramp.reshape(64 // pooling, pooling, -1, pooling).mean((1, 3)), 0.01, DecisionParams(), pooling
    )
    np.testing.assert_allclose(cells[8:-8, 8:-8], whole[8:-8, 8:-8], atol=1e-3)


@pytest.mark.parametrize("pooling", [1, 2, 4])
def test_beside_a_strong_edge_the_height_is_that_of_the_edge(pooling: int) -> None:
    """Where the sharp edge no longer reaches and the blurred one still does."""
    edge = torch.where(torch.arange(96) < 48, 0.1, 0.9).expand(64, 96).contiguous()
    slices = [edge, gaussian_blur(edge, 4.0)]
    nothing = torch.zeros(64 // pooling, 96 // pooling)
    height = [height_score(Detail.of(s), nothing, 0.0012, DecisionParams(), pooling=pooling) for s in slices]
    near = slice(40 // pooling, 56 // pooling)
    assert bool((height[0] > height[1])[:, near].all())
    picture = [combined_score(Detail.of(s), torch.zeros(64, 96), 0.0012, DecisionParams(), 1) for s in slices]
    assert bool((picture[1] > picture[0])[:, 41:44].any())  # what the window of the picture makes of it


@pytest.mark.parametrize("pooling", [1, 2, 4, 8])
def test_the_height_is_judged_alike_on_cells_of_any_size(pooling: int) -> None:
    """Of a texture that is the same everywhere the mean score hardly depends on the cells."""
    gray = torch.from_numpy(np.random.default_rng(5).random((128, 128), dtype=np.float32))
    nothing = torch.zeros(128 // pooling, 128 // pooling)
    score = height_score(Detail.of(gray), nothing, 0.01, DecisionParams(), pooling=pooling)
    whole = height_score(Detail.of(gray), torch.zeros(128, 128), 0.01, DecisionParams())
    assert score.shape == nothing.shape
    assert float(score.mean()) == pytest.approx(float(whole.mean()), abs=0.1)


def test_sigma_counts_as_far_as_it_is_known() -> None:
    sigma, confidence = torch.tensor([[1.0, 9.0, 0.5, 16.0]]), torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    found = weighed_sigma(sigma, confidence)
    assert torch.equal(found[:, :2], sigma[:, :2] ** 2 / 4)
    assert found[0, 2] == found[0, 3]
