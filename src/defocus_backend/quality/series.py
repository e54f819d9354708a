"""Best-focus plane of a stack, and its drift over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from defocus_backend.arguments import names_bad_arguments
from defocus_backend.classifier.networks import LEVELS
from defocus_backend.errors import InputError
from defocus_backend.fusion.positions import z_positions

_LARGEST = LEVELS - 1.0


@dataclass(frozen=True)
class BestPlane:
    """Best-focus plane of a stack.

    Attributes
    ----------
    index : int or None
        Number of the plane nearest to `z`; None if no plane can be judged.
    z : float
        Position of the focus, interpolated between planes by a parabola fitted to sigma squared; NaN if there is none.
    sigma : float
        Mean sigma over the field of this plane, in pixels.
    at_end : bool
        Whether it is the first or the last plane, so that the focus may be beyond the stack.
    """

    index: int | None
    z: float
    sigma: float
    at_end: bool


@names_bad_arguments
def best_plane(blocks: Sequence[ArrayLike], *, z: ArrayLike | None = None, z_step: float | None = None) -> BestPlane:
    """Find the plane of a stack that is in focus over most of the field.

    Every block that can be judged in at least one plane is used in all planes. In planes in which it cannot be judged,
    its sigma counts as the largest. Planes in which most of the field is blurred are therefore not chosen for the rest.

    Parameters
    ----------
    blocks : sequence of (ny, nx) array_like
        `FocusQuality.blocks` of each plane; NaN if a block cannot be judged.
    z : (N,) array_like or None
        Positions of the planes, increasing or decreasing.
    z_step : float or None
        Distance between neighbouring planes, instead of `z`. By default, z is counted in planes.

    Returns
    -------
    BestPlane

    Raises
    ------
    InputError
        If there is no plane, if the planes differ in size, or if z is invalid.
    """
    curves = _check_blocks(blocks)
    positions = z_positions(z, z_step, len(curves))
    known = np.isfinite(curves).any(axis=0)
    if not known.any():
        return BestPlane(None, float("nan"), float("nan"), at_end=False)
    sigma = np.nan_to_num(curves[:, known], nan=_LARGEST).mean(axis=1)
    at_end = len(sigma) > 1 and int(sigma.argmin()) in (0, len(sigma) - 1)
    where = _vertex(positions, sigma)
    index = int(np.abs(positions - where).argmin())
    return BestPlane(index, where, float(sigma[index]), at_end)


@dataclass(frozen=True)
class Drift:
    """Drift of the best plane over time.

    Attributes
    ----------
    offset : (T,) float64 array
        Position of the best plane relative to the first time that has one; NaN where there is none.
    per_time : float
        Median slope of the position over time; NaN with fewer than two positions.
    span : float
        Largest minus smallest offset.
    """

    offset: NDArray[np.float64]
    per_time: float
    span: float


@names_bad_arguments
def drift(z: ArrayLike, times: ArrayLike | None = None) -> Drift:
    """Drift of the focus over time, robust against single wrong positions.

    Parameters
    ----------
    z : (T,) array_like
        Position of the best plane at each time; NaN where there is none.
    times : (T,) array_like or None
        The times; by default 0, 1, 2 ...

    Returns
    -------
    Drift
        Drift in the unit of z. The slope is the median of all slopes between two times (Theil-Sen estimator).

    Raises
    ------
    InputError
        If the two do not match.
    """
    values = np.atleast_1d(np.asarray(z, dtype=np.float64))
    when = np.arange(len(values), dtype=np.float64) if times is None else np.asarray(times, dtype=np.float64)
    if values.ndim != 1 or when.shape != values.shape:
        raise InputError("times", f"shape {when.shape}", f"one time for each of the {values.shape} positions")
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return Drift(np.full(len(values), np.nan), np.nan, np.nan)
    offset = values - values[known[0]]
    first, second = np.triu_indices(len(known), 1)
    first, second = known[first], known[second]
    apart = when[second] != when[first]
    slopes = (values[second] - values[first])[apart] / (when[second] - when[first])[apart]
    return Drift(
        offset, float(np.median(slopes)) if len(slopes) else np.nan, float(np.nanmax(offset) - np.nanmin(offset))
    )


def _check_blocks(blocks: Sequence[ArrayLike]) -> NDArray[np.float64]:
    arrays = [np.asarray(b, dtype=np.float64) for b in blocks]
    if not arrays:
        raise InputError("blocks", "no plane", "one array (ny, nx) per plane")
    if any(a.ndim != 2 or a.shape != arrays[0].shape for a in arrays):
        shapes = ", ".join(sorted({str(a.shape) for a in arrays}))
        raise InputError("blocks", f"shapes {shapes}", "arrays (ny, nx) of one shape")
    return np.stack(arrays)


def _vertex(z: NDArray[np.float64], sigma: NDArray[np.float64]) -> float:
    """Position of the minimum of sigma squared, a parabola in z; at the ends of the stack, the position of the plane.

    All neighbours with up to about twice the smallest sigma are used, so that the error of a single plane has little
    influence.
    """
    index = int(sigma.argmin())
    near = sigma <= 2 * sigma[index] + 1
    first, last = index, index
    while first > 0 and near[first - 1]:
        first -= 1
    while last < len(z) - 1 and near[last + 1]:
        last += 1
    first, last = max(0, min(first, index - 1)), min(len(z) - 1, max(last, index + 1))
    if not 0 < index < len(z) - 1:
        return float(z[index])
    part = slice(first, last + 1)
    square = sigma[part] ** 2
    reach = max(
        abs(z[first] - z[index]), abs(z[last] - z[index])
    )  # unit of z in the fit, because z may be in metres or nanometres
    bend, slope, _ = np.polyfit((z[part] - z[index]) / reach, square, 2, w=1 / (square + 0.25))
    if bend <= 0:
        return float(z[index])
    return float(z[index] + reach * np.clip(-slope / (2 * bend), -1, 1))
