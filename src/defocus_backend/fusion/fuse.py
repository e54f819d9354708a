"""The face of fusion: what a caller may pass, and which loop it goes to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import ArrayLike

from defocus_backend.errors import InputError
from defocus_backend.fusion.bands import fuse_in_bands
from defocus_backend.fusion.brightness import MatchExposure
from defocus_backend.fusion.nd import fuse_lazily, fuse_plan, fuse_whole
from defocus_backend.fusion.result import Fusion
from defocus_backend.fusion.settings import FusionSettings
from defocus_backend.params import NEVER_ABOVE, FusionParams, SliceMapParams
from defocus_backend.progress import CancelCallback, ProgressCallback
from defocus_backend.stacks import ChannelChoice, StackLike, StackPlan, as_source

_F, _D = FusionParams, SliceMapParams


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
    precision: str = _D.precision,
    value_range: tuple[float, float] | None = None,
    match_exposure: MatchExposure = "auto",
    keep_slices: bool = False,
    device: str | torch.device = "auto",
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
) -> Fusion:
    """Fuse a focal stack into one image that is sharp wherever any slice is.

    Parameters
    ----------
    stack : (N, H, W[, C]) array_like, list, dask array, re-iterable or callable
        The slices, see `defocus_backend.stacks.as_source`; read one slice at a time, once with the blend "octaves",
        else twice.
    channel_axis : int or None
        Channel axis of one slice; not needed for a stack that knows it, as `open_stack` and `align_stack` return it.
    axes : str or None
        A letter for each axis of an image with times, positions or channels, such as ``"TCZYX"``, in place of
        `channel_axis`: every stack in it is fused, see `fuse_nd`.
    focus_channels : int, str, sequence, mapping or None
        With axes, the channels on which focus is judged, see `fuse_nd`.
    decision : {"combined", "sigma", "region"}
        What decides between slices: sigma with local detail, see `defocus_backend.fusion.decision`; sigma alone as in
        the paper (eq 14); or detail gathered over regions, of which small ones give way, see
        `defocus_backend.fusion.regions`. With the
        blend "octaves" the pixels of a region are those of one slice, as with "pixels".
    sigma_weight, noise_floor : float
        Of the combined decision, and of the height whatever decides; the first also of the regions.
    blend : {"octaves", "decision", "pixels"}
        Mean of the slices weighted by their scores, each octave of detail with weights of its own and the result
        within the range of the slices, see `defocus_backend.fusion.octaves`; weighted sum by the filtered decisions
        (eq 13); or every pixel from the slice that was chosen for it.
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
    method, weights, step, refine, iterations, subsample, confidence_weighted, precision
        Defocus map of each slice, see `defocus_map`.
    pooling : {1, 2, 4}
        Side of the squares of pixels whose mean is judged; sigma is in pixels of the slice all the same.
    refine_radius, refine_eps : int, float
        `radius` and `eps` of `defocus_map`.
    value_range : (float, float) or None
        Values that count as 0 and 1; by default one range for the whole stack, found as in `defocus_map`.
    match_exposure : {"auto", True, False}
        Divide every slice by its brightness against the others, see `Fusion.gains`; reads the stack once more. "auto"
        does so for photographs, which are slices of 8 bits or in colour. It does not for other slices and for images
        with axes, where brightness may be what was measured, nor for the result of `align_stack`, which matches
        exposure itself. With axes, every channel has gains of its own.
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
    settings = FusionSettings(
        fusion=FusionParams(
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
        ),
        maps=SliceMapParams(
            method=method,
            step=step,
            pooling=pooling,
            refine=refine,
            radius=refine_radius,
            eps=refine_eps,
            iterations=iterations,
            subsample=subsample,
            confidence_weighted=confidence_weighted,
            precision=precision,
        ),
        weights=weights,
        z=z,
        z_step=z_step,
        never_above=never_above,
        value_range=value_range,
        match_exposure=match_exposure,
        keep_slices=keep_slices,
        device=device,
    )
    if axes is not None:
        if channel_axis is not None:
            raise InputError(
                "channel_axis", repr(channel_axis), "None with axes, which say which one holds the channels"
            )
        plan = StackPlan(stack, axes, focus_channels=focus_channels)
        return fuse_whole(plan, settings, progress=progress, cancel=cancel)
    if focus_channels is not None:
        raise InputError("focus_channels", repr(focus_channels), "it only with axes that name the channels")
    slices = as_source(stack, channel_axis=channel_axis, value_range=value_range)
    return fuse_in_bands(slices, settings, progress=progress, cancel=cancel)


def fuse_nd(
    stack: ArrayLike | Any,
    *,
    axes: str | None = None,
    focus_channels: ChannelChoice | None = None,
    channel_names: Sequence[str | None] | None = None,
    lazy: bool = False,
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
    **options: Any,
) -> Fusion:
    """Fuse every focal stack of an image with time points, positions and channels.

    Focus is judged on one channel, or on a weighted set, and the same choice is applied to all channels, so that
    they stay registered. One plane is read at a time.

    Parameters
    ----------
    stack, axes, focus_channels, channel_names
        The image, what its axes are and which channels decide, see `StackPlan`.
    lazy : bool
        Return dask arrays, one chunk a stack and field, that are computed when they are asked for. A dask array
        as input is then computed plane by plane within the task, so it must not live on a cluster.
    progress, cancel : callable or None
        See `defocus_backend.progress`; not used if `lazy`.
    **options
        Those of `fuse`, except `channel_axis`. `value_range` is that of each deciding channel.

    Returns
    -------
    Fusion
        As of `fuse`, with the axes P and T before those of one plane: the image has the given axes without Z (Y, X
        and S last), in the input's dtype; its maps have P, T, Y, X. The height is in the unit of the image's z axis.

    Raises
    ------
    InputError, WeightsError, DeviceError, Cancelled

    Examples
    --------
    >>> import defocus_backend as db
    >>> image = db.open_nd("cells.ome.tif")  # doctest: +SKIP
    >>> fused = db.fuse_nd(image, focus_channels="DAPI")  # doctest: +SKIP
    >>> db.write_nd("fused.ome.tif", fused.image, axes="TCYX", like=image)  # doctest: +SKIP
    """
    plan = StackPlan(stack, axes, focus_channels=focus_channels, channel_names=channel_names)
    settings = FusionSettings.of(options)
    return fuse_lazily(plan, settings) if lazy else fuse_whole(plan, settings, progress=progress, cancel=cancel)


def fuse_each(
    plan: StackPlan,
    *,
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
    **options: Any,
) -> Iterator[tuple[tuple[int, ...], Fusion]]:
    """Fuse one focal stack of a plan after the other, see `defocus_backend.fusion.nd.fuse_plan`.

    `options` are those of `fuse`, except `channel_axis`.
    """
    return fuse_plan(plan, FusionSettings.of(options), progress=progress, cancel=cancel)
