"""Whether a stack holds optical sections, as a confocal or light-sheet microscope makes them.

Defocus moves light, it does not take any away: through a photograph's or a widefield microscope's focus the mean
brightness of the picture stays. A section shows only what lies in it: towards the ends of the stack the light goes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from defocus_backend.filters import cell_mean

_BLOCK = 16
"""Side in pixels of the blocks whose mean brightness is compared."""
_BLACK = 0.02
"""Quantile of the blocks that counts as black: means of blocks have little noise."""
_LOST, _GONE = 0.5, 0.95
"""Share of the light that the dimmest slice must lack against the brightest one, and from which no lamp explains it:
widefield stacks and photographs of focus series lack up to 0.18, sections 0.57 to 0.99."""
_ALIKE = 0.5
"""Correlation of the blocks of every slice with those of the brightest one from which it may be the lamp that changed,
or the dye that faded."""
_FEWEST = 4
"""Slices under which nothing is said."""


class LightPerSlice:
    """Mean brightness of the blocks of every slice of a stack."""

    def __init__(self) -> None:
        self._blocks: list[NDArray[np.float32]] = []
        self._black = np.inf

    def add(self, gray: Tensor) -> None:
        """Take in the next slice (H, W)."""
        blocks = cell_mean(gray, _BLOCK).flatten().cpu().numpy()
        self._blocks.append(blocks)
        self._black = min(self._black, float(np.quantile(blocks, _BLACK)))

    @property
    def sections(self) -> bool:
        """Whether the slices are optical sections; False for a stack of fewer than four."""
        if len(self._blocks) < _FEWEST:
            return False
        light = np.maximum(np.stack(self._blocks).astype(np.float64) - self._black, 0)
        total = light.mean(axis=1)
        lost = 1 - total.min() / total.max() if total.max() > 0 else 0.0
        if lost < _LOST or lost > _GONE:
            return bool(lost > _GONE)
        bright = light[total.argmax()]
        same_picture = all(one.std() > 0 and np.corrcoef(one, bright)[0, 1] > _ALIKE for one in light)
        return not same_picture
