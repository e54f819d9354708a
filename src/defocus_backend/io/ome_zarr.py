"""Read and write OME-Zarr (NGFF) 0.4 and 0.5 with the library zarr, including plates and converted files."""

from __future__ import annotations

import contextlib
import math
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from defocus_backend.errors import DefocusError, FileError, InputError
from defocus_backend.io.atomic import reason
from defocus_backend.io.limits import MOST_PLANES, check_size
from defocus_backend.io.tiff_nd import choose_scene
from defocus_backend.io.units import canonical, zarr_name
from defocus_backend.io.volumes import Calibration, Channel, Colour, ImageND, Window
from defocus_backend.io.zarr_metadata import check_array

if TYPE_CHECKING:
    import zarr

_SPACE = "ZYX"
_TYPES = {"T": "time", "C": "channel", "Z": "space", "Y": "space", "X": "space"}
_CHUNK = 1024
_WHEEL = ((0, 255, 255), (255, 0, 255), (255, 255, 0), (0, 255, 0), (255, 0, 0), (0, 0, 255))
"""Default colours of channels, because the metadata for viewers needs one for each channel."""


def _library() -> Any:
    try:
        import zarr
    except ImportError as error:
        raise FileError('OME-Zarr needs the library zarr; pip install "napari-defocus[zarr]"') from error
    return zarr


class ZarrPlanes:
    """Planes of one array of a store, with the axes in the order of `ImageND`."""

    def __init__(self, path: Path, array: str, turned: tuple[int, ...], leading: int) -> None:
        self.path, self.array, self.turned, self.leading = path, array, turned, leading
        self._lock = threading.Lock()
        self._opened: zarr.Array[Any] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return ZarrPlanes, (self.path, self.array, self.turned, self.leading)

    def __call__(self, index: tuple[int, ...]) -> NDArray[Any]:
        """The plane at an index of the leading axes."""
        where: list[int | slice] = [slice(None)] * len(self.turned)
        for number, axis in zip(index, self.turned[: self.leading], strict=True):
            where[axis] = number
        left = [axis for axis in range(len(self.turned)) if isinstance(where[axis], slice)]
        order = [left.index(axis) for axis in self.turned[self.leading :]]
        try:
            with self._lock:
                if self._opened is None:
                    self._opened = _open_array(self.path, self.array)
            return np.asarray(self._opened[tuple(where)]).transpose(order)
        except Exception as error:  # codecs and file systems can raise any exception
            raise _unreadable(self.path, error) from error


def _open_array(path: Path, inside: str) -> zarr.Array[Any]:
    """Open an array of a store after its metadata were checked. Arrays are only opened here."""
    check_array(path, inside)
    array = _library().open_array(str(path / inside), mode="r")
    chunk = sorted(array.chunks)
    if len(chunk) > 1:
        # Missing chunks count as zeros, so a store can be far smaller than its arrays.
        check_size(path, [*chunk[-2:], math.prod(chunk[:-2])], array.dtype, stored=2**62)
    return cast("zarr.Array[Any]", array)


def _unreadable(path: Path, error: Exception) -> DefocusError:
    if isinstance(error, FileError | InputError):
        return error
    return FileError(f"{path}: cannot be read, damaged or not OME-Zarr ({reason(error)})")


def open_zarr(path: Path, scene: int | str) -> ImageND:
    """Open one image of an OME-Zarr folder: the only one, a field of a plate, or an image of a converted file."""
    zarr = _library()
    try:
        # Consolidated metadata is not used, because it may differ from the metadata of the arrays.
        group = zarr.open_group(str(path), mode="r", use_consolidated=False)
        scenes = _scenes(group)
        if not scenes:
            raise FileError(f"{path}: contains no image in OME-Zarr 0.4 or 0.5 (no multiscales)")
        number = choose_scene(path, scenes, scene)
        inner = group[scenes[number]] if scenes[number] else group
        return _image(path, inner, scenes[number], scenes)
    except (FileError, InputError):
        raise
    except Exception as error:
        raise _unreadable(path, error) from error


def _described(group: Any) -> tuple[dict[str, Any], str]:
    """OME part of a group's attributes, and its version."""
    attributes = dict(group.attrs)
    if isinstance(attributes.get("ome"), dict):
        return attributes["ome"], str(attributes["ome"].get("version", "0.5"))
    return attributes, "0.4"


def _scenes(group: Any) -> tuple[str, ...]:
    found, _ = _described(group)
    if found.get("multiscales"):
        return ("",)
    if "plate" in found:
        names = []
        for well in found["plate"].get("wells", []):
            fields, _ = _described(group[well["path"]])
            names += [f"{well['path']}/{image['path']}" for image in fields.get("well", {}).get("images", [])]
        return tuple(names)
    # bioformats2raw numbers the images of a file as 0, 1, 2, ...
    numbered = sorted(int(name) for name in group.group_keys() if name.isdigit())
    return tuple(str(n) for n in numbered if _described(group[str(n)])[0].get("multiscales"))


def _image(path: Path, group: Any, scene: str, scenes: tuple[str, ...]) -> ImageND:
    found, version = _described(group)
    multiscale = found["multiscales"][0]
    finest = multiscale["datasets"][0]
    inside = "/".join(part for part in (scene, str(finest["path"])) if part)
    array = _open_array(path, inside)
    axes = [a if isinstance(a, dict) else {"name": a} for a in multiscale["axes"]]
    letters = _letters(path, axes)
    if len(letters) != array.ndim or "Y" not in letters or "X" not in letters:
        raise FileError(f"{path}: names the axes {letters} for {array.ndim} dimensions; expected Y and X among them")
    order = "".join(a for a in letters if a not in "YX") + "YX"
    turned = tuple(letters.index(a) for a in order)
    shape = tuple(int(array.shape[n]) for n in turned)
    if math.prod(shape[:-2]) > MOST_PLANES:
        raise FileError(f"{path}: claims {math.prod(shape[:-2])} planes; expected at most {MOST_PLANES}")
    check_size(path, shape[-2:], array.dtype, stored=2**62)
    scales, origins = [1.0] * len(letters), [0.0] * len(letters)
    # Transformations of the finest level come first, then those of the whole image.
    for transformations in (finest.get("coordinateTransformations"), multiscale.get("coordinateTransformations")):
        for transformation in transformations or ():
            if transformation.get("type") == "scale" and len(transformation.get("scale", ())) == len(letters):
                factors = [float(factor) for factor in transformation["scale"]]
                scales = [a * b for a, b in zip(scales, factors, strict=True)]
                origins = [a * b for a, b in zip(origins, factors, strict=True)]
            elif len(transformation.get("translation", ())) == len(letters):
                origins = [a + float(b) for a, b in zip(origins, transformation["translation"], strict=True)]
    if not all(math.isfinite(v) for v in (*scales, *origins)):
        raise FileError(f"{path}: has a scale or a translation that is not finite")
    spacing, units = {}, {}
    for axis, letter, scale in zip(axes, letters, scales, strict=True):
        # Writers use a scale of 1 without a unit if the scale is unknown.
        if letter != "C" and scale and (axis.get("unit") or scale != 1):
            spacing[letter] = scale
            units[letter] = canonical(str(axis.get("unit") or ""))
    return ImageND(
        path=path,
        axes=order,
        shape=shape,
        dtype=np.dtype(array.dtype),
        planes=ZarrPlanes(path, inside, turned, len(letters) - 2),
        calibration=Calibration(
            spacing=spacing,
            units=units,
            channels=_channels(found.get("omero"), array.dtype),
            origin={a: v for a, v in zip(letters, origins, strict=True) if v and a != "C"},
        ),
        scene=scene,
        scenes=scenes,
        format=f"OME-Zarr {version}",
    )


def _letters(path: Path, axes: list[dict[str, Any]]) -> str:
    """Letter of every axis: from its type and the first letter of its name, or from its place among the space axes.

    The specification does not fix the names; space axes are in the order z, y, x.
    """
    letters: list[str] = []
    for axis in axes:
        allowed = "".join(a for a, kind in _TYPES.items() if axis.get("type") == kind) or "".join(_TYPES)
        initial = str(axis["name"])[:1].upper()
        if initial and initial in allowed:
            letters.append(initial)
        else:
            letters.append(allowed if len(allowed) == 1 else "?")
    free = [a for a in _SPACE if a not in letters]
    for number in reversed(range(len(axes))):
        if letters[number] == "?" and axes[number].get("type") == "space" and free:
            letters[number] = free.pop()
    if "?" in letters:
        raise FileError(f"{path}: has an axis {axes[letters.index('?')]['name']!r}; expected t, c, z, y or x")
    if len(set(letters)) < len(letters):
        names = ", ".join(str(axis["name"]) for axis in axes)
        raise FileError(f"{path}: has the axes {names}; expected t, c, z, y and x once at most")
    return "".join(letters)


def _channels(omero: Any, dtype: np.dtype[Any]) -> tuple[Channel, ...]:
    listed = omero.get("channels") if isinstance(omero, dict) else None
    if not isinstance(listed, list):
        return ()
    return tuple(
        Channel(
            name=None if c.get("label") is None else str(c["label"]),
            colour=_from_hex(c.get("color")),
            window=_window(c.get("window"), dtype),
            shown=c.get("active") is not False,
        )
        for c in listed
        if isinstance(c, dict)
    )


def _window(window: Any, dtype: np.dtype[Any]) -> Window | None:
    """Display range of a channel; None for the full range, which `create_zarr` writes by default."""
    with contextlib.suppress(TypeError, ValueError, KeyError):
        least, most, start, end = (float(window[key]) for key in ("min", "max", "start", "end"))
        found = (least, most, start, end)
        if all(map(math.isfinite, found)) and found != (0.0, _largest(dtype), 0.0, _largest(dtype)):
            return found
    return None


def _from_hex(value: Any) -> Colour | None:
    with contextlib.suppress(ValueError, TypeError):
        red, green, blue = bytes.fromhex(str(value))
        return red, green, blue
    return None


def is_store(path: Path) -> bool:
    """Whether a folder is a Zarr store, which another one may replace."""
    return any((path / name).is_file() for name in (".zgroup", "zarr.json", ".zarray"))


def create_zarr(
    path: Path,
    *,
    axes: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    calibration: Calibration,
    name: str,
    version: str = "0.5",
) -> zarr.Array[Any]:
    """Create a store with one image of zeros, to be written plane by plane.

    Parameters
    ----------
    path : Path
        A folder that does not exist.
    axes : str
        Letters of T, C, Z, Y, X, in this order.
    shape, dtype : tuple of int, numpy.dtype
        Shape and type of the array.
    calibration : Calibration
        Written as units and scale of the axes, and as names and colours of the channels.
    name : str
        Name of the image.
    version : {"0.4", "0.5"}
        Version of OME-Zarr; 0.4 uses Zarr 2, 0.5 uses Zarr 3.

    Returns
    -------
    zarr.Array

    Raises
    ------
    InputError
        For axes that OME-Zarr does not support.
    """
    if axes != "".join(a for a in _TYPES if a in axes) or len(axes) < 2:
        raise InputError("axes", repr(axes), "letters of TCZYX in this order for OME-Zarr")
    described = [{"name": a.lower(), "type": _TYPES[a]} for a in axes]
    for axis, letter in zip(described, axes, strict=True):
        unit = calibration.units.get(letter)
        if unit and letter != "C" and (full := zarr_name(unit)):
            axis["unit"] = full
    scale = [calibration.spacing.get(a, 1.0) for a in axes]
    transformations: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
    if any(calibration.origin.get(a) for a in axes):
        transformations.append({"type": "translation", "translation": [calibration.origin.get(a, 0.0) for a in axes]})
    multiscale = {
        "name": name,
        "axes": described,
        "datasets": [{"path": "0", "coordinateTransformations": transformations}],
    }
    content: dict[str, Any] = {"multiscales": [multiscale]}
    if calibration.channels and len(calibration.channels) == dict(zip(axes, shape, strict=True)).get("C", 1):
        content["omero"] = {"channels": _for_viewers(calibration.channels, dtype)}
    chunks = tuple(min(n, _CHUNK) if a in "YX" else 1 for a, n in zip(axes, shape, strict=True))
    format_number = 2 if version == "0.4" else 3
    group = _library().open_group(str(path), mode="w", zarr_format=format_number)
    if format_number == 2:
        multiscale["version"] = "0.4"
        group.attrs.update(content)
        # The specification requires nested chunk folders; by default Zarr 2 writes 0.0.0.
        keys: dict[str, Any] = {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
    else:
        group.attrs["ome"] = {"version": "0.5", **content}
        keys = {"dimension_names": [a.lower() for a in axes]}
    made = group.create_array("0", shape=shape, dtype=dtype, chunks=chunks, **keys)
    return cast("zarr.Array[Any]", made)


def _largest(dtype: np.dtype[Any]) -> float:
    return float(np.iinfo(dtype).max) if np.issubdtype(dtype, np.integer) else 1.0


def _for_viewers(channels: tuple[Channel, ...], dtype: np.dtype[Any]) -> list[dict[str, Any]]:
    high = _largest(dtype)
    return [
        {
            "label": channel.name or f"channel {number}",
            "color": bytes(channel.colour or _WHEEL[number % len(_WHEEL)]).hex().upper(),
            "window": dict(zip(("min", "max", "start", "end"), channel.window or (0.0, high, 0.0, high), strict=True)),
            "active": channel.shown,
        }
        for number, channel in enumerate(channels)
    ]
