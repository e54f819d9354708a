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
from defocus_backend.filters.fill import fill_from_surroundings
from defocus_backend.fusion.bands import in_bands
from defocus_backend.fusion.by_index import blend_slices
from defocus_backend.fusion.channels import ChannelChoice
from defocus_backend.fusion.coverage import never_in_focus, settle_decision
from defocus_backend.fusion.decision import (
    Detail,
    height_score,
    nearest_slice,
    noise_level,
    slice_score,
    weighed_sigma,
)
from defocus_backend.fusion.height import HeightAccumulator, find_height
from defocus_backend.fusion.positions import z_positions
from defocus_backend.fusion.regions import without_islands
from defocus_backend.fusion.running import LeastSigma, RunningBest, SoftSum, soft_weights
from defocus_backend.fusion.stack import FocalStack, StackLike
from defocus_backend.params import NEVER_ABOVE, FusionParams, SliceMapParams
from defocus_backend.progress import CancelCallback, ProgressCallback, Reporter

_F, _D = FusionParams, SliceMapParams
_NOISE_SLICES = 3
"""Slices from which the noise is estimated."""
_NOISE_PIXELS = 1 << 19
"""Pixels of each of them: the median of so many is settled."""
_FAST_POOLING = 4
"""Least pooling in the fast mode."""
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
        Least blur over the slices, in pixels, found on squares of `pooling` pixels; NaN where no slice was valid.
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
    front: str = _F.front,
    fast: bool = _F.fast,
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
    decision : {"combined", "sigma", "region"}
        What decides between slices: sigma with local detail, see `defocus_backend.fusion.decision`; sigma alone as in
        the paper (eq 14); or detail gathered over regions, of which small ones give way, see
        `defocus_backend.fusion.regions`. A region is taken from one slice, so that the blend "soft" averages none.
    sigma_weight, noise_floor : float
        Of the combined decision, and of the height whatever decides; the first also of the regions.
    blend : {"soft", "decision", "pyramid"}
        Mean of the slices weighted by their scores; weighted sum by the filtered decisions (eq 13); or those
        weights on Laplacian pyramids.
    firmness : float
        Slope of the soft weights.
    front : {"none", "first", "last"}
        The end of the stack that is nearest to the viewer: where the score has two separate peaks of nearly the same
        height, as an edge in front of a sharp background has, the one nearer to that end is taken.
    fast : bool
        Judge sigma on squares of 4 pixels a side at least, and with it what is derived from sigma; details between
        the slices are compared pixel by pixel all the same.
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
        front=front,
        fast=fast,
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
    pooling = max(maps.pooling, _FAST_POOLING) if params.fast else maps.pooling
    where = resolve_device(device)
    slices = FocalStack(stack, channel_axis=channel_axis, value_range=value_range)
    positions = z_positions(z, z_step, len(slices))
    if not never_above > 0:
        raise InputError("never_above", repr(never_above), "more than 0 pixels")
    # Regions are taken whole: no mean of slices that are alike.
    soft = params.blend == "soft" and params.decision != "region"
    reporter = Reporter((1 if soft else 2) * len(slices), "slices", progress, cancel)
    reporter.check()
    estimator = DefocusEstimator(maps, weights=weights, device=where)
    with torch.inference_mode(), device_errors(_ADVICE):
        noise = noise_level(slices.sample(_NOISE_SLICES, _NOISE_PIXELS))
        grid = CellGrid(*slices.shape, pooling)
        best = RunningBest(slices.shape, where, params.front, neighbours=False)
        best_cells = RunningBest(grid.shape, where, params.front)
        least, surface = LeastSigma(grid.shape, where), HeightAccumulator(grid.shape, positions, where)
        blended = SoftSum(params.firmness, slices.channels, slices.shape, where)
        seen = torch.zeros(slices.shape, dtype=torch.bool, device=where)
        form: Image | None = None
        sigmas: list[NDArray[np.float32]] = []
        leads: list[Tensor] = []
        for source in slices:
            image = source.to(where)
            gray = image.gray
            held = None if image.valid is None else cell_mean(image.valid.to(gray), pooling)
            sigma, confidence = _slice_maps(estimator, image, gray, held, pooling, cancel)
            detail, weighed = Detail.of(gray), weighed_sigma(sigma, confidence)
            judged = weighed if params.decision == "combined" else sigma
            score = slice_score(detail, judged, noise, params, pooling=pooling)
            cell_score = height_score(detail, weighed, noise, params, pooling=pooling)
            told = sigma
            if image.valid is None or held is None:
                seen.fill_(True)
            else:
                seen |= image.valid
                score.masked_fill_(~image.valid, torch.nan)
                told = sigma.masked_fill(held == 0, torch.nan)
                cell_score.masked_fill_(held < 1, torch.nan)
            lead = best.update(score)
            least.update(told, confidence)
            surface.update(told, confidence, best_cells.update(cell_score) > 0)
            blended.add(image.pixels, lead)
            if keep_slices:
                sigmas.append(to_map(grid.interpolate(sigma, 0, grid.height), image.valid))
                leads.append(lead)
            form = form or replace(source, pixels=source.pixels[:, :0].clone())
            form = replace(form, bounded=form.bounded and source.bounded)
            # Before the next slice is read, not after.
            del image, source, gray, detail, weighed, judged, score, cell_score, lead, told
            reporter.advance()
        assert form is not None
        together = replace(form, pixels=blended.result(), valid=seen)
        never = never_in_focus(least.sigma, least.confidence, never_above, subsample=pooling)
        relief = find_height(surface, together.gray, never, best_cells, subsample=pooling, seen=seen)
        chosen = best.index.int()
        if params.decision == "combined" and len(slices) > 2:
            # Where a pixel's own evidence is weak, the slice nearest to the height that its surroundings foretell.
            weak = relief.inferred & relief.height.isfinite()
            chosen = torch.where(weak, nearest_slice(relief.height, positions), chosen)
        chosen = settle_decision(chosen, relief.never, len(slices), subsample=pooling)
        if params.decision == "region":
            chosen = without_islands(chosen, len(slices))
        if soft:
            fused = together.restore(together.pixels)
            shares = soft_weights(torch.stack(leads), params.firmness).cpu().numpy() if keep_slices else None
        else:
            fused, shares = blend_slices(slices, chosen, params, where, keep_slices, reporter)
        known = least.sigma.isfinite()
        # What no slice has takes no part in the interpolation beside it.
        filled = fill_from_surroundings(least.sigma.where(known, 0)[None], known)
        cells = torch.cat([filled, least.confidence[None]])
        least_sigma, sure = grid.interpolate(cells, 0, grid.height)
    index = chosen.cpu().numpy()
    return Fusion(
        image=fused,
        index=index,
        sigma=to_map(least_sigma, seen),
        confidence=to_map(sure),
        height=to_map(relief.height),
        height_error=to_map(relief.error),
        inferred=relief.inferred.cpu().numpy(),
        never_in_focus=relief.never.cpu().numpy(),
        sigmas=np.stack(sigmas) if keep_slices else None,
        decisions=index == np.arange(len(slices))[:, None, None] if keep_slices else None,
        weights=shares,
    )


def _slice_maps(
    estimator: DefocusEstimator,
    image: Image,
    gray: Tensor,
    held: Tensor | None,
    pooling: int,
    cancel: CancelCallback | None,
) -> tuple[Tensor, Tensor]:
    """Sigma in pixels of the slice and its confidence, on cells of `pooling` pixels, of which it holds a share each."""
    valid = None if held is None else held > 0
    pooled = replace(image, pixels=cell_mean(gray[None], pooling), valid=valid)
    found = estimator.estimate(pooled, cancel=cancel)
    return (pooling * found.sigma).clamp_(max=LEVELS - 1), found.confidence


_OWNED = {"radius": "refine_radius", "eps": "refine_eps"}


def fusion_option_names() -> dict[str, str]:
    """How `fuse` names each field of `SliceMapParams`, for interfaces that offer both groups."""
    return {f.name: _OWNED.get(f.name, f.name) for f in fields(SliceMapParams)}
