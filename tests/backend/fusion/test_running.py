"""What is kept from slice to slice, against its definition over the whole stack."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from defocus_backend.fusion.running import FRONT_MARGIN, FRONT_VALLEY, LeastSigma, RunningBest, soft_weights

CPU = torch.device("cpu")


def test_ties_go_to_the_lowest_index_and_nan_never_wins() -> None:
    best = RunningBest((1, 3), CPU)
    for values in ([1.0, torch.nan, torch.nan], [1.0, 5.0, torch.nan], [1.5, 5.0, torch.nan]):
        best.update(torch.tensor([values]))
    assert best.index.tolist() == [[2, 1, 0]]
    np.testing.assert_array_equal(best.best, [[1.5, 5.0, np.nan]])


def test_the_least_sigma_keeps_its_confidence() -> None:
    least = LeastSigma((1, 3), CPU)
    for sigma, confidence in ([3.0, 1.0, torch.nan], 0.4), ([2.0, 5.0, torch.nan], 0.7):
        least.update(torch.tensor([sigma]), torch.full((1, 3), confidence))
    np.testing.assert_array_equal(least.sigma, [[2.0, 1.0, np.inf]])
    np.testing.assert_array_equal(least.confidence, np.float32([[0.7, 0.4, 0]]))


def test_neighbours_of_the_best_are_those_of_the_whole_stack() -> None:
    scores = torch.from_numpy(np.random.default_rng(0).standard_normal((7, 20, 30)).astype(np.float32))
    scores[3, :4] = torch.nan
    best = RunningBest((20, 30), CPU)
    won = [best.update(s) > 0 for s in scores]
    index = scores.nan_to_num(-torch.inf).argmax(0)
    np.testing.assert_array_equal(best.index, index)
    edged = torch.cat([torch.full((1, 20, 30), torch.nan), scores, torch.full((1, 20, 30), torch.nan)])
    before, own, after = (edged.gather(0, index[None] + offset)[0] for offset in range(3))
    np.testing.assert_array_equal(best.best, own)
    # Half precision has 11 bits.
    np.testing.assert_allclose(best.below, before - own, rtol=2**-11)
    np.testing.assert_allclose(best.above, after - own, rtol=2**-11)
    last = torch.stack(won).long().mul(torch.arange(7)[:, None, None]).amax(0)
    np.testing.assert_array_equal(last, index)


def chosen(heights: list[float], front: str) -> int:
    """The slice that is kept where the score rises and falls through these values, steps of 1 being one peak's."""
    best = RunningBest((1, 1), CPU, front)
    for height in heights:
        best.update(torch.full((1, 1), float(height)))
    return int(best.index)


LITTLE, MUCH = FRONT_MARGIN / 2, 2 * FRONT_MARGIN
DEEP, SHALLOW = 10 - 2 * FRONT_VALLEY, 10 - FRONT_VALLEY / 2


@pytest.mark.parametrize(
    ("heights", "none", "first", "last"),
    [
        ([0, 10, DEEP - 1, 10 + LITTLE, 0], 3, 1, 3),
        ([0, 10 + LITTLE, DEEP - 1, 10, 0], 1, 1, 3),
        ([0, 10, DEEP - 1, 10 + MUCH, 0], 3, 3, 3),
        ([0, 10 + MUCH, DEEP - 1, 10, 0], 1, 1, 1),
        ([0, 10, SHALLOW, 10 + LITTLE, 0], 3, 3, 3),
        ([0, 10 + LITTLE, SHALLOW, 10, 0], 1, 1, 1),
        ([0, 4, 8, 9, 10, 8, 5], 4, 4, 4),
        ([10, 0, 10 - 0.7 * FRONT_MARGIN, 0, 10 - 1.4 * FRONT_MARGIN, 0], 0, 0, 2),
    ],
    ids=[
        "higher behind",
        "higher in front",
        "much behind",
        "much in front",
        "one hill",
        "one hill down",
        "one",
        "down",
    ],
)
def test_of_two_like_peaks_the_one_in_front_is_kept(heights: list[float], none: int, first: int, last: int) -> None:
    """The slice behind wins only by a clear lead, and only a valley makes two peaks of one."""
    assert [chosen(heights, front) for front in ("none", "first", "last")] == [none, first, last]


def test_pixels_that_a_slice_does_not_have_make_no_valley() -> None:
    assert chosen([10, torch.nan, 10 + LITTLE, 0], "first") == 2
    assert chosen([torch.nan, 10, 0, 10 + LITTLE], "first") == 1
    assert chosen([10 + LITTLE, torch.nan, 10], "last") == 0


@pytest.mark.parametrize("front", ["none", "first", "last"])
def test_weights_follow_the_choice(front: str) -> None:
    rng = np.random.default_rng(5)
    scores = torch.from_numpy(rng.normal(0, 2, (9, 30, 40)).astype(np.float32))
    best = RunningBest((30, 40), CPU, front)
    shares = soft_weights(torch.stack([best.update(score) for score in scores]), 2.0)
    np.testing.assert_allclose(shares.sum(0), 1, atol=1e-5)
    np.testing.assert_array_equal(shares.argmax(0), best.index)


def test_weights_are_exponentials_of_the_score() -> None:
    scores = torch.from_numpy(np.random.default_rng(1).normal(0, 30, (6, 11, 13)).astype(np.float32))
    scores[2] = torch.nan
    best = RunningBest((11, 13), CPU)
    share = torch.exp(0.7 * (scores.double() - scores.nan_to_num(-torch.inf).amax(0))).nan_to_num(0)
    leads = torch.stack([best.update(score) for score in scores])
    np.testing.assert_allclose(soft_weights(leads, 0.7), share / share.sum(0), atol=1e-5)
