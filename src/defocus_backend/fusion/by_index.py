"""Fusion by a decision that is already known (eqs 13, 15 and 16 of Galetto and Deng, 2021)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from defocus_backend.arrays import Image
from defocus_backend.device import device_errors, resolve_device
from defocus_backend.errors import InputError
from defocus_backend.fusion.blend import new_blend
from defocus_backend.fusion.decision import decision_weight
from defocus_backend.fusion.stack import FocalStack, StackLike
from defocus_backend.params import FusionParams
from defocus_backend.progress import CancelCallback, ProgressCallback, Reporter

_F = FusionParams
_INVALID_WEIGHT = 1e-12
"""Weight of a NaN pixel: nothing beside any valid one, yet never a division by zero."""
_ADVICE = "use device='cpu' or smaller slices"


def blend_slices(
    slices: FocalStack,
    index: Tensor,
    params: FusionParams,
    device: torch.device,
    keep_weights: bool,
    reporter: Reporter,
    window: tuple[slice, slice] | None = None,
) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
    """Eqs 13, 15 and 16 over all slices, or over one window of each."""
    blend, weights = new_blend(params.blend), []
    first: Image | None = None
    seen = torch.zeros(index.shape, dtype=torch.bool, device=device)
    for number, source in enumerate(slices):
        part = source if window is None else source.crop(window)
        first = first or part
        image = part.to(device)
        weight = decision_weight(index == number, image.gray, params)
        if image.valid is None:
            seen.fill_(True)
        else:
            weight = torch.where(image.valid, weight, _INVALID_WEIGHT)
            seen |= image.valid
        blend.add(image.pixels, weight)
        if keep_weights:
            weights.append(weight.cpu())
        reporter.advance()
    assert first is not None
    stacked = torch.stack(weights) if keep_weights else None
    shares = None if stacked is None else (stacked / stacked.sum(0)).numpy()
    return replace(first, valid=seen).restore(blend.result()), shares


def fuse_by_index(
    stack: StackLike,
    index: ArrayLike,
    *,
    channel_axis: int | None = None,
    blend: str = _F.blend,
    radius: int = _F.radius,
    eps: float = _F.eps,
    delta: float = _F.delta,
    value_range: tuple[float, float] | None = None,
    region: tuple[slice, slice] | None = None,
    device: str | torch.device = "auto",
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
) -> NDArray[Any]:
    """Fuse a stack by a decision map that is already known, such as one that a user has painted.

    Parameters
    ----------
    stack, channel_axis, blend, radius, eps, delta, value_range, device, progress, cancel
        See `fuse`.
    index : (H, W) array_like of whole numbers
        Slice to take at every pixel, 0 to N - 1.
    region : (slice, slice) or None
        Rows and columns to compute and return; the surroundings that the filter needs are read too.
        With the "decision" blend the result equals that part of the whole.

    Returns
    -------
    (h, w[, C]) array
        The fused image, or its region, in dtype and layout of one slice.

    Raises
    ------
    InputError, DeviceError, Cancelled
    """
    params = FusionParams(blend=blend, radius=radius, eps=eps, delta=delta)
    where = resolve_device(device)
    slices = FocalStack(stack, channel_axis=channel_axis, value_range=value_range)
    chosen = np.asarray(index)
    if chosen.shape != slices.shape or not np.issubdtype(chosen.dtype, np.integer):
        raise InputError("index", f"{chosen.dtype} of shape {chosen.shape}", f"whole numbers {slices.shape}")
    if chosen.min() < 0 or chosen.max() >= len(slices):
        raise InputError("index", f"slices {chosen.min()} to {chosen.max()}", f"0 to {len(slices) - 1}")
    reporter = Reporter(len(slices), "slices", progress, cancel)
    reporter.check()
    halo = 0 if region is None else 2 * params.radius
    outer, inner = _with_halo(region, slices.shape, halo)
    with torch.inference_mode(), device_errors(_ADVICE):
        part = torch.from_numpy(np.ascontiguousarray(chosen[outer], dtype=np.int64)).to(where)
        fused, _ = blend_slices(slices, part, params, where, False, reporter, outer)
    return fused[inner] if channel_axis is None else _crop_channels(fused, inner, channel_axis)


def _with_halo(
    region: tuple[slice, slice] | None, shape: tuple[int, int], halo: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The region grown by the halo, and where the region lies within it."""
    if region is None:
        whole = (slice(0, shape[0]), slice(0, shape[1]))
        return whole, whole
    outer, inner = [], []
    for part, size in zip(region, shape, strict=True):
        start, stop, stride = part.indices(size)
        if stride != 1 or stop <= start:
            raise InputError("region", repr(region), f"two slices of step 1 within {shape}")
        first = max(0, start - halo)
        outer.append(slice(first, min(size, stop + halo)))
        inner.append(slice(start - first, stop - first))
    return (outer[0], outer[1]), (inner[0], inner[1])


def _crop_channels(fused: NDArray[Any], inner: tuple[slice, slice], channel_axis: int) -> NDArray[Any]:
    moved = np.moveaxis(fused, channel_axis, 0)[:, inner[0], inner[1]]
    return np.ascontiguousarray(np.moveaxis(moved, 0, channel_axis))
