"""The published sharpening methods by name."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from defocus_backend.methods import SHARPEN_METHODS


def sharpen_with(
    name: str,
    image: Any,
    *,
    channel_axis: int | None = None,
    value_range: tuple[float, float] | None = None,
    **parameters: Any,
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
    value_range : (float, float), optional
        Values of black and white, see `arrays.as_float64`.
    **parameters
        Parameters of the method.

    Returns
    -------
    (H, W[, C]) ndarray
        In the image's dtype.

    Raises
    ------
    InputError
        If the name is unknown or the image cannot be used.
    """
    method = SHARPEN_METHODS[name].function
    sharpened: NDArray[Any] = method(image, channel_axis=channel_axis, value_range=value_range, **parameters)
    return sharpened
