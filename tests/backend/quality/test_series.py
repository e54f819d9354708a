"""The best plane of a stack, and its drift."""

from __future__ import annotations

import numpy as np
import pytest

import defocus_backend as db


def hyperbola(z: np.ndarray, focus: np.ndarray | float, slope: float = 1.5) -> np.ndarray:
    return np.sqrt(0.8**2 + (slope * (z - focus)) ** 2)


def test_the_focus_lies_between_the_planes() -> None:
    z = np.arange(9) * 0.5
    planes = [np.full((3, 4), s) for s in hyperbola(z, 1.7)]
    found = db.best_plane(planes, z_step=0.5)
    assert found.index == 3
    assert found.z == pytest.approx(1.7, abs=0.02)
    assert not found.at_end


def test_uneven_and_falling_positions_count() -> None:
    z = np.array([9.0, 7.0, 6.5, 4.0, 1.0])
    found = db.best_plane([np.full((2, 2), s) for s in hyperbola(z, 6.2)], z=z)
    assert found.index == 2
    assert found.z == pytest.approx(6.2, abs=0.05)


def test_a_plane_does_not_win_by_the_little_that_it_shows() -> None:
    planes = [np.full((4, 4), 2.0) for _ in range(5)]
    planes[2][:] = 1.5
    planes[4][:] = np.nan
    planes[4][0, 0] = 0.1
    assert db.best_plane(planes).index == 2


def test_a_focus_at_the_end_is_said() -> None:
    found = db.best_plane([np.full((2, 2), s) for s in (1.0, 2.0, 3.0)])
    assert (found.index, found.at_end) == (0, True)


def test_a_tilted_field_is_in_focus_in_its_middle_plane() -> None:
    tilt = np.linspace(2, 6, 8)[None, :].repeat(8, axis=0)
    assert db.best_plane([hyperbola(np.float64(n), tilt) for n in range(9)]).index == 4


def test_nothing_to_judge_has_no_best_plane() -> None:
    found = db.best_plane([np.full((2, 2), np.nan)] * 3)
    assert found.index is None
    assert np.isnan(found.z)


def test_drift_is_robust_and_leaves_gaps_out() -> None:
    z = 3 + 0.25 * np.arange(12)
    z[4], z[7] = np.nan, 40
    found = db.drift(z)
    assert found.per_time == pytest.approx(0.25, abs=0.05)
    assert np.isnan(found.offset[4])
    assert found.offset[11] == pytest.approx(2.75)


def test_bad_input_is_named() -> None:
    with pytest.raises(db.InputError, match="blocks"):
        db.best_plane([])
    with pytest.raises(db.InputError, match="blocks"):
        db.best_plane([np.zeros((2, 2)), np.zeros((2, 3))])
    with pytest.raises(db.InputError, match="times"):
        db.drift([1, 2], [1, 2, 3])
