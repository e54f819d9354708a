"""Generalised unsharp masking (GUM; Deng 2011): addition and gain that cannot leave the range."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from defocus_backend.arrays import Float64, as_float64_stack
from defocus_backend.compare.equalise import equalised
from defocus_backend.errors import InputError

# Half a gray level of 8 bits: the operations are defined on the open interval only.
_GUARD = 0.5 / 255


def odds_against(x: Float64) -> Float64:
    """The map F(x) = (1 - x) / x, under which the generalised sum is a product; x in 0..1, both ends open."""
    return (1 - x) / x


def generalised_sum(x: Float64, y: Float64) -> Float64:
    """``x (+) y = 1 / (1 + F(x) F(y))``; 1/2 is neutral."""
    return 1 / (1 + odds_against(x) * odds_against(y))


def generalised_difference(x: Float64, y: Float64) -> Float64:
    """``x (-) y = 1 / (1 + F(x) / F(y))``, the inverse of the sum."""
    return 1 / (1 + odds_against(x) / odds_against(y))


def generalised_product(gain: Float64, x: Float64) -> Float64:
    """``gain (x) x = 1 / (1 + F(x)^gain)``."""
    return 1 / (1 + odds_against(x) ** gain)


def _gain(detail: Float64, most: float, least: float, exponent: float) -> Float64:
    """Largest for detail of no contrast (1/2) and least at full contrast."""
    span = (most - least) / (1 - np.exp(-1.0))
    return np.asarray(most - span + span * np.exp(-(np.abs(2 * detail - 1) ** exponent)))


def gum(
    image: Any,
    *,
    gain: float = 7.0,
    contrast: float = 5e-4,
    least_gain: float = 1.0,
    exponent: float = 1.0,
    iterations: int = 10,
    window: int = 5,
    channel_axis: int | None = None,
    value_range: tuple[float, float] | None = None,
) -> NDArray[Any]:
    """Sharpen by generalised unsharp masking.

    The image is split by an iterated median filter, in the operations of a logarithmic image model; the smooth part
    passes through CLAHE and the detail through a gain that falls with its contrast. Colour is scaled by the change of
    the channels' mean.

    Parameters
    ----------
    image : (H, W[, C]) array_like
        Any real dtype.
    gain : float
        Largest gain, for detail of low contrast; the paper's lambda.
    contrast : float
        Clip limit of the CLAHE, as in MATLAB's ``adapthisteq``; the paper's kappa.
    least_gain : float
        Gain of detail of full contrast.
    exponent : float
        Exponent of the contrast in the gain, above 0.
    iterations : int
        Largest number of iterations of the median filter; it stops earlier when nothing changes.
    window : int
        Side of the median filter, odd.
    channel_axis : int, optional
        Axis of the channels; None for gray.
    value_range : (float, float), optional
        Values of black and white, see `arrays.as_float64`.

    Returns
    -------
    (H, W[, C]) ndarray
        In the image's dtype, clipped to black and white.

    Raises
    ------
    InputError
        If the image cannot be read or a parameter is out of its range.

    References
    ----------
    .. [1] G. Deng, "A generalized unsharp masking algorithm", IEEE TIP 20 (2011).
    """
    if window < 1 or window % 2 == 0:
        raise InputError("window", repr(window), "an odd number of pixels")
    if exponent <= 0:
        raise InputError("exponent", repr(exponent), "a number above 0")
    picture = as_float64_stack([image], "image", channel_axis=channel_axis, value_range=value_range)
    values = picture.values[0]
    intensity = np.clip(values.mean(axis=-1), _GUARD, 1 - _GUARD)
    smooth = intensity
    for _ in range(iterations):
        smoother = ndimage.median_filter(smooth, size=window, mode="nearest")
        if np.array_equal(smoother, smooth):
            break
        smooth = smoother
    detail = generalised_difference(intensity, smooth)
    base = np.clip(equalised(smooth, contrast), _GUARD, 1 - _GUARD)
    result = generalised_sum(base, generalised_product(_gain(detail, gain, least_gain, exponent), detail))
    return picture.restore(np.clip(values * (result / intensity)[..., None], 0.0, 1.0))
