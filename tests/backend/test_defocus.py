"""The defocus map from end to end: units, shapes, refusals, and the trained network on a photograph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from defocus_backend.defocus import defocus_map, in_focus
from defocus_backend.errors import Cancelled, DefocusError, DeviceError, InputError
from defocus_backend.filters import smooth_guide, weighted_guided_filter
from defocus_backend.params import MapParams
from defocus_backend.refine import refine_map

MAPS = ("sigma", "raw", "guide", "confidence", "deviation")


@pytest.fixture
def run(random_weights: dict[str, Path]) -> Callable[..., Any]:
    return lambda image, **options: defocus_map(image, weights=random_weights["blurnet"], device="cpu", **options)


@pytest.mark.parametrize("step", [4, 8, 16, 32])
@pytest.mark.parametrize("network", ["blurnet", "mobilenetv2", "pixelnet"])
def test_maps_have_the_images_shape_and_units(random_weights: dict[str, Path], network: str, step: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (61, 90), dtype=np.uint8)
    found = defocus_map(image, weights=random_weights[network], step=step, device="cpu")
    for name in MAPS:
        values = getattr(found, name)
        assert values.shape == (61, 90), name
        assert values.dtype == np.float32, name
    assert found.sigma.min() >= 0
    assert found.sigma.max() <= 19
    assert found.confidence.min() >= 0
    assert found.confidence.max() <= 1
    assert found.in_focus(5).dtype == bool


def usable(image: np.ndarray, channel_axis: int | None) -> bool:
    """What the documentation promises to accept: 1 to 4 channels, a finite pixel, values within 1e30 of zero.

    Pixels that alpha makes wholly transparent may hold anything.
    """
    if channel_axis is not None and image.shape[-1] > 4:
        return False
    values = image.astype(np.float64)
    if channel_axis is not None and image.shape[-1] in (2, 4):
        values[~(image[..., -1] > 0)] = np.nan
    if channel_axis is not None:
        values = values[..., : 3 if image.shape[-1] > 2 else 1]
    finite = np.isfinite(values) if channel_axis is None else np.isfinite(values).all(-1)
    if not finite.any():
        return False
    low, high = float(values[finite].min()), float(values[finite].max())
    return (low >= 0 and high <= 1) or (max(-low, high) <= 1e30 and high - low <= 1e30)


@pytest.mark.filterwarnings("ignore::defocus_backend.errors.DefocusWarning")  # dim floats: their range is said
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.data(),
    dtype=st.sampled_from([np.bool_, np.uint8, np.uint16, np.int32, np.float16, np.float32, np.float64]),
    colour=st.booleans(),
)
def test_any_image_gives_a_map_or_a_clear_error(run: Callable[..., Any], data: Any, dtype: type, colour: bool) -> None:
    dims = 3 if colour else 2
    shape = data.draw(hnp.array_shapes(min_dims=dims, max_dims=dims, max_side=40))
    image = data.draw(hnp.arrays(dtype, shape, fill=st.nothing() if colour else None))
    axis = -1 if colour else None
    transparent = (
        colour
        and shape[-1] in (2, 4)
        and not ((image[..., -1] > 0) & np.isfinite(image[..., :-1].astype(float)).all(-1)).any()
    )
    if transparent or not usable(image, axis):
        with pytest.raises(DefocusError, match="expected"):
            run(image, channel_axis=axis)
        return
    found = run(image, channel_axis=axis, step=32, refine_iterations=1)
    known = np.isfinite(image.astype(float))
    if colour:
        # Alpha is coverage: what is wholly transparent is missing.
        seen = image[..., -1] > 0 if shape[-1] in (2, 4) else True
        known = known[..., : 3 if shape[-1] > 2 else 1].all(-1) & seen
    assert np.array_equal(np.isnan(found.sigma), ~known)
    assert (found.confidence[~known] == 0).all()


def test_constant_images_have_no_confidence(run: Callable[..., Any]) -> None:
    for value in (0, 100, 255):
        assert run(np.full((50, 60), value, np.uint8)).confidence.max() < 1e-3


@pytest.mark.parametrize("network", ["blurnet", "mobilenetv2", "pixelnet"])
def test_the_tile_is_counted_and_does_not_show(
    random_weights: dict[str, Path], photo: np.ndarray, network: str
) -> None:
    image, told = np.tile(photo, (2, 2))[:300, :520], []
    options = {"weights": random_weights[network], "device": "cpu", "step": 32}
    whole = defocus_map(image, **options)
    tiled = defocus_map(image, tile=256, progress=lambda *report: told.append(report), **options)
    assert told[-1] == (6, 6, "tiles")
    for name in MAPS:
        assert np.abs(getattr(tiled, name) - getattr(whole, name)).max() < 1e-3, name


def test_a_tile_out_of_range_is_refused(run: Callable[..., Any], photo: np.ndarray) -> None:
    for wrong in (0, 128, 10_000, 300.5, True):
        with pytest.raises(InputError) as caught:
            run(photo, tile=wrong)
        assert caught.value.argument == "tile"


def test_in_focus_is_below_the_bound_and_known() -> None:
    sigma = np.array([[0.2, 1.0], [np.nan, 0.99]], np.float32)
    np.testing.assert_array_equal(in_focus(sigma), [[True, False], [False, True]])
    assert in_focus(np.zeros((2, 3, 4, 5))).all()
    for wrong in (0, -1, np.nan):
        with pytest.raises(InputError, match="sharp_below"):
            in_focus(sigma, wrong)


def test_refinement_with_even_confidence_is_the_papers(photo: np.ndarray) -> None:
    """GF(c M) / GF(c) with one c everywhere is GF(M), and GF is the iterated filter of the smooth guide."""
    gray = torch.from_numpy(photo[:120, :150] / np.float32(255))
    sigma = torch.rand(15, 19).repeat_interleave(8, 0).repeat_interleave(8, 1)[:, :150] * 19
    params = MapParams(refine_subsample=1, refine_radius=16, refine_iterations=7)
    guide = smooth_guide(gray, radius=16, eps=0.005, iterations=7)
    expected = weighted_guided_filter(guide, sigma, radius=16, eps=0.005, iterations=7).clamp(sigma.min(), sigma.max())
    plain, found_guide = refine_map(sigma, gray, params)
    weighted, _ = refine_map(sigma, gray, params, confidence=torch.full_like(sigma, 0.5))
    torch.testing.assert_close(found_guide, guide, atol=1e-4, rtol=0)
    torch.testing.assert_close(plain, expected, atol=1e-3, rtol=0)
    torch.testing.assert_close(weighted, plain, atol=2e-3, rtol=0)


def test_confident_places_speak_for_the_others() -> None:
    gray = torch.full((64, 64), 0.5)
    sigma = torch.where(torch.arange(64) % 8 < 4, 2.0, 15.0).expand(64, 64)
    confidence = torch.where(sigma < 10, 1.0, 0.0)
    refined, _ = refine_map(sigma, gray, MapParams(), confidence=confidence)
    assert (refined < 3).all()


def test_what_cannot_be_told_is_carried_in_from_far() -> None:
    """A flat place far wider than the filter takes the sigma around it, not the one invented within."""
    sigma, confidence = torch.full((160, 160), 2.0), torch.ones(160, 160)
    sigma[40:120, 40:120] = 14.0
    confidence[40:120, 40:120] = 0.01
    refined, _ = refine_map(sigma, torch.full_like(sigma, 0.5), MapParams(), confidence=confidence)
    torch.testing.assert_close(refined, torch.full_like(sigma, 2.0), atol=0.1, rtol=0)


def test_sigma_is_the_blur_that_was_applied(photo: np.ndarray) -> None:
    """With the shipped weights, on a photograph blurred by a known sigma, where it has texture."""
    textured = ndimage.gaussian_filter(np.abs(ndimage.laplace(photo.astype(float))), 8) > 12
    median = []
    for sigma in (1.5, 3, 5):
        blurred = ndimage.gaussian_filter(photo.astype(float), sigma)
        found = defocus_map(np.rint(blurred).astype(np.uint8), device="cpu")
        median.append(float(np.median(found.sigma[textured])))
    np.testing.assert_allclose(median, (1.5, 3, 5), atol=1.0)


def test_brightness_and_bit_depth_do_not_matter(photo: np.ndarray) -> None:
    eight = defocus_map(photo, device="cpu").sigma
    sixteen = defocus_map(photo.astype(np.uint16) * 100 + 3000, value_range=(3000, 28500), device="cpu").sigma
    np.testing.assert_allclose(sixteen, eight, atol=1e-2)


def test_cancel_and_progress(run: Callable[..., Any]) -> None:
    seen = []
    run(np.zeros((40, 40), np.uint8), progress=lambda *report: seen.append(report))
    assert seen == [(1, 1, "tiles")]
    with pytest.raises(Cancelled):
        run(np.zeros((40, 40), np.uint8), cancel=lambda: True)


def test_devices_are_checked() -> None:
    image = np.zeros((40, 40), np.uint8)
    with pytest.raises(InputError, match="device"):
        defocus_map(image, device="toaster")
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="not present"):
            defocus_map(image, device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_gpu_agrees_with_cpu(photo: np.ndarray) -> None:
    cpu, gpu = (defocus_map(photo, device=d).sigma for d in ("cpu", "cuda"))
    assert np.abs(cpu - gpu).max() < 0.05


def test_an_unrefined_map_shares_no_memory_with_its_raw_form(
    photo: np.ndarray, random_weights: dict[str, Path]
) -> None:
    found = defocus_map(photo[:64, :64], weights=random_weights["blurnet"], refine=False, device="cpu")
    np.testing.assert_array_equal(found.sigma, found.raw)
    assert not np.shares_memory(found.sigma, found.raw)


def test_alpha_that_is_not_above_zero_is_no_coverage(run: Callable[..., Any]) -> None:
    """Signed and float pictures may hold alpha below zero or NaN, which says nothing else."""
    for dtype, clear in ((np.int32, -1), (np.float32, np.nan), (np.uint8, 0)):
        image = np.full((40, 40, 2), 1, dtype)
        image[:, :20, 1] = clear
        missing = np.isnan(run(image, channel_axis=-1).sigma)
        assert missing[:, :20].all()
        assert not missing[:, 20:].any()
