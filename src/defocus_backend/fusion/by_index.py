"""Fusion by a decision that is already known (eqs 13, 15 and 16 of Galetto and Deng, 2021)."""

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
"""Weight of a missing pixel: negligible beside any valid one, yet never a division by zero."""
_ADVICE = "use device='cpu' or smaller slices"


class KnownBlend:
    """Eqs 13, 15 and 16 as an accumulator: `add` every slice in order, then `finish`.

    Parameters
    ----------
    index : (H, W) integer tensor
        Slice to take at every pixel, on the device that computes.
    blend : str
        A name of `defocus_backend.methods.BLENDS`.
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
        """Take in the next slice."""
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
        """The fused image in dtype and layout of a slice, and the weights (N, H, W) if they were kept."""
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
    """Fuse a stack by a decision map that is already known, such as one that a user has painted.

    Parameters
    ----------
    stack, channel_axis, blend, blend_settings, value_range, device, progress, cancel
        See `fuse`.
    index : (H, W) array_like of whole numbers
        Slice to take at every pixel, 0 to N - 1.
    gains : (N,) array_like or None
        What every slice is divided by, as `Fusion.gains` says it; by default nothing.
    region : (slice, slice) or None
        Rows and columns to compute and return; the neighbourhood that the blend needs is read too. The result equals
        that part of the whole.

    Returns
    -------
    (h, w[, C]) array
        The fused image, or its region, in dtype and layout of one slice.

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
            del image  # before the next slice is read, not after
            reporter.advance()
        fused, _ = known.finish()
    return fused[inner] if slices.channel_axis is None else _crop_channels(fused, inner, slices.channel_axis)


def _with_halo(
    region: tuple[slice, slice] | None, shape: tuple[int, int], halo: int, cell: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The region grown by the halo to whole cells, and where the region lies within it."""
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
    """How far, in pixels along rows and columns, a blend carries a change of the decision.

    In octaves: as far as the coarsest cells reach. With the guided filter of eq 15: twice its `radius`, since its
    coefficients are means over windows, and these are averaged over windows again.
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
    """Pixels of a fused image that depend on those of its decision map that were changed.

    The result of `fuse_by_index` equals the earlier one everywhere else.

    Parameters
    ----------
    changed : (H, W) array_like of bool
        Where the decision map is another than before.
    blend, blend_settings
        As in `fuse`.
    region : (slice, slice) or None
        Rows and columns that are asked for; changes around them count.

    Returns
    -------
    (h, w) bool array
        The whole map, or its region: True where a changed pixel lies within `decision_reach` along both axes.

    Raises
    ------
    InputError
        If the map has not two axes, or the region is empty or has a step.
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
