"""Camera metadata (EXIF): read from TIFF and from TIFF-based RAW files, and written to TIFF."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from PIL.Image import Exif

EXIF_POINTER = 0x8769
PLACEHOLDER = EXIF_POINTER - 1
"""Tag that is written instead of the EXIF pointer, which tifffile cannot write. No other tag number lies between
them."""

_GPS_POINTER = 0x8825
_MAKER_NOTE = 0x927C
_SIZE, _INNER_SIZE = (0x0100, 0x0101), (0xA002, 0xA003)
"""Tags of width and height, in TIFF and in EXIF."""
_CAMERA_TAGS = {0x010E: "description", 0x010F: "maker", 0x0110: "model", 0x0131: "software", 0x0132: "date"}
_CAMERA_TAGS |= {0x013B: "artist", 0x8298: "copyright"}


def exif_of_tiff(file: BinaryIO) -> bytes | None:
    """Camera tags, EXIF and GPS blocks of a file with a TIFF header, as one EXIF block.

    Tags that describe the layout of the pixels are left out. The maker's note is left out too, because its offsets
    refer to the old file. None if the file has no such tags or is not a TIFF.
    """
    from PIL.Image import Exif

    found, kept = Exif(), Exif()
    try:
        found.load_from_fp(file)
        for tag in _CAMERA_TAGS:
            if tag in found and str(found[tag]).strip("\0 "):
                kept[tag] = found[tag]
        for pointer in (EXIF_POINTER, _GPS_POINTER):
            inner = {tag: value for tag, value in found.get_ifd(pointer).items() if tag != _MAKER_NOTE}
            if inner:
                kept.get_ifd(pointer).update(inner)
        # Programs use the description for their own metadata, so a description alone is no sign of a camera.
        if set(kept) <= {0x010E, 0x0131} and not any(kept.get_ifd(p) for p in (EXIF_POINTER, _GPS_POINTER)):
            return None
        return kept.tobytes()
    except Exception:  # an unreadable block is ignored, because the pixels matter more
        return None


def tiff_tags(exif: bytes) -> list[tuple[int, str, int, str, bool]]:
    """Camera tags of an EXIF block, in the form of tifffile's `extratags`."""
    return [
        (tag, "s", 0, str(value), True)
        for tag, value in _loaded(exif).items()
        if tag in _CAMERA_TAGS and tag not in (0x010E, 0x0131, 0x0132) and str(value).isascii()
    ]


def date_of(exif: bytes) -> str | None:
    """Date of an EXIF block, ``YYYY:MM:DD HH:MM:SS``."""
    date = str(_loaded(exif).get(0x0132, "")).strip("\0 ")
    return date if len(date) == 19 and date.isascii() else None


def of_size(exif: bytes, height: int, width: int) -> bytes | None:
    """The EXIF block with its size tags set to this size; None if the block is damaged."""
    try:
        block = _loaded(exif)
        for tags, (wide, high) in ((block, _SIZE), (block.get_ifd(EXIF_POINTER), _INNER_SIZE)):
            if wide in tags:
                tags[wide] = width
            if high in tags:
                tags[high] = height
        return block.tobytes()
    except Exception:  # a block with wrong types can raise anything
        return None


def _loaded(exif: bytes) -> Exif:
    from PIL.Image import Exif

    block = Exif()
    block.load(exif)
    return block


def has_inner(exif: bytes) -> bool:
    """Whether the block has tags that `append_exif` writes."""
    return bool(_inner(exif))


def _inner(exif: bytes) -> dict[int, object]:
    """Tags of exposure and lens; nested blocks and the maker's note are left out."""
    found = _loaded(exif).get_ifd(EXIF_POINTER)
    return {tag: v for tag, v in found.items() if tag != _MAKER_NOTE and not isinstance(v, dict)}


def append_exif(tiff: bytes, exif: bytes) -> bytes:
    """Append the EXIF block to a little-endian classic TIFF file that has an empty pointer for it.

    Parameters
    ----------
    tiff : bytes
        TIFF file of one page, with the tag `PLACEHOLDER` as one LONG.
    exif : bytes
        EXIF block as in a JPEG.

    Returns
    -------
    bytes
        The file with the block.
    """
    import tifffile
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    with tifffile.TiffFile(io.BytesIO(tiff)) as file:
        entry = file.pages[0].aspage().tags[PLACEHOLDER].offset
    directory = ImageFileDirectory_v2(prefix=b"II")
    directory.update(_inner(exif))
    padding = b"\0" * (len(tiff) % 2)
    at = len(tiff) + len(padding)
    pointer = struct.pack("<HHII", EXIF_POINTER, 4, 1, at)  # tag, LONG, one value
    return tiff[:entry] + pointer + tiff[entry + len(pointer) :] + padding + directory.tobytes(at)
