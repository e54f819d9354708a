"""The published sharpening methods by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from defocus_backend.compare.cas import cas
from defocus_backend.compare.gum import gum
from defocus_backend.compare.unsharp import unsharp_mask
from defocus_backend.errors import InputError


@dataclass(frozen=True, kw_only=True)
class SharpenMethod:
    """A published way to sharpen an image.

    Attributes
    ----------
    name : str
        Key of `SHARPEN_METHODS`.
    function : callable
        ``(image, *, channel_axis=None, data_range=None, **parameters) -> image``, the parameters of Fig. 11 in
        Galetto and Deng 2021 as keyword defaults.
    citation : str
        Who described it.
    """

    name: str
    function: Callable[..., NDArray[Any]]
    citation: str


SHARPEN_METHODS: dict[str, SharpenMethod] = {
    method.name: method
    for method in (
        SharpenMethod(name="unsharp", function=unsharp_mask, citation="Ramponi 1998"),
        SharpenMethod(name="gum", function=gum, citation="Deng 2011, doi:10.1109/TIP.2010.2092441"),
        SharpenMethod(name="cas", function=cas, citation="Lottes 2019, AMD FidelityFX"),
    )
}
"""All sharpening methods by name."""


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
    return SHARPEN_METHODS[name].function(image, channel_axis=channel_axis, data_range=data_range, **parameters)
