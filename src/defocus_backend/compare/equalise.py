"""Contrast-limited adaptive histogram equalisation on 8 x 8 tiles, with the clip limit defined as in MATLAB."""

from __future__ import annotations

import numpy as np
from skimage.exposure import equalize_adapthist

from defocus_backend.arrays import Float64

_TILES = 8
_BINS = 256


def equalised(image: Float64, clip_limit: float) -> Float64:
    """Return the CLAHE of an image (H, W) in 0..1, within the range of its values; a constant image is unchanged.

    ``adapthisteq`` adds the share of a uniform histogram to the limit, without which a limit below 1/256 would flatten
    every histogram. scikit-image stretches to 0..1 before and after; that is undone.
    """
    low, span = float(image.min()), float(np.ptp(image))
    if span == 0:
        return image
    tile = [max(1, -(-side // _TILES)) for side in image.shape]
    uniform = 1 / _BINS
    limit = uniform + clip_limit * (1 - uniform)
    unit = equalize_adapthist((image - low) / span, kernel_size=tile, clip_limit=limit, nbins=_BINS)
    return low + span * np.asarray(unit, dtype=np.float64)
