"""Scores of one blur map against a ground truth at every pixel.

Errors are stored as sums, so that scenes can be pooled in any grouping without their maps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from defocus_backend.synthetic.degrade import Gray

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

BINS = 20
"""Errors are summed for every true sigma rounded to whole pixels, 0 to 19."""

BAND = 8.0
"""Pixels within this distance of a true edge count in the edge error."""

REACH = 6.0
"""A boundary pixel is found if one of the other map is within this distance in pixels."""

PROFILE = 24.0
"""Largest distance in pixels at which the crossing of a step is searched; a missing one counts as this distance."""

_SAMPLE = 8


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Sums over pixels: count, absolute, squared and signed error for every whole true sigma, (4, BINS)."""

    sums: Floats = field(default_factory=lambda: np.zeros((4, BINS)))

    @classmethod
    def of(cls, found: Gray, truth: Gray, mask: Mask) -> Errors:
        """Errors of the pixels in a mask."""
        level = np.clip(np.rint(truth[mask]), 0, BINS - 1).astype(int)
        error = found[mask].astype(np.float64) - truth[mask]
        parts = (np.ones_like(error), np.abs(error), error**2, error)
        return cls(sums=np.stack([np.bincount(level, weights=p, minlength=BINS) for p in parts]))

    def __add__(self, other: Errors) -> Errors:
        return Errors(sums=self.sums + other.sums)

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return int(self.sums[0].sum())

    def mae(self, at_most: int = BINS) -> float:
        """Mean absolute error in pixels over true sigmas up to a whole number; NaN without such a pixel."""
        return _quotient(self.sums[1, : at_most + 1].sum(), self.sums[0, : at_most + 1].sum())

    @property
    def rmse(self) -> float:
        """Root of the mean squared error in pixels."""
        return math.sqrt(_quotient(self.sums[2].sum(), self.sums[0].sum()))

    @property
    def bias(self) -> float:
        """Mean signed error in pixels, positive where the map is too blurred."""
        return _quotient(self.sums[3].sum(), self.sums[0].sum())

    def by_sigma(self) -> list[dict[str, float]]:
        """For every whole sigma that occurs: pixels, MAE, RMSE and bias."""
        rows = []
        for sigma, (count, absolute, square, signed) in enumerate(self.sums.T):
            if count:
                scores = {"mae": absolute / count, "rmse": math.sqrt(square / count), "bias": signed / count}
                rows.append({"sigma": float(sigma), "pixels": float(count), **scores})
        return rows


def _quotient(total: float, count: float) -> float:
    return float(total / count) if count else math.nan


@dataclass(frozen=True, kw_only=True)
class EdgeScores:
    """Accuracy of the edge between two depths in a map.

    Attributes
    ----------
    near_all, near_textured : Errors
        Errors within `BAND` pixels of the true edge.
    precision, recall : float
        Precision and recall of the boundary pixels of the map, thresholded halfway between both sigmas, within `REACH`
        pixels.
    crossings : (n,) array
        For every true boundary pixel, the distance along its normal at which the map crosses the halfway value, in
        pixels.
    """

    near_all: Errors
    near_textured: Errors
    precision: float
    recall: float
    crossings: Floats

    @property
    def f_score(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def boundary(labels: Mask) -> Mask:
    """Pixels (H, W) with one of the four neighbours on the other side."""
    result = np.zeros(labels.shape, dtype=bool)
    for axis in (0, 1):
        first, second = (np.moveaxis(result, axis, 0)[part] for part in (np.s_[:-1], np.s_[1:]))
        differ = np.moveaxis(labels, axis, 0)[:-1] != np.moveaxis(labels, axis, 0)[1:]
        first |= differ
        second |= differ
    return result


def boundary_match(found: Mask, truth: Mask, *, reach: float = REACH) -> tuple[float, float]:
    """Precision and recall of boundary pixels within a distance in pixels; 0 where there are none."""
    from scipy import ndimage

    if not found.any() or not truth.any():
        return 0.0, 0.0
    near_truth, near_found = (ndimage.distance_transform_edt(~part) <= reach for part in (truth, found))
    return float(near_truth[found].mean()), float(near_found[truth].mean())


def crossings(found: Gray, labels: Mask, half: float, where: Mask) -> Floats:
    """Distance from the true edge to the nearest crossing of the halfway value in the right direction.

    Parameters
    ----------
    found : (H, W) array
        The map.
    labels : (H, W) bool array
        True on the more blurred side of the edge; both sides occur.
    half : float
        Mean of the two sigmas.
    where : (H, W) bool array
        Boundary pixels from which the normal is searched.

    Returns
    -------
    (n,) array
        Distance in pixels; `PROFILE` where the map does not cross the value.
    """
    from scipy import ndimage

    # Half a pixel less, because the edge is between pixels.
    outside, inside = (ndimage.distance_transform_edt(part) - 0.5 for part in (~labels, labels))
    signed = np.where(labels, inside, -outside)
    smooth = ndimage.gaussian_filter(signed, 2.0)
    normal = np.stack(np.gradient(smooth))
    y, x = np.nonzero(where)
    direction = normal[:, y, x]
    direction /= np.maximum(np.hypot(*direction), 1e-9)
    along = np.arange(-PROFILE, PROFILE + 0.25, 0.5)
    places = np.stack([start[:, None] + d[:, None] * along for start, d in zip((y, x), direction, strict=True)])
    profile = ndimage.map_coordinates(np.asarray(found, dtype=np.float64), places, order=1, mode="nearest") - half
    before, after = profile[:, :-1], profile[:, 1:]
    rising = (before <= 0) & (after > 0)
    share = np.divide(-before, after - before, out=np.zeros_like(before), where=rising)
    distance = np.abs(along[:-1] + 0.5 * share + signed[y, x][:, None])
    return np.asarray(np.minimum(np.where(rising, distance, np.inf).min(axis=1), PROFILE))


def edge_scores(found: Gray, truth: Gray, textured: Mask, half: float, *, frame: int = 0) -> EdgeScores | None:
    """Score the edge of a scene with two depths; None if there is no edge inside the frame.

    Parameters
    ----------
    found, truth : (H, W) arrays
        The map and the true sigma in pixels.
    textured : (H, W) bool array
        See `Errors`.
    half : float
        Mean of the two sigmas, at which both are thresholded.
    frame : int
        Pixels left out on every side.
    """
    from scipy import ndimage

    labels = truth > half
    inner = np.s_[frame : truth.shape[0] - frame, frame : truth.shape[1] - frame]
    true_boundary = boundary(labels)
    within = np.zeros_like(labels)
    within[inner] = True
    if not (true_boundary & within).any():
        return None
    band = (ndimage.distance_transform_edt(~true_boundary) < BAND) & within
    # Both boundaries are found over the whole scene, so that a match just outside the frame counts.
    found_boundary = boundary(found > half)
    precision, _ = boundary_match(found_boundary & within, true_boundary)
    _, recall = boundary_match(found_boundary, true_boundary & within)
    return EdgeScores(
        near_all=Errors.of(found, truth, band),
        near_textured=Errors.of(found, truth, band & textured),
        precision=precision,
        recall=recall,
        crossings=crossings(found, labels, half, true_boundary & within),
    )


def rank_correlation(found: Floats, truth: Floats) -> float:
    """Spearman's rank correlation with mean ranks for ties; 0 for a constant map, NaN for a constant truth."""
    from scipy.stats import rankdata

    if len(truth) < 2 or np.ptp(truth) == 0:
        return math.nan
    if np.ptp(found) == 0:
        return 0.0
    return float(np.corrcoef(rankdata(found), rankdata(truth))[0, 1])


def separation(found: Floats, labels: Mask) -> float:
    """Probability that a pixel of the more blurred side has the larger value (area under the ROC curve)."""
    from scipy.stats import rankdata

    positive = int(labels.sum())
    negative = len(labels) - positive
    if not positive or not negative:
        return math.nan
    ranks = rankdata(found)[labels].sum()
    return float((ranks - positive * (positive + 1) / 2) / (positive * negative))


def sample(values: NDArray[np.float32], mask: Mask) -> Floats:
    """Every eighth pixel of a mask along both axes, to pool ranks over scenes."""
    return values[::_SAMPLE, ::_SAMPLE][mask[::_SAMPLE, ::_SAMPLE]].astype(np.float64)
