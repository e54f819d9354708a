"""What a fusion becomes in the viewer: its layers, and the mask of what was never in focus at another bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_defocus._fusing import Fused
from napari_defocus._layers import Result
from napari_defocus._widgets._plot import SIGMA_MAX


def never_again(fused: Fused, above: float) -> NDArray[np.uint8]:
    """Mask of what was never in focus, by another bound, from the maps of a run."""
    from defocus_backend.fusion.coverage import never_in_focus_again

    mask = np.empty(fused.sigma.shape, np.uint8)
    for at in np.ndindex(fused.sigma.shape[:-2]):
        run = fused.never_in_focus[at] > 0, fused.sigma[at], fused.confidence[at]
        mask[at] = never_in_focus_again(*run, fused.never_above, above)
    return mask


def slice_colormap(count: int) -> Any:
    """Colours of slice numbers from first to last, slice 0 included; the eraser's label after them is transparent.

    napari's eraser paints the background value. Here that is the label after the last slice, which gives a place back
    to the automatic decision; slice 0 is a slice like all others.
    """
    from napari.utils.colormaps import DirectLabelColormap, ensure_colormap

    colors: dict[Any, Any] = dict(enumerate(ensure_colormap("viridis").map(np.linspace(0, 1, count))))
    return DirectLabelColormap(color_dict={**colors, None: "transparent"}, background_value=count)


def fusion_layers(fused: Fused, wanted: Sequence[str]) -> list[Result]:
    """Layers of a fusion; the decision map lies over the fused image, hidden until it is wanted."""
    stack, choice = fused.stack, fused.stack.choice
    images, maps = stack.images().spatial, stack.maps().spatial
    deep = choice.layout(slices=True, offset=stack.offset).spatial
    pixels = {"colormap": "viridis", "contrast_limits": (0.0, SIGMA_MAX), "visible": False, "colorbar": "sigma [px]"}
    unit = {"colormap": "gray", "contrast_limits": (0.0, 1.0), "visible": False}
    results = []
    if fused.sigmas is not None and "sigmas" in wanted:
        results.append(Result("sigmas", "defocus map per slice [px]", fused.sigmas, deep, show=pixels))
    if fused.weights is not None and "weights" in wanted:
        results.append(Result("weights", "weight maps", fused.weights, deep, show=unit))
    if "sigma" in wanted:
        results.append(Result("least sigma", "least sigma [px]", fused.sigma, maps, show=pixels))
    if "confidence" in wanted:
        results.append(Result("confidence", "confidence", fused.confidence, maps, show=unit))
    z = choice.z()
    ends = (0.0, len(choice) - 1.0) if z is None else (float(z.min()), float(z.max()))
    name = choice.z_unit
    depth: dict[str, Any] = {"colormap": "viridis", "visible": False, "colorbar": f"height [{name}]"}
    if "height error" in wanted:
        # From nothing to the distance of two slices: beyond, the height says little.
        far = (0.0, (ends[1] - ends[0]) / (len(choice) - 1))
        shown = {**depth, "colormap": "magma", "contrast_limits": far, "colorbar": f"height error [{name}]"}
        results.append(Result("height error", f"height error [{name}]", fused.height_error, maps, show=shown))
    if "height" in wanted:
        results.append(
            Result("height", f"height [{name}]", fused.height, maps, show={**depth, "contrast_limits": ends})
        )
    if "never" in wanted:
        # A copy: painting on the layer must not change the data of a later bound.
        results.append(never_layer(fused.never_in_focus.copy(), maps))
    source = choice.source
    image: dict[str, Any] = {"rgb": source.rgb}
    if not source.rgb and source.contrast_limits is not None:
        image["contrast_limits"] = source.contrast_limits
    results.append(Result("fused", "fused", fused.image, images, show=image))
    decision = {"opacity": 0.6, "visible": False, "colormap": slice_colormap(choice.total)}
    results.append(Result("index", "decision map", fused.index, maps, "labels", decision))
    return results


def never_layer(mask: NDArray[np.uint8], spatial: dict[str, Any]) -> Result:
    """Labels layer of what no slice has in focus."""
    from napari.utils.colormaps import DirectLabelColormap

    colors = {0: "transparent", 1: "#d62728", None: "transparent"}
    display = {"opacity": 0.5, "visible": False, "colormap": DirectLabelColormap(color_dict=colors)}
    return Result("never", "never in focus", mask, spatial, "labels", display)
