"""Pictures from PNG, JPEG, TIFF and RAW files with what belongs to them: resolution, colour profile, EXIF."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from defocus_backend.errors import DefocusError, FileError
from defocus_backend.io.atomic import reason
from defocus_backend.io.exif import exif_of_tiff
from defocus_backend.io.raw import RAW_SUFFIXES, WhiteBalance, read_raw

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage
    from tifffile import TiffFile, TiffPage

T = TypeVar("T")

PNG_SUFFIXES = (".png",)
JPEG_SUFFIXES = (".jpg", ".jpeg")
TIFF_SUFFIXES = (".tif", ".tiff")
WRITTEN_SUFFIXES = PNG_SUFFIXES + JPEG_SUFFIXES + TIFF_SUFFIXES
"""Suffixes of the formats that are read and written."""
READ_SUFFIXES = WRITTEN_SUFFIXES + RAW_SUFFIXES
"""Suffixes of the formats that are read as pictures."""

_PILLOW_LIMIT = threading.Lock()
"""Held while Pillow's limit, which is one for the whole process, is lifted."""
_ORIENTATION = 0x0112
_UNITS = {1: "", 2: "inch", 3: "cm"}
_MICRONS = {"nm": 1e-3, "µm": 1.0, "um": 1.0, "micron": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What a picture file says beside its pixels.

    Attributes
    ----------
    resolution : (float, float) or None
        Pixels per unit along x and y.
    unit : str
        Unit of the resolution: ``"inch"``, ``"cm"``, another name that ImageJ wrote, or ``""``.
    icc : bytes or None
        Colour profile.
    exif : bytes or None
        EXIF block; its orientation is set to upright, as the pixels are.
    white_balance : four floats or None
        Multipliers with which a RAW file was developed, to be used for the other frames of its stack.
    """

    resolution: tuple[float, float] | None = None
    unit: str = ""
    icc: bytes | None = None
    exif: bytes | None = None
    white_balance: WhiteBalance | None = None


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture from a file.

    Attributes
    ----------
    array : (H, W) or (H, W, C) array
        Upright, in the file's own dtype.
    channel_axis : int or None
        -1 for a colour picture or one with alpha, None for a gray one.
    metadata : Metadata
    path : Path
        Where it came from.
    """

    array: NDArray[Any]
    channel_axis: int | None
    metadata: Metadata
    path: Path


def read_image(path: str | Path) -> Picture:
    """Read one picture from a PNG, JPEG, TIFF or RAW file.

    Parameters
    ----------
    path : str or Path
        8- or 16-bit PNG, gray, RGB, with or without alpha or palette; JPEG, turned upright by its EXIF
        tag; TIFF of bool, 8-bit, 16-bit, 32-bit or float, gray or RGB, compressed or not, one page; a camera's
        RAW file (extra ``raw``), developed into 16-bit sRGB without automatic brightening.

    Returns
    -------
    Picture

    Raises
    ------
    FileError
        If the file is absent, damaged, of another format or holds something other than one picture.
    """
    path = Path(path)
    suffix = check_suffix(path, READ_SUFFIXES)
    if suffix in TIFF_SUFFIXES:
        return read_tiff(path, _single_picture)
    if suffix in RAW_SUFFIXES:
        return _raw_picture(path)
    read = _read_png if suffix in PNG_SUFFIXES else _read_jpeg
    try:
        data = path.read_bytes()
        array, metadata = read(data)
    except FileError:
        raise
    except Exception as error:  # every decoder has its own kinds of errors
        raise unreadable(path, error) from error
    return Picture(array=array, channel_axis=None if array.ndim == 2 else -1, metadata=metadata, path=path)


def read_map(path: str | Path) -> NDArray[np.float32]:
    """Read a map (H, W), such as sigma in pixels, from a float TIFF.

    Raises
    ------
    FileError
        If it is unreadable, has several channels, or does not hold floats.
    """
    picture = read_image(path)
    if picture.array.ndim != 2 or not np.issubdtype(picture.array.dtype, np.floating):
        raise FileError(f"{path}: is no map; expected a float TIFF as `defocus map` writes it")
    return picture.array.astype(np.float32)


def check_suffix(path: Path, known: tuple[str, ...] = WRITTEN_SUFFIXES) -> str:
    """The suffix in lower case; raise `FileError` for a format that is not handled."""
    suffix = path.suffix.lower()
    if suffix not in known:
        raise FileError(f"{path}: unknown suffix {path.suffix!r}; expected one of {', '.join(known)}")
    return suffix


def _raw_picture(path: Path) -> Picture:
    array, white_balance = read_raw(path)
    with path.open("rb") as file:
        exif = exif_of_tiff(file)
    return Picture(array=array, channel_axis=-1, metadata=Metadata(exif=exif, white_balance=white_balance), path=path)


def unreadable(path: Path, error: Exception) -> FileError:
    """A `FileError` that names the file and says why it cannot be read."""
    if isinstance(error, OSError) and error.strerror:
        return FileError(f"{path}: cannot be read ({error.strerror})")
    kind = "TIFF" if path.suffix.lower() in TIFF_SUFFIXES else path.suffix.lower().lstrip(".").upper()
    # Pillow's own text names the memory address of a buffer.
    why = "unknown contents" if type(error).__name__ == "UnidentifiedImageError" else reason(error)
    return FileError(f"{path}: cannot be read, damaged or no {kind} file ({why})")


def _read_png(data: bytes) -> tuple[NDArray[Any], Metadata]:
    import imagecodecs

    # Pillow reads the metadata only: it would cut 16-bit colour down to 8 bits.
    metadata, orientation = _pillow_metadata(data)
    return turn_upright(np.asarray(imagecodecs.png_decode(data)), orientation), metadata


def open_pillow(file: Path | BinaryIO, formats: tuple[str, ...] | None = None) -> PillowImage:
    """Open a picture with Pillow, however large: stitched photographs and slide scans are no attacks.

    Parameters
    ----------
    file : Path or binary file
    formats : tuple of str or None
        Pillow's names of the formats to try; by default all.
    """
    from PIL import Image

    with _PILLOW_LIMIT:
        most, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file, formats=formats)
        finally:
            Image.MAX_IMAGE_PIXELS = most


def _read_jpeg(data: bytes) -> tuple[NDArray[Any], Metadata]:
    metadata, orientation = _pillow_metadata(data)
    with open_pillow(io.BytesIO(data), ("JPEG",)) as picture:
        pixels = np.asarray(picture if picture.mode in ("L", "RGB") else picture.convert("RGB"))
    return turn_upright(pixels, orientation), metadata


def _pillow_metadata(data: bytes) -> tuple[Metadata, int]:
    with open_pillow(io.BytesIO(data), ("PNG", "JPEG")) as picture:
        dpi, icc = picture.info.get("dpi"), picture.info.get("icc_profile")
        exif = picture.getexif()
        orientation = int(exif.get(_ORIENTATION, 1))
        block: bytes | None = None
        if len(exif):
            if orientation != 1:
                exif[_ORIENTATION] = 1
            block = exif.tobytes()
    resolution = None
    if dpi is not None and all(v > 0 for v in dpi):
        resolution = (float(dpi[0]), float(dpi[1]))
        if orientation >= 5:
            resolution = resolution[::-1]
    return Metadata(resolution=resolution, unit="inch" if resolution else "", icc=icc, exif=block), orientation


def turn_upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undo the turns and mirrorings 2 to 8 of the EXIF and TIFF orientation tag."""
    turns = {
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: a.swapaxes(0, 1)[:, ::-1],
        7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
        8: lambda a: a.swapaxes(0, 1)[::-1],
    }
    return np.ascontiguousarray(turns.get(orientation, lambda a: a)(pixels))


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


def _single_picture(path: Path, tiff: TiffFile) -> Picture:
    series = tiff.series[0]
    extra = [f"{n} {axis}" for axis, n in zip(series.axes, series.shape, strict=True) if axis not in "YXS" and n > 1]
    if extra:
        raise FileError(
            f"{path}: holds several pictures ({', '.join(extra)}); expected one (`defocus fuse` takes stacks)"
        )
    page = tiff.pages[0].aspage()
    array = page_pixels(path, page, page.asarray())
    return Picture(
        array=array,
        channel_axis=None if array.ndim == 2 else -1,
        metadata=tiff_metadata(tiff, page),
        path=path,
    )


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
