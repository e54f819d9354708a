"""Height between slices from the focus score near its maximum."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from defocus_backend.fusion.positions import mean_step
from defocus_backend.fusion.regularise import Height

SCORE_NOISE = 0.05
"""Standard deviation of the height score from slice to slice, measured on stacks with ground truth."""

_FALL = 3 * SCORE_NOISE
"""Decrease of the score from the first or last slice to its neighbour that noise cannot explain."""
_UNIFORM = 12**-0.5
"""Standard deviation of a uniform distribution over one step."""


def peak_height(z: NDArray[np.float64], index: Tensor, below: Tensor, above: Tensor) -> Height:
    """Height from the parabola through the scores of the best slice and its two neighbours.

    Parameters
    ----------
    z : (N,) float64 array
        Position of every slice.
    index : (H, W) integer tensor
        Number of the slice with the largest score.
    below, above : (H, W) tensors
        Scores of the previous and of the next slice, minus the score of the best slice; NaN where there is none.

    Returns
    -------
    Height
        Vertex of the parabola where both neighbours are known. For the first and the last slice, the position of the
        slice with an error of half a step, if the score decreases clearly towards the only neighbour.
    """
    step, device = mean_step(z), index.device
    numbers = index.long()
    steps = np.diff(z) / step if len(z) > 1 else np.ones(1)
    # Distances to the previous and the next slice; a single number if all are equal.
    before, after = np.pad(steps, (1, 0), mode="edge"), np.pad(steps, (0, 1), mode="edge")
    even = bool(np.allclose(steps, steps[0], rtol=1e-6))

    def at(values: NDArray[np.float64]) -> Tensor:
        table = torch.from_numpy(values).to(torch.float32).to(device)
        return table[0] if even else table[numbers]

    # Relative to the best score, the parabola is slope * t + bend * t^2.
    both = before + after
    low, high = below.float() * at(1 / before), above.float() * at(1 / after)
    bend = (low + high).mul_(at(1 / both))
    slope = high.mul_(at(before / both)).sub_(low.mul_(at(after / both)))
    vertex = slope.div_(bend).mul_(-0.5)
    # Variance of the vertex to first order, for scores with variance 1, from the derivatives of bend and slope.
    bends = np.stack([1 / (before * both), -1 / (before * after), 1 / (after * both)])
    slopes = np.stack([-after / (before * both), (after - before) / (before * after), before / (after * both)])
    own, mixed, bent = (at(np.sum(v, 0)) for v in (slopes**2, 4 * slopes * bends, 4 * bends**2))
    unit_error = (vertex * bent + mixed).mul_(vertex).add_(own).sqrt_().div_(bend).mul_(-0.5)
    good = (bend < 0) & vertex.isfinite()
    ends = np.stack([-before, after])
    vertex = vertex.clamp(at(ends.min(0)), at(ends.max(0)))
    error = unit_error.mul_(SCORE_NOISE * step)
    place = index * float(step * steps[0]) + float(z[0]) if even else at(z)
    ended = (below.isnan() & (above < -_FALL)) | (above.isnan() & (below < -_FALL))
    vertex.masked_fill_(ended, 0)
    error.masked_fill_(ended, step * _UNIFORM)
    good |= ended
    return Height(
        height=place.add(vertex, alpha=step).masked_fill_(~good, torch.nan),
        error=error.masked_fill_(~good, torch.nan),
        inferred=~good | (error > step / 2),
    )
