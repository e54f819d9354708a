"""Runs that need an image and its defocus map: their calls, with the map's own where it is as it was made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from napari_defocus._layers import LayerSource, identity, is_map_of, made_by, role_of
from napari_defocus._maps import map_call
from napari_defocus._recipe import EACH, Call, Part, Recipe
from napari_defocus._show import checksum
from napari_defocus._view import View

if TYPE_CHECKING:
    from napari.layers import Layer


def identifier(title: str) -> str:
    """The title of a layer as a name in Python."""
    return title.replace(" ", "_")


def mapped_recipe(
    title: str,
    function: str,
    results: Mapping[str, str],
    source: LayerSource,
    blur: LayerSource,
    index: Sequence[int] | None,
    here: Sequence[int],
    options: Mapping[str, Any],
    made: Mapping[str, Any] | None = None,
) -> Recipe:
    """The calls that work on one image of a layer with its map, or on all of them where there is no index.

    Parameters
    ----------
    title, function : str
        Of the widget; of the library.
    results : mapping
        Attributes of the function's result that become layers, and their names.
    source, blur : Source
        The image and its map.
    index, here : sequence of int
        Of the image, and of the map at its place.
    options : mapping
        Of the function.
    made : mapping or None
        Arguments with which the map is made anew, in place of reading it.
    """
    saved = {identifier(name): Part("result", attribute) for attribute, name in results.items()}
    colours = tuple(identifier(results[a]) for a in results if a == "image" and source.rgb)
    each = () if index is not None else (EACH,)
    image = Part("image", index=each)
    options = {"channel_axis": source.channel_axis, **options}
    if index is None:
        options["value_range"] = Part("value_range")
    calls = []
    inputs = {"image": View(source, index or ())}
    if made is not None:
        calls.append(map_call(image, source.channel_axis, made, shared=index is None))
        sigma = Part("found", "sigma")
    else:
        inputs["sigma"] = View(blur, () if index is None else here)
        sigma = Part("sigma", index=each if blur.ndim == source.ndim else ())
    calls.append(Call("result", function, (image, sigma), options))
    loop = source.ndim - 2 if index is None else 0
    return Recipe(title, inputs, tuple(calls), saved, colours, loop=loop, shares_range=index is None)


def made_with(sigma: Layer, image: Layer, index: Sequence[int] | None) -> dict[str, Any] | None:
    """Arguments of `defocus_map` that give this very map of this image anew; None where they do not."""
    about = made_by(sigma)
    arguments = dict(about.get("arguments", {}))
    if about.get("operation") != "defocus_map" or role_of(sigma) != "sigma":
        return None
    if about.get("source_id") != identity(image) or about.get("checksum") != checksum(sigma.data):
        return None
    of, _ = arguments.pop("image", None), arguments.pop("wanted", None)
    if (list(of) if of is not None else None) != (list(index) if index is not None else None):
        return None
    return arguments if arguments.get("value_range") is None or index is not None else None


def image_display(source: LayerSource) -> dict[str, Any]:
    """How an image that was made from another shows: as that one."""
    if source.rgb:
        return {"rgb": True}
    return {} if source.contrast_limits is None else {"contrast_limits": source.contrast_limits}


def map_note(sigma: Layer, image: Layer | None, layers: Iterable[Layer]) -> str:
    """What is to be said of an image that is taken as a map without being one; empty of all others."""
    if is_map_of(sigma, image, layers):
        return ""
    low, high = sigma.contrast_limits
    text = f"{sigma.name} is no defocus map of this image. Its values, about {low:.3g} to {high:.3g}, "
    return text + "are taken as sigma in pixels."
