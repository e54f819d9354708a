"""One run of the fusion widget: the calls into the library and the layers that come of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from defocus_backend.progress import CancelCallback, ProgressCallback
from napari_defocus._layers import Layout, Result
from napari_defocus._stacks import StackPlan, Where
from napari_defocus._widgets._plot import SIGMA_MAX

BY_INDEX = ("blend", "radius", "eps", "delta", "device")
"""Arguments of `fuse` that `fuse_by_index` takes too."""

_MAPS = ("index", "sigma", "confidence", "height", "height_error", "never_in_focus")

Ranges = dict[tuple[tuple[int, ...], int], tuple[float, float]]
"""Value range of every stack and channel, kept so that a painted region is fused on the same scale."""


@dataclass
class Fused:
    """What a run returns: arrays laid out for their layers.

    Slice numbers take as few bytes as hold them: napari shows labels of one or two bytes as they are and
    translates wider ones beforehand, which takes half a second for five megapixels. `never_above` is the bound in px
    that the run had for `never_in_focus`.
    """

    image: NDArray[Any]
    index: NDArray[Any]
    sigma: NDArray[np.float32]
    confidence: NDArray[np.float32]
    height: NDArray[np.float32]
    height_error: NDArray[np.float32]
    never_in_focus: NDArray[np.uint8]
    never_above: float
    weights: NDArray[np.float32] | None = None
    sigmas: NDArray[np.float32] | None = None
    ranges: Ranges = field(default_factory=dict)


def key(frame: Where, channel: int) -> tuple[tuple[int, ...], int]:
    """Key of `Ranges`."""
    return tuple(frame[axis] for axis in sorted(frame)), channel


def fuse_plan(
    plan: StackPlan,
    arguments: Mapping[str, Any],
    keep_slices: bool,
    never_above: float,
    progress: ProgressCallback,
    cancel: CancelCallback,
) -> Fused:
    """Fuse every stack of a plan: focus is judged on one channel, all channels follow the decision."""
    import defocus_backend as db
    from defocus_backend.stacks import as_source

    options = {**arguments, "keep_slices": keep_slices}
    options.pop("value_range")
    by_index = {name: value for name, value in options.items() if name in BY_INDEX}
    frames = list(plan.frames())
    rgb = (plan.source.data.shape[-1],) if plan.source.rgb else ()
    images, maps = plan.layout(channels=True), plan.layout()
    deep = plan.layout(slices=True)
    count = len(plan)
    total = len(frames) * plan.channels * count
    out: Fused | None = None
    done = 0

    def report(now: int, whole: int, what: str) -> None:
        # The library counts once a pass and band: each of its calls has the part of the bar that its slices are.
        progress(done + round(now / whole * count), total, what)

    for frame in frames:
        for channel in sorted(range(plan.channels), key=lambda c: c != plan.judge):
            slices = plan.slices(frame, channel)
            found = arguments["value_range"] or as_source(slices, channel_axis=plan.source.channel_axis).value_range
            common: dict[str, Any] = {
                "channel_axis": plan.source.channel_axis,
                "value_range": found,
                "progress": report,
                "cancel": cancel,
            }
            at = plan.at(frame, channel)
            if channel == plan.judge:
                fusion = db.fuse(slices, z=plan.z(), never_above=never_above, **options, **common)
                if out is None:
                    out = _empty(images, maps, deep, rgb, fusion, count, never_above)
                for name in _MAPS:
                    getattr(out, name)[maps.at(at)] = getattr(fusion, name)
                if keep_slices:
                    _keep_slices(out, plan, deep, frame, fusion)
                fused = fusion.image
            else:
                assert out is not None
                fused = db.fuse_by_index(slices, out.index[maps.at(at)], **by_index, **common)
            assert out is not None
            done += count
            out.image[images.at(at)] = fused
            out.ranges[key(frame, channel)] = (float(found[0]), float(found[1]))
    assert out is not None
    return out


def _empty(
    images: Layout, maps: Layout, deep: Layout, rgb: tuple[int, ...], fusion: Any, count: int, never_above: float
) -> Fused:
    return Fused(
        image=np.empty((*images.shape, *rgb), fusion.image.dtype),
        index=np.empty(maps.shape, np.min_scalar_type(count - 1)),
        sigma=np.empty(maps.shape, np.float32),
        confidence=np.empty(maps.shape, np.float32),
        height=np.empty(maps.shape, np.float32),
        height_error=np.empty(maps.shape, np.float32),
        never_in_focus=np.empty(maps.shape, np.uint8),
        never_above=never_above,
        weights=None if fusion.weights is None else np.empty(deep.shape, np.float32),
        sigmas=None if fusion.sigmas is None else np.empty(deep.shape, np.float32),
    )


def never_again(fused: Fused, above: float) -> NDArray[np.uint8]:
    """Mask of what was never in focus, by another bound, from the maps of a run.

    At the run's own bound it is the run's mask, which a lower bound only adds to and a higher one only takes from. What
    the run left out at its bound, because the object itself is soft there, stays out.
    """
    if above == fused.never_above:
        return fused.never_in_focus.copy()
    import torch

    from defocus_backend.fusion.coverage import never_in_focus

    mask = np.empty(fused.sigma.shape, np.uint8)
    for where in np.ndindex(fused.sigma.shape[:-2]):
        sigma, confidence = (torch.from_numpy(values[where]) for values in (fused.sigma, fused.confidence))
        blurred, own = never_in_focus(sigma, confidence, above).numpy(), fused.never_in_focus[where] > 0
        if above > fused.never_above:
            mask[where] = own & blurred
        else:
            soft = never_in_focus(sigma, confidence, fused.never_above).numpy() & ~own
            mask[where] = own | (blurred & ~soft)
    return mask


def _keep_slices(out: Fused, plan: StackPlan, deep: Layout, frame: Where, fusion: Any) -> None:
    assert out.weights is not None
    assert out.sigmas is not None
    for number in range(len(plan)):
        where = (number,) if len(plan.sources) > 1 else deep.at(plan.at(frame, 0, number))
        out.weights[where] = fusion.weights[number]
        out.sigmas[where] = fusion.sigmas[number]


def slice_colormap(count: int) -> Any:
    """Colours of slice numbers from first to last, slice 0 included; all other labels are transparent."""
    from napari.utils.colormaps import DirectLabelColormap, ensure_colormap

    colors: dict[Any, Any] = dict(enumerate(ensure_colormap("viridis").map(np.linspace(0, 1, count))))
    return DirectLabelColormap(color_dict={**colors, None: "transparent"})


def fusion_layers(plan: StackPlan, fused: Fused, wanted: Sequence[str]) -> list[Result]:
    """Layers of a fusion; the decision map lies over the fused image, hidden until it is wanted."""
    images, maps, deep = plan.layout(channels=True), plan.layout(), plan.layout(slices=True)
    pixels = {"colormap": "viridis", "contrast_limits": (0.0, SIGMA_MAX), "visible": False, "colorbar": True}
    unit = {"colormap": "gray", "contrast_limits": (0.0, 1.0), "visible": False}
    results = []
    if fused.sigmas is not None and "sigmas" in wanted:
        results.append(Result("sigmas", "defocus map per slice", fused.sigmas, deep.spatial, show=pixels))
    if fused.weights is not None and "weights" in wanted:
        results.append(Result("weights", "weight maps", fused.weights, deep.spatial, show=unit))
    if "sigma" in wanted:
        results.append(Result("least sigma", "least sigma", fused.sigma, maps.spatial, show=pixels))
    if "confidence" in wanted:
        results.append(Result("confidence", "confidence", fused.confidence, maps.spatial, show=unit))
    z = plan.z()
    ends = (0.0, len(plan) - 1.0) if z is None else (float(z.min()), float(z.max()))
    depth: dict[str, Any] = {"colormap": "viridis", "visible": False, "colorbar": True}
    if "height error" in wanted:
        # From nothing to the distance of two slices: beyond, the height says little.
        shown = {**depth, "colormap": "magma", "contrast_limits": (0.0, (ends[1] - ends[0]) / (len(plan) - 1))}
        title = f"height error [{plan.z_unit}]"
        results.append(Result("height error", title, fused.height_error, maps.spatial, show=shown))
    if "height" in wanted:
        shown = {**depth, "contrast_limits": ends}
        results.append(Result("height", f"height [{plan.z_unit}]", fused.height, maps.spatial, show=shown))
    if "never" in wanted:
        # A copy: whoever paints on the layer leaves alone what a later bound is judged by.
        results.append(never_layer(fused.never_in_focus.copy(), maps.spatial))
    image: dict[str, Any] = {"rgb": plan.source.rgb}
    if not plan.source.rgb and plan.source.contrast_limits is not None:
        image["contrast_limits"] = plan.source.contrast_limits
    results.append(Result("fused", "fused", fused.image, images.spatial, show=image))
    decision = {"opacity": 0.6, "visible": False, "colormap": slice_colormap(len(plan))}
    results.append(Result("index", "decision map", fused.index, maps.spatial, "labels", decision))
    return results


def never_layer(mask: NDArray[np.uint8], spatial: dict[str, Any]) -> Result:
    """Labels layer of what no slice has in focus."""
    from napari.utils.colormaps import DirectLabelColormap

    colors = {0: "transparent", 1: "#d62728", None: "transparent"}
    display = {"opacity": 0.5, "visible": False, "colormap": DirectLabelColormap(color_dict=colors)}
    return Result("never", "never in focus", mask, spatial, "labels", display)


def refuse(
    plan: StackPlan,
    arguments: Mapping[str, Any],
    ranges: Ranges,
    index: NDArray[np.int32],
    frame: Where,
    region: tuple[slice, slice],
) -> list[tuple[int, NDArray[Any]]]:
    """Fuse one region of one stack again by a painted decision map; for every channel its pixels."""
    import defocus_backend as db

    halo = db.decision_reach(arguments["radius"])
    outer, inner = zip(*(grown(r, halo, n) for r, n in zip(region, index.shape, strict=True)), strict=True)
    options = {name: arguments[name] for name in BY_INDEX}
    pieces = []
    for channel in range(plan.channels):
        # Only the window is read of every slice: a stroke on a large stack then costs what the stroke is.
        piece = db.fuse_by_index(
            plan.slices(frame, channel, (outer[0], outer[1])),
            np.ascontiguousarray(index[outer]),
            channel_axis=plan.source.channel_axis,
            value_range=ranges[key(frame, channel)],
            region=(inner[0], inner[1]),
            **options,
        )
        pieces.append((channel, piece))
    return pieces


def grown(part: slice, halo: int, size: int) -> tuple[slice, slice]:
    """A range with its surroundings, as far as there are any, and where it lies within them."""
    start, stop = max(0, part.start - halo), min(size, part.stop + halo)
    return slice(start, stop), slice(part.start - start, part.stop - start)
