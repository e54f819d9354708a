"""What a camera notes in a file: read from TIFF and from RAW files laid out as TIFF, written into TIFF."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from PIL.Image import Exif

EXIF_POINTER = 0x8769
PLACEHOLDER = EXIF_POINTER - 1
"""Tag written in the pointer's place, since tifffile does not write that one itself; nothing lies between them."""

_GPS_POINTER = 0x8825
_MAKER_NOTE = 0x927C
_SIZE, _INNER_SIZE = (0x0100, 0x0101), (0xA002, 0xA003)
"""Tags of width and height, those of TIFF and those of EXIF."""
_CAMERA_TAGS = {0x010E: "description", 0x010F: "maker", 0x0110: "model", 0x0131: "software", 0x0132: "date"}
_CAMERA_TAGS |= {0x013B: "artist", 0x8298: "copyright"}


def exif_of_tiff(file: BinaryIO) -> bytes | None:
    """The camera's tags, EXIF and GPS blocks of a file that begins with a TIFF header, as one EXIF block.

    Tags that describe the pixels' layout stay behind, and so does the maker's note, whose inner addresses are those
    of the old file. None if the file has none of them or is something else.
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
        # The description is where programs put their own metadata; alone it is no camera's.
        if set(kept) <= {0x010E, 0x0131} and not any(kept.get_ifd(p) for p in (EXIF_POINTER, _GPS_POINTER)):
            return None
        return kept.tobytes()
    except Exception:  # a block that cannot be read is as good as none; the pixels are what was asked for
        return None


def tiff_tags(exif: bytes) -> list[tuple[int, str, int, str, bool]]:
    """The camera's own tags of an EXIF block for the `extratags` of tifffile."""
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
    """The block with this size in the tags that give one; None if the block is damaged."""
    try:
        block = _loaded(exif)
        for tags, (wide, high) in ((block, _SIZE), (block.get_ifd(EXIF_POINTER), _INNER_SIZE)):
            if wide in tags:
                tags[wide] = width
            if high in tags:
                tags[high] = height
        return block.tobytes()
    except Exception:  # whatever a block of wrong types leads to
        return None


def _loaded(exif: bytes) -> Exif:
    from PIL.Image import Exif

    block = Exif()
    block.load(exif)
    return block


def has_inner(exif: bytes) -> bool:
    """Whether there is anything for `append_exif` to write."""
    return bool(_inner(exif))


def _inner(exif: bytes) -> dict[int, object]:
    """The tags of exposure and lens; nested blocks and the maker's note are left out."""
    found = _loaded(exif).get_ifd(EXIF_POINTER)
    return {tag: v for tag, v in found.items() if tag != _MAKER_NOTE and not isinstance(v, dict)}


def append_exif(tiff: bytes, exif: bytes) -> bytes:
    """Put the EXIF block behind a little-endian classic TIFF file that holds an empty pointer for it.

    Parameters
    ----------
    tiff : bytes
        One page, written with the tag `PLACEHOLDER` as one LONG.
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
