"""Thumbnails for reports."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from defocus_backend.io import read_image

THUMBNAIL_SUFFIX = ".jpg"
_LONGEST = 360
_QUALITY = 82


def thumbnail(path: Path) -> bytes:
    """Create a JPEG thumbnail of at most 360 px per side; values of more than 8 bits are rescaled between percentiles.

    Raises
    ------
    FileError
        If the picture cannot be read.
    """
    return encode_thumbnail(read_image(path).array)


def encode_thumbnail(array: NDArray[Any], longest: int = _LONGEST) -> bytes:
    """Create a JPEG thumbnail of pixels (H, W) or (H, W, C) with a longest side in pixels."""
    from PIL import Image

    every = max(1, max(array.shape[:2]) // (2 * longest))  # the remaining factor is averaged
    array = array[::every, ::every]
    if array.ndim == 3:
        array = array[..., :3] if array.shape[-1] >= 3 else array[..., 0]
    if array.dtype != np.uint8:
        values = array.astype(np.float32)
        finite = values[np.isfinite(values)]
        low, high = np.percentile(finite, (0.1, 99.9)) if finite.size else (0.0, 1.0)
        unit = (np.nan_to_num(values, nan=low) - low) / max(float(high - low), 1e-12)
        array = (np.clip(unit, 0, 1) * 255).astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(array))
    picture.thumbnail((longest, longest), Image.Resampling.BOX)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
