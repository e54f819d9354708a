"""The height against parabolas whose minimum is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from defocus_backend.errors import InputError
from defocus_backend.fusion.height import HeightAccumulator, find_height
from defocus_backend.fusion.parabola import fit_parabola
from defocus_backend.fusion.peak import SCORE_NOISE, peak_height
from defocus_backend.fusion.positions import z_positions
from defocus_backend.fusion.regularise import Height, combine, regularise

CPU = torch.device("cpu")
SHAPE = (48, 64)


def surface(seed: int = 0, low: float = 2.0, high: float = 6.0) -> torch.Tensor:
    """A random height at every pixel, far from the ends of nine slices."""
    return torch.from_numpy(np.random.default_rng(seed).uniform(low, high, SHAPE).astype(np.float32))


def measure(
    truth: torch.Tensor, z: np.ndarray, noise: float = 0.0, growth: float = 1.3, floor: float = 0.8, seed: int = 1
) -> HeightAccumulator:
    """Feed sigma of a lens, growing by `growth` px a unit of z over an object that is itself soft by `floor` px."""
    rng = np.random.default_rng(seed)
    found = HeightAccumulator(SHAPE, z, CPU)
    for position in z:
        sigma = (growth**2 * (position - truth) ** 2 + floor**2).sqrt()
        scatter = torch.from_numpy(rng.normal(0, noise, SHAPE).astype(np.float32)) if noise else 0
        found.update(sigma + scatter, torch.ones(SHAPE))
    return found


def rms(values: torch.Tensor) -> float:
    return float(values.square().mean().sqrt())


def test_three_points_give_the_parabola_through_them() -> None:
    t = torch.tensor([-1.0, 0.0, 2.0])[:, None, None]
    found = fit_parabola(t, 3 * (t - 0.4) ** 2 + 5, torch.ones_like(t))
    assert found.vertex.item() == pytest.approx(0.4, abs=1e-5)
    assert found.curvature.item() == pytest.approx(3, rel=1e-5)
    assert found.extreme.item() == pytest.approx(5, rel=1e-5)
    assert found.residual.item() == pytest.approx(0, abs=1e-8)
    assert found.freedom.item() == 0


def test_fit_equals_polyfit() -> None:
    rng = np.random.default_rng(3)
    t, weight = np.array([-2.0, -1.1, 0.0, 0.7, 2.2]), np.array([0.5, 2.0, 1.0, 3.0, 0.3])
    y = 2 * (t - 0.3) ** 2 + 1 + rng.normal(0, 0.3, 5)
    a, b, _ = np.polyfit(t, y, 2, w=np.sqrt(weight))
    found = fit_parabola(*(torch.from_numpy(v)[:, None, None] for v in (t, y, weight)))
    assert found.vertex.item() == pytest.approx(-b / (2 * a), rel=1e-9)
    assert found.curvature.item() == pytest.approx(a, rel=1e-9)


def test_two_places_and_straight_lines_have_no_vertex() -> None:
    t = torch.tensor([-1.0, 0.0, 1.0])[:, None, None]
    assert fit_parabola(t, t.square(), torch.tensor([1.0, 1.0, 0.0])[:, None, None]).vertex.isnan().all()
    assert not fit_parabola(t, 2 * t + 1, torch.ones_like(t)).vertex.abs().lt(1e3).any()


@pytest.mark.parametrize(
    "z",
    [np.arange(9.0), -0.25 * np.arange(9.0), np.array([0, 0.7, 2.1, 3.0, 3.9, 5.2, 6.0, 7.3, 8.0])],
    ids=["even", "falling", "uneven"],
)
def test_without_noise_the_height_is_exact(z: np.ndarray) -> None:
    unit = float(abs(z[-1] - z[0]) / 8)
    truth = surface() * unit * np.sign(z[-1])
    found = measure(truth, z, growth=1.3 / unit).fit()
    # Sigma is kept in half precision.
    assert rms(found.height - truth) < 5e-3 * unit
    assert not found.inferred.any()


@pytest.mark.parametrize("noise", [0.05, 0.15, 0.3])
def test_height_is_unbiased_and_its_error_is_its_scatter(noise: float) -> None:
    truth = surface()
    found = measure(truth, np.arange(9.0), noise=noise).fit()
    known = ~found.inferred
    assert known.float().mean() > 0.9
    off = (found.height - truth)[known]
    assert abs(float(off.mean())) < 4 * rms(off) / len(off) ** 0.5 + 0.02 * noise
    assert rms(off / found.error[known]) == pytest.approx(1, abs=0.2)


def test_a_long_stack_is_no_worse_in_the_same_memory() -> None:
    truth = surface()
    short, long = (measure(truth, z, noise=0.3) for z in (np.arange(9.0), np.linspace(0, 8, 200)))
    assert short._sigma.shape == long._sigma.shape == (5, *SHAPE)
    off = long.fit().height - truth
    assert abs(float(off.mean())) < 0.02
    assert rms(off) < rms(short.fit().height - truth)


def test_saturated_sigma_is_left_out() -> None:
    """Beyond 15 px the map no longer grows; a steep stack holds only three slices below."""
    z, truth = np.arange(9.0), torch.full(SHAPE, 4.3)
    found = HeightAccumulator(SHAPE, z, CPU)
    for position in z:
        sigma = (9.0**2 * (position - truth) ** 2 + 1).sqrt()
        found.update(torch.where(sigma > 15, 16.0, sigma), torch.ones(SHAPE))
    assert rms(found.fit().height - truth) < 0.02


def test_confidence_weighs() -> None:
    z, truth = np.arange(9.0), torch.full(SHAPE, 4.3)
    heights = []
    for trust in (1.0, 0.0):
        found = HeightAccumulator(SHAPE, z, CPU)
        for position in z:
            wrong = 1.5 if position == 6 else 0.0
            sigma = (1.3**2 * (position - truth) ** 2 + 0.64).sqrt() + wrong
            found.update(sigma, torch.full(SHAPE, trust if wrong else 1.0))
        heights.append(abs(found.fit().height - truth).mean())
    assert heights[1] < 0.2 * heights[0]


def test_invalid_slices_do_not_count_and_nothing_valid_is_nan() -> None:
    z, truth = np.arange(9.0), surface()
    found = HeightAccumulator(SHAPE, z, CPU)
    for number, position in enumerate(z):
        sigma = (1.3**2 * (position - truth) ** 2 + 0.64).sqrt()
        sigma[:, :10] = torch.nan
        if number == 0:
            sigma[:, 10:20] = torch.nan
        found.update(sigma, torch.ones(SHAPE))
    height = found.fit().height
    assert height[:, :10].isnan().all()
    assert rms((height - truth)[:, 10:]) < 0.01


def test_another_decision_than_the_least_sigma_is_followed() -> None:
    """Two minima, as at the rim of an object: the height is that of the slice which was chosen."""
    z, first = np.arange(12.0), torch.full(SHAPE, 2.2)
    found = HeightAccumulator(SHAPE, z, CPU)
    for position in z:
        sigma = torch.minimum((1.2 * (position - first)).abs() + 1, (1.2 * (position - 9.1 * torch.ones(SHAPE))).abs())
        found.update(sigma, torch.ones(SHAPE), better=torch.full(SHAPE, bool(position <= 2)))
    assert (found.fit().height - 2.2).abs().max() < 0.2


@pytest.mark.parametrize("z", [[0.0, 1.0, 3.0, 4.0], [9.0, 8.0, 7.0, 6.0]], ids=["uneven", "falling"])
def test_peak_of_the_score(z: list[float]) -> None:
    places = np.array(z)
    truth = surface(low=-0.4, high=0.8) * (z[1] - z[0]) + z[1]
    scores = torch.stack([-2 * (truth - position) ** 2 for position in places])
    index = torch.ones(SHAPE, dtype=torch.int32)
    found = peak_height(places, index, scores[0] - scores[1], scores[2] - scores[1])
    assert rms(found.height - truth) < 1e-4


@pytest.mark.parametrize("last", [False, True])
def test_sharpest_in_the_first_or_last_slice(last: bool) -> None:
    """A clear fall towards the only neighbour is evidence, to half a step either way; a slight one is none."""
    places, nothing = np.array([0.0, 2.0, 4.0]), torch.full(SHAPE, torch.nan)
    index = torch.full(SHAPE, 2 * last)

    def found(fall: float) -> Height:
        only = torch.full(SHAPE, -fall)
        return peak_height(places, index, *((only, nothing) if last else (nothing, only)))

    assert (found(1.0).height == 4.0 * last).all()
    assert not found(1.0).inferred.any()
    np.testing.assert_allclose(found(1.0).error, 2 / 12**0.5, rtol=1e-6)
    assert found(SCORE_NOISE).height.isnan().all()


@pytest.mark.parametrize("z", [[0.0, 1.0, 3.0], [0.0, 0.5, 1.0]], ids=["uneven", "even"])
def test_error_of_the_peak_is_its_scatter_under_the_scores_noise(z: list[float]) -> None:
    rng, noise = np.random.default_rng(7), SCORE_NOISE
    scores = [-3 * (0.8 - position) ** 2 for position in z]
    seen = [torch.from_numpy(s + rng.normal(0, noise, (200, 200))).float() for s in scores]
    index = torch.ones(200, 200, dtype=torch.int32)
    found = peak_height(np.array(z), index, seen[0] - seen[1], seen[2] - seen[1])
    stated = float(found.error.nanmedian())
    inner = found.height[found.height.isfinite()]
    assert float(inner.std()) == pytest.approx(stated, rel=0.25)


def test_combining_trusts_the_smaller_error() -> None:
    firm = Height(torch.full(SHAPE, 3.0), torch.full(SHAPE, 0.01), torch.zeros(SHAPE, dtype=torch.bool))
    vague = Height(torch.full(SHAPE, 5.0), torch.full(SHAPE, 2.0), torch.ones(SHAPE, dtype=torch.bool))
    unknown = Height(torch.full(SHAPE, torch.nan), torch.full(SHAPE, torch.nan), torch.ones(SHAPE, dtype=torch.bool))
    both = combine(firm, vague, 1.0)
    assert (both.height - 3).abs().max() < 0.02
    assert not both.inferred.any()
    alone = combine(unknown, vague, 1.0)
    assert torch.equal(alone.height, vague.height)
    assert alone.inferred.all()


def noisy(truth: torch.Tensor, errors: torch.Tensor, seed: int = 5) -> Height:
    scatter = torch.from_numpy(np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32))
    return Height(truth + scatter * errors, errors, errors > 0.5)


@pytest.mark.parametrize("radius", [4, 6, 12])
def test_weak_places_take_the_height_of_their_surroundings(radius: int) -> None:
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(64.0), indexing="ij")
    truth = 2 + 0.02 * x + 0.03 * y
    errors = torch.full(SHAPE, 0.05)
    errors[15:35, 20:45] = 2.0
    found = noisy(truth, errors)
    smooth = regularise(found, torch.rand(SHAPE), 1.0, radius=radius)
    weak = errors > 1
    assert rms((smooth.height - truth)[weak]) < 0.15
    assert rms((smooth.height - truth)[~weak]) < 0.05
    assert torch.equal(smooth.inferred, weak)


@pytest.mark.parametrize("radius", [2, 6, 12])
def test_a_step_in_height_stays_sharp(radius: int) -> None:
    truth = torch.where(torch.arange(64) < 30, 2.0, 6.0).expand(SHAPE)
    found = noisy(truth, torch.full(SHAPE, 0.1))
    smooth = regularise(found, torch.full(SHAPE, 0.5), 1.0, radius=radius)
    assert (smooth.height - truth).abs().max() < 0.5
    assert rms(smooth.height - truth) < 0.1


def test_what_lies_far_from_all_that_is_known_is_known_as_well() -> None:
    """Sums over windows without any evidence are what rounding left of firm ones elsewhere."""
    rng = np.random.default_rng(8)
    height, guide, error = torch.from_numpy(rng.random((3, 700, 900), dtype=np.float32))
    error = 0.07 + 2 * error.square()
    hole = torch.zeros_like(height, dtype=torch.bool)
    hole[600:690, 700:880] = True
    found = Height(3 + height.masked_fill(hole, torch.nan), error.masked_fill(hole, torch.nan), error > 0.5)
    smooth = regularise(found, guide, 1.0, radius=3)
    assert smooth.height.isfinite().all()
    assert smooth.error.isfinite().all()
    assert smooth.height.min() >= 2.9
    assert smooth.height.max() <= 4.1


def test_heights_far_from_zero_keep_their_digits() -> None:
    """A microscope counts z from anywhere: the same surface 10,000 um up, in steps of 0.2 um."""
    truth = surface() * 0.2
    errors = torch.full(SHAPE, 0.02)
    low, high = (regularise(noisy(truth + z, errors), torch.rand(SHAPE), 0.2, radius=6) for z in (0.0, 1e4))
    assert rms((high.height.double() - 1e4 - low.height).float()) < 2e-3


def test_what_is_never_in_focus_has_no_height() -> None:
    never = torch.zeros(SHAPE, dtype=torch.bool)
    never[:, :20] = True
    truth = surface()
    truth[:, :20] = 14
    found = find_height(measure(truth, np.arange(9.0)), torch.rand(SHAPE), never)
    assert found.height[:, :20].isnan().all()
    assert found.error[:, :20].isnan().all()
    assert found.height[:, 20:].isfinite().all()
    assert not found.inferred[:, :20].any()


def test_positions() -> None:
    np.testing.assert_array_equal(z_positions(None, None, 3), [0, 1, 2])
    np.testing.assert_array_equal(z_positions(None, -0.5, 3), [0, -0.5, -1])
    np.testing.assert_array_equal(z_positions([3, 1, 0.5], None, 3), [3, 1, 0.5])


@pytest.mark.parametrize(
    ("z", "step", "named"),
    [
        ([0, 1], None, "z"),
        ([0, 1, 1], None, "z"),
        ([0, 2, 1], None, "z"),
        ([0, np.nan, 1], None, "z"),
        (["a", "b", "c"], None, "z"),
        (None, 0.0, "z_step"),
        (None, np.inf, "z_step"),
        (None, "far", "z_step"),
        (None, [1, 2], "z_step"),
        (None, object(), "z_step"),
        ("far", None, "z"),
        ([0, 1j, 2], None, "z"),
        ([0, 1, 2], 1.0, "z_step"),
    ],
)
def test_bad_positions_are_refused(z: Any, step: Any, named: str) -> None:
    with pytest.raises(InputError, match=rf"^{named}\b"):
        z_positions(z, step, 3)
