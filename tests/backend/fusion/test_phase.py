"""Transparent objects through focus in brightfield: propagated fields, whose focus is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import defocus_backend as db
from defocus_backend.fusion.coverage import coverage
from defocus_backend.fusion.phase import contrast_reversal
from defocus_backend.synthetic.degrade import blur
from defocus_backend.synthetic.microscope import draw_phase_object
from defocus_backend.synthetic.sections import draw_specimen_in_depth


def cells(seed: int, focus: float, step: float = 0.7, side: int = 160) -> NDArray[np.float32]:
    """Nine slices of transparent cells with noise of 1.5 gray values; the one in focus has the number `focus`."""
    noise = np.random.default_rng(seed + 1000)
    planes = [draw_phase_object(side, float((n - focus) * step), 0.8, np.random.default_rng(seed)) for n in range(9)]
    return np.stack([p + noise.normal(0, 1.5, p.shape) for p in planes]).astype(np.float32)


def reversal(stack: NDArray[np.float32]) -> float | None:
    return contrast_reversal([torch.from_numpy(np.ascontiguousarray(p, dtype=np.float32)) for p in stack])


def test_contrast_reverses_within_a_slice_of_the_focus() -> None:
    found = [(reversal(cells(seed, focus)), focus) for seed in range(40, 48) for focus in (3, 5)]
    known = [abs(place - focus) for place, focus in found if place is not None]
    assert len(known) >= 0.7 * len(found)  # some cells absorb more than they delay
    assert max(known) < 1.5
    assert np.median(known) < 0.75


@pytest.mark.parametrize("psf", ["disc", "gaussian"])
@pytest.mark.parametrize("sharpest", [0, 4])
def test_it_does_not_in_photographs(photo: NDArray[np.uint8], psf: str, sharpest: int) -> None:
    sharp = photo.astype(np.float32)
    assert reversal(np.stack([blur(sharp, 0.3 + 2 * abs(n - sharpest), psf) for n in range(9)])) is None


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_does_not_in_fluorescence(seed: int) -> None:
    specimen, noise = draw_specimen_in_depth(10, 128, np.random.default_rng(seed)), np.random.default_rng(9)
    for slices in (specimen.sections(), specimen.widefield()):
        assert reversal(slices + noise.normal(0, 2, slices.shape)) is None


def test_it_does_not_in_noise() -> None:
    rng = np.random.default_rng(6)
    assert all(reversal(rng.normal(0, 1, (9, 96, 96))) is None for _ in range(5))


def test_transparent_cells_are_taken_from_their_focus_and_the_report_says_so() -> None:
    """Out of focus they have more detail, and four slices away they were taken before."""
    stack = cells(51, 4)
    found = db.fuse(stack.round().clip(0, 255).astype(np.uint8))
    assert found.reversal == pytest.approx(4, abs=1)
    assert (np.abs(found.index - 4) <= 1).mean() > 0.9
    truth = draw_phase_object(160, 0.0, 0.8, np.random.default_rng(51)).clip(0, 255)
    wrong = np.square(found.image - truth).mean() ** 0.5
    assert wrong < 0.5 * np.square(stack.clip(0, 255)[[0, 8]] - truth).mean() ** 0.5
    assert "contrast reverses" in coverage(found, 9).report()
