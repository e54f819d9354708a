"""Runs that make a defocus map: their calls and the layers that come of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from defocus_backend.methods import DEFAULT_NETWORK, MAP_METHODS, NETWORK_METHODS
from napari_defocus._layers import LayerSource, Result
from napari_defocus._recipe import EACH, Call, Part, Recipe
from napari_defocus._view import View
from napari_defocus._widgets._plot import SIGMA_MAX

RELATIVE = "relative "
"""Begins the role of a map that has no unit, before the name of its method."""
EXTRA = {
    "raw": ("raw map", "The map before refinement, in pixels."),
    "guide": ("guide", "The smoothed image that guided the refinement, 0 to 1."),
    "confidence": ("confidence", "0 where the image says nothing about blur (flat, dark, saturated), 1 where certain."),
    "deviation": ("deviation", "Standard deviation of the network's own answer, in pixels."),
}


def unit_of(method: str) -> str:
    """Unit of the maps of a method: "px" or "relative"."""
    return str((NETWORK_METHODS.get(method) or MAP_METHODS[method]).unit)


def map_call(image: Part, colour: int | None, options: Mapping[str, Any], *, shared: bool = False) -> Call:
    """The call that makes a map; with a range that all images share, unless one is given."""
    found = {"channel_axis": colour, **options}
    if shared:
        found["value_range"] = Part("value_range")
    return Call("found", "defocus_map", (image,), found)


def map_recipe(
    title: str,
    source: LayerSource,
    index: tuple[int, ...] | None,
    options: Mapping[str, Any],
    wanted: Sequence[str] = (),
) -> Recipe:
    """The calls that map one image of a layer, or all of them where there is no index."""
    saved = {name: Part("found", name) for name in ("sigma", *wanted)}
    if index is not None:
        call = map_call(Part("image"), source.channel_axis, options)
        return Recipe(title, {"image": View(source, index)}, (call,), saved)
    shared = options.get("value_range") is None
    call = map_call(Part("image", index=(EACH,)), source.channel_axis, options, shared=shared)
    return Recipe(title, {"image": View(source)}, (call,), saved, loop=source.ndim - 2, shares_range=shared)


def map_arrays(recipe: Recipe, values: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """What a run of such a recipe returned, by name."""
    if recipe.loop:
        return dict(values)
    return {name: np.asarray(part.find(dict(values))) for name, part in recipe.saved.items()}


def map_layers(
    maps: dict[str, NDArray[Any]], spatial: dict[str, Any], wanted: Sequence[str] = (), method: str = DEFAULT_NETWORK
) -> list[Result]:
    """Layers of a defocus map, the map itself last and so on top; maps without a unit get separate layers."""
    relative = unit_of(method) != "px"
    pixels: dict[str, Any] = {"colormap": "viridis", "colorbar": "relative blur" if relative else "sigma [px]"}
    if not relative:
        pixels["contrast_limits"] = (0.0, SIGMA_MAX)
    unit = {"colormap": "gray", "contrast_limits": (0.0, 1.0), "visible": False}
    shows = {"raw": {**pixels, "visible": False}, "guide": unit, "confidence": unit}
    spread = {"colormap": "magma", "contrast_limits": (0.0, 8.0), "visible": False, "colorbar": "deviation [px]"}
    shows["deviation"] = spread
    roles, titles = {}, {name: title for name, (title, _) in EXTRA.items()}
    titles |= {name: f"{titles[name]} [px]" for name in ("raw", "deviation")}
    if relative:
        roles, titles["raw"] = {"raw": f"raw {method}"}, f"raw {method} [relative]"
    extra = [Result(roles.get(name, name), titles[name], maps[name], spatial, show=shows[name]) for name in wanted]
    role, title = (RELATIVE + method, f"{method} [relative]") if relative else ("sigma", "defocus map [px]")
    return [*extra, Result(role, title, maps["sigma"], spatial, show=pixels)]


def place_in(source: LayerSource, index: Sequence[int] | None) -> dict[str, int]:
    """Index on each leading axis by its name, of one image of several."""
    return {} if not index else {source.axis_name(axis): int(n) for axis, n in enumerate(index)}
