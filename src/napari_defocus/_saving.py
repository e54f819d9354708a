"""Results into files and back: layers as OME-TIFF or OME-Zarr in one folder, surfaces as meshes, one JSON for the rest.

A folder that ends in ``.defocus`` holds the layers and ``results.json``, which says what each file is, where it lies
and what made it. Every file in it can be opened without this plugin.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from defocus_backend.errors import FileError, InputError
from defocus_backend.io import Calibration, open_nd, write_image, write_nd, write_whole
from defocus_backend.io import read_image as load_picture
from napari_defocus._layers import KEY
from napari_defocus._units import short_unit

if TYPE_CHECKING:
    from napari.layers import Layer

SUFFIX = ".defocus"
LIST = "results.json"
FORMAT = "napari-defocus results 1"
PICTURES = (".png", ".jpg", ".jpeg")
ARRAYS = ("automatic", "original")
"""Entries of a layer's metadata that are images of their own."""
_SPATIAL = ("scale", "translate", "rotate", "shear")
_SHOWN = ("visible", "opacity", "blending", "colormap", "contrast_limits", "gamma")

LayerData = tuple[Any, dict[str, Any], str]


def save_results(path: Path, layers: Sequence[Layer], *, zarr: bool = False) -> list[Path]:
    """Write layers into a folder; raise `DefocusError` where that fails.

    Parameters
    ----------
    path : Path
        Gets the ending ``.defocus`` if it has another.
    layers : sequence of Layer
    zarr : bool
        Write OME-Zarr in place of OME-TIFF.
    """
    folder = path if path.name.endswith(SUFFIX) else path.with_name(path.name + SUFFIX)
    if not layers:
        raise InputError("layers", "none", "results of this plugin")
    written = write_layers(folder, [layer.as_layer_data_tuple() for layer in layers], zarr=zarr)
    return [*(_write_picture(folder, layer) for layer in layers if _is_picture(layer)), *written]


def _is_picture(layer: Layer) -> bool:
    """Whether a layer is a picture that was made from a picture in a file."""
    about = layer.metadata.get(KEY, {})
    path = Path(about.get("source_path") or "")
    flat = layer.ndim == 2 and about.get("role") in ("fused", "sharpened", "shallow")
    return flat and path.suffix.lower() in PICTURES and path.is_file()


def _write_picture(folder: Path, layer: Layer) -> Path:
    """Write such a picture as the one that it was made from: its format, EXIF and colour profile."""
    about = layer.metadata[KEY]
    path = Path(about["source_path"])
    target = folder / f"{path.stem}_{about['role']}{path.suffix.lower()}"
    write_image(target, np.asarray(layer.data), like=load_picture(path))
    return target


def write_layers(folder: Path, layers: Sequence[LayerData], *, zarr: bool = False) -> list[Path]:
    """Write layers of any kind into a folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{folder}: cannot be made ({error})") from error
    taken: set[str] = set()
    entries, written = [], []
    for data, meta, kind in layers:
        about = dict(meta.get("metadata", {}).get(KEY, {}))
        stem = _stem(str(about.get("role") or meta.get("name", kind)), taken)
        arrays = {name: about.pop(name) for name in ARRAYS if about.get(name) is not None}
        file = stem + (".ply" if kind == "surface" else ".ome.zarr" if zarr else ".ome.tif")
        if kind == "surface":
            write_surface(str(folder / file), data, meta)
        else:
            write_plain(str(folder / file), data, meta)
        written.append(folder / file)
        for name, values in arrays.items():
            extra = f"{stem}-{name}" + (".ome.zarr" if zarr else ".ome.tif")
            write_plain(str(folder / extra), values, meta)
            about[name] = extra
            written.append(folder / extra)
        entries.append({"file": file, "kind": kind, "name": meta.get("name"), "made": about, **_place_of(meta)})
        entries[-1]["shown"] = {k: _plain(meta[k]) for k in _SHOWN if k in meta} | {"rgb": bool(meta.get("rgb"))}
    text = json.dumps({"format": FORMAT, "layers": entries}, indent=1, default=_plain)
    write_whole(folder / LIST, text.encode())
    return [*written, folder / LIST]


def write_many(path: str, layers: Sequence[LayerData]) -> list[str]:
    """Writer of npe2 for several layers, whatever their kinds."""
    folder = Path(path)
    folder = folder if folder.name.endswith(SUFFIX) else folder.with_name(folder.name + SUFFIX)
    return [str(p) for p in write_layers(folder, layers)]


def write_plain(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Writer of npe2 for one image or labels layer: OME-TIFF or OME-Zarr with its pixel size."""
    values = data[0] if meta.get("multiscale") else data
    values = values if hasattr(values, "dtype") else np.asarray(values)
    rgb = bool(meta.get("rgb"))
    axes = _letters(meta, values.ndim - rgb) + ("S" if rgb else "")
    stored = values.astype(np.uint8) if values.dtype == bool else values
    if stored.dtype == np.int64:
        stored = stored.astype(np.int32)
    write_nd(path, stored, axes=axes, calibration=_calibration(meta, axes))
    return [path]


def write_surface(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Writer of npe2 for a surface: PLY or OBJ, in the units of the layer, with its texture's colours."""
    from defocus_backend.io.atomic import WholeFiles
    from defocus_backend.io.mesh import Mesh, encode_mesh

    vertices, faces = np.asarray(data[0], np.float64), np.asarray(data[1], np.int32)
    about = meta.get("metadata", {}).get(KEY, {})
    scale = np.asarray(about.get("true_scale", meta.get("scale", np.ones(3))), float)
    placed = vertices[:, ::-1] * scale[::-1]
    # Upwards in the picture is where its rows come from.
    placed[:, 1] = placed[:, 1].max() - placed[:, 1] if len(placed) else placed[:, 1]
    texture, places = meta.get("texture"), meta.get("texcoords")
    if texture is None or places is None:
        texture, places = np.full((1, 1), 0.7, np.float32), np.zeros((len(vertices), 2))
    pixels = np.clip(np.asarray(texture, float) * 255, 0, 255).astype(np.uint8)
    height, width = pixels.shape[:2]
    rows = np.clip(((1 - places[:, 1]) * height).astype(int), 0, height - 1)
    columns = np.clip((places[:, 0] * width).astype(int), 0, width - 1)
    colours = pixels[rows, columns]
    colours = np.repeat(colours[:, None], 3, 1) if colours.ndim == 1 else colours[:, :3]
    # Seen from above, with the rows turned over, the other way round.
    faces = np.ascontiguousarray(faces[:, ::-1])
    mesh = Mesh(placed.astype(np.float32), faces, np.asarray(places, np.float32), np.ascontiguousarray(colours))
    with WholeFiles() as files:
        for target, content in encode_mesh(Path(path), mesh, pixels).items():
            files.stage(target).write_bytes(content)
    return [path]


def get_reader(path: str | list[str]) -> Callable[[Any], list[LayerData]] | None:
    """Reader of npe2: folders that `save_results` wrote, OME-TIFF and OME-Zarr with their pixel size."""
    if isinstance(path, list):
        return None
    if Path(path).name.endswith(SUFFIX):
        return read_results if (Path(path) / LIST).is_file() else None
    return read_image


def read_results(path: str | Path) -> list[LayerData]:
    """The layers of a folder that `save_results` wrote."""
    folder = Path(path)
    try:
        held = json.loads((folder / LIST).read_text(encoding="utf-8"))
        if held["format"] != FORMAT:
            raise ValueError(f"format {held['format']!r}")
        # A mesh is for other programs; the height that it was made from is among the layers.
        return [_read_entry(folder, entry) for entry in held["layers"] if entry["kind"] != "surface"]
    except (OSError, ValueError, KeyError) as error:
        raise FileError(f"{folder}: these results cannot be read ({error})") from error


def _read_entry(folder: Path, entry: dict[str, Any]) -> LayerData:
    from napari.utils.transforms import Affine

    made = dict(entry["made"])
    for name in ARRAYS:
        if isinstance(made.get(name), str):
            made[name] = _pixels(folder / made[name], False)
    meta: dict[str, Any] = {"name": entry["name"], "metadata": {KEY: made} if made else {}}
    meta |= {k: np.asarray(entry[k], float) for k in _SPATIAL if k in entry}
    if "affine" in entry:
        meta["affine"] = Affine(affine_matrix=np.asarray(entry["affine"], float))
    meta |= {k: tuple(entry[k]) for k in ("units", "axis_labels") if k in entry}
    shown = dict(entry["shown"])
    rgb = shown.pop("rgb", False)
    data = _pixels(folder / entry["file"], rgb)
    if entry["kind"] == "labels":
        meta |= {k: shown[k] for k in ("visible", "opacity", "blending") if k in shown}
        meta |= _labels_look(made)
        return data, meta, "labels"
    meta |= {k: v for k, v in shown.items() if not (rgb and k in ("colormap", "contrast_limits", "gamma"))}
    return data, {**meta, "rgb": rgb}, "image"


def _labels_look(made: Mapping[str, Any]) -> dict[str, Any]:
    from napari_defocus._fusion_layers import never_layer, slice_colormap

    if made.get("role") == "index" and "choice" in made:
        return {"colormap": slice_colormap(int(made["choice"]["total"]))}
    if made.get("role") == "never":
        return {"colormap": never_layer(np.zeros((1, 1), np.uint8), {}).show["colormap"]}
    return {}


def read_image(path: str | Path) -> list[LayerData]:
    """One image with its pixel size, units, axes and channel names; slices are read when they are shown."""
    image = open_nd(path)
    rgb = image.axes.endswith("S")
    axes = image.axes.removesuffix("S")
    known = image.calibration
    meta: dict[str, Any] = {
        "name": image.name,
        "rgb": rgb,
        "scale": [known.spacing.get(a, 1.0) for a in axes],
        "axis_labels": tuple(a.lower() for a in axes),
        "units": tuple(_unit(known.units.get(a)) for a in axes),
    }
    lazy = image.leading and np.prod(image.shape) * image.dtype.itemsize > 1 << 28
    return [(image.to_dask() if lazy else np.asarray(image), meta, "image")]


def _unit(name: str | None) -> str:
    return "pixel" if not name else {"µm": "um"}.get(name, name)


def _pixels(path: Path, rgb: bool) -> NDArray[Any]:
    image = open_nd(path)
    values = np.asarray(image)
    if rgb and not image.axes.endswith("S"):  # a store has channels in the place of colours
        values = np.moveaxis(values, image.axes.index("C"), -1)
    return values


def _letters(meta: Mapping[str, Any], ndim: int) -> str:
    """A letter for each axis: that of its name, else one that is free."""
    if ndim < 2:
        raise InputError("layer", f"{ndim} axis", "at least two")
    labels = [str(label).lower() for label in meta.get("axis_labels", ())][:ndim]
    names = {"z": "Z", "c": "C", "channel": "C", "t": "T", "time": "T", "slice": "Z"}
    leading = [names.get(label, "") for label in (labels or [""] * ndim)[: ndim - 2]]
    leading = [x if leading.index(x) == n else "" for n, x in enumerate(leading)]
    free = [x for x in "ZCT" if x not in leading]
    if leading.count("") > len(free):
        raise InputError("layer", f"{ndim} axes", "at most T, C, Z, Y and X")
    return "".join(x or free.pop(0) for x in leading) + "YX"


def _calibration(meta: Mapping[str, Any], axes: str) -> Calibration:
    spatial = axes.removesuffix("S")
    scale = [float(s) for s in meta.get("scale", ())]
    units = [short_unit(u) for u in meta.get("units", ())]
    spacing = {a: abs(s) for a, s in zip(spatial, scale, strict=False) if s and a in "TZYX"}
    named = {a: {"um": "µm"}.get(u, u) for a, u in zip(spatial, units, strict=False)}
    named = {a: u for a, u in named.items() if a in spacing and u not in ("pixel", "px", "pix", "")}
    return Calibration(spacing={a: s for a, s in spacing.items() if a in named or s != 1}, units=named)


def _place_of(meta: Mapping[str, Any]) -> dict[str, Any]:
    place: dict[str, Any] = {k: np.asarray(meta[k]).tolist() for k in _SPATIAL if k in meta}
    affine = meta.get("affine")
    if affine is not None:
        place["affine"] = np.asarray(getattr(affine, "affine_matrix", affine)).tolist()
    place["units"] = [short_unit(u) for u in meta.get("units", ())]
    place["axis_labels"] = list(meta.get("axis_labels", ()))
    return place


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping) and "name" in value:  # a colormap of napari
        return value["name"]
    if hasattr(value, "name"):
        return str(value.name)
    return value if isinstance(value, str | int | float | bool | list | tuple | None) else str(value)


def _stem(name: str, taken: set[str]) -> str:
    plain = "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-") or "layer"
    plain = {"index": "decision-map"}.get(plain, plain)
    stem, number = plain, 2
    while stem in taken:
        stem, number = f"{plain}-{number}", number + 1
    taken.add(stem)
    return stem
