"""A defocus map never invents a blur: nothing but noise has no confidence, and noise is not taken for sharp detail."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage import data

from defocus_backend import defocus_map

SHAPE = (192, 224)


def nothing() -> dict[str, np.ndarray]:
    """Pictures without a scene, by name: what microscopes and cameras give with the shutter closed or saturated."""
    rng = np.random.default_rng(0)
    kinds: dict[str, np.ndarray] = {
        "blank": np.full(SHAPE, 128, np.uint8),
        "saturated": np.full(SHAPE, 255, np.uint8),
        "saturated 16 bit": np.full(SHAPE, 65535, np.uint16),
        "dark": np.zeros(SHAPE, np.uint16),
        "uint16 100 +- 3": rng.normal(100, 3, SHAPE).round().astype(np.uint16),
        "float N(0, 1)": rng.normal(0, 1, SHAPE),
        "float in the unit range": rng.normal(0.5, 0.1, SHAPE).clip(0, 1),
    }
    kinds |= {f"Poisson of mean {mean}": rng.poisson(mean, SHAPE).astype(np.uint16) for mean in (1, 10, 100, 1000)}
    kinds |= {
        f"8 bit +- {level}": rng.normal(128, level, SHAPE).round().clip(0, 255).astype(np.uint8)
        for level in (1, 3, 10, 20, 40)
    }
    return kinds


@pytest.mark.parametrize("kind", list(nothing()))
def test_nothing_but_noise_has_no_confidence(kind: str) -> None:
    found = defocus_map(nothing()[kind])
    assert np.median(found.confidence) <= 0.1


@pytest.mark.parametrize("level", [10, 20, 30, 40])
@pytest.mark.parametrize("sigma", [2.0, 4.0, 8.0])
def test_noise_is_not_taken_for_sharp_detail(sigma: float, level: float) -> None:
    """At a noise of 30 gray values a blur of 4 px was called 0.1 px with a confidence of .78."""
    blurred = gaussian_filter(data.camera()[:320, :320].astype(float), sigma)
    noisy = (blurred + np.random.default_rng(1).normal(0, level, blurred.shape)).round().clip(0, 255).astype(np.uint8)
    found = defocus_map(noisy)
    wrong = np.abs(found.sigma - sigma) / sigma
    assert np.median(found.sigma) == pytest.approx(sigma, rel=0.5)
    assert np.mean(wrong * found.confidence) < 0.25
