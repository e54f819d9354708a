"""The height map as a Surface textured with the fused image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_defocus._layers import Result
from napari_defocus._stacks import StackChoice

_GRID = 400
"""Vertices along the longer side: enough to see the form, few enough to turn it smoothly."""

VIEW = (0.0, 0.0, -60.0)
"""Angles of the camera that looks at a surface from the front and above."""

_RELIEF = (0.1, 0.5)
"""Relief in parts of the longer side that is shown unstretched; anything else is stretched."""
_STRETCHED = 0.25
"""Most that a low relief is stretched to."""
_STEPS = (1.0, 2.0, 5.0, 10.0)


def height_surface(
    choice: StackChoice,
    height: NDArray[Any],
    labels: NDArray[Any],
    automatic: NDArray[Any],
    image: NDArray[Any],
    limits: tuple[float, float] | None,
    plane: Mapping[str, Any],
) -> Result:
    """Surface of the height, seen as a relief: a low one is stretched along z, a high one pressed together.

    Where the user painted, the height is that of the chosen slice; the same holds where none is known.

    Parameters
    ----------
    choice : StackChoice
        What was fused.
    height : (H, W) array
        As `fuse` returns it.
    labels, automatic : (H, W) arrays
        Decision map, and as the library made it.
    image : (H, W[, C]) array
        The fused image, which is the texture.
    limits : (float, float) or None
        Values that show as black and white; None for colours.
    plane : mapping
        Place of the fused image: the last two of its scale, translate and units count.
    """
    if choice.several:
        step, first, unit = 1.0, 0.0, "pixel"
        position = height
    else:
        source, axis = choice.source, choice.axis
        step, first = (float(source.transforms[k][axis]) for k in ("scale", "translate"))
        unit, position = source.transforms["units"][axis], source.place(axis, height)
    position = np.where((labels != automatic) | ~np.isfinite(position), labels, position)
    sides = [n * abs(float(s)) for n, s in zip(position.shape, plane["scale"][-2:], strict=True)]
    times = stretch(position * step, max(sides))
    true_scale = [step, *(float(s) for s in plane["scale"][-2:])]
    spatial = {
        "scale": np.array([step * times, *true_scale[1:]]),
        "translate": np.array([first, *plane["translate"][-2:]]),
        "units": (unit, *plane["units"][-2:]),
    }
    made = surface(position, image, limits, spatial)
    made.about = {"true_scale": true_scale}
    if times != 1:
        made.title += f" (z x {times:g})"
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
