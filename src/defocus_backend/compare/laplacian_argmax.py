"""Each pixel from the source whose smoothed Laplacian energy is largest there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from defocus_backend.arrays import as_float64_stack
from defocus_backend.filters import gaussian_blur, laplacian


def laplacian_argmax(
    sources: Iterable[Any],
    *,
    sigma: float = 2.0,
    presmooth: float = 0.8,
    channel_axis: int | None = None,
    value_range: tuple[float, float] | None = None,
) -> NDArray[Any]:
    """Choose each pixel by the energy of the Laplacian around it; ties go to the first source.

    Parameters
    ----------
    sources : iterable of (H, W[, C]) array_like
        Two or more images of one shape and dtype.
    sigma : float
        Sigma of the Gaussian over which the energy is averaged, in pixels.
    presmooth : float
        Sigma of the Gaussian before the Laplacian, which reduces noise, in pixels.
    channel_axis : int, optional
        Axis of the channels within one image; None for gray.
    value_range : (float, float), optional
        Values of black and white, see `arrays.as_float64`.

    Returns
    -------
    (H, W[, C]) ndarray
        In the sources' dtype; every pixel is one of the sources' pixels.

    Raises
    ------
    InputError
        If the sources do not fit each other or cannot be read, or a sigma is below 0.

    References
    ----------
    .. [1] S. K. Nayar and Y. Nakagawa, "Shape from focus", IEEE TPAMI 16 (1994), for the kind of measure.
    """
    picture = as_float64_stack(sources, "sources", at_least=2, channel_axis=channel_axis, value_range=value_range)
    gray = torch.from_numpy(np.ascontiguousarray(picture.gray))
    energy = gaussian_blur(laplacian(gaussian_blur(gray, presmooth)).square(), sigma)
    choice = energy.numpy().argmax(axis=0)
    chosen = np.take_along_axis(picture.values, choice[None, ..., None], axis=0)[0]
    return picture.restore(chosen)
