"""Run a map method on an image, as a whole or tile by tile, and check the result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from defocus_backend.arrays import BYTE_WHITE, Float64, as_float64
from defocus_backend.compare.checks import check_gray
from defocus_backend.errors import InputError
from defocus_backend.filters.gaussian import border_index
from defocus_backend.methods import Method, Tiling
from defocus_backend.params import MapParams
from defocus_backend.progress import Reporter

Tile = tuple[slice, slice]


def count_map_tiles(method: Method, shape: tuple[int, int], tile: int = MapParams.tile) -> int:
    """Number of tiles into which an image (H, W) is split for a map method."""
    return 1 if method.tiling is None else sum(1 for _ in _cores(method.tiling, shape, tile))


def run_method(
    method: Method,
    picture: ArrayLike,
    *,
    parameters: Mapping[str, Any] | None = None,
    tile: int = MapParams.tile,
    reporter: Reporter | None = None,
) -> Float64:
    """Compute the map of an image, tile by tile if the method states its tiling.

    Parameters
    ----------
    method : Method
    picture : (H, W) or (H, W, 3) array_like
        Gray values 0..255 or RGB. For a method that expects colour, gray is converted to RGB.
    parameters : mapping or None
        Parameters of the method.
    tile : int
        Side of a tile in pixels, rounded down to a size that the method allows. It does not change the map.
    reporter : Reporter or None
        Advanced once per tile.

    Returns
    -------
    (H, W) float64 array
        In the unit of the method.

    Raises
    ------
    InputError
        If the method does not return a finite map of the size of the picture.
    """
    values, more = _as_taken(method, picture), parameters or {}
    height, width = values.shape[:2]
    tiling = method.tiling or Tiling(halo=0, multiple=1, size=(height, width))
    found = np.empty((height, width))
    for core in _cores(tiling, (height, width), tile):
        region, inner = _padded(tiling, values, core)
        found[core] = _checked(method, method.function(region, **more), region.shape[:2])[inner]
        if reporter is not None:
            reporter.advance()
    return found


def _as_taken(method: Method, picture: ArrayLike) -> Float64:
    """Convert a picture to gray (H, W) or RGB (H, W, 3), as the method expects."""
    if method.colour and np.ndim(picture) == 3:
        values = as_float64(picture, "gray", channel_axis=-1, value_range=(0, BYTE_WHITE))
        return values if values.shape[-1] == 3 else np.repeat(values, 3, axis=-1)
    gray = check_gray(picture)
    return np.repeat(gray[..., None], 3, axis=-1) if method.colour else gray


def _cores(tiling: Tiling, shape: tuple[int, int], tile: int) -> Iterator[Tile]:
    """Tiles that cover an image without an overlap; they begin at multiples of the stride."""
    sides = [tile, tile] if tiling.size is None else [side - 2 * _reach(tiling) for side in tiling.size]
    if min(sides) < tiling.multiple:
        given = f"a network that takes {tiling.size} px and has a halo of {tiling.halo} px"
        raise InputError("map_method", given, "a larger input or a smaller halo")
    height, width = (side // tiling.multiple * tiling.multiple for side in sides)
    for y in range(0, shape[0], height):
        for x in range(0, shape[1], width):
            yield slice(y, min(y + height, shape[0])), slice(x, min(x + width, shape[1]))


def _reach(tiling: Tiling) -> int:
    """The halo, rounded up so that the extended tile begins at a multiple of the stride."""
    return -(-tiling.halo // tiling.multiple) * tiling.multiple


def _padded(tiling: Tiling, values: Float64, core: Tile) -> tuple[Float64, Tile]:
    """The pixels of a tile with its halo, mirrored beyond the border, and the position of the tile in them."""
    reach, index = _reach(tiling), []
    for axis, part in enumerate(core):
        length = -(-(part.stop - part.start + 2 * reach) // tiling.multiple) * tiling.multiple
        if tiling.size is not None:
            length = tiling.size[axis]
        first = part.start - reach
        index.append(border_index(values.shape[axis], first, first + length, mode="reflect").numpy())
    inner = tuple(slice(reach, reach + part.stop - part.start) for part in core)
    return values[index[0][:, None], index[1][None, :]], (inner[0], inner[1])


def _checked(method: Method, found: ArrayLike, shape: tuple[int, ...]) -> Float64:
    """Return the result of a method after checking that it is a finite map."""
    result = np.asarray(found)
    if result.shape != shape or not np.issubdtype(result.dtype, np.number):
        raise InputError("map_method", f"{method.name!r}, which returned {result.shape}", f"a map of {shape}")
    if not np.isfinite(result).all():
        raise InputError("map_method", f"{method.name!r}, whose map is not finite", "a method that returns numbers")
    return result.astype(np.float64)
