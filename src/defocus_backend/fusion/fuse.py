"""Public functions of fusion."""

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
    """Fuse a focal stack into one image that is sharp wherever at least one slice is sharp.

    Parameters
    ----------
    stack : (N, H, W[, C]) array_like, list, dask array, re-iterable or callable
        The slices, see `defocus_backend.stacks.as_source`. They are read one at a time, once with the blend "octaves"
        and twice with the others. For an image with times, positions or channels use `fuse_nd`.
    channel_axis : int or None
        Channel axis of one slice; not needed for a stack from `open_stack` or `align_stack`.
    decision : {"combined", "sigma", "region"}
        How the sharpest slice is chosen: by sigma and local detail, see `defocus_backend.fusion.decision`; by sigma
        alone as in the paper (eq 14); or by detail averaged over regions, with small regions removed, see
        `defocus_backend.fusion.regions`. With this decision, the blend "octaves" copies the pixels of a region from one
        slice, as "pixels" does.
    blend : {"octaves", "decision", "pixels"}
        How slices are mixed: as a mean weighted by the scores, with separate weights for each octave of detail and the
        result clipped to the range of the slices, see `defocus_backend.fusion.octaves`; as a weighted sum with filtered
        decision maps (eq 13); or with every pixel from the chosen slice.
    z : (N,) array_like or None
        Position of each slice, increasing or decreasing, in any unit. The height has the same unit.
    z_step : float or None
        Distance between neighbouring slices, instead of `z`. With neither, the height is counted in slices from 0.
    value_range : (float, float) or None
        Values that count as 0 and 1. By default one range for the whole stack, determined as in `defocus_map`.
    match_exposure : {"auto", True, False}
        Divide every slice by its brightness relative to the others, see `Fusion.gains`. This reads the stack once more.
        "auto" does so for photographs, which are slices of 8 bits or in colour. It does not for other slices and for
        images with axes, whose brightness may be a measurement, nor for the result of `align_stack`, which matches
        exposure itself. In an image with axes, every channel has separate gains.
    keep_slices : bool
        Also return the maps of every slice. Memory grows with N.
    map_settings : SliceMapParams or None
        Options of the defocus map of each slice: method, weights and refinement.
    decision_settings : DecisionParams or None
        Options for comparing slices: weight of sigma, noise floor, front end of the stack, and the limit above which
        nothing is in focus.
    blend_settings : BlendParams or None
        Options for blending: how strongly the best slice is preferred, and the guided filter of the decision maps.
    device : str or torch.device
        Compute device.
    progress, cancel : callable or None
        Called once per slice and pass, see `defocus_backend.progress`.

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

    Focus is estimated in one channel, or in a weighted set of channels, and the decision is applied to all channels, so
    that they stay registered. In optical sections, each channel shows different depths and is fused by its own detail,
    see `Fusion.sections`. One plane is read at a time.

    Parameters
    ----------
    stack, axes, focus_channels, channel_names
        The image, its axes, and the channels in which focus is estimated, see `StackPlan`.
    lazy : bool
        Return dask arrays, with one chunk per stack and field, that are computed on demand. A dask array as input is
        then computed plane by plane within the task, so it must not be on a cluster.
    progress, cancel : callable or None
        See `defocus_backend.progress`; not used if `lazy`.
    **options
        Options of `fuse`, except `channel_axis`. `value_range` applies to each channel in which focus is estimated.

    Returns
    -------
    Fusion
        As from `fuse`, with more axes: the image has the given axes without Z (Y, X and S last), in the dtype of the
        input; the maps have P, T, Y, X. The height is in the unit of the image's z axis.

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
    """Fuse the focal stacks of a plan one by one, see `defocus_backend.fusion.nd.fuse_plan`.

    `options` are those of `fuse`, except `channel_axis`.
    """
    return fuse_plan(plan, FusionSettings.checked(options), progress=progress, cancel=cancel)
