"""Refocusing: a picture with any focus and aperture from an all-in-focus picture and its height map."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from defocus_backend.compare.lens import lens_blur
from defocus_backend.errors import InputError
from defocus_backend.filters.fill import fill_from_surroundings
from defocus_backend.surface.form import check_height

Nearest = Literal["high", "low"]

LARGEST_RADIUS = 200.0
"""Largest radius of the disc in pixels."""


def refocus(
    image: ArrayLike,
    height: ArrayLike,
    focus: float,
    *,
    aperture: float = 2.0,
    nearest: Nearest = "high",
    highlights: float = 1.0,
    channel_axis: int | None = None,
) -> NDArray[Any]:
    """Render the picture of a lens with the given aperture, focused at the given height.

    Objects nearer to the lens cover those behind them, and their blurred edges are partly transparent.

    Parameters
    ----------
    image : (H, W) or, with `channel_axis`, (H, W, C) array_like
        All-in-focus image, such as `Fusion.image`.
    height : (H, W) array_like
        Height of each pixel, such as `Fusion.height`; NaN is interpolated.
    focus : float
        Height that stays sharp.
    aperture : float
        Increase of the blur radius in pixels per unit of height away from the focus. For a calibrated microscope, it is
        twice the slope of the calibration.
    nearest : {"high", "low"}
        End of the height range that is nearer to the lens.
    highlights : float
        Exponent that converts gray values to light: 1 for linear values of a camera, 2.2 for photographs.
    channel_axis : int or None
        Axis of the colour channels.

    Returns
    -------
    array of the shape and dtype of `image`

    Raises
    ------
    InputError

    Examples
    --------
    >>> import numpy as np
    >>> import defocus_backend as db
    >>> image, height = np.eye(32), np.zeros((32, 32))
    >>> bool((db.surface.refocus(image, height, focus=0.0) == image).all())
    True
    """
    if not math.isfinite(focus):
        raise InputError("focus", repr(focus), "a finite height")
    if not (math.isfinite(aperture) and aperture >= 0):
        raise InputError("aperture", repr(aperture), "0 or more px per unit of height")
    if nearest not in ("high", "low"):
        raise InputError("nearest", repr(nearest), "'high' or 'low'")
    depth = filled(height)
    reach = float(np.abs(depth - focus).max())
    radius = min(aperture * reach, LARGEST_RADIUS)
    array = np.asarray(image)
    if radius < 1e-3 or array.min() == array.max():
        return array.copy()
    # The whole range of the values, because the percentiles that are used for maps would clip both ends.
    ends = None if array.dtype in (np.uint8, np.bool_) else (float(array.min()), float(array.max()))
    return lens_blur(
        array,
        depth,
        focus=focus,
        radius=radius,
        reach=radius / aperture,
        nearest=nearest,
        highlights=highlights,
        channel_axis=channel_axis,
        value_range=ends,
    )


def filled(height: ArrayLike) -> NDArray[np.float64]:
    """Height map (H, W) with gaps interpolated from their surroundings."""
    values = check_height(height)
    known = np.isfinite(values)
    if known.all():
        return values
    gaps = fill_from_surroundings(torch.from_numpy(np.where(known, values, 0.0))[None], torch.from_numpy(known))
    return np.where(known, values, gaps[0].numpy())
