"""Planes, axes and calibration of TIFF files: OME-TIFF, ImageJ's and any other series of pages."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from defocus_backend.errors import FileError, InputError, note
from defocus_backend.io.acquisition import acquisition_of, optics_of
from defocus_backend.io.tiff import tiff_metadata
from defocus_backend.io.tiff_series import TiffPlanes, images_of, present_planes
from defocus_backend.io.units import canonical
from defocus_backend.io.volumes import Calibration, Channel, Colour, ImageND

if TYPE_CHECKING:
    from tifffile import TiffFile

_RENAMED = {"I": "Z", "Q": "Z", "R": "P", "M": "P", "V": "P"}
"""Letters that other programs use for slices and positions; used if the file has no axis Z or P."""

_PIXELS = ("pixel", "pixels", "")


def open_tiff(path: Path, tiff: TiffFile, scene: int | str) -> ImageND:
    """Open one image of a TIFF file."""
    images = images_of(path, tiff)
    names = tuple(image.name for image in images)
    number = choose_scene(path, names, scene)
    image = images[number]
    planes = TiffPlanes(path, image)
    present = present_planes(tiff, image)
    if not present.any():
        raise FileError(f"{path}: has no plane of the image {image.name}; other files of its set may have them")
    # Orientation and palette change the shape of a plane, so the first plane is read to find it.
    first = planes(tuple(int(n) for n in np.argwhere(present)[0]))
    calibration, kind = _calibration(tiff, image.series)
    found = ImageND(
        path=path,
        axes=_usual(image.axes + ("YX" if first.ndim == 2 else "YXS")),
        shape=(*image.shape, *first.shape),
        dtype=first.dtype,
        planes=planes,
        calibration=calibration,
        scene=names[number],
        scenes=names,
        format=kind,
    )
    return _without_gaps(found, present)


def _without_gaps(image: ImageND, present: NDArray[np.bool_]) -> ImageND:
    """The image without indices at which planes are missing, after a stopped acquisition or a lost file."""
    if present.all():
        return image
    missing = int((~present).sum())
    kept = {axis: np.arange(n) for axis, n in zip(image.axes, present.shape, strict=False)}
    left = present
    while not left.all():
        # Drop indices without any plane first; then drop a time or position rather than a slice of all of them.
        lost = [(1 - left.mean(axis=tuple(k for k in range(left.ndim) if k != n))) for n in range(left.ndim)]
        rank = {axis: place for place, axis in enumerate("ZCPT")}
        worst = max(
            (float(share) == 1, left.shape[n] > 1, rank.get(image.axes[n], -1), float(share), n, at)
            for n, shares in enumerate(lost)
            for at, share in enumerate(shares)
            if share > 0
        )
        n, at = worst[-2:]
        kept[image.axes[n]] = np.delete(kept[image.axes[n]], at)
        left = np.delete(left, at, axis=n)
    if not left.size:
        raise FileError(f"{image.path}: {missing} of {present.size} planes are missing; no index is complete")
    said = []
    for axis, numbers in kept.items():
        if len(numbers) < image.sizes[axis]:
            gone = sorted(set(range(image.sizes[axis])) - set(numbers.tolist()))
            said.append(f"{axis} {', '.join(map(str, gone[:8]))}{', ...' if len(gone) > 8 else ''}")
            image = image.take(axis, numbers.tolist())
    note(f"{image.path}: {missing} of {present.size} planes are missing; left out: {'; '.join(said)}")
    return image


def choose_scene(path: Path, names: tuple[str, ...], scene: int | str) -> int:
    """Number of a scene given by number or name."""
    if isinstance(scene, str) and scene in names:
        return names.index(scene)
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        if 0 <= int(scene) < len(names):
            return int(scene)
    some = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    raise InputError("scene", repr(scene), f"0 to {len(names) - 1} or a name of {path.name}: {some}")


def _usual(axes: str) -> str:
    """Axes in the letters of `AXES`; unchanged if two would get the same letter or there is none."""
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
    """Pixel sizes and channels of one image in OME-XML; missing or malformed values are left out."""
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
            if -np.inf < size < 0:
                note(f"OME-XML has the {attribute} {size:g}, which is negative; taken as {-size:g}")
                size = -size
            if 0 < size < np.inf:
                spacing[axis], units[axis] = size, canonical(pixels.get(f"{attribute}Unit") or unit)
    channels = tuple(
        Channel(name=c.get("Name"), colour=_from_signed(c.get("Color")), optics=optics_of(c))
        for c in pixels.findall("{*}Channel")
    )
    return Calibration(
        spacing=spacing, units=units, channels=channels, acquisition=acquisition_of(images[number], pixels)
    )


def _from_signed(value: str | None) -> Colour | None:
    """Colour from the signed 32-bit RGBA number of OME."""
    try:
        red, green, blue, _ = (int(value) & 0xFFFFFFFF).to_bytes(4, "big")  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return red, green, blue


def _imagej_calibration(tiff: TiffFile) -> Calibration:
    known = tiff.imagej_metadata or {}
    unit = canonical(str(known.get("unit") or ""))
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
        spacing, units = {"T": float(interval), **spacing}, {"T": canonical(str(known.get("tunit") or "s")), **units}
    tables = known.get("LUTs")
    channels = tuple(Channel(colour=_brightest(table)) for table in tables) if tables is not None else ()
    return Calibration(spacing=spacing, units=units, channels=channels)


def _brightest(table: NDArray[Any]) -> Colour | None:
    """Colour of the largest value of a look-up table (3, 256)."""
    table = np.asarray(table)
    if table.ndim != 2 or table.shape[0] != 3:
        return None
    red, green, blue = (int(v) for v in table[:, -1])
    return red, green, blue
