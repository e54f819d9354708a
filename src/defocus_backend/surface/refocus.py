"""A shallow picture from a deep one: any plane in focus, any aperture."""

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
"""Radius of the disc in pixels that is drawn at most."""


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
    """The picture that a lens of this aperture takes with its focus at this height.

    What lies nearer to the lens covers what lies behind it, and its blurred rim lets the background through.

    Parameters
    ----------
    image : (H, W) or, with `channel_axis`, (H, W, C) array_like
        Sharp everywhere, such as `Fusion.image`.
    height : (H, W) array_like
        Height of each pixel, such as `Fusion.height`; where it is NaN its surroundings stand in.
    focus : float
        Height that stays sharp.
    aperture : float
        Growth of the disc's radius in pixels for each unit of height away from the focus. A calibration gives that
        of the microscope: twice its slope.
    nearest : {"high", "low"}
        End of the height that is near the lens.
    highlights : float
        Exponent from gray value to light: 1 for a camera's linear values, 2.2 for photographs.
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
    # The whole range of the values: the percentiles that a map goes by would clip both ends.
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
    """A height map (H, W) whose gaps are interpolated from their surroundings."""
    values = check_height(height)
    known = np.isfinite(values)
    if known.all():
        return values
    gaps = fill_from_surroundings(torch.from_numpy(np.where(known, values, 0.0))[None], torch.from_numpy(known))
    return np.where(known, values, gaps[0].numpy())
