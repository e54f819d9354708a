"""Fusion by a known decision map (eqs 13, 15 and 16 of Galetto and Deng, 2021)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from torch import Tensor

from defocus_backend.arguments import names_bad_arguments
from defocus_backend.arrays import Image
from defocus_backend.device import device_errors, resolve_device
from defocus_backend.errors import InputError
from defocus_backend.fusion.blend import Blend
from defocus_backend.fusion.brightness import MatchedStack
from defocus_backend.methods import BLENDS
from defocus_backend.params import BlendParams, FusionParams
from defocus_backend.progress import CancelCallback, ProgressCallback, Reporter
from defocus_backend.stacks import StackLike, as_source

_INVALID_WEIGHT = 1e-12
"""Weight of a missing pixel: negligible compared with a valid one, but large enough to avoid a division by zero."""
_ADVICE = "use device='cpu' or smaller slices"


class KnownBlend:
    """Eqs 13, 15 and 16 as an accumulator: `add` every slice in order, then `finish`.

    Parameters
    ----------
    index : (H, W) integer tensor
        Slice to use at every pixel, on the compute device.
    blend : str
        A name in `defocus_backend.methods.BLENDS`.
    params : BlendParams
    keep_weights : bool
        Whether to keep the weight of every slice.
    """

    def __init__(self, index: Tensor, blend: str, params: BlendParams, keep_weights: bool = False) -> None:
        self._index, self._params = index, params
        self._kind: Blend = BLENDS[blend].load()
        self._blend = self._kind.known()
        self._seen = torch.zeros(index.shape, dtype=torch.bool, device=index.device)
        self._weights: list[Tensor] | None = [] if keep_weights else None
        self._form: Image | None = None
        self._number = 0

    @torch.inference_mode()
    def add(self, source: Image) -> None:
        """Add the next slice."""
        self._form = self._form or source
        image = source.to(self._index.device)
        weight = self._kind.weigh(self._index == self._number, image.gray, self._params)
        if image.valid is None:
            self._seen.fill_(True)
        else:
            weight = torch.where(image.valid, weight, _INVALID_WEIGHT)
            self._seen |= image.valid
        self._blend.add(image.pixels, weight)
        if self._weights is not None:
            self._weights.append(weight.cpu())
        self._number += 1

    @torch.inference_mode()
    def finish(self) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
        """Return the fused image in the dtype and layout of a slice, and the weights (N, H, W) if they were kept."""
        assert self._form is not None, "a slice was added"
        stacked = None if self._weights is None else torch.stack(self._weights)
        shares = None if stacked is None else (stacked / stacked.sum(0)).numpy()
        return replace(self._form, valid=self._seen).restore(self._blend.result()), shares


@names_bad_arguments
def fuse_by_index(
    stack: StackLike,
    index: ArrayLike,
    *,
    channel_axis: int | None = None,
    blend: str = FusionParams.blend,
    blend_settings: BlendParams | None = None,
    value_range: tuple[float, float] | None = None,
    gains: ArrayLike | None = None,
    region: tuple[slice, slice] | None = None,
    device: str | torch.device = "auto",
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
) -> NDArray[Any]:
    """Fuse a stack by a known decision map, such as one that a user has painted.

    Parameters
    ----------
    stack, channel_axis, blend, blend_settings, value_range, device, progress, cancel
        See `fuse`.
    index : (H, W) array_like of whole numbers
        Number of the slice to use at every pixel, 0 to N - 1.
    gains : (N,) array_like or None
        Gains by which the slices are divided, such as `Fusion.gains`; by default, slices are not divided.
    region : (slice, slice) or None
        Rows and columns to compute and return. The neighbourhood that the blend needs is read too, so that the result
        equals this part of the whole image.

    Returns
    -------
    (h, w[, C]) array
        The fused image, or its region, in the dtype and layout of one slice.

    Raises
    ------
    InputError, DeviceError, Cancelled
    """
    params = blend_settings or BlendParams()
    kind: Blend = BLENDS[blend].load()
    where = resolve_device(device)
    slices = as_source(stack, channel_axis=channel_axis, value_range=value_range)
    if gains is not None:
        slices = MatchedStack(slices, gains)
    chosen = np.asarray(index)
    if chosen.shape != slices.plane_shape or not np.issubdtype(chosen.dtype, np.integer):
        raise InputError("index", f"{chosen.dtype} of shape {chosen.shape}", f"whole numbers {slices.plane_shape}")
    if chosen.min() < 0 or chosen.max() >= len(slices):
        raise InputError("index", f"slices {chosen.min()} to {chosen.max()}", f"0 to {len(slices) - 1}")
    reporter = Reporter(len(slices), "slices", progress, cancel)
    reporter.check()
    outer, inner = _with_halo(region, slices.plane_shape, kind.reach(params), kind.cell)
    with torch.inference_mode(), device_errors(_ADVICE):
        part = torch.from_numpy(np.ascontiguousarray(chosen[outer], dtype=np.int64)).to(where)
        known = KnownBlend(part, blend, params)
        for image in slices.images():
            known.add(image.crop(outer))
            del image  # free the image before the next slice is read
            reporter.advance()
        fused, _ = known.finish()
    return fused[inner] if slices.channel_axis is None else _crop_channels(fused, inner, slices.channel_axis)


def _with_halo(
    region: tuple[slice, slice] | None, shape: tuple[int, int], halo: int, cell: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The region extended by the halo to whole cells, and the position of the region within it."""
    if region is None:
        whole = (slice(0, shape[0]), slice(0, shape[1]))
        return whole, whole
    outer, inner = [], []
    for part, size in zip(region, shape, strict=True):
        start, stop, stride = part.indices(size)
        if stride != 1 or stop <= start:
            raise InputError("region", repr(region), f"two slices of step 1 within {shape}")
        first = max(0, start - halo) // cell * cell
        outer.append(slice(first, min(size, stop + halo)))
        inner.append(slice(start - first, stop - first))
    return (outer[0], outer[1]), (inner[0], inner[1])


def _crop_channels(fused: NDArray[Any], inner: tuple[slice, slice], channel_axis: int) -> NDArray[Any]:
    moved = np.moveaxis(fused, channel_axis, 0)[:, inner[0], inner[1]]
    return np.ascontiguousarray(np.moveaxis(moved, 0, channel_axis))


@names_bad_arguments
def decision_reach(blend: str = FusionParams.blend, blend_settings: BlendParams | None = None) -> int:
    """Distance in pixels, along rows and columns, over which a change of the decision affects the fused image.

    For the blend octaves, it is the reach of the coarsest cells. For the guided filter of eq 15, it is twice the
    `radius`, because its coefficients are means over windows that are averaged over windows again.
    """
    kind: Blend = BLENDS[blend].load()
    return kind.reach(blend_settings or BlendParams())


@names_bad_arguments
def affected_pixels(
    changed: ArrayLike,
    *,
    blend: str = FusionParams.blend,
    blend_settings: BlendParams | None = None,
    region: tuple[slice, slice] | None = None,
) -> NDArray[np.bool_]:
    """Pixels of a fused image that depend on the changed pixels of its decision map.

    Everywhere else, the result of `fuse_by_index` does not change.

    Parameters
    ----------
    changed : (H, W) array_like of bool
        True where the decision map has changed.
    blend, blend_settings
        See `fuse`.
    region : (slice, slice) or None
        Rows and columns to return; changes around them are taken into account.

    Returns
    -------
    (h, w) bool array
        Map of the whole image, or of the region: True where a changed pixel is within `decision_reach` along both axes.

    Raises
    ------
    InputError
        If the map does not have two axes, or if the region is empty or has a step.
    """
    reach, mask = decision_reach(blend, blend_settings), np.asarray(changed, dtype=bool)
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
