"""Multi-focus fusion slice by slice, so that memory does not grow with their number.

Pass one scores every slice and, with the soft blend, sums them up at once; the blends that need the finished decision
(eqs 13 to 16 of Galetto and Deng, 2021) read the slices a second time.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from defocus_backend.arrays import Image, to_map
from defocus_backend.classifier.networks import LEVELS
from defocus_backend.defocus import DefocusEstimator
from defocus_backend.device import device_errors, resolve_device
from defocus_backend.errors import InputError
from defocus_backend.filters import CellGrid, cell_mean
from defocus_backend.fusion.bands import in_bands
from defocus_backend.fusion.blend import new_blend
from defocus_backend.fusion.channels import ChannelChoice
from defocus_backend.fusion.coverage import never_in_focus, settle_decision
from defocus_backend.fusion.decision import (
    RunningBest,
    SoftSum,
    decision_weight,
    nearest_slice,
    noise_level,
    slice_score,
    soft_weights,
)
from defocus_backend.fusion.height import HeightAccumulator, find_height, peak_height, z_positions
from defocus_backend.fusion.stack import FocalStack, StackLike
from defocus_backend.params import NEVER_ABOVE, FusionParams, SliceMapParams
from defocus_backend.progress import CancelCallback, ProgressCallback, Reporter

_F, _D = FusionParams, SliceMapParams
_INVALID_WEIGHT = 1e-12
"""Weight of a NaN pixel: nothing beside any valid one, yet never a division by zero."""
_NOISE_SLICES = 3
"""Slices from which the noise is estimated."""
_ADVICE = "use device='cpu', smaller slices or keep_slices=False"


@dataclass(frozen=True)
class Fusion:
    """Result of `fuse`.

    Attributes
    ----------
    image : (H, W[, C]) array
        All-in-focus image, dtype and layout of one slice.
    index : (H, W) int32 array
        Number of the slice that is in focus, from 0.
    sigma : (H, W) float32 array
        Least blur over the slices, in pixels; NaN where no slice was valid.
    confidence : (H, W) float32 array
        Confidence of that blur, 0 to 1.
    height : (H, W) float32 array
        Place of best focus along z, between the slices, in the unit of `z`; NaN where it is unknown.
    height_error : (H, W) float32 array
        Standard error of the height in the same unit; NaN where it is unknown.
    inferred : (H, W) bool array
        True where the height was taken from the surroundings, since the pixel itself tells too little.
    never_in_focus : (H, W) bool array
        True where no slice is sharp.
    sigmas, decisions, weights : (N, H, W) arrays or None
        Defocus map (float32, px), decision map (bool, eq 14) and normalised weight (float32, eq 16) of
        every slice; None unless `keep_slices` was set.
    """

    image: NDArray[Any]
    index: NDArray[np.int32]
    sigma: NDArray[np.float32]
    confidence: NDArray[np.float32]
    height: NDArray[np.float32]
    height_error: NDArray[np.float32]
    inferred: NDArray[np.bool_]
    never_in_focus: NDArray[np.bool_]
    sigmas: NDArray[np.float32] | None = None
    decisions: NDArray[np.bool_] | None = None
    weights: NDArray[np.float32] | None = None


@in_bands
def fuse(
    stack: StackLike,
    *,
    channel_axis: int | None = None,
    axes: str | None = None,
    focus_channels: ChannelChoice | None = None,
    decision: str = _F.decision,
    sigma_weight: float = _F.sigma_weight,
    noise_floor: float = _F.noise_floor,
    blend: str = _F.blend,
    firmness: float = _F.firmness,
    radius: int = _F.radius,
    eps: float = _F.eps,
    delta: float = _F.delta,
    z: ArrayLike | None = None,
    z_step: float | None = None,
    never_above: float = NEVER_ABOVE,
    method: str = _D.method,
    weights: str | Path | None = None,
    step: int = _D.step,
    pooling: int = _D.pooling,
    refine: bool = _D.refine,
    refine_radius: int = _D.radius,
    refine_eps: float = _D.eps,
    iterations: int = _D.iterations,
    subsample: int = _D.subsample,
    confidence_weighted: bool = _D.confidence_weighted,
    value_range: tuple[float, float] | None = None,
    keep_slices: bool = False,
    device: str | torch.device = "auto",
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
) -> Fusion:
    """Fuse a focal stack into one image that is sharp wherever any slice is.

    Parameters
    ----------
    stack : (N, H, W[, C]) array_like, list, dask array, re-iterable or callable
        The slices, see `defocus_backend.fusion.stack.FocalStack`; read one slice at a time, twice
        unless the blend is "soft".
    channel_axis : int or None
        Channel axis of one slice.
    axes : str or None
        A letter for each axis of an image with times, positions or channels, such as ``"TCZYX"``, in place of
        `channel_axis`: every stack in it is fused, see `fuse_nd`.
    focus_channels : int, str, sequence, mapping or None
        With axes, the channels on which focus is judged, see `fuse_nd`.
    decision : {"combined", "sigma"}
        What decides between slices: sigma with local detail, see `defocus_backend.fusion.decision`, or sigma alone as
        in the paper (eq 14).
    sigma_weight, noise_floor : float
        Of the combined decision.
    blend : {"soft", "decision", "pyramid"}
        Mean of the slices weighted by their scores; weighted sum by the filtered decisions (eq 13); or those
        weights on Laplacian pyramids.
    firmness : float
        Slope of the soft weights.
    radius, eps, delta : int, float, float
        Guided filter of the decision maps (eq 15; pixels, unit range) and floor of the weights (eq 16).
    z : (N,) array_like or None
        Position of each slice, rising or falling, in any unit; the unit of the height.
    z_step : float or None
        Distance of neighbouring slices instead; with neither, the height is counted in slices from 0.
    never_above : float
        Least sigma in px above which a pixel was never in focus.
    method, weights, step, refine, iterations, subsample, confidence_weighted
        Defocus map of each slice, see `defocus_map`.
    pooling : {1, 2, 4}
        Side of the squares of pixels whose mean is judged; sigma is in pixels of the slice all the same.
    refine_radius, refine_eps : int, float
        `radius` and `eps` of `defocus_map`.
    value_range : (float, float) or None
        Values that count as 0 and 1; by default one range for the whole stack, found as in `defocus_map`.
    keep_slices : bool
        Also return the maps of every slice, which takes memory in proportion to N.
    device : str or torch.device
        Where to compute.
    progress, cancel : callable or None
        Called once a slice and pass, see `defocus_backend.progress`.

    Returns
    -------
    Fusion

    Raises
    ------
    InputError, WeightsError, DeviceError, Cancelled
    """
    if axes is not None or focus_channels is not None:  # with axes, `in_bands` has gone to `fuse_nd`
        raise InputError("focus_channels", repr(focus_channels), "it only with axes that name the channels")
    params = FusionParams(
        decision=decision,
        sigma_weight=sigma_weight,
        noise_floor=noise_floor,
        blend=blend,
        firmness=firmness,
        radius=radius,
        eps=eps,
        delta=delta,
    )
    maps = SliceMapParams(
        method=method,
        step=step,
        pooling=pooling,
        refine=refine,
        radius=refine_radius,
        eps=refine_eps,
        iterations=iterations,
        subsample=subsample,
        confidence_weighted=confidence_weighted,
    )
    where = resolve_device(device)
    slices = FocalStack(stack, channel_axis=channel_axis, value_range=value_range)
    positions = z_positions(z, z_step, len(slices))
    if not never_above > 0:
        raise InputError("never_above", repr(never_above), "more than 0 pixels")
    soft = params.blend == "soft"
    reporter = Reporter((1 if soft else 2) * len(slices), "slices", progress, cancel)
    reporter.check()
    estimator = DefocusEstimator(maps, weights=weights, device=where)
    with torch.inference_mode(), device_errors(_ADVICE):
        noise = noise_level(slices.sample(_NOISE_SLICES))
        best = RunningBest(slices.shape, where)
        surface = HeightAccumulator(slices.shape, positions, where)
        blended = SoftSum(params.firmness)
        seen = torch.zeros(slices.shape, dtype=torch.bool, device=where)
        form: Image | None = None
        sigmas: list[NDArray[np.float32]] = []
        scores: list[Tensor] = []
        for source in slices:
            image = source.to(where)
            sigma, confidence = _slice_maps(estimator, image, maps.pooling, cancel)
            score = slice_score(image.gray, sigma, noise, params)
            better = best.update(score, sigma, confidence)
            surface.update(sigma, confidence, better)
            blended.add(image.pixels, score)
            seen |= ~score.isnan()
            if keep_slices:
                sigmas.append(to_map(sigma))
                scores.append(score)
            form = form or replace(source, pixels=source.pixels[:, :0])
            reporter.advance()
        assert form is not None
        together = replace(form, pixels=blended.result(), valid=seen)
        never = never_in_focus(best.sigma, best.confidence, never_above)
        by_score = peak_height(positions, best.index, best.below, best.best, best.above)
        relief = find_height(surface, together.gray, never, by_score)
        chosen = best.index
        if params.decision == "combined" and len(slices) > 2:
            # Where a pixel's own evidence is weak, the slice nearest to the height that its surroundings foretell.
            weak = relief.inferred & relief.height.isfinite()
            chosen = torch.where(weak, nearest_slice(relief.height, positions), chosen)
        chosen = settle_decision(chosen, relief.never, len(slices))
        if soft:
            fused = together.restore(together.pixels)
            shares = soft_weights(torch.stack(scores), params.firmness).cpu().numpy() if keep_slices else None
        else:
            fused, shares = _blend_slices(slices, chosen, params, where, keep_slices, reporter)
    index = chosen.cpu().numpy()
    return Fusion(
        image=fused,
        index=index,
        sigma=to_map(best.sigma, best.sigma.isfinite()),
        confidence=to_map(best.confidence),
        height=to_map(relief.height),
        height_error=to_map(relief.error),
        inferred=relief.inferred.cpu().numpy(),
        never_in_focus=relief.never.cpu().numpy(),
        sigmas=np.stack(sigmas) if keep_slices else None,
        decisions=index == np.arange(len(slices))[:, None, None] if keep_slices else None,
        weights=shares,
    )


def _slice_maps(
    estimator: DefocusEstimator, image: Image, pooling: int, cancel: CancelCallback | None
) -> tuple[Tensor, Tensor]:
    """Sigma in pixels of the slice, NaN where it is invalid, and its confidence; both (H, W)."""
    grid = CellGrid(*image.shape, pooling)
    pooled = image if pooling == 1 else replace(image, pixels=cell_mean(image.pixels, pooling), valid=None)
    found = estimator.estimate(pooled, cancel=cancel)
    sigma, confidence = found.sigma, found.confidence
    if pooling > 1:
        sigma, confidence = grid.interpolate(torch.stack([sigma, confidence]), 0, grid.height)
        sigma = (pooling * sigma).clamp_(max=LEVELS - 1)
    if image.valid is None:
        return sigma, confidence
    return sigma.masked_fill(~image.valid, torch.nan), confidence * image.valid


def _blend_slices(
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
        fused, _ = _blend_slices(slices, part, params, where, False, reporter, outer)
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


_OWNED = {"radius": "refine_radius", "eps": "refine_eps"}


def fusion_option_names() -> dict[str, str]:
    """How `fuse` names each field of `SliceMapParams`, for interfaces that offer both groups."""
    return {f.name: _OWNED.get(f.name, f.name) for f in fields(SliceMapParams)}
