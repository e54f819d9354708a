"""The list of pages of a TIFF file is followed once, and what it claims is looked at before it is believed."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile

from defocus_backend.errors import DefocusError, FileError
from defocus_backend.io import is_nd, open_nd, read_image
from defocus_backend.stacks import open_stack

READERS = (read_image, open_stack, open_nd)


def pages_at(path: Path) -> list[int]:
    with tifffile.TiffFile(path) as tiff:
        return [page.aspage().offset for page in tiff.pages]


def point(path: Path, page: int, to: int, order: str) -> None:
    """Let the pointer behind a page's directory, of a classic TIFF, lead to another place."""
    data, at = bytearray(path.read_bytes()), pages_at(path)[page]
    (count,) = struct.unpack_from(f"{order}H", data, at)
    struct.pack_into(f"{order}I", data, at + 2 + 12 * count, to)
    path.write_bytes(data)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("last", "back"), [(0, 0), (2, 0), (2, 2), (2, 1)])
def test_pages_in_a_circle_are_refused_at_once(tmp_path: Path, last: int, back: int, order: str) -> None:
    path = tmp_path / "circle.tif"
    with tifffile.TiffWriter(path, byteorder=order) as tiff:
        for _ in range(3):
            tiff.write(np.zeros((5, 6), np.uint8), metadata=None, contiguous=False)
    point(path, last, pages_at(path)[back], order)
    for read in READERS:
        with pytest.raises(FileError, match=rf"circle\.tif.*page {last} is followed by page {back}"):
            read(path)
    assert not is_nd(path)


def test_a_set_of_files_with_a_circle_in_another_file(tmp_path: Path) -> None:
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:1"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="6" SizeY="5" SizeZ="2" SizeC="1" SizeT="1">'
        '<Channel ID="Channel:0:0" SamplesPerPixel="1"/>'
        '<TiffData IFD="0" FirstZ="0" PlaneCount="1"><UUID FileName="a.ome.tif">urn:uuid:1</UUID></TiffData>'
        '<TiffData IFD="0" FirstZ="1" PlaneCount="{count}"><UUID FileName="{other}">urn:uuid:2</UUID></TiffData>'
        "</Pixels></Image></OME>"
    )
    for name in ("a.ome.tif", "b.ome.tif"):
        with tifffile.TiffWriter(tmp_path / name) as tiff:
            described = xml.format(other="b.ome.tif", count=1)
            tiff.write(np.zeros((5, 6), np.uint8), metadata=None, description=described)
    assert open_nd(tmp_path / "a.ome.tif").shape == (2, 5, 6)
    (at,) = pages_at(tmp_path / "b.ome.tif")
    point(tmp_path / "b.ome.tif", 0, at, "<")
    with pytest.raises(FileError, match=r"b\.ome\.tif.*in a loop"):
        open_nd(tmp_path / "a.ome.tif")
    for claim, match in (
        ({"other": "../b.ome.tif", "count": 1}, "the same folder"),
        ({"other": "..\\b.ome.tif", "count": 1}, "the same folder"),
        ({"other": "/etc/b.ome.tif", "count": 1}, "the same folder"),
        ({"other": "c.ome.tif", "count": 10**12}, "claims"),
    ):
        with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tiff:
            tiff.write(np.zeros((5, 6), np.uint8), metadata=None, description=xml.format(**claim))
        with pytest.raises(DefocusError, match=match):
            open_nd(tmp_path / "a.ome.tif")
