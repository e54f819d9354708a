"""Small focal stacks on which the real library takes a moment."""

from __future__ import annotations

import numpy as np


def focal_stack(count=3, height=40, width=44, seed=0) -> np.ndarray:
    """Slices (N, H, W), each sharp in a strip of its own and blurred by 3 px elsewhere, 16 bit."""
    from scipy.ndimage import gaussian_filter

    sharp = np.random.default_rng(seed).random((height, width)) * 4000 + 300
    blurred, columns = gaussian_filter(sharp, 3), np.arange(width)[None] * count // width
    return np.stack([np.where(columns == n, sharp, blurred) for n in range(count)]).astype(np.uint16)


def moved_stack():
    """A picture whose slices are shifted against each other, each sharp in a strip."""
    from scipy.ndimage import gaussian_filter, shift
    from skimage import data

    sharp = data.camera()[150:310, 180:360].astype(float) * 30
    columns = np.arange(180)[None] // 60
    slices = [np.where(columns == n, sharp, gaussian_filter(sharp, 2)) for n in range(3)]
    return np.stack([shift(s, (1.5 * n, 3.0 * n), mode="nearest") for n, s in enumerate(slices)]).astype(np.uint16)
