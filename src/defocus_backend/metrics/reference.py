"""PSNR and SSIM against an all-in-focus ground truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from defocus_backend.arrays import as_float64, float_white
from defocus_backend.errors import InputError
from defocus_backend.metrics.gray import Gray

_SSIM_SIGMA = 1.5
_SSIM_SIDE = 11


def _pair(
    image: Any, reference: Any, channel_axis: int | None, value_range: tuple[float, float] | None
) -> tuple[Gray, Gray]:
    """Both as float64 on 0..255, channels last, without alpha."""
    white = float_white([image, reference])
    first, second = (
        as_float64(values, name, channel_axis=channel_axis, value_range=value_range, white=white)
        for values, name in ((image, "image"), (reference, "reference"))
    )
    if second.shape != first.shape:
        raise InputError("reference", f"shape {second.shape}", f"{first.shape}, as the image")
    return first, second


def psnr(
    image: Any, reference: Any, *, channel_axis: int | None = None, value_range: tuple[float, float] | None = None
) -> float:
    """Return the peak signal-to-noise ratio against a ground truth, over all pixels and channels.

    Parameters
    ----------
    image, reference : (H, W[, C]) array_like
        The image to judge and the truth.
    channel_axis : int, optional
        Axis of the channels.
    value_range : (float, float), optional
        Values of black and white, see `arrays.as_float64`.

    Returns
    -------
    float
        Decibels; infinite if the two are equal.

    Raises
    ------
    InputError
        If the images do not fit each other or cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.full((8, 8), 100, np.uint8)
    >>> round(psnr(truth + 5, truth), 2)
    34.15
    """
    one, truth = _pair(image, reference, channel_axis, value_range)
    if np.array_equal(one, truth):
        return float("inf")
    return float(peak_signal_noise_ratio(truth, one, data_range=255))


def ssim(
    image: Any, reference: Any, *, channel_axis: int | None = None, value_range: tuple[float, float] | None = None
) -> float:
    """Return the structural similarity to a ground truth (Gaussian window of sigma 1.5, 11 x 11), mean of the channels.

    Parameters
    ----------
    image, reference : (H, W[, C]) array_like
        The image to judge and the truth, 11 x 11 or larger.
    channel_axis : int, optional
        Axis of the channels.
    value_range : (float, float), optional
        Values of black and white, see `arrays.as_float64`.

    Returns
    -------
    float
        -1 to 1; 1 if the two are equal.

    Raises
    ------
    InputError
        If the images do not fit each other, cannot be read or are too small.

    References
    ----------
    .. [1] Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image quality assessment: from error visibility to
       structural similarity", IEEE TIP 13 (2004).
    """
    one, truth = _pair(image, reference, channel_axis, value_range)
    if min(one.shape[:2]) < _SSIM_SIDE:
        raise InputError("image", f"shape {one.shape}", f"at least {_SSIM_SIDE} rows and columns")
    score = structural_similarity(
        truth,
        one,
        data_range=255,
        channel_axis=None if channel_axis is None else -1,
        gaussian_weights=True,
        sigma=_SSIM_SIGMA,
        use_sample_covariance=False,
    )
    return float(score)
