"""What of a fused image changes with its decision map: how far a painted pixel is carried."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from defocus_backend.errors import InputError
from defocus_backend.params import FusionParams


def decision_reach(radius: int = FusionParams.radius) -> int:
    """How far, in pixels along rows and columns, the guided filter of eq 15 carries a decision.

    Its coefficients are means over windows of `radius`, and these are averaged over windows of `radius` again.
    """
    return 2 * FusionParams(radius=radius).radius


def affected_pixels(
    changed: ArrayLike, *, radius: int = FusionParams.radius, region: tuple[slice, slice] | None = None
) -> NDArray[np.bool_]:
    """Pixels of a fused image that depend on those of its decision map that were changed.

    Holds for the "decision" blend, whose result equals the earlier one everywhere else.

    Parameters
    ----------
    changed : (H, W) array_like of bool
        Where the decision map is another than before.
    radius : int
        Radius of the guided filter on the decision maps, in pixels, as in `fuse`.
    region : (slice, slice) or None
        Rows and columns that are asked for; changes around them count.

    Returns
    -------
    (h, w) bool array
        The whole map, or its region: True where a changed pixel lies within twice the radius along both axes.

    Raises
    ------
    InputError
        If the map has not two axes, the radius is out of range, or the region is empty or has a step.
    """
    reach, mask = decision_reach(radius), np.asarray(changed, dtype=bool)
    if mask.ndim != 2:
        raise InputError("changed", f"shape {mask.shape}", "a map (H, W)")
    outer, inner = [], []
    for part, size in zip(region or (slice(None), slice(None)), mask.shape, strict=True):
        start, stop, step = part.indices(size)
        if step != 1 or (region is not None and stop <= start):
            raise InputError("region", repr(region), f"two slices of step 1 within {mask.shape}")
        first = max(0, start - reach)
        outer.append(slice(first, stop + reach))
        inner.append(slice(start - first, stop - first))
    near = ndimage.maximum_filter(mask[outer[0], outer[1]], size=2 * reach + 1, mode="constant")
    return np.ascontiguousarray(near[inner[0], inner[1]])
