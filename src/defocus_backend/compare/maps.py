"""Published blur maps, which can be refined with the weighted guided filter of this package."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from defocus_backend.arrays import Float64
from defocus_backend.compare.checks import check_gray
from defocus_backend.compare.tiled import run_method
from defocus_backend.compare.window_measures import window_variance
from defocus_backend.errors import InputError
from defocus_backend.methods import MAP_METHODS
from defocus_backend.params import MapParams
from defocus_backend.refine import refine_map

_CONTRAST_WINDOW = 32
# Half the step of an 8-bit gray value squared: below it a window contains nothing but rounding error.
_FLAT_VARIANCE = 0.25


def map_with(
    name: str, gray: ArrayLike, *, refine: bool = False, params: MapParams | None = None, **parameters: Any
) -> Float64:
    """Return the map of a gray image by a published method.

    Parameters
    ----------
    name : str
        Key of `methods.MAP_METHODS`.
    gray : (H, W) array_like
        Gray values 0..255.
    refine : bool
        Refine the map by the iterated weighted guided filter, as in Fig. 7 of Galetto and Deng 2021.
    params : MapParams or None
        Settings of that filter.
    **parameters
        Parameters of the method; by default those of its paper.

    Returns
    -------
    (H, W) float64 array
        In the unit of the method; larger where the image is more blurred.

    Raises
    ------
    InputError
        If the name is unknown or an argument cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> stripes = np.tile([60, 140], (32, 16))
    >>> round(float(map_with("deviation", stripes)[16, 16]), 3)
    -40.0
    """
    found = run_method(MAP_METHODS[name], gray, parameters=parameters)
    return refine_values(found, gray, params)[0] if refine else found


def refine_values(values: Float64, gray: ArrayLike, params: MapParams | None = None) -> tuple[Float64, Float64]:
    """Refine a map of any unit by `refine.refine_map`; the result stays within the map's range.

    Parameters
    ----------
    values : (H, W) array
        The map.
    gray : (H, W) array_like
        The image of which it is the map, gray values 0..255.
    params : MapParams or None
        The options of the filter, `refine_radius` and so on.

    Returns
    -------
    refined : (H, W) float64 array
        In units of `values`.
    guide : (H, W) float64 array
        The smoothed image that guided the refinement, gray values 0..255.
    """
    picture = check_gray(gray)
    if values.shape != picture.shape:
        raise InputError("values", f"shape {values.shape}", "the shape of the picture")
    # The filter is linear, so any map can be filtered on the unit range, where float32 is most precise.
    low, span = float(values.min()), float(np.ptp(values)) or 1.0
    refined, guide = refine_map(_single((values - low) / span), _single(picture / 255), params or MapParams())
    return _double(refined) * span + low, _double(guide) * 255


def contrast_confidence(gray: ArrayLike) -> Float64:
    """Return how much texture an image has from which its blur can be estimated.

    Parameters
    ----------
    gray : (H, W) array_like
        Gray values 0..255.

    Returns
    -------
    (H, W) float64 array
        Near 0 where the neighbourhood contains nothing but rounding error, near 1 elsewhere.
    """
    variance = window_variance(check_gray(gray), _CONTRAST_WINDOW)
    return variance / (variance + _FLAT_VARIANCE)


def _single(values: Float64) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _double(values: Tensor) -> Float64:
    result: NDArray[np.float64] = values.numpy().astype(np.float64)
    return result
