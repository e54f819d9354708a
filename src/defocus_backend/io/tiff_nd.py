"""Planes, axes and calibration of TIFF files: OME-TIFF, ImageJ's and any other series of pages."""

from __future__ import annotations

import contextlib
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from defocus_backend.errors import FileError, InputError
from defocus_backend.io.picture import unreadable
from defocus_backend.io.tiff import check_complete, page_pixels, tiff_metadata
from defocus_backend.io.volumes import Calibration, Channel, Colour, ImageND

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries

_RENAMED = {"I": "Z", "Q": "Z", "R": "P", "M": "P", "V": "P"}
"""Axes that other programs write for slices and positions, where the file has no such axis already."""

_MICRONS = ("um", "micron", "microns", "\\u00b5m", "μm")
_PIXELS = ("pixel", "pixels", "")


class TiffPlanes:
    """Planes of one series of a TIFF file, which stays open until this object goes."""

    def __init__(self, path: Path, series: int) -> None:
        self.path, self.series = path, series
        self._lock = threading.Lock()
        self._tiff: TiffFile | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return TiffPlanes, (self.path, self.series)

    def __call__(self, index: tuple[int, ...]) -> NDArray[Any]:
        """The plane at an index of the leading axes, upright, black at 0."""
        try:
            with self._lock:
                return self._read(self._open(), index)
        except (FileError, IndexError):
            raise
        except Exception as error:  # damaged files raise whatever their damage leads to
            raise unreadable(self.path, error) from error

    def _open(self) -> TiffFile:
        import tifffile

        if self._tiff is None:
            self._tiff = tifffile.TiffFile(self.path)
            weakref.finalize(self, self._tiff.close)
        return self._tiff

    def _read(self, tiff: TiffFile, index: tuple[int, ...]) -> NDArray[Any]:
        series = tiff.series[self.series]
        first = series.keyframe.aspage()
        axes, shape = plane_last(series.axes, series.shape)
        leading = shape[: axes.index("Y")]
        number = int(np.ravel_multi_index(index, leading)) if leading else 0
        if len(series.pages) == int(np.prod(leading)):
            page = series.pages[number]
            if page is None:
                raise FileError(f"{self.path}: plane {index} of {axes} is missing in the file")
            return page_pixels(self.path, first, page.asarray())
        # ImageJ writes the pages of a large file one after another and lists only the first.
        if series.dataoffset is None:
            raise FileError(f"{self.path}: holds its planes in one compressed block; expected one page a plane")
        dtype = np.dtype(first.dtype or np.uint8).newbyteorder(tiff.byteorder)
        count = int(np.prod(first.shape))
        values = np.fromfile(self.path, dtype, count, offset=series.dataoffset + number * count * dtype.itemsize)
        if values.size != count:
            raise FileError(f"{self.path}: cannot be read, the file ends within plane {index} of {axes}")
        return page_pixels(self.path, first, values.reshape(first.shape))


def plane_last(axes: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """Axes and shape as `page_pixels` gives planes: colour samples after the columns, a single one not at all."""
    sizes = dict(zip(axes, shape, strict=True))
    samples = "S" if sizes.get("S", 1) > 1 else ""
    moved = "".join(axis for axis in axes if axis not in "SYX") + "YX" + samples
    return moved, tuple(sizes[axis] for axis in moved)


def open_tiff(path: Path, tiff: TiffFile, scene: int | str) -> ImageND:
    """One image of an open TIFF file."""
    check_complete(path, tiff)
    several = [n for n, series in enumerate(tiff.series) if not series.keyframe.is_reduced]
    names = tuple(_scene_name(tiff.series[n], number) for number, n in enumerate(several))
    number = choose_scene(path, names, scene)
    series = tiff.series[several[number]]
    if "Y" not in series.axes or "X" not in series.axes or not all(series.shape):
        raise FileError(f"{path}: holds a series of the axes {series.axes}; expected planes (Y, X)")
    axes, shape = plane_last(series.axes, series.shape)
    planes = TiffPlanes(path, several[number])
    # Orientation and palette change a plane's size: the pixels of the first one tell.
    first = planes((0,) * axes.index("Y"))
    axes = axes[: axes.index("Y")] + ("YX" if first.ndim == 2 else "YXS")
    calibration, kind = _calibration(tiff, several[number])
    return ImageND(
        path=path,
        axes=_usual(axes),
        shape=(*shape[: axes.index("Y")], *first.shape),
        dtype=first.dtype,
        planes=planes,
        calibration=calibration,
        scene=names[number],
        scenes=names,
        format=kind,
    )


def choose_scene(path: Path, names: tuple[str, ...], scene: int | str) -> int:
    """Number of a scene given by number or name."""
    if isinstance(scene, str) and scene in names:
        return names.index(scene)
    with contextlib.suppress(ValueError):
        if 0 <= int(scene) < len(names):
            return int(scene)
    some = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    raise InputError("scene", repr(scene), f"0 to {len(names) - 1} or a name of {path.name}: {some}")


def _scene_name(series: TiffPageSeries, number: int) -> str:
    return series.name or f"Image:{number}"


def _usual(axes: str) -> str:
    """Axes in the letters of `AXES`; where two would become one, or there is no letter, as they were."""
    for letter, usual in _RENAMED.items():
        if letter in axes and usual not in axes:
            axes = axes.replace(letter, usual)
    return axes


def _calibration(tiff: TiffFile, number: int) -> tuple[Calibration, str]:
    if tiff.is_ome and tiff.ome_metadata:
        return ome_calibration(tiff.ome_metadata, number), "OME-TIFF"
    if tiff.is_imagej and tiff.imagej_metadata:
        return _imagej_calibration(tiff), "ImageJ TIFF"
    return Calibration(), "TIFF"


def ome_calibration(xml: str, number: int) -> Calibration:
    """Pixel sizes and channels of one image in OME-XML; what is missing or malformed is left out."""
    try:
        images = ElementTree.fromstring(xml.strip("\0")).findall("{*}Image")
    except ElementTree.ParseError:
        return Calibration()
    pixels = images[number].find("{*}Pixels") if number < len(images) else None
    if pixels is None:
        return Calibration()
    spacing, units = {}, {}
    for axis, attribute, unit in (
        ("T", "TimeIncrement", "s"),
        ("Z", "PhysicalSizeZ", "µm"),
        ("Y", "PhysicalSizeY", "µm"),
        ("X", "PhysicalSizeX", "µm"),
    ):
        with contextlib.suppress(TypeError, ValueError):
            size = float(pixels.get(attribute))  # type: ignore[arg-type]
            if 0 < size < np.inf:
                spacing[axis], units[axis] = size, pixels.get(f"{attribute}Unit") or unit
    channels = tuple(
        Channel(name=c.get("Name"), colour=_from_signed(c.get("Color"))) for c in pixels.findall("{*}Channel")
    )
    return Calibration(spacing=spacing, units=units, channels=channels)


def _from_signed(value: str | None) -> Colour | None:
    """OME writes a colour as RGBA in one signed number of 32 bits."""
    try:
        red, green, blue, _ = (int(value) & 0xFFFFFFFF).to_bytes(4, "big")  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return red, green, blue


def _imagej_calibration(tiff: TiffFile) -> Calibration:
    known = tiff.imagej_metadata or {}
    # ImageJ escapes the sign of the micron in its description.
    unit = str(known.get("unit") or "").strip()
    unit = "µm" if unit.lower() in _MICRONS else unit
    spacing, units = {}, {}
    if unit.lower() not in _PIXELS:
        size = {"Z": known.get("spacing")}
        resolution = tiff_metadata(tiff, tiff.pages[0].aspage()).resolution
        if resolution is not None:
            size |= {"Y": 1 / resolution[1], "X": 1 / resolution[0]}
        for axis, value in size.items():
            if isinstance(value, int | float) and 0 < abs(value) < np.inf:
                spacing[axis], units[axis] = abs(float(value)), unit
    interval = known.get("finterval")
    if isinstance(interval, int | float) and interval > 0:
        spacing, units = {"T": float(interval), **spacing}, {"T": str(known.get("tunit") or "s"), **units}
    tables = known.get("LUTs")
    channels = tuple(Channel(colour=_brightest(table)) for table in tables) if tables is not None else ()
    return Calibration(spacing=spacing, units=units, channels=channels)


def _brightest(table: NDArray[Any]) -> Colour | None:
    """The colour of the largest value of a look-up table (3, 256)."""
    table = np.asarray(table)
    if table.ndim != 2 or table.shape[0] != 3:
        return None
    red, green, blue = (int(v) for v in table[:, -1])
    return red, green, blue
