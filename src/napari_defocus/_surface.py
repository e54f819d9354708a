"""The height map as a Surface textured with the fused image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_defocus._layers import Result

_GRID = 400
"""Vertices along the longer side: enough to see the form, few enough to turn it smoothly."""


def surface(
    position: NDArray[Any], image: NDArray[Any], limits: tuple[float, float] | None, spatial: dict[str, Any]
) -> Result:
    """Layer of a surface whose vertices lie at (slice, row, column).

    Parameters
    ----------
    position : (H, W) array
        Position along z, in slices; `spatial` turns it into the layer's unit.
    image : (H, W[, C]) array
        Fused image; the texture.
    limits : (float, float) or None
        Values of a gray image that show as black and white; None for colours.
    spatial : dict
        Place of the three axes.
    """
    height, width = position.shape
    step = max(1, -(-max(height, width) // _GRID))
    rows, columns = np.arange(0, height, step), np.arange(0, width, step)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    vertices = np.stack([position[y, x], y, x], axis=-1).reshape(-1, 3).astype(np.float32)
    number = np.arange(y.size).reshape(y.shape)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])
    # Textures count their rows from below.
    places = np.stack([(x + 0.5) / width, 1 - (y + 0.5) / height], axis=-1).reshape(-1, 2).astype(np.float32)
    white = np.ones(len(vertices), np.float32)
    show = {
        "texture": _texture(image, limits),
        "texcoords": places,
        "colormap": "gray",
        "contrast_limits": (0.0, 1.0),
        "shading": "none",
    }
    return Result("surface", "surface", (vertices, faces, white), spatial, "surface", show)


def _texture(image: NDArray[Any], limits: tuple[float, float] | None) -> NDArray[np.float32]:
    """Colours as the viewer shows them, 0 to 1."""
    if limits is None:
        top = 255.0 if image.dtype == np.uint8 else float(np.iinfo(image.dtype).max) if image.dtype.kind == "u" else 1.0
        return (image / top).astype(np.float32)
    low, high = limits
    return np.clip((image.astype(np.float32) - low) / max(high - low, 1e-12), 0, 1)
