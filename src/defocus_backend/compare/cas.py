"""Contrast adaptive sharpening (CAS; AMD FidelityFX)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from defocus_backend.arrays import as_float64_stack
from defocus_backend.errors import InputError

# -1 / peak at sharpness 0 and 1.
_SOFT, _HARD = 8.0, 5.0


def cas(
    image: Any,
    *,
    sharpness: float = 0.0,
    channel_axis: int | None = None,
    value_range: tuple[float, float] | None = None,
) -> NDArray[Any]:
    """Sharpen by a cross of five taps, less where the neighbourhood already spans the range.

    Parameters
    ----------
    image : (H, W[, C]) array_like
        Any real dtype; each channel is handled by itself.
    sharpness : float
        0 to 1. The centre lobe's bound is -1/8 at 0 (the "lambda -0.125" of Galetto and Deng) and -1/5 at 1.
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
        If the image cannot be read or `sharpness` is not in 0..1.

    References
    ----------
    .. [1] T. Lottes, "FidelityFX CAS", AMD GPUOpen (2019).
    """
    if not 0 <= sharpness <= 1:
        raise InputError("sharpness", repr(sharpness), "a number from 0 to 1")
    picture = as_float64_stack([image], "image", channel_axis=channel_axis, value_range=value_range)
    centre = np.clip(picture.values[0], 0.0, 1.0)
    padded = np.pad(centre, ((1, 1), (1, 1), (0, 0)), mode="edge")
    cross = np.stack([padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]])
    low, high = np.minimum(cross.min(axis=0), centre), np.maximum(cross.max(axis=0), centre)
    room = np.minimum(low, 1 - high) / np.where(high > 0, high, 1.0)
    weight = -np.sqrt(np.clip(room, 0.0, 1.0)) / (_SOFT + (_HARD - _SOFT) * sharpness)
    return picture.restore(np.clip((weight * cross.sum(axis=0) + centre) / (1 + 4 * weight), 0.0, 1.0))
