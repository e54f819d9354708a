"""Exposure against a reference, where blur and clipping could be mistaken for it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from defocus_backend.align.exposure import exposure_gain

SHAPE = (96, 128)
WHITE = 0.94
"""Where the camera clips."""


@pytest.fixture
def light() -> np.ndarray:
    """A dark object before a background three times too bright for the camera, (96, 128, 3)."""
    texture = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(SHAPE), 1.5)
    rows, columns = np.indices(SHAPE)
    dark = np.hypot(rows - 48, columns - 40) < 38
    return np.repeat(np.where(dark, 0.25 + 0.3 * texture, 3.0)[..., None].clip(0.02), 3, axis=2)


def seen(light: np.ndarray, sigma: float, gain: float = 1.0) -> np.ndarray:
    """What the camera makes of it."""
    blurred = ndimage.gaussian_filter(light, (sigma, sigma, 0), mode="nearest")
    return np.minimum(gain * blurred, WHITE).astype(np.float32)


def test_light_spilt_from_a_clipped_background_is_no_exposure(light: np.ndarray) -> None:
    sharp, soft = seen(light, 0.5), seen(light, 3.0)
    assert soft[48, 5].mean() > 1.5 * sharp[48, 5].mean()  # it does spill
    gain = exposure_gain(sharp, soft, np.eye(3))
    assert gain == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("gain", [0.8, 1.1])
def test_a_bright_background_that_is_not_clipped_tells_the_exposure(light: np.ndarray, gain: float) -> None:
    within = light / 4
    found = exposure_gain(seen(within, 0.5), seen(within, 3.0, gain), np.eye(3))
    assert found == pytest.approx(gain, rel=0.01)


def test_clipped_highlights_do_not_hide_the_exposure() -> None:
    texture = ndimage.gaussian_filter(np.random.default_rng(1).standard_normal(SHAPE), 1.5)
    picture = np.repeat((0.5 + texture)[..., None].clip(0.05, 0.8), 3, axis=2)
    picture[10:16, 20:26] = 5.0
    found = exposure_gain(seen(picture, 0.3), seen(picture, 0.3, 0.85), np.eye(3))
    assert found == pytest.approx(0.85, rel=0.01)
