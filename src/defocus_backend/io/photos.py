"""Read photographs in PNG, JPEG, WebP, BMP, GIF and JPEG 2000: pixels, and metadata if they are undamaged."""

from __future__ import annotations

import io
import struct
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from defocus_backend.errors import FileError, note
from defocus_backend.io.limits import check_size
from defocus_backend.io.picture import Metadata, turn_upright

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

_PILLOW_LIMIT = threading.Lock()
"""Lock for the time in which Pillow's size limit, which is global to the process, is lifted."""
_ORIENTATION = 0x0112
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "MPO")
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
)


def format_of(head: bytes) -> str | None:
    """Format of a file from its first 16 bytes, regardless of its name; None if unknown."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return next((kind for signature, kind in _SIGNATURES if head.startswith(signature)), None)


def is_tiff(path: Path, otherwise: bool) -> bool:
    """Whether the first bytes of a file are those of a TIFF; `otherwise` if they match no known format.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with path.open("rb") as file:
        kind = format_of(file.read(16))
    return otherwise if kind is None else kind == "TIFF"


def read_photo(path: Path, data: bytes) -> tuple[NDArray[Any], Metadata]:
    """Upright pixels and metadata of a photograph in memory; a damaged file can raise any exception."""
    kind = format_of(data[:16])
    metadata, orientation = _metadata(path, data) if kind != "JPEG 2000" else (Metadata(), 1)
    if kind == "PNG":
        return turn_upright(_png_pixels(path, data), orientation), metadata
    if kind == "JPEG 2000":
        import imagecodecs

        pixels = np.asarray(imagecodecs.jpeg2k_decode(data))
        if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[-1] > 4):
            raise FileError(f"{path}: holds pixels of shape {pixels.shape}; expected gray or RGB")
        return pixels, metadata
    with open_pillow(io.BytesIO(data), _FORMATS) as picture:
        check_size(path, (picture.height, picture.width, len(picture.getbands())), np.uint8, len(data))
        frames = getattr(picture, "n_frames", 1)
        if frames > 1 and kind in ("GIF", "WEBP"):
            note(f"{path}: holds {frames} frames; only the first is read")
        if picture.mode == "CMYK":
            note(f"{path}: its CMYK colours are converted to RGB without their profile")
        pixels = np.asarray(_plain(picture))
    return turn_upright(pixels, orientation), metadata


def _png_pixels(path: Path, data: bytes) -> NDArray[Any]:
    import imagecodecs

    width, height = struct.unpack(">II", data[16:24])
    depth, colours = data[24], {0: 1, 2: 3, 3: 4, 4: 2, 6: 4}.get(data[25], 4)
    check_size(path, (height, width, colours), np.uint16 if depth == 16 else np.uint8, len(data))
    # Pillow reads only the metadata, because it reduces 16-bit colour to 8 bits.
    return np.asarray(imagecodecs.png_decode(data))


def _plain(picture: PillowImage) -> PillowImage:
    """The picture as gray or RGB, with alpha if any pixel is transparent."""
    if picture.mode in ("L", "LA", "RGB", "RGBA", "1", "I;16"):
        return picture if "transparency" not in picture.info else picture.convert("RGBA")
    if picture.mode == "P":
        return picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    return picture.convert("RGBA" if picture.mode in ("PA", "RGBa", "La") else "RGB")


def open_pillow(file: Path | BinaryIO, formats: tuple[str, ...] | None = None) -> PillowImage:
    """Open a picture of any size with Pillow, because stitched photographs and slide scans exceed its default limit.

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


def exif_of(picture: PillowImage) -> Any:
    """EXIF block of a picture from the part already read; Pillow would decode a whole PNG to look behind its pixels.

    A damaged block can raise any exception.
    """
    from PIL import Image

    exif = Image.Exif()
    block = picture.info.get("exif")
    if block:
        exif.load(block)
    return exif


def orientation_of(exif: Any) -> int:
    """Orientation in an EXIF block, 1 to 8; 1 if it is missing or invalid."""
    try:
        value = exif.get(_ORIENTATION, 1)
        if isinstance(value, bytes):  # a wrong type, which some cameras write
            value = int.from_bytes(value[:2], "little")
        value = int(value[0] if isinstance(value, tuple) else value)
    except Exception:
        return 1
    return value if 1 <= value <= 8 else 1


def _png_exif(data: bytes) -> bytes | None:
    """EXIF chunk of a PNG, at any position."""
    at = 8
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        if data[at + 4 : at + 8] == b"eXIf":
            return data[at + 8 : at + 8 + length]
        at += 12 + length
    return None


def _metadata(path: Path, data: bytes) -> tuple[Metadata, int]:
    """Metadata and orientation of a file; damaged parts are left out."""
    resolution, icc, block, orientation, damaged = None, None, None, 1, False
    try:
        with open_pillow(io.BytesIO(data), _FORMATS) as picture:
            dpi, icc = picture.info.get("dpi"), picture.info.get("icc_profile")
            if picture.format == "PNG" and "exif" not in picture.info and (chunk := _png_exif(data)):
                picture.info["exif"] = chunk
            try:
                exif = exif_of(picture)
                orientation = orientation_of(exif)
                if len(exif):
                    if _ORIENTATION in exif:
                        exif[_ORIENTATION] = 1
                    block = exif.tobytes()
            except Exception:  # a damaged block can raise anything
                damaged = True
            try:
                if dpi is not None and all(0 < v < 1e9 for v in dpi):
                    resolution = (float(dpi[0]), float(dpi[1]))
            except Exception:
                damaged = True
            mode = picture.mode
    except Exception:  # the metadata are damaged; damaged pixels raise an error in their decoder
        return Metadata(), 1
    if damaged:
        note(f"{path}: its EXIF block is damaged and is left out")
    if resolution is not None and orientation >= 5:
        resolution = resolution[::-1]
    if mode == "CMYK":
        icc = None  # a CMYK profile does not apply to RGB pixels
    return Metadata(resolution=resolution, unit="inch" if resolution else "", icc=icc, exif=block), orientation
