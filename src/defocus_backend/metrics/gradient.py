"""QG: the share of the sources' edges that the fused image preserves (Xydeas and Petrovic)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy import ndimage

from defocus_backend.metrics.gray import Gray, gray_case

# Replaces a gradient of exactly zero, so that ratios and weights of constant regions are defined.
_NO_EDGE = 1e-5
# Sigmoids of edge strength and of orientation: slope and centre.
_STRENGTH = (10.0, 0.5)
_ORIENTATION = (20.0, 0.75)


def _edges(image: Gray) -> tuple[Gray, Gray]:
    """Return Sobel strength and orientation (-pi/2..pi/2), the image taken as black outside, both (H, W)."""
    smooth, slope = [1.0, 2.0, 1.0], [-1.0, 0.0, 1.0]

    def derivative(axis: int) -> Gray:
        along = ndimage.correlate1d(image, slope, axis=axis, mode="constant")
        return np.asarray(ndimage.correlate1d(along, smooth, axis=1 - axis, mode="constant"))

    across, down = derivative(1), derivative(0)
    strength = np.sqrt(across * across + down * down)
    strength[strength == 0] = _NO_EDGE
    across[across == 0] = _NO_EDGE
    return strength, np.arctan(down / across)


def _sigmoid(x: Gray, slope: float, centre: float) -> Gray:
    return 1.0 / (1.0 + np.exp(-slope * (x - centre)))


def qg(
    fused: Any,
    sources: Iterable[Any],
    *,
    channel_axis: int | None = None,
    value_range: tuple[float, float] | None = None,
) -> float:
    """Gradient-based fusion quality QG (also Q^AB/F).

    At each pixel the loss of edge strength and of edge orientation between a source and the fused image passes two
    sigmoids; their product is averaged over the sources with the source's edge strength as the weight, then over the
    pixels. The definition needs no change for more than two sources.

    Parameters
    ----------
    fused, sources, channel_axis, value_range
        See `metrics.evaluate`; colour is scored on gray.

    Returns
    -------
    float
        0 (no edge preserved) to just below 1.

    Raises
    ------
    InputError
        If the images do not fit each other or cannot be read.

    References
    ----------
    .. [1] C. Xydeas and V. Petrovic, "Objective pixel-level image fusion performance measure", Proc. SPIE 4051 (2000).
    .. [2] Z. Liu et al., "Objective assessment of multiresolution image fusion algorithms for context enhancement in
       night vision: a comparative study", IEEE TPAMI 34 (2012).
    """
    image, stack = gray_case(fused, sources, channel_axis=channel_axis, value_range=value_range)
    strength, orientation = _edges(image)
    kept, weight = np.zeros_like(image), np.zeros_like(image)
    for source in stack:
        its_strength, its_orientation = _edges(source)
        ratio = np.minimum(its_strength, strength) / np.maximum(its_strength, strength)
        turn = np.abs(np.abs(its_orientation - orientation) - np.pi / 2) * (2 / np.pi)
        kept += _sigmoid(ratio, *_STRENGTH) * _sigmoid(turn, *_ORIENTATION) * its_strength
        weight += its_strength
    return float(np.mean(kept / weight))
