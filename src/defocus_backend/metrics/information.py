"""QFMI and MI: the mutual information of the fused image and its sources."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from defocus_backend.metrics.gray import Gray, gray_case
from defocus_backend.metrics.parallel import each

_SIDE = 3
_CELLS = _SIDE * _SIDE
# Windows per batch, so that their 9 x 9 joint distributions fit in the cache.
_CHUNK = 2048
# Probabilities are raised to this value before the logarithm, so that 0 log 0 is 0 without a mask.
_TINY = 1e-30


def _entropy(p: Gray, axis: int = 0) -> Gray:
    """Entropy in bits of distributions along `axis`; 0 log 0 is 0."""
    return np.asarray(-np.sum(p * np.log2(np.where(p > 0, p, 1.0)), axis=axis))


def _distributions(windows: Tensor) -> Tensor:
    """Stretch each window to 0..1 and then to a sum of 1, (9, n) to (9, n); a flat window becomes uniform."""
    low = windows.amin(0)
    span = windows.amax(0) - low
    flat = span == 0
    stretched = torch.where(flat, 1.0, (windows - low) / torch.where(flat, 1.0, span))
    return stretched / stretched.sum(0)


def _information(source: Tensor, own: Tensor) -> Tensor:
    """Normalised mutual information of two distributions each, (9, n) and (9, n) to (n,).

    The joint distribution is Nelsen's: a mixture of independence and of the greatest (or, for a negative correlation,
    least) joint distribution that has these two marginals, so mixed that its correlation is the one observed.
    """
    positions = torch.arange(1, _CELLS + 1, dtype=source.dtype, device=source.device)[:, None]
    centred_source, centred_own = source - 1 / _CELLS, own - 1 / _CELLS
    power = centred_source.square().sum(0) * centred_own.square().sum(0)
    # A constant window has no correlation; the quotient would be round-off over round-off.
    flat = power < 1e-24
    product = (centred_source * centred_own).sum(0)
    correlation = torch.where(flat, 0.0, product / torch.where(flat, 1.0, power).sqrt())
    # The least joint distribution of (X, Y) is the greatest one of (X, reversed Y).
    source = torch.where(correlation < 0, source.flip(0), source)

    cumulated, own_cumulated = source.cumsum(0), own.cumsum(0)
    mean, own_mean = (positions * source).sum(0), (positions * own).sum(0)
    variance = (positions.square() * source).sum(0) - mean.square()
    own_variance = (positions.square() * own).sum(0) - own_mean.square()
    deviations = (variance.clamp_min(0) * own_variance.clamp_min(0)).sqrt()
    joint = torch.minimum(own_cumulated[:, None], cumulated[None, :])
    # Hoeffding: the covariance is the sum of joint less product of marginals, both cumulated.
    covariance = joint.sum((0, 1)) - cumulated.sum(0) * own_cumulated.sum(0)
    usable = (covariance > 0) & (deviations > 0)
    mixed = torch.where(usable, correlation.abs() * deviations / torch.where(usable, covariance, 1.0), 0.0)

    # A cell of the greatest joint distribution is the overlap of its two marginals' steps.
    joint -= torch.maximum((own_cumulated - own)[:, None], (cumulated - source)[None, :])
    joint.clamp_min_(0).mul_(mixed)
    joint.addcmul_(own[:, None], ((1 - mixed) * source)[None, :])
    # The mixture may overshoot and leave cells below 0: p log |p| preserves their sign, as in the public code.
    # Logarithms take most of the time; in single precision their rounding averages out to below 1e-8.
    logarithm = joint.float().abs_().clamp_min_(_TINY).log_()
    joint_entropy = -joint.mul_(logarithm).sum((0, 1))
    marginal = torch.special.entr(source).sum(0) + torch.special.entr(own).sum(0)
    # Two windows with a single cell above their minimum have no entropy and no mutual information.
    certain = marginal <= 0
    return torch.where(certain, 0.0, 2 * (marginal - joint_entropy) / torch.where(certain, 1.0, marginal))


def _windows(feature: Gray) -> Gray:
    """Every window as a column, its cells column by column: (H, W) to (9, (H - 2) (W - 2))."""
    rows, columns = feature.shape
    inside = (rows - _SIDE + 1, columns - _SIDE + 1)
    cells = [feature[y : y + inside[0], x : x + inside[1]] for x in range(_SIDE) for y in range(_SIDE)]
    return np.stack(cells).reshape(_CELLS, -1)


def _feature_information(source: Gray, own: Gray) -> float:
    """Mean over the windows of the normalised information between two gradient images, both (9, n)."""
    differing = np.flatnonzero((source != own).any(axis=0))
    windows = [torch.from_numpy(one[:, differing]) for one in (source, own)]

    @torch.inference_mode()
    def total(start: int) -> float:
        some, its_own = (_distributions(one[:, start : start + _CHUNK]) for one in windows)
        return float(_information(some, its_own).sum())

    equal = own.shape[1] - len(differing)
    return float((equal + sum(each(total, range(0, len(differing), _CHUNK)))) / own.shape[1])


def qfmi(
    fused: Any,
    sources: Iterable[Any],
    *,
    channel_axis: int | None = None,
    value_range: tuple[float, float] | None = None,
) -> float:
    """Feature mutual information QFMI of the horizontal gradient in sliding 3 x 3 windows.

    The gradients in a window, stretched to 0..1 and to a sum of one, are treated as a distribution over its nine cells.
    The joint distribution with the fused image's is modelled from the two marginals and their correlation; the mutual
    information over the mean of the two entropies is averaged over the windows (a window that is equal in both scores
    1) and over the sources, two or more.

    A window of constant gradient is uniform and uncorrelated with any other. Only in such windows does the published
    program differ: it stretches the fused window once more for the second source, and it correlates two constants,
    which is round-off over round-off. On photographs the difference is at most 4e-4.

    Parameters
    ----------
    fused, sources, channel_axis, value_range
        See `metrics.evaluate`; colour is scored on gray. The images are 3 x 3 or larger.

    Returns
    -------
    float
        0 to 1, but for round-off.

    Raises
    ------
    InputError
        If the images do not fit each other, cannot be read or are too small.

    References
    ----------
    .. [1] M. Haghighat, A. Aghagolzadeh, H. Seyedarabi, "A non-reference image fusion metric based on mutual
       information of image features", Computers and Electrical Engineering 37 (2011).
    .. [2] M. Haghighat and M. A. Razian, "Fast-FMI: non-reference image fusion metric", AICT 2014.
    """
    image, stack = gray_case(fused, sources, channel_axis=channel_axis, value_range=value_range, at_least=_SIDE)
    own = _windows(np.gradient(image, axis=1))
    scores = [_feature_information(_windows(np.gradient(source, axis=1)), own) for source in stack]
    return float(np.mean(scores))


def _gray_levels(image: Gray) -> npt.NDArray[np.intp]:
    """Stretch to the 256 levels of the histogram, as the public code does; a flat image is all level 0."""
    low, high = image.min(), image.max()
    if high == low:
        return np.zeros(image.shape, dtype=np.intp)
    return np.asarray(np.floor((image - low) * (255 / (high - low)) + 0.5).astype(np.intp))


def mutual_information(
    fused: Any,
    sources: Iterable[Any],
    *,
    normalised: bool = False,
    channel_axis: int | None = None,
    value_range: tuple[float, float] | None = None,
) -> float:
    """Mutual information MI between the fused image's gray levels and each source's, summed over the sources.

    Histograms have 256 levels, with each image stretched to its full range.

    Parameters
    ----------
    fused, sources, channel_axis, value_range
        See `metrics.evaluate`; colour is scored on gray.
    normalised : bool
        Divide each term by the mean of the two entropies (Hossny). A term is then 0 to 1; of two flat images it is 1.

    Returns
    -------
    float
        Bits, 0 to 8 N; normalised, 0 to N.

    Raises
    ------
    InputError
        If the images do not fit each other or cannot be read.

    References
    ----------
    .. [1] G. Qu, D. Zhang, P. Yan, "Information measure for performance of image fusion", Electronics
       Letters 38 (2002).
    .. [2] M. Hossny, S. Nahavandi, D. Creighton, "Comments on 'Information measure for performance of image fusion'",
       Electronics Letters 44 (2008).
    """
    image, stack = gray_case(fused, sources, channel_axis=channel_axis, value_range=value_range)
    own = _gray_levels(image)
    total = 0.0
    for source in stack:
        counts = np.bincount((own * 256 + _gray_levels(source)).ravel(), minlength=256 * 256).astype(np.float64)
        joint = counts.reshape(256, 256) / image.size
        entropies = float(_entropy(joint.sum(axis=0)) + _entropy(joint.sum(axis=1)))
        information = entropies - float(_entropy(joint.ravel()))
        if normalised:
            information = 2 * information / entropies if entropies > 0 else 1.0
        total += information
    return total
