"""Gains of slices whose brightness is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from defocus_backend.arrays import as_image
from defocus_backend.errors import InputError
from defocus_backend.fusion.brightness import LARGEST_GAIN, checked_gains, slice_gains

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
