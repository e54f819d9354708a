"""The check of error bars: what it says of errors whose distribution is known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.error_bars import holds, microscope, photograph, textured


def test_a_standard_error_that_holds_holds() -> None:
    figures = holds(np.random.default_rng(0).standard_normal(100_000))
    assert figures["within_1"] == pytest.approx(0.683, abs=0.01)
    assert figures["within_2"] == pytest.approx(0.954, abs=0.01)
    assert figures["ratio"] == pytest.approx(1, abs=0.02)


def test_one_that_is_half_of_what_it_should_be_does_not() -> None:
    figures = holds(2 * np.random.default_rng(0).standard_normal(100_000))
    assert figures["within_1"] == pytest.approx(0.383, abs=0.01)
    assert figures["ratio"] == pytest.approx(2, abs=0.04)


def test_what_is_refused_is_counted_and_not_judged() -> None:
    assert holds(np.array([0.5, np.nan, np.nan])) == {
        "within_1": 1.0,
        "within_2": 1.0,
        "ratio": pytest.approx(0.741, abs=1e-3),
        "count": 1,
        "refused": 2,
    }
    assert holds(np.full(3, np.nan))["within_1"] is None


def test_the_truth_is_one() -> None:
    """Without defocus the picture is sharpest, and blur grows alike on both sides of the focus."""
    scope = microscope(3, 0.0, 96)
    sharp, below, above = (plane.astype(float) for plane in scope.stack((0.0, -20.0, 20.0)))
    assert np.abs(np.diff(sharp)).sum() > 1.5 * np.abs(np.diff(below)).sum()
    np.testing.assert_array_equal(below, above)
    assert scope.slope == pytest.approx(0.242, abs=1e-3)
    assert 0 < textured(photograph(3, 96)).mean() < 1
