"""Layers to arrays, with everything that says where the pixels lie, and what a layer to be is made of."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_defocus._units import short_unit

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

KEY = "napari-defocus"
"""Key in ``layer.metadata`` under which a result keeps what made it."""


@dataclass(frozen=True)
class LayerSource:
    """What a run needs of a layer, taken in the main thread, so that a worker never touches the layer.

    Attributes
    ----------
    name : str
        Of the layer when the run started.
    identity : str
        Stays the same when the layer is renamed.
    data : array_like
        Full resolution: numpy, dask or zarr, axes as in the layer, colours last where `rgb`.
    rgb : bool
        Whether the last axis holds colours.
    axes : tuple of str
        Names of the axes, colours left out; empty where the layer has none.
    transforms : dict
        Scale, translate, rotate, shear, affine, units and axis labels of the layer.
    """

    name: str
    identity: str
    data: Any
    rgb: bool
    axes: tuple[str, ...]
    transforms: dict[str, Any] = field(repr=False)
    path: str | None = None
    contrast_limits: tuple[float, float] | None = None

    @classmethod
    def of(cls, layer: Layer) -> LayerSource:
        """Take what a run needs from an image, labels or map layer."""
        data = layer.data[0] if getattr(layer, "multiscale", False) else layer.data
        limits = getattr(layer, "contrast_limits", None)
        path = getattr(layer.source, "path", None)
        return cls(
            name=layer.name,
            identity=identity(layer),
            data=data,
            rgb=bool(getattr(layer, "rgb", False)),
            axes=tuple("" if label.lstrip("-").isdigit() else label for label in layer.axis_labels),
            transforms={
                "scale": np.asarray(layer.scale, dtype=float),
                "translate": np.asarray(layer.translate, dtype=float),
                "rotate": np.asarray(layer.rotate, dtype=float),
                "shear": np.asarray(layer.shear, dtype=float),
                "affine": layer.affine,
                "units": tuple(layer.units),
                "axis_labels": tuple(layer.axis_labels),
            },
            path=str(path) if isinstance(path, str) or hasattr(path, "__fspath__") else None,
            contrast_limits=None if limits is None else (float(limits[0]), float(limits[1])),
        )

    @property
    def ndim(self) -> int:
        """Number of axes, colours left out."""
        return len(self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes, colours left out."""
        return tuple(int(n) for n in self.data.shape[: self.ndim])

    @property
    def channel_axis(self) -> int | None:
        """Axis of the colours in one plane."""
        return -1 if self.rgb else None

    def axis_name(self, axis: int) -> str:
        """Name for display: the layer's own, or the number of the axis."""
        return self.axes[axis] or f"axis {axis}"

    def plane(self, index: Sequence[int]) -> NDArray[Any]:
        """One image (H, W) or (H, W, C) at an index on all leading axes, computed if it is lazy."""
        return np.asarray(self.data[tuple(index)])

    def planes(self) -> Iterator[tuple[int, ...]]:
        """Indices of all images, the last leading axis fastest."""
        return product(*(range(n) for n in self.shape[:-2]))

    def spatial(self, axes: Sequence[int] | None = None) -> dict[str, Any]:
        """Keyword arguments that put a result with these axes of the source where the source lies."""
        kept = list(range(self.ndim) if axes is None else axes)
        t = self.transforms
        return {
            "scale": t["scale"][kept],
            "translate": t["translate"][kept],
            "rotate": t["rotate"][np.ix_(kept, kept)],
            "shear": _part_of_shear(t["shear"], self.ndim, kept),
            "affine": t["affine"].set_slice(kept),
            "units": tuple(t["units"][a] for a in kept),
            "axis_labels": tuple(t["axis_labels"][a] for a in kept),
        }

    def without(self, collapsed: Iterable[int]) -> Layout:
        """Where results lie that no longer have some of the leading axes.

        napari pairs the axes of layers from the last one on. A collapsed axis in front is therefore left
        out; one behind a kept axis stays with length 1, stretched over the source, so that the result
        shows wherever that slider stands and all other sliders still fit.
        """
        gone = set(collapsed)
        first = next(a for a in range(self.ndim) if a not in gone)
        kept = list(range(first, self.ndim))
        spatial = self.spatial(kept)
        shape = [1 if a in gone else self.shape[a] for a in kept]
        scale, translate = spatial["scale"].copy(), spatial["translate"].copy()
        for row, axis in enumerate(kept):
            if axis in gone:
                translate[row] += scale[row] * (self.shape[axis] - 1) / 2
                scale[row] *= self.shape[axis]
        return Layout(tuple(kept), tuple(shape), gone, {**spatial, "scale": scale, "translate": translate})

    def stacked(self, count: int) -> Layout:
        """Where several images of this place lie as slices of one stack; the new axis counts slices."""
        spatial = self.spatial()
        rotate, shear = np.eye(self.ndim + 1), np.zeros((self.ndim + 1, self.ndim + 1))
        rotate[1:, 1:] = spatial["rotate"]
        shear[np.triu_indices(self.ndim + 1, 1)] = 0
        inner = spatial["shear"]
        rows, columns = np.triu_indices(self.ndim, 1)
        shear[rows + 1, columns + 1] = inner if inner.ndim == 1 else inner[rows, columns]
        return Layout(
            tuple(range(self.ndim + 1)),
            (count, *self.shape),
            set(),
            {
                "scale": np.r_[1.0, spatial["scale"]],
                "translate": np.r_[0.0, spatial["translate"]],
                "rotate": rotate,
                "shear": shear[np.triu_indices(self.ndim + 1, 1)],
                "affine": spatial["affine"].expand_dims([0]),
                "units": ("pixel", *spatial["units"]),
                "axis_labels": ("slice", *spatial["axis_labels"]),
            },
        )

    def coordinate(self, axis: int, position: NDArray[Any] | float) -> NDArray[Any]:
        """World coordinate along an axis, in its unit, of a position counted in slices."""
        t = self.transforms
        return np.asarray(position) * t["scale"][axis] + t["translate"][axis]

    def place(self, axis: int, coordinate: NDArray[Any]) -> NDArray[Any]:
        """Position counted in slices along an axis of a world coordinate: `coordinate` the other way round."""
        t = self.transforms
        return np.asarray((coordinate - t["translate"][axis]) / t["scale"][axis])

    def unit(self, axis: int) -> str:
        """Unit of an axis in short: "µm", "px"."""
        return {"pixel": "px", "pix": "px"}.get(unit := short_unit(self.transforms["units"][axis]), unit)


@dataclass(frozen=True)
class Layout:
    """Axes, shape and place of a result that has lost some of its source's leading axes.

    Attributes
    ----------
    axes : tuple of int
        Axes of the source that the result still has, collapsed ones with length 1 among them.
    shape : tuple of int
        Lengths of these axes.
    collapsed : set of int
        Axes of the source that are gone or of length 1.
    spatial : dict
        As from `Source.spatial`.
    """

    axes: tuple[int, ...]
    shape: tuple[int, ...]
    collapsed: set[int]
    spatial: dict[str, Any] = field(repr=False)

    def at(self, where: Mapping[int, int]) -> tuple[int, ...]:
        """Index of one image of the result, given the index on each leading axis of the source."""
        return tuple(0 if axis in self.collapsed else where[axis] for axis in self.axes[:-2])

    def shifted(self, offset: tuple[float, float]) -> Layout:
        """The same for a result that starts at this row and column of the source."""
        if offset == (0, 0):
            return self
        from napari.utils.transforms import Affine

        own = {k: self.spatial[k] for k in ("scale", "translate", "rotate", "shear")}
        first = np.zeros(len(self.axes))
        first[-2:] = offset
        return replace(self, spatial={**self.spatial, "translate": np.asarray(Affine(**own)(first))})

    def resized(self, axis: int, length: int) -> Layout:
        """The same with another number of indices along an axis of the source."""
        shape = [length if a == axis else n for a, n in zip(self.axes, self.shape, strict=True)]
        return replace(self, shape=tuple(shape))


def _part_of_shear(shear: NDArray[Any], ndim: int, kept: list[int]) -> NDArray[Any]:
    if shear.ndim == 2:
        return shear[np.ix_(kept, kept)]
    full = np.zeros((ndim, ndim))
    full[np.triu_indices(ndim, 1)] = shear
    return full[np.ix_(kept, kept)][np.triu_indices(len(kept), 1)]


def identity(layer: Layer) -> str:
    """A text that stays with a layer for its life, whatever its name."""
    return str(layer.unique_id)


def is_image(layer: Layer) -> bool:
    """Whether a layer can be an input: an Image of at least two axes that this plugin did not make as a map."""
    from napari.layers import Image

    return isinstance(layer, Image) and layer.ndim >= 2 and role_of(layer) in ("", "fused", "sharpened", "shallow")


def is_picture(layer: Layer) -> bool:
    """Whether a layer is a picture that this plugin made, not a map; previews of one slice among them."""
    return role_of(layer).removesuffix(" preview") in ("fused", "sharpened", "shallow")


def is_labels(layer: Layer) -> bool:
    """Whether a layer holds objects that the sigma can be averaged over."""
    from napari.layers import Labels

    return isinstance(layer, Labels) and role_of(layer) == ""


def role_of(layer: Layer) -> str:
    """What a layer is among this plugin's results; empty for all others."""
    return str(made_by(layer).get("role", ""))


def made_by(layer: Layer) -> Mapping[str, Any]:
    """What made a layer: role, source, operation, arguments, versions; empty for foreign layers."""
    found = layer.metadata.get(KEY, {})
    return found if isinstance(found, Mapping) else {}


def is_map_of(layer: Layer, image: Layer | None, others: Iterable[Layer] = ()) -> bool:
    """Whether a layer is the defocus map of an image, in pixels: made from it, or from what it was made from.

    Parameters
    ----------
    layer, image : Layer
    others : iterable of Layer
        All that are open. A map that was read from a file names an image of an earlier session, none of these; it
        then counts by the name of its image.
    """
    in_pixels = role_of(layer) in ("sigma", "raw")
    return image is not None and in_pixels and has_shape_of(layer, image) and comes_from(layer, image, others)


def comes_from(layer: Layer, image: Layer, others: Iterable[Layer] = ()) -> bool:
    """Whether a result was made of an image, or of what the image itself was made of; `others` as for `is_map_of`."""
    origin = str(made_by(layer).get("source_id", ""))
    if origin in (identity(image), made_by(image).get("source_id")):
        return bool(origin)
    names = (image.name, made_by(image).get("source"))
    return (
        bool(made_by(layer).get("source"))
        and made_by(layer)["source"] in names
        and all(identity(other) != origin for other in others)
    )


def has_shape_of(layer: Layer, image: Layer | None) -> bool:
    """Whether a layer is a gray image with the shape of another image, or of one plane of it."""
    from napari.layers import Image

    if image is None or not isinstance(layer, Image) or layer.rgb or identity(layer) == identity(image):
        return False
    shape = LayerSource.of(image).shape
    return LayerSource.of(layer).shape in (shape, shape[-2:])


def is_of_another(layer: Layer, index: Sequence[int]) -> bool:
    """Whether a result of two axes was made of one image of a deeper layer, and this is the index of another."""
    made = made_by(layer).get("arguments", {}).get("image")
    return layer.ndim == 2 and bool(made) and len(made) == len(index) and list(made) != list(index)


def position(layer: Layer, point: Sequence[float]) -> tuple[int, ...]:
    """Index on the leading axes of a layer of the image that the viewer's sliders show."""
    # A layer of fewer axes than the viewer is shown along the last ones.
    here = layer.world_to_data(tuple(point)[-layer.ndim :])
    shape = LayerSource.of(layer).shape
    return tuple(int(np.clip(round(float(x)), 0, n - 1)) for x, n in zip(here[:-2], shape[:-2], strict=True))


def value_at(layer: Layer, world: Sequence[float]) -> float | None:
    """Value of a map under a point of the world, None outside."""
    here = layer.world_to_data(tuple(world)[-layer.ndim :])
    source = LayerSource.of(layer)
    index = tuple(round(float(x)) for x in here)
    if any(not 0 <= i < n for i, n in zip(index, source.shape, strict=True)):
        return None
    return float(np.asarray(source.data[index]))


@dataclass
class Result:
    """A layer to be: what it is, its data, where it lies and how it shows on creation.

    Attributes
    ----------
    role : str
        What it is among the results of a run; a second run updates the layer with the same role.
    title : str
        Ending of the layer's name.
    data : array or tuple
        As the layer type takes it.
    spatial : dict
        From `Source.spatial`.
    kind : {"image", "labels", "surface"}
    show : dict
        Display settings, used only when the layer is made.
    about : dict
        Further entries for the layer's metadata.
    """

    role: str
    title: str
    data: Any
    spatial: dict[str, Any]
    kind: str = "image"
    show: dict[str, Any] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)


def provenance(
    source: LayerSource, operation: str, arguments: Mapping[str, Any], place: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Plain values that say what made a result, for ``layer.metadata``."""
    return {
        "source": source.name,
        "source_id": source.identity,
        "source_path": source.path,
        "run": uuid.uuid4().hex,
        "operation": operation,
        "arguments": dict(arguments),
        "place": dict(place or {}),
        "versions": dict(_versions()),
    }


def place_of(layer: Layer) -> dict[str, int]:
    """Index on each further axis of its source, by name, where a result is of one position of several."""
    found = made_by(layer).get("place", {})
    return dict(found) if isinstance(found, Mapping) else {}


def name_of(made: Mapping[str, Any], title: str) -> str:
    """What a result is called: its source, what it is, and of which position where there are several."""
    place = ", ".join(f"{axis} = {number}" for axis, number in made.get("place", {}).items())
    return f"{made['source']} {title}" + (f" ({place})" if place else "")


@cache
def _versions() -> Mapping[str, str]:
    versions = {}
    for package in ("napari-defocus", "napari", "torch", "numpy"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "unknown"
    return versions


def find(viewer: Viewer, role: str, source_id: str) -> Layer | None:
    """The newest layer that plays a role for a source."""
    for layer in reversed(list(viewer.layers)):
        made = made_by(layer)
        if made.get("role") == role and made.get("source_id") == source_id:
            return layer
    return None
