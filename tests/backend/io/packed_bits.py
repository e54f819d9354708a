"""What the installed imagecodecs can do for tests that write TIFF."""

from __future__ import annotations

import imagecodecs
import numpy as np


def tifffile_packs_bits() -> bool:
    """Whether the installed imagecodecs can write samples of 4 or 12 bits, which tifffile leaves to it."""
    try:
        imagecodecs.packints_encode(np.zeros(2, np.uint8), 4)
    except NotImplementedError:
        return False
    return True
