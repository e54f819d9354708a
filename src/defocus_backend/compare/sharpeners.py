"""The published sharpening methods by name."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from defocus_backend.errors import InputError
from defocus_backend.methods import SHARPEN_METHODS


def sharpen_with(
    name: str, image: Any, *, channel_axis: int | None = None, data_range: float | None = None, **parameters: Any
) -> NDArray[Any]:
    """Sharpen with a published method.

    Parameters
    ----------
    name : str
        Key of `SHARPEN_METHODS`.
    image : (H, W[, C]) array_like
        Any real dtype; C is 1 or 3.
    channel_axis : int, optional
        Axis of the channels; None for gray.
    data_range : float, optional
        The value of white; by default 255 for float images and the largest value of an integer type.
    **parameters
        Of the method.

    Returns
    -------
    (H, W[, C]) ndarray
        In the image's dtype.

    Raises
    ------
    InputError
        If the name is unknown or the image cannot be used.
    """
    if name not in SHARPEN_METHODS:
        raise InputError("name", repr(name), "one of " + ", ".join(SHARPEN_METHODS))
    method = SHARPEN_METHODS[name].function
    sharpened: NDArray[Any] = method(image, channel_axis=channel_axis, data_range=data_range, **parameters)
    return sharpened
