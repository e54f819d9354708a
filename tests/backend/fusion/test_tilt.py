"""Planes and single slices against those that the maps were made from."""

from __future__ import annotations

import math

import numpy as np
import pytest

from defocus_backend.errors import InputError
from defocus_backend.fusion.tilt import best_slice, plane_tilt


def plane(tilt_x: float, tilt_y: float, offset: float) -> np.ndarray:
    y, x = np.mgrid[:80, :120].astype(float)
    return offset + tilt_x * (x - 59.5) + tilt_y * (y - 39.5)


def test_an_object_on_the_slide_does_not_tilt_it() -> None:
    rng = np.random.default_rng(0)
    height = plane(0.01, -0.02, 3.0) + rng.normal(0, 0.05, (80, 120))
    height[50:75, 60:110] += 4
    height[:10, :10] = np.nan
    found = plane_tilt(height, pixel_size=0.5)
    assert found.tilt_x == pytest.approx(0.01, abs=2e-4)
    assert found.tilt_y == pytest.approx(-0.02, abs=2e-4)
    assert found.offset == pytest.approx(3, abs=0.01)
    assert found.degrees_y == pytest.approx(math.degrees(math.atan(-0.04)), abs=0.05)
    # A seventh of the picture stands out, which widens a median a little.
    assert 0.045 < found.scatter < 0.07


def test_exact_planes_and_no_pixel_size() -> None:
    found = plane_tilt(plane(0.0, 0.03, -7.0))
    assert found.tilt_y == pytest.approx(0.03)
    assert found.tilt_x == pytest.approx(0, abs=1e-9)
    assert found.degrees_x is None


def test_errors_weigh() -> None:
    height, error = plane(0.02, 0, 0), np.full((80, 120), 0.01)
    height[:, 60:] += np.random.default_rng(1).normal(0, 3, (80, 60))
    error[:, 60:] = 3
    assert plane_tilt(height, error=error).tilt_x == pytest.approx(0.02, abs=1e-4)


def test_the_best_slice_is_nearest_to_the_surface() -> None:
    assert best_slice(plane(0.001, 0, 4.2), 9) == 4
    assert best_slice(plane(0.001, 0, 4.2), z=[10, 4.4, 3.9, 0]) == 1


def test_refusals() -> None:
    with pytest.raises(InputError, match="height"):
        plane_tilt(np.full((4, 5), np.nan))
    line = np.full((4, 5), np.nan)
    line[2] = 1
    with pytest.raises(InputError, match="one line"):
        plane_tilt(line)
    with pytest.raises(InputError, match="pixel_size"):
        plane_tilt(plane(0, 0, 0), pixel_size=-1)
    with pytest.raises(InputError, match="error"):
        plane_tilt(plane(0, 0, 0), error=np.ones(3))
    with pytest.raises(InputError, match="slices"):
        best_slice(plane(0, 0, 0))
    with pytest.raises(InputError, match="height"):
        best_slice(np.full((4, 5), np.nan), 3)
