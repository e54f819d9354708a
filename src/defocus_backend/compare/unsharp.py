"""Unsharp masking with one gain for the whole image: eq 7 of Galetto and Deng 2021 without the gain map."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from defocus_backend.arrays import as_float64_stack
from defocus_backend.filters import gaussian_blur


def unsharp_mask(
    image: Any,
    *,
    gain: float = 2.0,
    sigma: float = 1.0,
    channel_axis: int | None = None,
    value_range: tuple[float, float] | None = None,
) -> NDArray[Any]:
    """Add to the image `gain` times its difference from a Gaussian low pass.

    Parameters
    ----------
    image : (H, W[, C]) array_like
        Any real dtype.
    gain : float
        0 returns the image; the paper's Fig. 11 has 2.
    sigma : float
        Sigma of the low-pass filter, in pixels.
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
        If the image cannot be read or `sigma` is below 0.

    References
    ----------
    .. [1] G. Ramponi, "A cubic unsharp masking technique for contrast enhancement", Signal Processing 67 (1998).
    """
    picture = as_float64_stack([image], "image", channel_axis=channel_axis, value_range=value_range)
    values = picture.values[0]
    planes = torch.from_numpy(np.ascontiguousarray(np.moveaxis(values, -1, 0)))
    low = np.moveaxis(gaussian_blur(planes, sigma).numpy(), 0, -1)
    return picture.restore(np.clip(values + gain * (values - low), 0.0, 1.0))
