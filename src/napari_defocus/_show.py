"""Results into the viewer: new layers, or those of an earlier run, at once or step by step."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_defocus._layers import KEY, Result, find, made_by, name_of

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

_SPATIAL = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
_DISPLAY = ("name", "visible", "opacity", "blending", "colormap", "contrast_limits", "gamma", "interpolation2d")

_DERIVED = {"fuse": ("audit", "surface")}
"""Operations on the results of another one; their results are of the same run."""


def show(
    viewer: Viewer, results: Sequence[Result], made: Mapping[str, Any], *, new_layers: bool = False
) -> dict[str, Layer]:
    """Add the results as layers, or put them into the layers of an earlier run on the same source.

    Display settings are set on creation only, so that a user's own survive the next run.
    """
    shown: dict[str, Layer] = {}
    for step in show_stepwise(viewer, results, made, new_layers=new_layers):
        shown = step
    return shown


def show_stepwise(
    viewer: Viewer, results: Sequence[Result], made: Mapping[str, Any], *, new_layers: bool = False
) -> Iterator[dict[str, Layer]]:
    """The same in steps, between which the window can breathe: napari takes some hundredths of a second for each.

    Yields
    ------
    dict
        The layers made or updated so far, by role.
    """
    shown: dict[str, Layer] = {}
    for result in results:
        named: dict[str, Any] = {"role": result.role, "name": name_of(made, result.title)}
        if result.role == "sigma":  # `made_with` checks by it whether the map was changed
            named["checksum"] = checksum(result.data)
        about = {**made, **named, **result.about}
        old = None if new_layers else find(viewer, result.role, made["source_id"])
        if old is not None and _fits(old, result):
            _update(old, result, about)
            shown[result.role] = old
            yield dict(shown)
        else:
            for layer in _add(viewer, result, about, replaced=old):
                shown[result.role] = layer
                yield dict(shown)


def clear_earlier(viewer: Viewer, results: Sequence[Result], made: Mapping[str, Any]) -> None:
    """Take away what an earlier run of the same operation made and this one does not.

    A height beside the fused image of another run would be taken for its height; so would what was measured of it. Maps
    of other methods say so in their names and stay.
    """
    roles = {result.role for result in results} | {"sigma"}
    operations = {made["operation"], *_DERIVED.get(made["operation"], ())}
    for layer in list(viewer.layers):
        about = made_by(layer)
        same = about.get("source_id") == made["source_id"] and about.get("operation") in operations
        role = str(about.get("role"))
        if same and role not in roles and not role.startswith(("relative ", "raw ")):
            viewer.layers.remove(layer)


def checksum(data: Any) -> int:
    """A number that changes with the pixels; 0 for what is not in memory."""
    if not isinstance(data, np.ndarray):
        return 0
    return zlib.crc32(np.ascontiguousarray(data).data)


def prepare_drawing() -> None:
    """Draw up the dash patterns of the lines that napari makes for a Labels layer; call it beside the window.

    vispy does so with the first such line, which takes a tenth of a second, and keeps them.
    """
    with contextlib.suppress(ImportError, AttributeError):  # another vispy may not need it
        import_module("vispy.visuals.line.dash_atlas").DashAtlas()


def _fits(layer: Layer, result: Result) -> bool:
    from napari import layers

    if not isinstance(layer, getattr(layers, result.kind.capitalize())):
        return False
    if result.kind == "surface":
        return False  # napari cannot change the texture's shape in place
    rgb = bool(result.show.get("rgb", False))
    same_shape = result.kind == "image" or layer.data.shape == np.shape(result.data)
    return same_shape and layer.ndim == np.ndim(result.data) - rgb and bool(getattr(layer, "rgb", False)) == rgb


def _update(layer: Layer, result: Result, about: Mapping[str, Any]) -> None:
    before = made_by(layer)
    layer.data = result.data
    if layer.name == before.get("name"):
        layer.name = about["name"]
    for name in _SPATIAL:
        # Each of these redraws the layer: only what differs is set.
        if name in result.spatial and not _same(getattr(layer, name), result.spatial[name]):
            setattr(layer, name, result.spatial[name])
    if _needs_colours(layer, result):
        layer.colormap = result.show["colormap"]
    layer.metadata = {**layer.metadata, KEY: dict(about)}


def _label_colorbar(layer: Layer) -> None:
    """Write the layer's name, which ends with its unit, beside its colour bar: napari's bars have no label."""
    label = getattr(layer, "name_overlay", None)
    if label is not None:
        label.position, label.order, label.visible = layer.colorbar.position, layer.colorbar.order - 1, True


def _needs_colours(layer: Layer, result: Result) -> bool:
    """Whether a result has labels beyond the last one that its layer has a colour for: they would not be seen."""
    maps = getattr(layer, "colormap", None), result.show.get("colormap")
    old, new = (getattr(colormap, "color_dict", None) for colormap in maps)
    if old is None or new is None or old[None][-1] > 0:
        return False  # a cyclic colormap has a colour for every label, as has one with a colour for all others
    if getattr(maps[0], "background_value", 0) != getattr(maps[1], "background_value", 0):
        return True  # what the eraser paints is another
    last = [max((label for label in colors if label is not None), default=-1) for colors in (old, new)]
    return last[1] > last[0]


def _same(old: Any, new: Any) -> bool:
    if hasattr(new, "affine_matrix"):
        old, new = old.affine_matrix, new.affine_matrix
    elif isinstance(new, tuple):
        return tuple(old) == new
    return np.shape(old) == np.shape(new) and bool(np.allclose(old, new))


def _add(viewer: Viewer, result: Result, about: Mapping[str, Any], replaced: Layer | None) -> Iterator[Layer]:
    """Make a layer hidden, which reads none of its pixels; then its colour bar; then let it be seen."""
    settings: dict[str, Any] = {"name": about["name"], **result.show}
    colorbar = str(settings.pop("colorbar", ""))
    if replaced is not None:
        if result.kind == "image" and hasattr(replaced, "contrast_limits"):
            skip = ("colormap", "contrast_limits") if settings.get("rgb") else ()
            settings |= {k: getattr(replaced, k) for k in _DISPLAY if k not in skip}
            if replaced.name == made_by(replaced).get("name"):
                settings["name"] = about["name"]
        elif replaced.name != made_by(replaced).get("name"):
            settings["name"] = replaced.name
        viewer.layers.remove(replaced)
    visible = settings.pop("visible", True)
    add = getattr(viewer, f"add_{result.kind}")
    layer: Layer = add(result.data, metadata={KEY: dict(about)}, visible=False, **result.spatial, **settings)
    yield layer
    if colorbar and hasattr(layer, "colorbar"):
        layer.colorbar.visible = True
        _label_colorbar(layer)
        yield layer
    if visible:
        layer.visible = True
        yield layer
