"""Scores of slices, the running best and the soft mean, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from defocus_backend.arrays import as_image
from defocus_backend.filters import cell_mean, gaussian_blur, laplacian
from defocus_backend.fusion.decision import SIGMA, Detail, combined_score, height_score, nearest_slice, weighed_sigma
from defocus_backend.fusion.noise import NoiseModel, estimate_noise, noise_level, octaves_of
from defocus_backend.params import BlendParams, DecisionParams
from defocus_backend.synthetic.degrade import share_noise

NOISE, CLEAN = NoiseModel.white(0.01), NoiseModel.white(0.0012)


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
    """An energy far above the noise, in units of the noise: octave o has 4^-o of it and 2^-o of the weight."""
    rng = np.random.default_rng(3)
    noise = torch.from_numpy(rng.normal(0, 0.02, (256, 256)).astype(np.float32))
    energies = [float(laplacian(gaussian_blur(cell_mean(noise, 2**o), 0.8)).square().mean()) for o in range(3)]
    np.testing.assert_allclose(energies, [energies[0] / 4**o for o in range(3)], rtol=0.05)
    gray = torch.from_numpy(rng.normal(0, 0.6, (256, 256)).astype(np.float32)) + 10
    found = combined_score(
        Detail.of(gray, NoiseModel.white(0.02)), torch.zeros(256, 256), DecisionParams(noise_floor=2.0), 1
    )
    expected = sum(np.log(30**2 / 2) / 2**o for o in range(3))
    assert float(found.mean()) == pytest.approx(expected, abs=0.3)


@pytest.mark.parametrize("shared", [0.0, 0.7])
def test_the_noisiest_slice_gains_nothing_by_its_noise(shared: float) -> None:
    """Noise that grows with the light, and that neighbours share as after line averaging; nothing else is there."""
    rng = np.random.default_rng(8)
    lights = (0.05, 0.2, 0.6)
    slices = [gaussian_blur(torch.from_numpy(rng.normal(0, 1, (192, 192))), shared) for _ in lights]
    slices = [(light + 0.1 * light**0.5 * s / s.std()).float() for light, s in zip(lights, slices, strict=True)]
    noise = estimate_noise(as_image(s.numpy(), value_range=(0, 1)) for s in slices)
    scores = torch.stack(
        [combined_score(Detail.of(s, noise), torch.zeros(192, 192), DecisionParams(), 1) for s in slices]
    )
    apart = (scores.amax(0) - scores.amin(0)).quantile(0.95)
    assert float(apart) * BlendParams().firmness < 0.7  # the weights of pure chance stay within a factor of two


def test_the_noise_is_found_at_every_brightness(photo: np.ndarray) -> None:
    """Photons: variance 0.002 of the light in the unit range, on a photograph and a blurred one."""
    rng = np.random.default_rng(9)
    blurred = gaussian_blur(torch.from_numpy(photo.astype(np.float32)), 3.0).numpy()
    slices = [
        (p / 255 + rng.normal(0, 1, p.shape) * np.sqrt(0.002 * p / 255)).astype(np.float32) for p in (photo, blurred)
    ]
    found = estimate_noise(as_image(s, value_range=(0, 1)) for s in slices)
    for light in (0.2, 0.5, 0.8):
        assert found.offset + found.slope * light == pytest.approx(0.002 * light, rel=0.35)


@pytest.mark.parametrize("grain", [0.0, 1.5, 4.0])
def test_noise_that_neighbours_share_is_known_in_every_octave(photo: np.ndarray, grain: float) -> None:
    """As demosaicing and denoising leave it: the energy of an octave is what `octaves_of` finds in noise alone."""
    rng = np.random.default_rng(2)
    sharp = torch.from_numpy(photo.astype(np.float32))
    sharp[:, :160] = 110
    noises = [
        torch.from_numpy(share_noise(rng.standard_normal(sharp.shape, dtype=np.float32), grain)) for _ in range(5)
    ]
    slices = [
        (gaussian_blur(sharp, 0.1 + 2 * n) + 6 * noise).round().clamp(0, 255).byte() for n, noise in enumerate(noises)
    ]
    found = estimate_noise(as_image(s.numpy()) for s in slices)
    for octave in range(1 if grain > 2 else 0, 3):  # so smooth a noise has nothing in the finest
        alone = float(octaves_of(6 / 255 * noises[0])[octave][1].mean())
        rounding = NoiseModel.white(0.3 / 255).typical_energy(octave)
        assert found.typical_energy(octave) == pytest.approx(alone + rounding, rel=0.5)


def test_texture_is_not_taken_for_noise_that_neighbours_share(photo: np.ndarray) -> None:
    """All slices of a smooth photograph show the same coarse detail, up to a blur; there is no noise."""
    smooth = gaussian_blur(torch.from_numpy(photo.astype(np.float32)), 2.0)
    slices = [gaussian_blur(smooth, 0.5 + n).round().byte() for n in range(5)]
    found = estimate_noise(as_image(s.numpy()) for s in slices)
    for octave in range(3):
        assert found.typical_energy(octave) < 10 * NoiseModel.white(0.3 / 255).typical_energy(octave)


def test_where_only_coarse_detail_stands_out_focus_is_judged_on_coarser_cells() -> None:
    rng = np.random.default_rng(10)
    waves = torch.from_numpy(rng.normal(0, 1, (24, 24))).repeat_interleave(8, 0).repeat_interleave(8, 1)
    for contrast, finest in ((1.0, 1), (0.3, 2)):
        slices = [
            0.5 + contrast * gaussian_blur(waves, 2.0) + torch.from_numpy(rng.normal(0, 0.15, waves.shape))
            for _ in range(3)
        ]
        assert estimate_noise(as_image(s.float().numpy(), value_range=(0, 1)) for s in slices).finest == finest


def test_sigma_alone_is_the_papers_rule() -> None:
    sigma = torch.rand(9, 9) * 19
    score = SIGMA.score(Detail.of(torch.rand(9, 9), NOISE), sigma, DecisionParams(), 1)
    np.testing.assert_array_equal(score, -sigma)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 3)])
def test_smallest_pictures(shape: tuple[int, int]) -> None:
    image = as_image(np.full(shape, 0.5, np.float32))
    score = combined_score(Detail.of(image.gray, estimate_noise([image])), torch.zeros(shape), DecisionParams(), 1)
    assert score.shape == shape
    assert torch.isfinite(score).all()


@pytest.mark.parametrize("pooling", [2, 4, 8])
def test_sigma_of_cells_counts_as_that_of_their_pixels(pooling: int) -> None:
    """On a ramp of sigma, which interpolation keeps."""
    detail = Detail.of(torch.from_numpy(np.random.default_rng(4).random((64, 96), dtype=np.float32)), NOISE)
    ramp = torch.linspace(0, 10, 96).expand(64, 96)
    whole = combined_score(detail, ramp, DecisionParams(), 1)
    cells = combined_score(
        detail, ramp.reshape(64 // pooling, pooling, -1, pooling).mean((1, 3)), DecisionParams(), pooling
    )
    np.testing.assert_allclose(cells[8:-8, 8:-8], whole[8:-8, 8:-8], atol=1e-3)


@pytest.mark.parametrize("pooling", [1, 2, 4])
def test_beside_a_strong_edge_the_height_is_that_of_the_edge(pooling: int) -> None:
    """Where the sharp edge no longer reaches and the blurred one still does."""
    edge = torch.where(torch.arange(96) < 48, 0.1, 0.9).expand(64, 96).contiguous()
    slices = [edge, gaussian_blur(edge, 4.0)]
    nothing = torch.zeros(64 // pooling, 96 // pooling)
    height = [height_score(Detail.of(s, CLEAN), nothing, DecisionParams(), pooling=pooling) for s in slices]
    near = slice(40 // pooling, 56 // pooling)
    assert bool((height[0] > height[1])[:, near].all())
    picture = [combined_score(Detail.of(s, CLEAN), torch.zeros(64, 96), DecisionParams(), 1) for s in slices]
    assert bool((picture[1] > picture[0])[:, 41:44].any())  # what the window of the picture makes of it


@pytest.mark.parametrize("pooling", [1, 2, 4, 8])
def test_the_height_is_judged_alike_on_cells_of_any_size(pooling: int) -> None:
    """Of a texture that is the same everywhere the mean score hardly depends on the cells."""
    gray = torch.from_numpy(np.random.default_rng(5).random((128, 128), dtype=np.float32))
    nothing = torch.zeros(128 // pooling, 128 // pooling)
    score = height_score(Detail.of(gray, NOISE), nothing, DecisionParams(), pooling=pooling)
    whole = height_score(Detail.of(gray, NOISE), torch.zeros(128, 128), DecisionParams())
    assert score.shape == nothing.shape
    assert float(score.mean()) == pytest.approx(float(whole.mean()), abs=0.1)


def test_sigma_counts_as_far_as_it_is_known() -> None:
    sigma, confidence = torch.tensor([[1.0, 9.0, 0.5, 16.0]]), torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    found = weighed_sigma(sigma, confidence, 2)
    assert torch.equal(found[:, :2], (sigma[:, :2] - 1) ** 2 / 4)
    assert found[0, 2] == found[0, 3]


def test_blurs_of_less_than_half_a_cell_are_alike() -> None:
    found = weighed_sigma(torch.tensor([0.0, 1.0, 2.0, 2.5]), torch.ones(4), 4)
    assert (found[:3] == 0).all()
    assert found[3] > 0
