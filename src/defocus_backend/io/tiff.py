"""TIFF files: the one place that opens them, the pixels of a page, what a file says beside them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from defocus_backend.errors import DefocusError, FileError
from defocus_backend.io.exif import exif_of_tiff
from defocus_backend.io.picture import Metadata, turn_upright, unreadable

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

T = TypeVar("T")

_UNITS = {1: "", 2: "inch", 3: "cm"}
_MICRONS = {"nm": 1e-3, "µm": 1.0, "um": 1.0, "micron": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}


def read_tiff(path: Path, choose: Callable[[Path, TiffFile], T]) -> T:
    """Open a TIFF file and hand it to a function; whatever fails in there becomes a `FileError`."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            return choose(path, tiff)
    except DefocusError:
        raise
    except Exception as error:  # damaged files raise whatever their damage leads to
        raise unreadable(path, error) from error


def check_complete(path: Path, tiff: TiffFile) -> None:
    """Raise `FileError` if the list of pages goes on behind the end of the file.

    tifffile takes the pages that are left for all there are.
    """
    size, order = tiff.tiff.offsetsize, "little" if tiff.byteorder == "<" else "big"
    place = tiff.pages.next_page_offset
    if place is None:
        return
    tiff.filehandle.seek(place)
    pointer = tiff.filehandle.read(size)
    if len(pointer) < size or int.from_bytes(pointer, order) != 0:  # type: ignore[arg-type]
        raise FileError(f"{path}: cannot be read, the file ends after page {len(tiff.pages)}, others are missing")


def page_pixels(path: Path, page: TiffPage, values: NDArray[Any]) -> NDArray[Any]:
    """The pixels of one page as (H, W) or (H, W, C), upright, black at 0."""
    import tifffile

    photometric = page.photometric
    if photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
        colours = np.moveaxis(np.asarray(page.colormap), 0, -1)[values]
        values = (colours >> 8).astype(np.uint8) if values.dtype == np.uint8 else colours
    elif photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        values = ~values if values.dtype == np.bool_ else np.asarray(np.iinfo(values.dtype).max - values)
    elif photometric not in (
        tifffile.PHOTOMETRIC.MINISBLACK,
        tifffile.PHOTOMETRIC.RGB,
        tifffile.PHOTOMETRIC.YCBCR,
    ):
        raise FileError(f"{path}: holds {tifffile.PHOTOMETRIC(photometric).name} colours; expected gray or RGB")
    if page.axes not in ("YX", "YXS", "SYX"):
        raise FileError(f"{path}: holds pages with the axes {page.axes}; expected flat gray or RGB pages")
    if page.axes == "SYX":
        values = np.moveaxis(values, 0, -1)
    if np.issubdtype(values.dtype, np.complexfloating):
        raise FileError(f"{path}: holds {values.dtype} values; expected whole numbers or floats")
    if values.ndim == 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim == 3 and values.shape[-1] > 4:
        raise FileError(f"{path}: holds {values.shape[-1]} channels; expected gray or RGB")
    orientation = page.tags.valueof("Orientation", 1)
    return turn_upright(values.astype(values.dtype.newbyteorder("="), copy=False), int(orientation))


def tiff_metadata(tiff: TiffFile, page: TiffPage) -> Metadata:
    """Resolution in whatever unit the file uses (TIFF tags, ImageJ, OME), colour profile, EXIF."""
    resolution, unit = _ome_resolution(tiff.ome_metadata), "cm"
    x, y = (_ratio(page.tags.valueof(name)) for name in ("XResolution", "YResolution"))
    if resolution is None and x and y:
        resolution, unit = (x, y), _UNITS.get(int(page.tags.valueof("ResolutionUnit", 2)), "")
        if tiff.imagej_metadata:
            unit = str(tiff.imagej_metadata.get("unit", "") or "").strip() or unit
        if resolution == (1.0, 1.0):
            resolution = None  # what writers put there when they know nothing
    icc = page.tags.valueof("InterColorProfile")
    with Path(tiff.filehandle.path).open("rb") as file:
        exif = exif_of_tiff(file)
    return Metadata(
        resolution=resolution,
        unit=unit if resolution else "",
        icc=bytes(icc) if icc is not None else None,
        exif=exif,
    )


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
        factor = _MICRONS.get(unit.group(1) if unit else "µm")
        if size is None or factor is None or float(size.group(1)) <= 0:
            return None
        sizes.append(1e4 / (float(size.group(1)) * factor))
    return sizes[0], sizes[1]
