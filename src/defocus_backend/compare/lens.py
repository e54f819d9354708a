"""A shallow depth of field rendered from any depth or defocus map by the disc of a lens, layer by layer.

This is the last step of DeepLens (Wang et al. 2018) and similar methods: each depth is blurred by its circle of
confusion, and near layers occlude far ones.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from defocus_backend.arrays import Float64, as_float64_stack
from defocus_backend.compare.checks import check_number
from defocus_backend.errors import InputError
from defocus_backend.filters.disc import disc_blur

Nearest = Literal["low", "high"]

_MOST_LAYERS = 24
"""Maximum on either side of the focus; below it, the radius grows by one pixel from layer to layer."""
_SHARP = 0.5
_SEEN = 1e-4


def lens_blur(
    image: Any,
    depth: ArrayLike,
    *,
    focus: float | None = None,
    radius: float = 12.0,
    reach: float | None = None,
    nearest: Nearest = "low",
    highlights: float = 2.2,
    channel_axis: int | None = None,
    value_range: tuple[float, float] | None = None,
) -> NDArray[Any]:
    """Blur each pixel by a disc whose radius grows with the distance of its depth from the focus.

    The picture is split into layers of like depth, each shared linearly with its neighbour so that slopes have no
    steps. From the farthest to the nearest, the light and the outline of each layer are blurred and
    composited over the layers behind it. The result is divided by the sum of the outlines, which normalises pixels
    that no layer covers fully. A sharp subject therefore does not bleed into its background, and a blurred foreground
    has a soft rim.

    Parameters
    ----------
    image : (H, W[, C]) array_like
        Any real dtype.
    depth : (H, W) array_like
        Depth, disparity, height or defocus in any unit; finite.
    focus : float or None
        Value of `depth` that stays sharp; by default the nearest one, which in a defocus map is the sharpest.
    radius : float
        Radius in pixels of the disc at the distance `reach` from the focus.
    reach : float or None
        Distance from the focus at which the disc has its full radius, in units of `depth`; by default the largest
        distance in the map.
    nearest : {"low", "high"}
        Which end of `depth` is near the camera: "low" for depth and for defocus behind a sharp subject, "high" for
        disparity.
    highlights : float
        Exponent that converts gray values to light; 1 for linear data.
    channel_axis : int, optional
        Axis of the channels; None for gray.
    value_range : (float, float), optional
        Values of black and white, see `arrays.as_float64`.

    Returns
    -------
    (H, W[, C]) ndarray
        In the image's dtype.

    Raises
    ------
    InputError
        If the image or the map cannot be used or a parameter is out of its range.

    References
    ----------
    L. Wang et al., "DeepLens: shallow depth of field from a single image", arXiv:1810.08100, 2018, for the
    rendering; its depth network is not part of this.
    """
    check_number("radius", radius, above=0, at_most=200)
    check_number("highlights", highlights, above=0, at_most=6)
    if nearest not in ("low", "high"):
        raise InputError("nearest", repr(nearest), "'low' or 'high'")
    picture = as_float64_stack([image], "image", channel_axis=channel_axis, value_range=value_range)
    offset = _offset(depth, picture.values.shape[1:3], focus, reach, nearest)
    layers = min(_MOST_LAYERS, math.ceil(radius))
    light = torch.from_numpy(picture.values[0]).permute(2, 0, 1).clamp_min(0) ** highlights
    position = torch.from_numpy(offset * layers)
    shown, covered = torch.zeros_like(light), torch.zeros_like(light[:1])
    for number in range(math.ceil(offset.max() * layers), math.floor(offset.min() * layers) - 1, -1):
        share = (1 - (position - number).abs()).clamp_min(0)[None]
        if not bool(share.any()):
            continue
        blurred = _blurred(torch.cat([light * share, share]), radius * abs(number) / layers)
        behind = 1 - blurred[-1:]
        shown = shown * behind + blurred[:-1]
        covered = covered * behind + blurred[-1:]
    seen = (shown / covered.clamp_min(_SEEN)).clamp_min(0) ** (1 / highlights)
    return picture.restore(np.asarray(seen.permute(1, 2, 0).numpy()))


def _blurred(planes: Tensor, radius: float) -> Tensor:
    if radius < _SHARP:
        return planes
    blurred = disc_blur(planes, radius)
    blurred[-1:].clamp_(0, 1)
    return blurred.clamp_min_(0)


def _offset(
    depth: ArrayLike, shape: tuple[int, ...], focus: float | None, reach: float | None, nearest: Nearest
) -> Float64:
    """Distance from the focus as a share of the reach, -1 (nearer) to 1 (farther), (H, W)."""
    values: NDArray[Any] = np.asarray(depth)
    if values.shape != shape or values.dtype.kind not in "buif":
        raise InputError("depth", f"{values.dtype} of shape {values.shape}", f"numbers of the image's shape {shape}")
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError("depth", "NaN or infinite values", "finite values")
    if focus is not None and not math.isfinite(focus):
        raise InputError("focus", repr(focus), "a finite value of the map")
    if nearest == "high":
        values, focus = -values, None if focus is None else -focus
    distance = values - (values.min() if focus is None else focus)
    if reach is not None:
        check_number("reach", reach, above=0)
    span = reach if reach is not None else float(np.abs(distance).max())
    return np.clip(distance / span, -1, 1) if span > 0 else distance
