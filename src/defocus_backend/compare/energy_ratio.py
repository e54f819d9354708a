"""Sigma in closed form from the energies of Gaussian derivatives at two scales; no training."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from defocus_backend.arrays import Float64
from defocus_backend.compare.checks import check_gray, check_number

SCALES = (0.8, 1.2, 1.8, 2.7, 4.0, 6.0)
"""Finer scale of each pair in pixels; the coarser is 1.5 times as large."""
_STEP = 1.5
_ROUNDING = 1 / 12
_NOISE_WINDOW = 32
_NOISE_PERCENTILE = 5


def ratio_sigma(ratio: Float64, scale1: float, scale2: float) -> Float64:
    """Sigma from the ratio R of derivative energies: ``sigma^2 = (s2^2 - R s1^2) / (R - 1)``.

    The gradient energy of a picture whose amplitude spectrum falls as 1/f, as that of photographs does, is
    proportional to ``1 / (sigma^2 + s^2)`` after a blur of sigma and a derivative at scale s.

    Parameters
    ----------
    ratio : array
        Energy at `scale1` over that at `scale2`.
    scale1, scale2 : float
        In pixels, the smaller first.

    Returns
    -------
    array
        In pixels; 0 where the ratio is beyond that of a sharp picture, infinite where it is 1 or less.
    """
    above = ratio > 1
    square = np.full(np.shape(ratio), np.inf)
    square[above] = np.maximum(scale2**2 - ratio[above] * scale1**2, 0) / (ratio[above] - 1)
    return np.asarray(np.sqrt(square))


def noise_variance(gray: Float64) -> float:
    """Estimate the variance of white noise from the smallest diagonal differences; at least that of rounding.

    Parameters
    ----------
    gray : (H, W) array
        Gray values 0..255.

    Returns
    -------
    float
        In squared gray values, at least 1/12.
    """
    from scipy import ndimage

    if min(gray.shape) < 2:
        return _ROUNDING
    diagonal = (gray[1:, 1:] - gray[1:, :-1] - gray[:-1, 1:] + gray[:-1, :-1]) / 2
    local = ndimage.uniform_filter(diagonal**2, _NOISE_WINDOW)
    return max(float(np.percentile(local, _NOISE_PERCENTILE)), _ROUNDING)


def energy_ratio_map(
    gray: ArrayLike,
    *,
    window: float = 8.0,
    signal: float = 8.0,
    max_blur: float = 19.0,
    noise: float | None = None,
) -> Float64:
    """Return the sigma of every pixel in closed form, in pixels.

    Each pixel uses the finest pair of scales at which the ratio differs significantly from 1. It does so if the
    energy that remains after subtraction of the noise is large compared with that noise.

    Parameters
    ----------
    gray : (H, W) array_like
        Gray values 0..255.
    window : float
        Sigma in pixels of the Gaussian over which energies are averaged; widened with the scale.
    signal : float
        Least product of signal-to-noise energy ratio and ``R - 1``.
    max_blur : float
        Largest sigma in pixels.
    noise : float or None
        Standard deviation of the noise in gray values; estimated from the image if None.

    Returns
    -------
    (H, W) float64 array
        Sigma in pixels, 0 to `max_blur`. Pixels without enough signal at any scale are filled from their
        neighbourhood. If no pixel has enough signal, the whole map is `max_blur`.

    Raises
    ------
    InputError
        If an argument cannot be used.

    References
    ----------
    J. H. Elder, S. W. Zucker, "Local scale control for edge detection and blur estimation", TPAMI 20(7), 1998,
    for the choice of scale; D. J. Field, "Relations between the statistics of natural images and the response
    properties of cortical cells", JOSA A 4(12), 1987, for the spectrum.
    """
    check_number("window", window, above=0)
    check_number("signal", signal, above=0)
    check_number("max_blur", max_blur, above=0)
    values = check_gray(gray)
    variance = noise_variance(values)
    if noise is not None:
        variance = check_number("noise", noise, above=-1e-12) ** 2 + _ROUNDING
    sigma = np.zeros(values.shape)
    known = np.zeros(values.shape, dtype=bool)
    for scale in SCALES:
        reach = float(np.hypot(window, scale))
        fine, coarse = (_energy(values, s, reach) for s in (scale, _STEP * scale))
        fine_noise, coarse_noise = (variance * _noise_gain(s) for s in (scale, _STEP * scale))
        fine, coarse = fine - fine_noise, coarse - coarse_noise
        usable = ~known & (fine > 0) & (coarse > 0)
        ratio = np.divide(fine, coarse, out=np.ones_like(fine), where=usable)
        clear = usable & (fine * (ratio - 1) > signal * fine_noise)
        sigma[clear] = np.minimum(ratio_sigma(ratio[clear], scale, _STEP * scale), max_blur)
        known |= clear
    if not known.any():
        return np.full(values.shape, float(max_blur))
    return sigma if known.all() else _filled(sigma, known)


def _energy(values: Float64, scale: float, reach: float) -> Float64:
    """Squared gradient at a scale, averaged over a Gaussian window."""
    from scipy import ndimage

    square = np.zeros(values.shape)
    for order in ((1, 0), (0, 1)):
        square += ndimage.gaussian_filter(values, scale, order=order) ** 2
    return np.asarray(ndimage.gaussian_filter(square, reach))


def _noise_gain(scale: float) -> float:
    """Gradient energy that white noise of variance 1 has at a scale."""
    from scipy import ndimage

    side = 2 * int(4 * scale + 0.5) + 3
    impulse = np.zeros((side, side))
    impulse[side // 2, side // 2] = 1
    return float(2 * np.sum(ndimage.gaussian_filter(impulse, scale, order=(1, 0)) ** 2))


def _filled(sigma: Float64, known: NDArray[np.bool_]) -> Float64:
    import torch

    from defocus_backend.filters.fill import fill_from_surroundings

    filled = fill_from_surroundings(torch.from_numpy(sigma)[None], torch.from_numpy(known))
    return np.asarray(filled[0].numpy(), dtype=np.float64)
