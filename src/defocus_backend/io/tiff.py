"""TIFF files: opening, checks and metadata. All TIFF files are opened here."""

from __future__ import annotations

import html
import math
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar
from xml.etree import ElementTree

from defocus_backend.errors import DefocusError, FileError, note
from defocus_backend.io.exif import exif_of_tiff
from defocus_backend.io.limits import MOST_PLANES
from defocus_backend.io.picture import Metadata, unreadable
from defocus_backend.io.units import canonical, microns

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

T = TypeVar("T")

_UNITS = {1: "", 2: "inch", 3: "cm"}


def read_tiff(path: Path, choose: Callable[[Path, TiffFile], T]) -> T:
    """Open a TIFF file and pass it to a function; every failure becomes a `FileError`."""
    try:
        with open_file(path) as tiff:
            return choose(path, tiff)
    except DefocusError:
        raise
    except Exception as error:  # damaged files can raise any exception
        raise unreadable(path, error) from error


def open_file(path: Path) -> TiffFile:
    """Open a TIFF file; the caller closes it. A damaged file can raise any exception."""
    import tifffile

    check_chain(path)
    tiff = tifffile.TiffFile(path)
    try:
        check_ome(path, tiff)
    except BaseException:
        tiff.close()
        raise
    return tiff


def check_chain(path: Path) -> None:
    """Check the list of pages of a TIFF file before any library follows it.

    Raises
    ------
    FileError
        If the list returns to an earlier page, because libraries would follow it for ever; or if it points behind the
        end of the file, because libraries would take this for the end of the list.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        if order is None or len(head) < 8:
            return  # not a TIFF; the library that reads it reports this
        big = struct.unpack(f"{order}H", head[2:4]) == (43,)
        count, pointer, entry = ("Q", "Q", 20) if big else ("H", "I", 12)
        if big and len(head) < 16:
            return
        (place,) = struct.unpack_from(f"{order}{pointer}", head, 8 if big else 4)
        passed: dict[int, int] = {}
        while place:
            if place in passed:
                number, back = len(passed) - 1, passed[place]
                raise FileError(f"{path}: cannot be read, page {number} is followed by page {back}, in a loop")
            entries = _number(file, size, place, order + count)
            at = None if entries is None else place + struct.calcsize(order + count) + entries * entry
            following = None if at is None else _number(file, size, at, order + pointer)
            if following is None:
                where = f"after page {len(passed)}, further pages are missing" if passed else "before its first page"
                raise FileError(f"{path}: cannot be read, the file ends {where}")
            passed[place] = len(passed)
            place = following


def _number(file: BinaryIO, size: int, place: int, kind: str) -> int | None:
    """Number at a position in a file; None behind the end of the file."""
    if place + struct.calcsize(kind) > size:
        return None
    file.seek(place)
    return int(struct.unpack(kind, file.read(struct.calcsize(kind)))[0])


def check_ome(path: Path, tiff: TiffFile) -> None:
    """Check the claims of OME-XML before a library relies on them.

    Raises
    ------
    FileError
        If it states too many planes, or names files outside the folder of this file.
    """
    xml = tiff.ome_metadata
    if not xml:
        return
    try:
        root = ElementTree.fromstring(xml.strip("\0"))
    except ElementTree.ParseError as error:
        note(f"{path}: its OME-XML is damaged ({error}); the pages are read without axes and pixel sizes")
        return
    names = {str(uuid.get("FileName")) for uuid in root.iterfind(".//{*}TiffData/{*}UUID") if uuid.get("FileName")}
    for name in sorted(names - {path.name}):
        if name != PurePosixPath(name).name or name != PureWindowsPath(name).name:
            raise FileError(f"{path}: its OME-XML names the file {name!r}; expected files in the same folder")
        if (path.parent / name).is_file():
            check_chain(path.parent / name)
    for pixels in root.iterfind(".//{*}Pixels"):
        planes = math.prod(int(pixels.get(f"Size{axis}", 1)) for axis in "ZCT")
        counts = [int(data.get(n, 0)) for data in pixels.iterfind("{*}TiffData") for n in ("PlaneCount", "IFD")]
        if not 0 < planes <= MOST_PLANES or any(not 0 <= n <= MOST_PLANES for n in counts):
            raise FileError(f"{path}: its OME-XML claims {planes} planes; expected 1 to {MOST_PLANES}")


def tiff_metadata(tiff: TiffFile, page: TiffPage) -> Metadata:
    """Resolution in the unit of the file (TIFF tags, ImageJ, OME), colour profile and EXIF."""
    resolution, unit = _ome_resolution(tiff.ome_metadata), "cm"
    x, y = (_ratio(page.tags.valueof(name)) for name in ("XResolution", "YResolution"))
    if resolution is None and x and y:
        resolution, unit = (x, y), _UNITS.get(int(page.tags.valueof("ResolutionUnit", 2)), "")
        if tiff.imagej_metadata:
            unit = _imagej_unit(tiff) or unit
        if resolution == (1.0, 1.0):
            resolution = None  # writers use this value if the resolution is unknown
    icc = page.tags.valueof("InterColorProfile")
    with Path(tiff.filehandle.path).open("rb") as file:
        exif = exif_of_tiff(file)
    return Metadata(
        resolution=resolution,
        unit=unit if resolution else "",
        icc=bytes(icc) if icc is not None else None,
        exif=exif,
    )


def _imagej_unit(tiff: TiffFile) -> str:
    """Unit of an ImageJ file, with escaped characters decoded."""
    written = str((tiff.imagej_metadata or {}).get("unit") or "").strip()
    return written if written.isascii() and "\\u" not in written else canonical(written)


def _ratio(value: Any) -> float | None:
    if not isinstance(value, tuple) or len(value) != 2 or not value[1]:
        return None
    return float(value[0] / value[1])


def _ome_resolution(xml: str | None) -> tuple[float, float] | None:
    """Pixels per centimetre from the physical pixel size in OME metadata."""
    if not xml:
        return None
    sizes = []
    for axis in "XY":
        size = re.search(rf'PhysicalSize{axis}="([^"]+)"', xml)
        unit = re.search(rf'PhysicalSize{axis}Unit="([^"]+)"', xml)
        factor = microns(html.unescape(unit.group(1)) if unit else "µm")
        try:
            length = float(size.group(1)) if size is not None else 0.0
        except ValueError:
            return None
        if factor is None or not 0 < length < math.inf:
            return None
        sizes.append(1e4 / (length * factor))
    return sizes[0], sizes[1]
