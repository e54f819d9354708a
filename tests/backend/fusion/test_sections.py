"""Optical sections and slices of noise alone are recognised, on stacks whose kind is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import defocus_backend as db
from defocus_backend.filters import gaussian_blur
from defocus_backend.fusion.brightness import match_brightness
from defocus_backend.fusion.coverage import coverage
from defocus_backend.fusion.sections import LightPerSlice
from defocus_backend.stacks import as_source
from defocus_backend.synthetic.degrade import blur, share_noise
from defocus_backend.synthetic.sections import draw_specimen_in_depth

Z = np.arange(9) - 4.0


def volume(rng: np.random.Generator, side: int = 128) -> torch.Tensor:
    """Spots at all depths on a dark ground, (9, side, side)."""
    spots = torch.from_numpy((rng.random((len(Z), side, side)) < 0.004).astype(np.float32))
    spots *= torch.from_numpy(np.exp(-(Z**2) / 8)[:, None, None]).float()
    return torch.stack([gaussian_blur(s, 1.2) for s in spots]) * 6


def widefield(spots: torch.Tensor) -> np.ndarray:
    """Every slice has the light of all depths, blurred by their distance."""
    slices = [sum(gaussian_blur(s, abs(n - m) * 1.5) for m, s in enumerate(spots)) for n in range(len(spots))]
    return torch.stack(slices).numpy() / 4 + 0.1


def light(stack: np.ndarray) -> LightPerSlice:
    found = LightPerSlice()
    for plane in stack:
        found.add(torch.from_numpy(np.ascontiguousarray(plane, dtype=np.float32)))
    return found


def test_sections_lose_their_light_along_z_and_widefield_does_not() -> None:
    spots = volume(np.random.default_rng(0))
    assert light(spots.numpy() + 0.1).sections
    assert not light(widefield(spots)).sections


@pytest.mark.parametrize(("photons", "offset"), [(300, 2.0), (15, 4.0), (30, 10.0)])
@pytest.mark.parametrize("seed", [10, 11])
def test_sections_of_a_specimen_are_known_under_photon_noise(seed: int, photons: float, offset: float) -> None:
    """Nuclei, threads and spots in 14 depths; their widefield slices are none."""
    rng = np.random.default_rng(seed)
    specimen = draw_specimen_in_depth(14, 192, rng)
    for slices, expected in ((specimen.sections(), True), (specimen.widefield(), False)):
        bright = slices * (200 / max(200.0, float(slices.max())))
        counts = rng.poisson((bright + offset) * photons / 128).astype(np.float32)
        assert light(counts * 128 / photons / 255).sections is expected


def test_sections_of_8_bits_are_not_matched_in_brightness() -> None:
    """As photographs are: a slice at the rim of the specimen is not underexposed."""
    specimen = draw_specimen_in_depth(14, 192, np.random.default_rng(12), nuclei=12)
    slices = (specimen.sections() + 4).round().clip(0, 255).astype(np.uint8)
    _, gains = match_brightness(as_source(slices), "auto")
    assert gains is not None
    assert (gains == 1).all()


@pytest.mark.parametrize("fades", [np.linspace(1, 0.6, 9), 1 - 0.6 * (np.arange(9) % 2)])
def test_a_lamp_that_changes_or_a_dye_that_fades_makes_no_sections(fades: np.ndarray) -> None:
    stack = widefield(volume(np.random.default_rng(1)))
    assert not light(stack * fades[:, None, None]).sections


def test_three_slices_are_too_few_to_say() -> None:
    assert not light(volume(np.random.default_rng(2)).numpy()[:3]).sections


@pytest.mark.parametrize("kind", ["uint16", "float", "photons"])
def test_nothing_is_judged_in_a_stack_of_noise(kind: str) -> None:
    rng = np.random.default_rng(3)
    shape = (4, 96, 96)
    stack = {
        "uint16": rng.normal(100, 3, shape).round().astype(np.uint16),
        "float": rng.normal(0.5, 0.05, shape).astype(np.float32),
        "photons": rng.poisson(10, shape).astype(np.uint16),
    }[kind]
    found = db.fuse(stack)
    assert found.noise_only == (0, 1, 2, 3)
    assert found.inferred.mean() > 0.95
    assert found.confidence.max() < 0.3
    report = coverage(found, 4)
    assert report.shares == (0, 0, 0, 0)
    assert "nothing to judge in all slices" in report.report()


def test_slices_of_noise_beside_an_object_are_named_and_the_ground_is_not_judged() -> None:
    """A textured disc in sections 3 to 5 of nine, with photon noise; elsewhere the dark ground."""
    rng = np.random.default_rng(4)
    rows, columns = np.indices((128, 128))
    disc = np.hypot(rows - 64, columns - 64) < 24
    texture = gaussian_blur(torch.from_numpy(rng.random((128, 128), dtype=np.float32)), 1.0).numpy()
    texture = (texture - texture.min()) / np.ptp(texture)
    clean = np.full((9, 128, 128), 20.0)
    for n, share in ((3, 0.4), (4, 1.0), (5, 0.4)):
        clean[n] += share * 400 * texture * disc
    stack = rng.poisson(clean).astype(np.uint16)
    found = db.fuse(stack)
    assert found.sections
    assert found.noise_only == (0, 1, 2, 6, 7, 8)
    ground = np.hypot(rows - 64, columns - 64) > 44
    known = np.isfinite(found.height) & ~found.inferred
    assert known[ground].mean() < 0.05
    assert known[disc].mean() > 0.9
    assert np.median(found.height[disc]) == pytest.approx(4, abs=0.3)
    fused, one = found.image.astype(float)[ground].std(), stack[0].astype(float)[ground].std()
    assert fused < 0.7 * one  # the mean of slices that hold nothing
    inside = np.hypot(rows - 64, columns - 64) < 20
    assert found.image.astype(float)[inside].std() > 0.9 * stack[4].astype(float)[inside].std()


def test_the_second_channel_of_sections_keeps_its_own_sharp_slice() -> None:
    """Both channels hold texture, the first in slice 2, the second in slice 6."""
    rng = np.random.default_rng(5)
    stack = np.full((9, 2, 96, 96), 20.0)
    for channel, n in ((0, 2), (1, 6)):
        stack[n, channel] += 300 * gaussian_blur(torch.from_numpy(rng.random((96, 96))), 1.0).numpy()
    stack = rng.poisson(stack).astype(np.uint16)
    found = db.fuse_nd(stack, axes="ZCYX", focus_channels=0)
    assert found.sections
    assert found.image[1].astype(float).std() > 0.8 * stack[6, 1].astype(float).std()


@pytest.mark.parametrize("grain", [0.0, 1.5, 2.5, 4.0])
def test_the_ground_of_a_fused_picture_is_never_noisier_than_a_slice(photo: np.ndarray, grain: float) -> None:
    """Beside a photograph through focus lies an even ground, under noise that neighbours share."""
    rng = np.random.default_rng(1)
    sharp = photo[:256, :256].astype(np.float32)
    sharp[:, :128] = 110
    slices = np.stack(
        [
            blur(sharp, max(0.3, 1.5 * abs(n - 4)))
            + 6 * share_noise(rng.standard_normal(sharp.shape, dtype=np.float32), grain)
            for n in range(9)
        ]
    )
    found = db.fuse(slices.round().clip(0, 255).astype(np.uint8))
    ground = found.image[:, :96].astype(float)
    assert ground.std() < 0.8 * slices[:, :, :96].std()
    if grain < 4:  # so wide a grain leaves too few independent values in a window: heights are known on a seventh
        assert (np.isfinite(found.height) & ~found.inferred)[:, :96].mean() < 0.05


def test_where_noise_hides_fine_detail_sigma_is_found_on_larger_cells(photo: np.ndarray) -> None:
    """A photograph through focus under strong noise that neighbours share, as a confocal microscope writes it."""
    rng = np.random.default_rng(4)
    sharp = torch.from_numpy(photo[100:356, 100:356].astype(np.float32))
    slices = []
    for sigma in (10, 7, 4, 2, 4, 7, 10):
        seen = gaussian_blur(sharp, sigma)
        noise = gaussian_blur(torch.from_numpy(rng.normal(size=seen.shape).astype(np.float32)), 0.7)
        slices.append((seen + 40 * (seen / 128).sqrt() * noise / noise.std()).clamp(0, 255).byte().numpy())
    fused = db.fuse(np.stack(slices), keep_slices=True, match_exposure=False)
    assert fused.sigmas is not None
    tiles = fused.sigmas.reshape(7, 8, 32, 8, 32).mean((2, 4))
    assert (tiles.argmin(0) == 3).mean() > 0.9
