"""The height map as a Surface textured with the fused image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_defocus._layers import Result
from napari_defocus._stacks import StackPlan

if TYPE_CHECKING:
    from napari.layers import Layer

_GRID = 400
"""Vertices along the longer side: enough to see the form, few enough to turn it smoothly."""

VIEW = (0.0, 0.0, -60.0)
"""Angles of the camera that looks at a surface from the front and above."""

_RELIEF = (0.1, 0.5)
"""Relief in parts of the longer side that is shown as it is; anything else is stretched."""
_STRETCHED = 0.25
"""Most that a low relief is stretched to."""
_STEPS = (1.0, 2.0, 5.0, 10.0)


def height_surface(
    plan: StackPlan, height: NDArray[Any], taken: NDArray[Any], automatic: NDArray[Any], image: Layer
) -> Result:
    """Layer of the height of one stack, with the fused image on it.

    Parameters
    ----------
    plan : StackPlan
        The stack.
    height : (H, W) array
        Its height, in the unit of z; NaN where none could be told.
    taken, automatic : (H, W) arrays
        Slice taken for every pixel, now and before somebody painted; it stands for the height where these
        differ and where there is none.
    image : Image layer
        The fused image.
    """
    source = plan.source
    if source.ndim == 2:
        spatial, place = source.stacked(len(plan)).spatial, height
    else:
        spatial = source.spatial([plan.axis, source.ndim - 2, source.ndim - 1])
        place = source.place(plan.axis, height)
    # (C, 1, H, W) where the channels come before z.
    plane = image.data.shape[-3 if image.rgb else -2 :]
    flat = image.data.reshape(-1, *plane)[plan.judge]
    place = np.where((taken != automatic) | ~np.isfinite(place), taken, place)
    scale = np.array(spatial["scale"], dtype=float)
    times = stretch(place * scale[0], max(n * abs(s) for n, s in zip(place.shape, scale[1:], strict=True)))
    made = surface(
        place, np.asarray(flat), None if image.rgb else tuple(image.contrast_limits), spatial | {"scale": scale}
    )
    if times != 1:
        made.title += f" (z x {times:g})"
        scale[0] *= times
    return made


def stretch(height: NDArray[Any], side: float) -> float:
    """How much a relief is to be stretched so that it can be seen, and does not tower: 1, 2, 5, 10, 20 ... or less.

    Parameters
    ----------
    height : array
        In the unit of the sides.
    side : float
        The longer side.
    """
    low, high = np.percentile(height, (1, 99))
    relief = float(high - low) / side if side > 0 else 0.0
    if relief <= 0 or _RELIEF[0] <= relief <= _RELIEF[1]:
        return 1.0
    wanted = _STRETCHED / relief if relief < _RELIEF[0] else _RELIEF[1] / relief
    power = 10.0 ** np.floor(np.log10(wanted))
    return float(power * max(s for s in _STEPS if s * power <= wanted * 1.0001))


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
        "shading": "smooth",
    }
    return Result("surface", "surface", (vertices, faces, white), spatial, "surface", show)


def _texture(image: NDArray[Any], limits: tuple[float, float] | None) -> NDArray[np.float32]:
    """Colours as the viewer shows them, 0 to 1."""
    if limits is None:
        top = 255.0 if image.dtype == np.uint8 else float(np.iinfo(image.dtype).max) if image.dtype.kind == "u" else 1.0
        return (image / top).astype(np.float32)
    low, high = limits
    return np.clip((image.astype(np.float32) - low) / max(high - low, 1e-12), 0, 1)
