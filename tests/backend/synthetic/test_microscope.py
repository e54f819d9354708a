"""The drawn microscope against optics with a closed form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from defocus_backend.synthetic.degrade import CLEAN, FULL, add_hot_pixels, count_photons, degrade
from defocus_backend.synthetic.microscope import CORE, draw_phase_object, total_sigma, widefield_transfer


def frequencies(count: int) -> np.ndarray:
    """Cycles per pixel of the cosine transform of a row."""
    return np.arange(count) / (2 * count)


def test_in_focus_the_transfer_is_that_of_a_perfect_circular_pupil() -> None:
    core = 1.0
    along = widefield_transfer(1, 256, 0.0, core)[0]
    share = np.clip(frequencies(256) * core / (2 * CORE), 0, 1)
    expected = 2 / np.pi * (np.arccos(share) - share * np.sqrt(1 - share**2))  # Goodman, Fourier Optics, eq 6-31
    np.testing.assert_allclose(along, expected, atol=0.01)


@pytest.mark.parametrize("defocus", [2.0, 5.0, 12.0])
def test_far_from_focus_it_has_the_width_of_the_geometric_disc(defocus: float) -> None:
    core = 0.5
    along = widefield_transfer(1, 4096, defocus, core)[0]
    # A disc of radius 2 sigma has 2 J1(x) / x with x = 4 pi sigma f; at x = 2 that is J1(2).
    at = 1 / (2 * np.pi * float(total_sigma(defocus, core)))
    assert np.interp(at, frequencies(4096), along) == pytest.approx(special.j1(2), abs=0.04)


def test_contrast_of_a_phase_object_reverses_through_focus() -> None:
    below, focused, above = (draw_phase_object(128, z, 0.8, np.random.default_rng(1)) for z in (-0.4, 0.0, 0.4))
    assert np.corrcoef((below - focused).ravel(), (above - focused).ravel())[0, 1] < -0.5


def test_photons_have_the_variance_of_their_count() -> None:
    even = np.full((400, 400), 128, dtype=np.float32)

    class Quiet:
        """Chance without an offset and without read noise."""

        def __init__(self) -> None:
            self._rng = np.random.default_rng(0)
            self.poisson, self.standard_normal = self._rng.poisson, self._rng.standard_normal

        def uniform(self, *_: float) -> float:
            return 0.0

        def random(self) -> float:
            return 0.0

    seen = count_photons(even, 50, Quiet())  # type: ignore[arg-type]
    assert seen.mean() == pytest.approx(128, rel=0.01)
    assert seen.std() == pytest.approx(128 / np.sqrt(50), rel=0.02)


def test_hot_pixels_are_few_and_brighter() -> None:
    even = np.full((300, 300), 50, dtype=np.float32)
    seen = [add_hot_pixels(even, np.random.default_rng(n)) for n in range(20)]
    shares = [float((s > 50).mean()) for s in seen]
    assert 0 < np.mean(shares) < 1.2e-3
    assert all((s >= 50).all() for s in seen)


def test_empty_pictures_keep_nothing_of_the_scene() -> None:
    from dataclasses import replace

    step = np.repeat(np.array([0, 255], dtype=np.float32), 64)[None].repeat(128, 0)
    how = replace(CLEAN, empty=1.0, max_noise=2.0)
    seen = degrade(step, how, np.random.default_rng(0))
    assert abs(seen[:, :64].mean() - seen[:, 64:].mean()) < 1
    assert seen.std() > 0


def test_noise_reaches_what_a_stretched_microscope_frame_shows() -> None:
    even = np.full((64, 64), 128, dtype=np.float32)
    levels = [degrade(even, FULL, np.random.default_rng(n)).std() for n in range(150)]
    assert np.quantile(levels, 0.2) < 1
    assert np.quantile(levels, 0.9) > 30
