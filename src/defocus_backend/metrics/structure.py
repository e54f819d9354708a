"""QY and QW: structural similarity between the fused image and its sources, window by window."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from defocus_backend.metrics.gray import FLAT, Gray, gray_case

# Yang: a 7 x 7 Gaussian window; sources are considered similar where their SSIM reaches the threshold.
_YANG_WINDOW = np.exp(-(np.arange(-3, 4) ** 2) / (2 * 1.5**2))
_YANG_CONSTANT = 2e-16
_ALIKE = 0.75
# Piella: an 8 x 8 uniform window; with K = 1e-6 SSIM is in effect Wang and Bovik's universal quality index.
_PIELLA_WINDOW = np.ones(8)
_PIELLA_CONSTANT = (1e-6 * 255) ** 2
_FLAT_WEIGHT = 0.5


class _Moments(NamedTuple):
    """Local mean and variance of one image, over the windows that are entirely inside it."""

    image: Gray
    mean: Gray
    variance: Gray


def _windowed(image: Gray, window: Gray) -> Gray:
    """Weighted mean of every window inside the image: (H, W) to (H - n + 1, W - n + 1)."""
    n = len(window)
    kernel = window / window.sum()
    for axis in (0, 1):
        image = ndimage.correlate1d(image, kernel, axis=axis, mode="constant", origin=-(n // 2))
    rows, columns = image.shape
    return image[: rows - n + 1, : columns - n + 1]


def _moments(image: Gray, window: Gray) -> _Moments:
    mean = _windowed(image, window)
    second = _windowed(image * image, window)
    variance = second - mean * mean
    variance[variance <= FLAT * second] = 0.0
    return _Moments(image, mean, variance)


def _similarity(first: _Moments, second: _Moments, window: Gray, constant: float) -> Gray:
    """SSIM of every window with one small constant; two flat windows differ in brightness only."""
    product = first.mean * second.mean
    covariance = _windowed(first.image * second.image, window) - product
    # Round-off must not raise the correlation above 1, nor create one in a constant window.
    bound = np.sqrt(first.variance * second.variance)
    covariance = np.clip(covariance, -bound, bound)
    light = (2 * product + constant) / (first.mean**2 + second.mean**2 + constant)
    return light * (2 * covariance + constant) / (first.variance + second.variance + constant)


def _shares(variances: Gray) -> Gray:
    """Each source's share of the summed variance (N, h, w); equal shares where all are flat."""
    total = variances.sum(axis=0)
    flat = total == 0
    return np.where(flat, 1.0 / len(variances), variances / np.where(flat, 1.0, total))


def qy(
    fused: Any,
    sources: Iterable[Any],
    *,
    channel_axis: int | None = None,
    value_range: tuple[float, float] | None = None,
) -> float:
    """Yang's similarity-based fusion quality QY.

    Where the sources are similar (SSIM of 0.75 or more), the fused image should resemble all of them: the score is the
    mean of its similarities, weighted by the sources' variances. Elsewhere it should resemble the most similar source:
    the score is the maximum. More than two sources are similar where every pair of them is. Windows that are constant
    in both images are compared by their brightness alone; there the published code divides round-off by round-off.

    Parameters
    ----------
    fused, sources, channel_axis, value_range
        See `metrics.evaluate`; colour is scored on gray. The images are 7 x 7 or larger.

    Returns
    -------
    float
        At most 1; 1 for a source that is fused with itself.

    Raises
    ------
    InputError
        If the images do not fit each other, cannot be read or are too small.

    References
    ----------
    .. [1] C. Yang, J.-Q. Zhang, X.-R. Wang, X. Liu, "A novel similarity based quality metric for image fusion",
       Information Fusion 9 (2008).
    """
    image, stack = gray_case(fused, sources, channel_axis=channel_axis, value_range=value_range, at_least=7)
    window = _YANG_WINDOW
    own = _moments(image, window)
    theirs = [_moments(source, window) for source in stack]
    alike: npt.NDArray[np.bool_] = np.ones(own.mean.shape, dtype=bool)
    for one, other in combinations(theirs, 2):
        alike &= _similarity(one, other, window, _YANG_CONSTANT) >= _ALIKE
    similar = np.stack([_similarity(source, own, window, _YANG_CONSTANT) for source in theirs])
    shares = _shares(np.stack([source.variance for source in theirs]))
    return float(np.mean(np.where(alike, (shares * similar).sum(axis=0), similar.max(axis=0))))


def qw(
    fused: Any,
    sources: Iterable[Any],
    *,
    channel_axis: int | None = None,
    value_range: tuple[float, float] | None = None,
) -> float:
    """Piella's weighted fusion quality index QW.

    The similarities (8 x 8 uniform windows, universal quality index) of the fused image to its sources, weighted by
    the sources' variances, are averaged over the windows with the largest of these variances as the weight. The
    definition needs no change for more than two sources.

    Parameters
    ----------
    fused, sources, channel_axis, value_range
        See `metrics.evaluate`; colour is scored on gray. The images are 8 x 8 or larger.

    Returns
    -------
    float
        -1 to 1.

    Raises
    ------
    InputError
        If the images do not fit each other, cannot be read or are too small.

    References
    ----------
    .. [1] G. Piella and H. Heijmans, "A new quality metric for image fusion", ICIP 2003.
    """
    image, stack = gray_case(fused, sources, channel_axis=channel_axis, value_range=value_range, at_least=8)
    window = _PIELLA_WINDOW
    own = _moments(image, window)
    theirs = [_moments(source, window) for source in stack]
    similar = np.stack([_similarity(own, source, window, _PIELLA_CONSTANT) for source in theirs])
    variances = np.stack([source.variance for source in theirs])
    variances[:, variances.sum(axis=0) == 0] = _FLAT_WEIGHT
    weight = variances.max(axis=0)
    quality = (_shares(variances) * similar).sum(axis=0)
    return float((weight * quality).sum() / weight.sum())
