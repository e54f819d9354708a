"""Pictures from PNG, JPEG, TIFF and RAW files with what belongs to them: resolution, colour profile, EXIF."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from defocus_backend.errors import FileError
from defocus_backend.io.exif import exif_of_tiff
from defocus_backend.io.picture import (
    PNG_SUFFIXES,
    READ_SUFFIXES,
    TIFF_SUFFIXES,
    Metadata,
    Picture,
    check_suffix,
    turn_upright,
    unreadable,
)
from defocus_backend.io.raw import RAW_SUFFIXES, read_raw
from defocus_backend.io.tiff import page_pixels, read_tiff, tiff_metadata

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage
    from tifffile import TiffFile

_PILLOW_LIMIT = threading.Lock()
"""Held while Pillow's limit, which is one for the whole process, is lifted."""
_ORIENTATION = 0x0112


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


def _raw_picture(path: Path) -> Picture:
    array, white_balance = read_raw(path)
    with path.open("rb") as file:
        exif = exif_of_tiff(file)
    return Picture(array=array, channel_axis=-1, metadata=Metadata(exif=exif, white_balance=white_balance), path=path)


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
