"""Fusion of multi-dimensional images, stack by stack: the decision from some channels is applied to all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from defocus_backend.errors import InputError
from defocus_backend.fusion.bands import fuse_in_bands
from defocus_backend.fusion.brightness import match_brightness
from defocus_backend.fusion.by_index import fuse_by_index
from defocus_backend.fusion.result import MAP_TYPES, Fusion
from defocus_backend.fusion.settings import FusionSettings
from defocus_backend.progress import CancelCallback, ProgressCallback, Share
from defocus_backend.stacks import StackPlan


def fuse_plan(
    plan: StackPlan,
    settings: FusionSettings,
    *,
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
) -> Iterator[tuple[tuple[int, ...], Fusion]]:
    """Fuse the focal stacks of a plan one by one, so that each result can be written at once.

    Parameters
    ----------
    plan : StackPlan
    settings : FusionSettings
        If they have no z step, the z step of the image is used.
    progress, cancel : callable or None
        See `defocus_backend.progress`.

    Yields
    ------
    index : tuple of int
        Index of the stack along the axes of `plan.loop`.
    fusion : Fusion
        Result for this stack; the image is (C, H, W[, S]), without C if there is no such axis.
    """
    for done, index in enumerate(plan):
        yield index, fuse_one(plan, index, settings, _share(progress, done, len(plan), plan), cancel)


def fuse_one(
    plan: StackPlan,
    index: tuple[int, ...],
    settings: FusionSettings,
    progress: Callable[[int], ProgressCallback | None] = lambda _: None,
    cancel: CancelCallback | None = None,
    *,
    alone: bool = False,
) -> Fusion:
    """Fuse one stack of a plan; see `StackPlan.slices` for `alone`."""
    # In an image with axes, brightness may be a measurement, so it is only matched on request.
    settings = replace(settings.with_z_step(plan.z_step), match_exposure=settings.match_exposure is True)
    judged = plan.judged(index, value_range=settings.value_range, alone=alone)
    found = fuse_in_bands(judged, settings, progress=progress(0), cancel=cancel)
    if "C" not in plan.axes:
        return found
    images = dict.fromkeys(range(plan.channels), found.image)
    for step, channel in enumerate(_followers(plan), start=1):
        if found.sections:
            # Another channel shows structures in other sections, so it is fused by its own detail.
            images[channel] = fuse_in_bands(
                plan.slices(index, channel, alone=alone), settings, progress=progress(step), cancel=cancel
            ).image
            continue
        slices, _ = match_brightness(plan.slices(index, channel, alone=alone), settings.match_exposure, cancel)
        images[channel] = fuse_by_index(
            slices,
            found.index,
            blend=settings.known_blend,
            blend_settings=settings.blend_settings,
            device=settings.device,
            progress=progress(step),
            cancel=cancel,
        )
    return replace(found, image=np.stack(list(images.values())))


def fuse_whole(
    plan: StackPlan,
    settings: FusionSettings,
    *,
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
) -> Fusion:
    """Fuse all stacks of a plan into one `Fusion`; its arrays have the axes of the plan's results."""
    found = [one for _, one in fuse_plan(plan, settings, progress=progress, cancel=cancel)]
    lead = plan.result_shape(plan.loop)
    together = Fusion.stacked(found, lead)
    if "C" not in plan.axes:
        return together
    return replace(together, image=np.ascontiguousarray(np.moveaxis(together.image, len(lead), _channel_place(plan))))


def _followers(plan: StackPlan) -> list[int]:
    """Channels that are fused by a decision that is not based on them alone."""
    return [c for c in range(plan.channels) if list(plan.focus) != [c]] if "C" in plan.axes else []


def _share(
    progress: ProgressCallback | None, stack: int, stacks: int, plan: StackPlan
) -> Callable[[int], ProgressCallback | None]:
    """Progress callbacks for the steps of a stack (the decision, then each channel), counted in the whole job."""
    steps, count = 1 + len(_followers(plan)), plan.sizes["Z"]

    def of_step(step: int) -> ProgressCallback | None:
        if progress is None:
            return None
        before = (stack * steps + step) * count

        def counted(done: int, total: int, _: str) -> None:
            progress(before + done * count // max(total, 1), stacks * steps * count, "slices")

        return Share(counted, None if step else getattr(progress, "preview", None))

    return of_step


def _channel_place(plan: StackPlan) -> int:
    return plan.result_axes.index("C")


def fuse_lazily(plan: StackPlan, settings: FusionSettings) -> Fusion:
    """Result of `fuse_whole` as dask arrays."""
    try:
        import dask.array as da
        from dask.delayed import delayed
    except ImportError as error:
        raise InputError("lazy", "True without dask", 'dask; pip install "napari-defocus[all]"') from error
    shape = plan.result_shape(("C" if "C" in plan.axes else "") + plan.result_axes[plan.result_axes.index("Y") :])
    flat = plan.result_shape("YX")
    lead = plan.result_shape(plan.loop)
    parts: dict[str, list[Any]] = {}
    for index in plan:
        one = delayed(fuse_one, pure=False)(plan, index, settings, alone=True)
        parts.setdefault("image", []).append(da.from_delayed(one.image, shape, plan.dtype))
        for name, dtype in MAP_TYPES.items():
            parts.setdefault(name, []).append(da.from_delayed(getattr(one, name), flat, dtype))
    arrays = {name: da.stack(some).reshape(*lead, *some[0].shape) for name, some in parts.items()}
    if "C" in plan.axes:
        arrays["image"] = da.moveaxis(arrays["image"], len(lead), _channel_place(plan))
    return Fusion(**arrays)
