"""A run over the whole image says what patch by patch says, and eq 6 is the mean over windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from defocus_backend.classifier import predict
from defocus_backend.classifier.networks import BlurNet, MobileNetV2, PixelNet, fold_batch_norm
from defocus_backend.classifier.predict import WindowGrid, classify_pixels, classify_windows, spread_windows
from defocus_backend.classifier.weights import load_network
from defocus_backend.filters.gaussian import border_index

SHAPES = [(200, 311), (64, 64), (33, 40), (5, 7), (1, 1)]


@pytest.fixture(scope="module")
def blurnet(random_weights: dict[str, Path]) -> torch.nn.Module:
    return load_network(random_weights["blurnet"])[0]


@pytest.mark.parametrize("step", [4, 8, 16, 32])
@pytest.mark.parametrize("shape", SHAPES)
def test_dense_equals_patch_by_patch(blurnet: torch.nn.Module, shape: tuple[int, int], step: int) -> None:
    torch.manual_seed(1)
    gray = torch.rand(shape)
    grid = WindowGrid(*shape, step)
    rows, columns = (slice(0, n) for n in grid.counts)
    region = predict._region(gray, grid, rows, columns)
    with torch.inference_mode():
        dense = predict._dense_logits(region, blurnet, step, BlurNet.stride)
        patches = predict._patch_logits(region, blurnet, step)
    assert dense.std() > 0.01, "a network that says the same everywhere proves nothing"
    assert (dense - patches).abs().max() < 1e-4


@pytest.mark.parametrize("step", [4, 8, 16, 32])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_pixel_is_the_mean_of_the_windows_that_hold_it(shape: tuple[int, int], step: int) -> None:
    grid = WindowGrid(*shape, step)
    values = np.random.default_rng(0).uniform(0, 19, grid.counts)
    total, held = np.zeros(shape), np.zeros(shape)
    for i in range(grid.counts[0]):
        for j in range(grid.counts[1]):
            y, x = grid.origin[0] + i * step, grid.origin[1] + j * step
            window = np.s_[max(y, 0) : y + 32, max(x, 0) : x + 32]
            total[window] += values[i, j]
            held[window] += 1
    assert held.min() >= 1, "every pixel is covered"
    spread = spread_windows(torch.from_numpy(values), grid).numpy()
    np.testing.assert_allclose(spread, total / held, atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_padding_is_the_same_on_both_sides(shape: tuple[int, int]) -> None:
    grid = WindowGrid(*shape, 8)
    for origin, count, size in zip(grid.origin, grid.counts, shape, strict=True):
        after = origin + (count - 1) * 8 + 32 - size
        assert 0 <= after - -origin <= 1


def test_mirror_is_numpys_symmetric_padding() -> None:
    for size in (1, 2, 5):
        index = border_index(size, -7, size + 9, mode="reflect").numpy()
        np.testing.assert_array_equal(index, np.pad(np.arange(size), (7, 9), mode="symmetric"))


def test_tiles_do_not_show(blurnet: torch.nn.Module) -> None:
    gray = torch.rand(300, 420)
    whole = classify_windows(gray, blurnet, "blurnet", step=4)
    tiled = classify_windows(gray, blurnet, "blurnet", step=4, tile=120)
    for name in ("sigma", "deviation", "confidence"):
        assert (getattr(whole, name) - getattr(tiled, name)).abs().max() < 1e-3, name


@pytest.mark.parametrize("tile", [256, 500])
def test_pixel_tiles_do_not_show(random_weights: dict[str, Path], tile: int) -> None:
    network, _ = load_network(random_weights["pixelnet"])
    gray = torch.rand(700, 500)
    whole = classify_pixels(gray, network)
    tiled = classify_pixels(gray, network, tile=tile)
    assert whole.sigma.std() > 1e-3
    assert (whole.sigma - tiled.sigma).abs().max() < 1e-3


def test_a_sample_is_the_grid_that_the_whole_is_interpolated_from(random_weights: dict[str, Path]) -> None:
    network, _ = load_network(random_weights["pixelnet"])
    gray = torch.rand(300, 270)
    whole, own = classify_pixels(gray, network), classify_pixels(gray, network, every=2)
    full = torch.nn.functional.interpolate(own.sigma[None, None], scale_factor=2, mode="bilinear")[0, 0]
    inner = (slice(2, -2),) * 2  # the grid goes on beyond the border, where the picture is mirrored
    assert (full[inner] - whole.sigma[inner]).abs().max() < 1e-3
    for every in (4, 8):
        found = classify_pixels(gray, network, every=every, tile=256)
        for name in ("sigma", "deviation"):
            expected = getattr(own, name)[:: every // 2, :: every // 2]
            assert getattr(found, name).shape == expected.shape
            assert (getattr(found, name) - expected).abs().max() < 1e-3, name


@pytest.mark.parametrize("shape", SHAPES)
def test_pixel_network_takes_any_size(random_weights: dict[str, Path], shape: tuple[int, int]) -> None:
    network, _ = load_network(random_weights["pixelnet"])
    found = classify_pixels(torch.rand(shape), network)
    assert found.sigma.shape == shape
    assert ((found.sigma >= 0) & (found.sigma <= 19)).all()


def test_a_flat_window_cannot_tell(blurnet: torch.nn.Module) -> None:
    for level in (0.0, 0.5, 1.0):
        found = classify_windows(torch.full((64, 64), level), blurnet, "blurnet", step=8)
        assert (found.confidence < 1e-3).all()


@pytest.mark.parametrize("build", [BlurNet, MobileNetV2, PixelNet])
def test_folding_keeps_the_function(build: type[torch.nn.Module]) -> None:
    torch.manual_seed(0)
    module = build()
    module(torch.rand(8, 1, 32, 32))  # running statistics that are not the initial ones
    module.eval()
    x = torch.rand(3, 1, 64, 64) if build is not MobileNetV2 else torch.rand(3, 1, 32, 32)
    torch.testing.assert_close(fold_batch_norm(module)(x), module(x), atol=1e-4, rtol=1e-4)


def test_brightness_does_not_matter_to_blurnet(blurnet: torch.nn.Module) -> None:
    patch = torch.rand(1, 1, 32, 32) * 0.5
    torch.testing.assert_close(blurnet(patch), blurnet(patch + 0.4), atol=1e-4, rtol=1e-4)


def test_median_and_deviation_of_pixels() -> None:
    from defocus_backend.classifier.pixelnet import LEVELS
    from defocus_backend.classifier.predict import UNIFORM_DEVIATION, _pixel_moments

    place = {sigma: n for n, sigma in enumerate(LEVELS)}
    certain, shared, fine, two_peaks = torch.full((4, len(LEVELS)), 1e-9)
    certain[place[7.0]] = 1
    shared[place[7.0]] = shared[place[8.0]] = 0.5
    fine[place[1.0]], fine[place[1.25]] = 0.4, 0.6
    two_peaks[place[1.0]], two_peaks[place[12.0]] = 0.6, 0.4
    probability = torch.stack([certain, shared, fine, two_peaks], 1)[:, None]
    median, deviation, certainty = _pixel_moments(probability.log())[:, 0]
    torch.testing.assert_close(median[:3], torch.tensor([7.0, 7.5, 1.15]))
    assert median[3] < 5, "the mean, 5.4 px, is neither of the two"
    expected = torch.tensor([0.0, 0.5, 0.25 * (0.6 * 0.4) ** 0.5, 11 * (0.6 * 0.4) ** 0.5])
    torch.testing.assert_close(deviation, expected, atol=2e-3, rtol=0)
    torch.testing.assert_close(certainty, 1 - expected / UNIFORM_DEVIATION, atol=1e-3, rtol=0)


def test_a_distribution_that_is_even_over_all_sigmas_has_no_confidence() -> None:
    from defocus_backend.classifier.pixelnet import LEVELS
    from defocus_backend.classifier.predict import _pixel_moments

    even = torch.gradient(torch.tensor(LEVELS))[0]
    median, _, certainty = _pixel_moments(even.log()[:, None, None])[:, 0, 0]
    assert float(median) == pytest.approx(9.5, abs=0.3)
    assert float(certainty) < 0.06
