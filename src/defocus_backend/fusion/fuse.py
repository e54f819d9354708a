"""The face of fusion: what a caller may pass, and which loop it goes to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from numpy.typing import ArrayLike

from defocus_backend.arguments import names_bad_arguments
from defocus_backend.fusion.bands import fuse_in_bands
from defocus_backend.fusion.brightness import MatchExposure
from defocus_backend.fusion.nd import fuse_lazily, fuse_plan, fuse_whole
from defocus_backend.fusion.result import Fusion
from defocus_backend.fusion.settings import FusionSettings
from defocus_backend.params import BlendParams, DecisionParams, FusionParams, SliceMapParams
from defocus_backend.progress import CancelCallback, ProgressCallback
from defocus_backend.stacks import ChannelChoice, StackLike, StackPlan, as_source

_F = FusionParams


@names_bad_arguments
def fuse(
    stack: StackLike,
    *,
    channel_axis: int | None = None,
    decision: str = _F.decision,
    blend: str = _F.blend,
    fast: bool = _F.fast,
    z: ArrayLike | None = None,
    z_step: float | None = None,
    value_range: tuple[float, float] | None = None,
    match_exposure: MatchExposure = _F.match_exposure,
    keep_slices: bool = _F.keep_slices,
    map_settings: SliceMapParams | None = None,
    decision_settings: DecisionParams | None = None,
    blend_settings: BlendParams | None = None,
    device: str | torch.device = _F.device,
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
) -> Fusion:
    """Fuse a focal stack into one image that is sharp wherever any slice is.

    Parameters
    ----------
    stack : (N, H, W[, C]) array_like, list, dask array, re-iterable or callable
        The slices, see `defocus_backend.stacks.as_source`; read one slice at a time, once with the blend "octaves",
        else twice. An image with times, positions or channels is for `fuse_nd`.
    channel_axis : int or None
        Channel axis of one slice; not needed for a stack that knows it, as `open_stack` and `align_stack` return it.
    decision : {"combined", "sigma", "region"}
        What decides between slices: sigma with local detail, see `defocus_backend.fusion.decision`; sigma alone as in
        the paper (eq 14); or detail gathered over regions, of which small ones give way, see
        `defocus_backend.fusion.regions`. With the
        blend "octaves" the pixels of a region are those of one slice, as with "pixels".
    blend : {"octaves", "decision", "pixels"}
        Mean of the slices weighted by their scores, each octave of detail with weights of its own and the result
        within the range of the slices, see `defocus_backend.fusion.octaves`; weighted sum by the filtered decisions
        (eq 13); or every pixel from the slice that was chosen for it.
    fast : bool
        Judge sigma on squares of 4 pixels a side at least, and with it what is derived from sigma; details between
        the slices are compared pixel by pixel all the same.
    z : (N,) array_like or None
        Position of each slice, rising or falling, in any unit; the unit of the height.
    z_step : float or None
        Distance of neighbouring slices instead; with neither, the height is counted in slices from 0.
    value_range : (float, float) or None
        Values that count as 0 and 1; by default one range for the whole stack, found as in `defocus_map`.
    match_exposure : {"auto", True, False}
        Divide every slice by its brightness against the others, see `Fusion.gains`; reads the stack once more. "auto"
        does so for photographs, which are slices of 8 bits or in colour. It does not for other slices and for images
        with axes, where brightness may be what was measured, nor for the result of `align_stack`, which matches
        exposure itself. With axes, every channel has gains of its own.
    keep_slices : bool
        Also return the maps of every slice, which takes memory in proportion to N.
    map_settings : SliceMapParams or None
        How the defocus map of each slice is made: its method, weights and refinement.
    decision_settings : DecisionParams or None
        How slices are compared: weight of sigma, noise, the end of the stack in front, when nothing is in focus.
    blend_settings : BlendParams or None
        How firmly the best slice is preferred, and the guided filter of the decision maps.
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

    Examples
    --------
    >>> import numpy as np
    >>> import defocus_backend as db
    >>> stack = np.random.default_rng(0).random((3, 40, 50), dtype=np.float32)
    >>> db.fuse(stack, blend="pixels").image.shape
    (40, 50)
    >>> firm = db.fuse(stack, blend_settings=db.BlendParams(firmness=20))
    """
    settings = FusionSettings(
        decision=decision,
        blend=blend,
        fast=fast,
        z=z,
        z_step=z_step,
        value_range=value_range,
        match_exposure=match_exposure,
        keep_slices=keep_slices,
        map_settings=map_settings or SliceMapParams(),
        decision_settings=decision_settings or DecisionParams(),
        blend_settings=blend_settings or BlendParams(),
        device=device,
    )
    slices = as_source(stack, channel_axis=channel_axis, value_range=value_range)
    return fuse_in_bands(slices, settings, progress=progress, cancel=cancel)


@names_bad_arguments
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
    they stay registered. Of optical sections each channel is fused by its own detail instead, since it shows
    other depths, see `Fusion.sections`. One plane is read at a time.

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
    settings = FusionSettings.checked(options)
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
    return fuse_plan(plan, FusionSettings.checked(options), progress=progress, cancel=cancel)
