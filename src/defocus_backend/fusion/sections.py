"""Detection of optical sections, as from a confocal or light-sheet microscope.

Defocus spreads light but removes none, so in photographs and widefield stacks, the mean brightness does not depend on
the focus. An optical section only shows the structures in it, so slices near the ends of the stack are darker.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from defocus_backend.filters import cell_mean

_BLOCK = 16
"""Side of the blocks whose mean brightness is compared, in pixels."""
_BLACK = 0.02
"""Quantile of the block means that counts as black; block means have little noise."""
_LOST, _GONE = 0.5, 0.95
"""Loss of light in the darkest slice, relative to the brightest one, that sections must have, and above which no lamp
explains it. Widefield stacks and photographs of focus series lose up to 0.18, sections 0.57 to 0.99."""
_ALIKE = 0.5
"""If the blocks of every slice have a higher correlation than this with those of the brightest one, the cause may be
the lamp or a faded dye."""
_FEWEST = 4
"""Smallest number of slices for a result."""


class LightPerSlice:
    """Mean brightness of the blocks of every slice of a stack."""

    def __init__(self) -> None:
        self._blocks: list[NDArray[np.float32]] = []
        self._black = np.inf

    def add(self, gray: Tensor) -> None:
        """Add the next slice (H, W)."""
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
