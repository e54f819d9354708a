"""Gains of slices whose brightness is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from defocus_backend.arrays import as_image
from defocus_backend.errors import InputError
from defocus_backend.fusion import bands, fuse, fuse_by_index, fuse_nd
from defocus_backend.fusion.brightness import LARGEST_GAIN, MatchedStack, checked_gains, match_brightness, slice_gains
from defocus_backend.fusion.corrections import fuse_corrected
from defocus_backend.params import SliceMapParams
from defocus_backend.stacks import as_source

GAINS = [1, 0.7, 1, 1.3, 0.8]


def texture(seed: int = 0, shape: tuple[int, int] = (160, 200)) -> np.ndarray:
    """A picture with detail in every octave, 0 to 1."""
    rng = np.random.default_rng(seed)
    found = sum(ndimage.gaussian_filter(rng.standard_normal(shape), s) * s for s in (0.7, 1.5, 3, 6, 20))
    return (found - found.min()) / np.ptp(found)


def focal(count: int = 5) -> list[np.ndarray]:
    """Slices of a slanted plane: each in focus along another column."""
    sharp = texture()
    columns = np.linspace(0, count - 1, sharp.shape[1])
    blurred = [ndimage.gaussian_filter(sharp, s) for s in (0, 1, 2, 4, 6)]
    return [
        np.choose(np.rint(np.abs(columns - n)).astype(int)[None].repeat(len(sharp), 0), blurred) for n in range(count)
    ]


def found(slices: list[np.ndarray]) -> np.ndarray:
    return slice_gains(as_image(s, value_range=(0, 255)) for s in slices)


def as_bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(255 * values), 0, 255).astype(np.uint8)


def test_a_flickering_lamp_is_measured_within_two_percent_whatever_is_in_focus() -> None:
    np.testing.assert_allclose(
        found([as_bytes(0.7 * g * s) for g, s in zip(GAINS, focal(), strict=True)]), GAINS, rtol=0.02
    )


def test_clipped_parts_do_not_count() -> None:
    slices = focal()
    slices[3][:, :60] = 1.0
    np.testing.assert_allclose(
        found([as_bytes(0.7 * g * s) for g, s in zip(GAINS, slices, strict=True)])[:3], GAINS[:3], rtol=0.02
    )


def test_focus_alone_changes_no_brightness() -> None:
    np.testing.assert_array_equal(found([as_bytes(0.7 * s) for s in focal()]), 1)


def test_frames_that_shift_by_some_pixels_are_measured_all_the_same() -> None:
    moved = [as_bytes(0.7 * g * np.roll(s, 3 * n, axis=1)) for n, (g, s) in enumerate(zip(GAINS, focal(), strict=True))]
    np.testing.assert_allclose(found(moved), GAINS, rtol=0.03)


def test_optical_sections_have_no_common_gain() -> None:
    """In each section other places are bright: their sums differ, but not by a gain."""
    blobs = [texture(n) ** 3 * (0.5 + n / 8) for n in range(5)]
    np.testing.assert_array_equal(found([as_bytes(b) for b in blobs]), 1)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_black_and_white_frames_have_none(value: float) -> None:
    slices = [as_bytes(0.7 * s) for s in focal()] + [as_bytes(np.full((160, 200), value))]
    np.testing.assert_array_equal(found(slices), 1)


def test_a_gain_out_of_all_bounds_is_not_corrected() -> None:
    first = focal()[0]
    assert found([as_bytes(0.9 * first), as_bytes(0.9 * first), as_bytes(0.9 / (1.5 * LARGEST_GAIN) * first)])[2] == 1


@pytest.mark.parametrize("gains", [[1, 1], [1, 0, 1], [1, np.nan, 1], 1.0])
def test_gains_that_cannot_be_are_refused(gains: object) -> None:
    with pytest.raises(InputError, match="gains"):
        checked_gains(gains, 3)  # type: ignore[arg-type]


def flickering(colour: bool = False) -> list[np.ndarray]:
    slices = [0.7 * g * s for g, s in zip(GAINS, focal(), strict=True)]
    return [as_bytes(np.stack([s, 0.8 * s, 0.6 * s], -1) if colour else s) for s in slices]


@pytest.mark.parametrize("colour", [False, True])
def test_photographs_are_fused_at_equal_brightness(colour: bool, random_weights: dict[str, Path]) -> None:
    axis = -1 if colour else None
    options = {"channel_axis": axis, "map_settings": SliceMapParams(weights=random_weights["blurnet"])}
    found = fuse(flickering(colour), **options)
    np.testing.assert_allclose(found.gains, GAINS, rtol=0.02)
    even = [as_bytes(0.7 * np.stack([s, 0.8 * s, 0.6 * s], -1) if colour else 0.7 * s) for s in focal()]
    low, high = np.min(even, axis=0), np.max(even, axis=0)
    # A gray level of rounding, more where a slice was made brighter.
    assert (found.image >= low.astype(int) - 2).all()
    assert (found.image <= high.astype(int) + 2).all()
    raw = fuse(flickering(colour), match_exposure=False, **options)
    assert raw.gains is None
    assert np.abs(raw.image.astype(int) - found.image).mean() > 5


def test_measured_values_are_matched_only_if_asked() -> None:
    deep = [s.astype(np.uint16) * 100 for s in flickering()]
    assert match_brightness(as_source(deep), "auto")[1] is None
    found, gains = match_brightness(as_source(deep), True)
    np.testing.assert_allclose(gains, GAINS, rtol=0.02)
    assert isinstance(found, MatchedStack)
    assert match_brightness(found, "auto") == (found, None)
    with pytest.raises(InputError, match="match_exposure"):
        match_brightness(found, "always")  # type: ignore[arg-type]


@pytest.mark.parametrize("axes", ["TZYX", "ZCYX"])
def test_an_image_with_axes_is_matched_only_if_asked(axes: str, random_weights: dict[str, Path]) -> None:
    one = np.stack(flickering())
    image = np.stack([one, one], axis=0 if axes == "TZYX" else 1)
    options = {"axes": axes, "map_settings": SliceMapParams(weights=random_weights["blurnet"])}
    assert fuse_nd(image, **options).gains is None
    asked = fuse_nd(image, match_exposure=True, **options)
    np.testing.assert_allclose(asked.gains, np.broadcast_to(GAINS, asked.gains.shape), rtol=0.02)
    if "C" in axes:  # both channels hold the same, and one decides for both
        assert np.abs(asked.image[0].astype(int) - asked.image[1]).mean() < 1


def test_bands_share_the_gains_of_the_whole(random_weights: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "bands_of", lambda _: [bands.Band(0, 80, 0, 120), bands.Band(80, 160, 40, 160)])
    found = fuse(flickering(), map_settings=SliceMapParams(weights=random_weights["blurnet"]))
    np.testing.assert_allclose(found.gains, GAINS, rtol=0.02)


def test_only_colours_are_divided_and_hidden_pixels_stay_hidden() -> None:
    rgba = np.full((2, 4, 5, 4), 100, np.uint8)
    rgba[..., 3] = 200
    matched = MatchedStack(as_source(rgba, channel_axis=-1), [1, 0.5])
    assert (matched[1][..., :3] == 200).all()
    assert (matched[1][..., 3] == 200).all()
    np.testing.assert_array_equal(matched[0], rgba[0])
    masked = np.ma.masked_less(np.arange(20, dtype=np.float32).reshape(4, 5) / 40, 0.1)
    half = MatchedStack(as_source([masked, masked]), [1, 0.5])[1]
    np.testing.assert_array_equal(half.mask, masked.mask)
    np.testing.assert_allclose(half.compressed(), 2 * masked.compressed(), rtol=1e-6)


def test_a_correction_takes_slices_at_the_brightness_of_the_fusion() -> None:
    slices, index = flickering(), np.zeros((160, 200), np.int32)
    image = fuse_by_index(slices, index, blend="pixels", gains=GAINS)
    paint = np.full(index.shape, -1)
    paint[20:60, 20:60] = 1
    found = fuse_corrected(slices, image, index, paint, blend="pixels", gains=GAINS).image
    even = as_bytes(0.7 * focal()[1])
    assert np.abs(found[30:50, 30:50].astype(int) - even[30:50, 30:50]).max() <= 1
