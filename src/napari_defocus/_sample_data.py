"""Samples with known truth, rendered by `defocus_backend.synthetic.scenes` from pictures that scikit-image ships."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from napari_defocus._worker import beside_the_window

LayerData = tuple[Any, dict[str, Any], str]

Z_STEP_UM = 0.5
PIXEL_UM = 0.2
_SLICES = 9


def _rendered(make: Callable[[], list[LayerData]]) -> Callable[[], list[LayerData]]:
    """Render a sample while the window goes on: it takes some seconds."""

    @wraps(make)
    def opened() -> list[LayerData]:
        return beside_the_window(make)

    return opened


@_rendered
def photo() -> list[LayerData]:
    """A portrait whose background lies far behind the plane in focus."""
    from skimage import data

    from defocus_backend.synthetic.scenes import focal_stack, tilted_depth

    sharp = data.astronaut()
    depth = tilted_depth(sharp.shape[:2], _SLICES)
    scene = focal_stack(sharp, depth, slices=_SLICES, noise=1.0)
    return [(scene.slices[2], {"name": "photo", "rgb": True}, "image")]


@_rendered
def focal_stack() -> list[LayerData]:
    """Nine slices of a cup on a table that recedes, focused from near to far."""
    from skimage import data

    from defocus_backend.synthetic.scenes import focal_stack as render
    from defocus_backend.synthetic.scenes import tilted_depth

    sharp = data.coffee()
    scene = render(sharp, tilted_depth(sharp.shape[:2], _SLICES), slices=_SLICES, noise=1.0, occlusion=False)
    return [(scene.slices, {"name": "focal stack", "rgb": True, "axis_labels": ("z", "y", "x")}, "image")]


@_rendered
def z_stack() -> list[LayerData]:
    """A rough surface with a bump as a microscope sees it, 16 bit, in microns, and its true height."""
    from skimage import data

    from defocus_backend.synthetic.scenes import bump_depth
    from defocus_backend.synthetic.scenes import focal_stack as render

    sharp = data.gravel()
    scene = render(sharp, bump_depth(sharp.shape, _SLICES), slices=_SLICES, noise=2.0, psf="gaussian", occlusion=False)
    # A camera with an offset that fills a small part of its 16 bits.
    counts = scene.slices.astype(np.uint16) * 12 + 400
    place = {"units": ("um",) * 3, "axis_labels": ("z", "y", "x")}
    plane = {"scale": (PIXEL_UM, PIXEL_UM), "units": ("um", "um"), "axis_labels": ("y", "x")}
    height = (scene.depth * Z_STEP_UM).astype(np.float32)
    shown = {"colormap": "viridis", "contrast_limits": (0.0, (_SLICES - 1) * Z_STEP_UM), "visible": False}
    return [
        (height, {"name": "true height [µm]", **plane, **shown, "metadata": {"unit": "um"}}, "image"),
        (counts, {"name": "z-stack", "scale": (Z_STEP_UM, PIXEL_UM, PIXEL_UM), **place}, "image"),
    ]
