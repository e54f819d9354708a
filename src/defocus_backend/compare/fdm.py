"""Fast defocus map (Chen, Chen and Chang 2016): blur at edges, spread over superpixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from defocus_backend.arrays import Float64
from defocus_backend.compare.checks import check_gray, check_number, check_whole
from defocus_backend.compare.zhuo_sim import sparse_sigma

_LEAST_EDGE_PIXELS = 10


def fdm_map(
    gray: ArrayLike,
    *,
    edge_threshold: float = 0.01,
    sigma: float = 0.75,
    superpixels: int = 200,
    compactness: float = 20.0,
    beta: float = 60.0,
    alpha: float = 1e-4,
    max_blur: float = 10.0,
) -> Float64:
    """Defocus map of superpixels, in pixels of sigma.

    Parameters
    ----------
    gray : (H, W) array_like
        Gray values 0..255.
    edge_threshold : float
        Upper threshold of the Canny detector as a share of the steepest gradient; that of Zhuo and Sim in Fig. 8.
        From 0.1 on, no edge is detected in a blurred background, so it takes the value of the sharp subject.
    sigma : float
        First re-blur in pixels; the second is 1.5 times as large.
    superpixels : int
        About how many SLIC superpixels.
    compactness : float
        Weight of distance against colour in SLIC.
    beta : float
        How fast the affinity of adjacent superpixels falls with their difference in gray.
    alpha : float
        Weight of a superpixel's own value when values are spread.
    max_blur : float
        Largest sigma in pixels.

    Returns
    -------
    (H, W) float64 array
        Sigma in pixels, 0 to `max_blur`; `max_blur` everywhere in a picture without a usable edge. The
        authors stretch their result to 0..1; here the unit stays pixels.

    Raises
    ------
    InputError
        If an argument cannot be used.

    References
    ----------
    D.-J. Chen, H.-T. Chen, L.-W. Chang, "Fast defocus map estimation", ICIP 2016; sigma and the number of
    superpixels as in Fig. 8 of Galetto and Deng 2021.
    """
    check_number("edge_threshold", edge_threshold, above=0, at_most=1)
    for name, value in (("sigma", sigma), ("compactness", compactness), ("beta", beta), ("max_blur", max_blur)):
        check_number(name, value, above=0)
    check_number("alpha", alpha, above=0, at_most=0.5)
    check_whole("superpixels", superpixels, at_least=1)
    unit = check_gray(gray) / 255
    sparse = sparse_sigma(unit, edge_threshold=edge_threshold, sigma=sigma, max_blur=max_blur)
    if not np.isfinite(sparse).any():
        return np.full(unit.shape, float(max_blur))
    labels = _superpixels(unit, superpixels, compactness)
    seeds = _medians(sparse, labels)
    if not np.isfinite(seeds).any():
        # Too few edge pixels everywhere: their common median is all that is known.
        return np.full(unit.shape, float(np.nanmedian(sparse)))
    count = np.bincount(labels.ravel())
    mean = np.bincount(labels.ravel(), unit.ravel()) / count
    return np.clip(_spread(seeds, mean, _adjacent(labels), beta, alpha)[labels], 0, max_blur)


def _superpixels(unit: Float64, count: int, compactness: float) -> NDArray[np.intp]:
    """SLIC labels 0, 1, ...; in Lab, on whose scale the compactness is defined."""
    from skimage.segmentation import slic

    colour = np.repeat(unit[..., None], 3, axis=-1)
    labels = slic(colour, n_segments=count, compactness=compactness, channel_axis=-1, start_label=1)
    # Not relabel_sequential: in scikit-image 0.26 it sets the shape of an array, which NumPy 2.5 deprecates.
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape)


def _medians(sparse: Float64, labels: NDArray[np.intp]) -> Float64:
    """Median of each superpixel's edge pixels; NaN where it has too few."""
    known = np.isfinite(sparse)
    order = np.argsort(labels[known], kind="stable")
    values, owner = sparse[known][order], labels[known][order]
    result = np.full(int(labels.max()) + 1, np.nan)
    starts = np.flatnonzero(np.r_[True, np.diff(owner) > 0])
    for group in np.split(np.arange(len(values)), starts[1:]):
        if len(group) >= _LEAST_EDGE_PIXELS:
            result[owner[group[0]]] = np.median(values[group])
    return result


def _adjacent(labels: NDArray[np.intp]) -> NDArray[np.intp]:
    """Pairs (n, 2) of superpixels that share a border, each once."""
    pairs = [
        np.column_stack([labels[:-1].ravel(), labels[1:].ravel()]),
        np.column_stack([labels[:, :-1].ravel(), labels[:, 1:].ravel()]),
    ]
    every = np.sort(np.concatenate(pairs), axis=1)
    return np.unique(every[every[:, 0] != every[:, 1]], axis=0)


def _spread(seeds: Float64, mean: Float64, pairs: NDArray[np.intp], beta: float, alpha: float) -> Float64:
    """Every superpixel as a weighted mean of the seeds, by ``A = alpha (D - (1 - alpha) W)^-1``."""
    if not len(pairs):
        return np.full(len(seeds), np.nanmedian(seeds))
    first, second = pairs.T
    difference = np.abs(mean[first] - mean[second])
    span = np.ptp(difference)
    difference = (difference - difference.min()) / span if span > 0 else np.zeros_like(difference)
    affinity = np.zeros((len(seeds), len(seeds)))
    affinity[first, second] = affinity[second, first] = np.exp(-beta * difference) + np.finfo(float).eps
    degree = affinity.sum(axis=1)
    weight = np.linalg.inv(np.diag(degree) - (1 - alpha) * affinity)
    weight[:, ~np.isfinite(seeds)] = 0
    return np.asarray(weight @ np.nan_to_num(seeds) / weight.sum(axis=1))
