"""Headers that claim more than their file can hold, or the memory, are refused before anything is allocated."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from defocus_backend.errors import FileError, InputError
from defocus_backend.io import limits, open_nd, read_image
from defocus_backend.stacks import open_stack


def bomb_png(width: int, height: int) -> bytes:
    """A header for RGB of 16 bits, and next to nothing behind it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def bomb_jpeg(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(buffer, "JPEG")
    data = bytearray(buffer.getvalue())
    at = data.index(b"\xff\xc0")
    struct.pack_into(">HH", data, at + 5, height, width)
    return bytes(data)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_a_bomb_of_nothing_but_a_header_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"bomb.{suffix}"
    if suffix == "tif":
        tifffile.imwrite(path, np.zeros((8, 8), np.uint8), compression="zlib")
        with tifffile.TiffFile(path, mode="r+") as tiff:
            for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
                tags = tiff.pages[0].tags
                tags[name].overwrite(60_000)
    else:
        path.write_bytes((bomb_png if suffix == "png" else bomb_jpeg)(30_000, 31_000))
    for read in (read_image, open_stack, open_nd):
        with pytest.raises(FileError, match=r"bomb.*claims \d+x\d+ px.*bytes; use --max-pixels"):
            read(path)


def test_what_memory_cannot_take_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "free_memory", lambda: 10**5)
    monkeypatch.setattr(limits, "_UNCHECKED", 0)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((300, 400), np.uint8), compression="zlib")
    with pytest.raises(FileError, match=r"a\.tif: claims 400x300 px, 0.00012 GB, but 0.0001 GB of memory are free"):
        read_image(tmp_path / "a.tif")
    monkeypatch.setenv(limits.VARIABLE, str(400 * 300))
    assert read_image(tmp_path / "a.tif").array.shape == (300, 400)


def test_the_largest_number_of_pixels_can_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / "a.png")
    monkeypatch.setenv(limits.VARIABLE, "599")
    with pytest.raises(FileError, match=r"a\.png: claims 30x20 px.*allows 599"):
        read_image(tmp_path / "a.png")
    monkeypatch.setenv(limits.VARIABLE, "600")
    assert read_image(tmp_path / "a.png").array.shape == (20, 30)
    monkeypatch.setenv(limits.VARIABLE, "many")
    with pytest.raises(InputError, match="DEFOCUS_MAX_PIXELS"):
        read_image(tmp_path / "a.png")


def test_flat_pictures_that_compress_well_are_no_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_UNCHECKED", 0)
    flat = np.zeros((1500, 1500), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", flat, compression="zlib", rowsperstrip=1500)
    tifffile.imwrite(tmp_path / "z.tif", flat, compression="zstd", rowsperstrip=1500)
    for suffix in ("png", "jpg", "webp"):
        Image.fromarray(flat).save(tmp_path / f"a.{suffix}")
    for name in ("a.tif", "z.tif", "a.png", "a.jpg"):
        assert read_image(tmp_path / name).array.shape == flat.shape


def test_free_memory_is_known_here() -> None:
    free = limits.free_memory()
    assert free is None or free > 10**6
