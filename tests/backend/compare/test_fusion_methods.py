"""Published fusion methods against the authors' programs where those were run, else against what must hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from skimage import io

from defocus_backend import metrics
from defocus_backend.compare import FUSION_METHODS, fuse_with
from defocus_backend.compare.gfdf import gfdf
from defocus_backend.compare.ifgd import integrated
from defocus_backend.compare.laplacian_argmax import laplacian_argmax
from defocus_backend.compare.pyramid import laplacian_pyramid
from defocus_backend.errors import InputError

ORACLES = Path(__file__).parent.parent / "oracles" / "fusion"
NAMES = ("cam", "cat", "coffee")


def picture(name: str, kind: str) -> np.ndarray:
    return io.imread(ORACLES / f"{name}_{kind}.png")


def pair(name: str) -> list[np.ndarray]:
    return [picture(name, "A"), picture(name, "B")]


def crop(name: str) -> list[np.ndarray]:
    """The sources where the choice between them changes."""
    return [source[32:96, 40:120] for source in pair(name)]


def axis(name: str) -> int | None:
    return -1 if name == "coffee" else None


@pytest.mark.parametrize("method", ["gff", "gfdf"])
@pytest.mark.parametrize("name", NAMES)
def test_equal_to_the_authors_program(name: str, method: str) -> None:
    found = fuse_with(method, pair(name), channel_axis=axis(name))
    expected = picture(name, method)
    assert found.dtype == np.uint8
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= 1
    assert np.mean(difference == 0) >= 0.99


def test_mean_is_the_average_rounded_half_up() -> None:
    for name in NAMES:
        np.testing.assert_array_equal(fuse_with("mean", pair(name), channel_axis=axis(name)), picture(name, "F1"))


@pytest.mark.parametrize("method", ["laplacian_argmax", "pyramid", "gff", "gfdf"])
@pytest.mark.parametrize("name", NAMES)
def test_closer_than_the_mean_to_the_nearly_all_sharp_choice(name: str, method: str) -> None:
    truth = picture(name, "F2")  # sharp but for a band of six pixels
    options = {"channel_axis": axis(name)}
    fused = fuse_with(method, pair(name), **options)
    assert metrics.qw(fused, pair(name), **options) > metrics.qw(picture(name, "F1"), pair(name), **options)
    assert metrics.psnr(fused, truth, **options) > metrics.psnr(picture(name, "F1"), truth, **options) + 2


@pytest.mark.parametrize("method", [name for name in FUSION_METHODS if name != "ifgd"])
def test_equal_sources_come_back(method: str) -> None:
    image = crop("coffee")[0]
    np.testing.assert_array_equal(fuse_with(method, [image] * 3, channel_axis=-1), image)


def test_every_method_takes_more_sources_and_tells_whom_it_is_from() -> None:
    image = crop("cat")[0][::-1]
    for name, method in FUSION_METHODS.items():
        assert method.name == name
        assert method.citation
        fused = fuse_with(name, [*crop("cat"), image])
        assert fused.shape == image.shape


@pytest.mark.parametrize("method", FUSION_METHODS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_dtype_and_range_are_kept(method: str, dtype: type) -> None:
    sources = crop("coffee")
    expected = fuse_with(method, sources, channel_axis=-1).astype(float)
    factor = 257 if dtype is np.uint16 else 1
    found = fuse_with(method, [source.astype(dtype) * dtype(factor) for source in sources], channel_axis=-1)
    assert found.dtype == dtype
    # Rounded for 8 bits only; floats are not clipped either.
    clipped = np.clip(found / factor, 0, 255)
    np.testing.assert_allclose(clipped, expected, atol=0.501)


@pytest.mark.parametrize("method", FUSION_METHODS)
def test_unit_floats_and_channels_first(method: str) -> None:
    sources = crop("coffee")
    expected = fuse_with(method, [source.astype(float) for source in sources], channel_axis=-1)
    first = [np.moveaxis(source / 255, -1, 0) for source in sources]
    found = fuse_with(method, first, channel_axis=0, value_range=(0, 1))
    # Where two sources tie but for round-off the choice may fall differently.
    same = np.abs(np.moveaxis(found, 0, -1) * 255 - expected) < 1e-6
    assert found.shape == first[0].shape
    assert same.mean() > 0.99


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("method", FUSION_METHODS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (7, 3), (33, 20)])
def test_flat_and_small_images(method: str, shape: tuple[int, int]) -> None:
    flat = np.full(shape, 90, np.uint8)
    np.testing.assert_array_equal(fuse_with(method, [flat, flat]), flat)
    noise = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    assert fuse_with(method, [flat, noise]).shape == shape


@pytest.mark.parametrize("method", FUSION_METHODS)
def test_inputs_are_left_as_they_were(method: str) -> None:
    sources = [source.astype(float) for source in crop("cam")]
    before = [source.copy() for source in sources]
    fuse_with(method, np.stack(sources))
    fuse_with(method, sources)
    for source, kept in zip(sources, before, strict=True):
        np.testing.assert_array_equal(source, kept)


def test_argmax_takes_pixels_of_the_sources() -> None:
    first, second = pair("coffee")
    fused = laplacian_argmax([first, second], channel_axis=-1)
    assert np.all(np.all(fused == first, axis=-1) | np.all(fused == second, axis=-1))


def test_pyramid_without_levels_is_the_mean() -> None:
    sources = pair("cam")
    np.testing.assert_array_equal(laplacian_pyramid(sources, levels=0), fuse_with("mean", sources))


@pytest.mark.parametrize("shape", [(9, 14), (1, 6), (6, 1)])
def test_integration_undoes_differences(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(1).normal(size=shape)
    down, across = np.zeros(shape), np.zeros(shape)
    down[:-1], across[:, :-1] = np.diff(image, axis=0), np.diff(image, axis=1)
    np.testing.assert_allclose(integrated(down, across), image - image.mean(), atol=1e-12)


def test_ifgd_shows_the_detail_of_both_sources() -> None:
    texture = np.random.default_rng(2).uniform(80, 160, (64, 64))
    smooth = ndimage.gaussian_filter(texture, 3)
    sharp_left = np.arange(64) < 32
    left, right = np.where(sharp_left, texture, smooth), np.where(sharp_left, smooth, texture)
    fused = fuse_with("ifgd", [left, right])
    # Contrast is stretched, but the detail lies where that of the sharp picture lies.
    for half in (slice(0, 31), slice(33, 64)):
        assert (
            np.corrcoef(np.diff(fused, axis=0)[:, half].ravel(), np.diff(texture, axis=0)[:, half].ravel())[0, 1] > 0.9
        )


@pytest.mark.parametrize(
    ("sources", "options", "argument"),
    [
        ([np.zeros((4, 4))], {}, "sources"),
        ([np.zeros((4, 4)), np.zeros((4, 5))], {}, "sources[1]"),
        ([np.zeros((4, 4)), np.zeros((4, 4), np.uint8)], {}, "sources[1]"),
        ([np.zeros((4, 4, 3))] * 2, {}, "sources[0]"),
        ([np.zeros((4, 4, 2))] * 2, {"channel_axis": -1}, "sources[0]"),
        ([np.full((4, 4), np.nan)] * 2, {}, "sources[0]"),
        ([np.zeros((4, 4, 3))] * 2, {"channel_axis": 3}, "channel_axis"),
        ([np.zeros((4, 4))] * 2, {"value_range": -1}, "value_range"),
    ],
)
@pytest.mark.parametrize("method", FUSION_METHODS)
def test_bad_sources_are_named(method: str, sources: list[np.ndarray], options: dict[str, int], argument: str) -> None:
    with pytest.raises(InputError) as caught:
        fuse_with(method, sources, **options)
    assert caught.value.argument == argument


def test_bad_parameters_are_named() -> None:
    sources = pair("cam")
    with pytest.raises(InputError, match="name"):
        fuse_with("magic", sources)
    with pytest.raises(InputError, match="window"):
        gfdf(sources, window=4)
    with pytest.raises(InputError, match="share"):
        gfdf(sources, share=2)
    with pytest.raises(InputError, match="levels"):
        laplacian_pyramid(sources, levels=-1)
