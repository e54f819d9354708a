"""Exposures, positions, dates and significant bits of OME files: results keep what still holds for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

from defocus_backend.cli import main
from defocus_backend.errors import DefocusWarning
from defocus_backend.io import open_nd, read_image, write_nd

SIZES = {"T": 2, "C": 2, "Z": 3}
SHAPE = (*SIZES.values(), 20, 24)
PIXELS = np.random.default_rng(0).integers(0, 4096, SHAPE).astype(np.uint16)
DATE = "2020-01-02T03:04:05"


def source(path: Path, **changes: Any) -> Path:
    """A file of two times, channels and three slices; a plane takes a second, the stage moves in z and with time."""
    t, c, z = np.indices(tuple(SIZES.values())).reshape(3, -1).astype(float)
    count = t.size
    plane = {
        "DeltaT": (100 * t + 10 * c + z).tolist(),
        "DeltaTUnit": ["s"] * count,
        "ExposureTime": np.where(c == 0, 20.0, 50.0).tolist(),
        "ExposureTimeUnit": ["ms"] * count,
        "PositionX": (5000 + t).tolist(),
        "PositionXUnit": ["µm"] * count,
        "PositionY": (7 + 0.1 * z).tolist(),
        "PositionZ": (30 + z).tolist(),
        **changes,
    }
    about = {
        "axes": "TCZYX",
        "SignificantBits": 12,
        "AcquisitionDate": DATE,
        "Plane": plane,
        "Channel": {
            "Name": ["DAPI", "GFP"],
            "EmissionWavelength": [460, 520],
            "EmissionWavelengthUnit": ["nm", "nm"],
            "Fluor": ["a", "b <&>"],
        },
    }
    tifffile.imwrite(path, PIXELS, ome=True, photometric="minisblack", metadata=about)
    return path


def described(path: Path) -> tuple[ElementTree.Element, list[dict[str, str]]]:
    """The image of a file's OME-XML, and the attributes of its planes."""
    with tifffile.TiffFile(path) as tiff:
        assert tiff.ome_metadata is not None
        image = ElementTree.fromstring(tiff.ome_metadata).find("{*}Image")
    assert image is not None
    return image, [dict(plane.attrib) for plane in image.iterfind(".//{*}Plane")]


def values(planes: list[dict[str, str]], name: str) -> dict[tuple[int, ...], float]:
    return {tuple(int(p[f"The{a}"]) for a in "TCZ"): float(p[name]) for p in planes if name in p}


def test_a_copy_has_all_of_it(tmp_path: Path) -> None:
    first = source(tmp_path / "a.ome.tif")
    write_nd(tmp_path / "b.ome.tif", PIXELS, axes="TCZYX", like=open_nd(first))
    (image, planes), (_, before) = described(tmp_path / "b.ome.tif"), described(first)
    for name in ("DeltaT", "ExposureTime", "PositionX", "PositionY", "PositionZ"):
        assert values(planes, name) == values(before, name), name
    assert {p["ExposureTimeUnit"] for p in planes} == {"ms"}
    assert image.findtext("{*}AcquisitionDate") == DATE
    channels = image.findall(".//{*}Channel")
    assert [c.get("EmissionWavelength") for c in channels] == ["460", "520"]
    assert [c.get("Fluor") for c in channels] == ["a", "b <&>"]


def test_a_fused_picture_keeps_what_its_slices_share(tmp_path: Path) -> None:
    image = open_nd(source(tmp_path / "a.ome.tif"))
    write_nd(tmp_path / "fused.ome.tif", PIXELS[:, :, 0], axes="TCYX", like=image)
    found, planes = described(tmp_path / "fused.ome.tif")
    times = {(t, c, 0): 100.0 * t + 10 * c for t in range(2) for c in range(2)}
    assert values(planes, "DeltaT") == times, "a fused picture begins with its first slice"
    assert values(planes, "ExposureTime") == {key: (20.0, 50.0)[key[1]] for key in times}
    assert values(planes, "PositionX") == {key: 5000.0 + key[0] for key in times}
    assert values(planes, "PositionY") == {}, "the stage moved while the stack was taken"
    assert values(planes, "PositionZ") == {}, "a picture of all depths has none"
    pixels = found.find("{*}Pixels")
    assert pixels is not None
    assert pixels.get("SignificantBits") == "12"


def test_maps_have_neither_bits_nor_exposures_of_one_channel(tmp_path: Path) -> None:
    image = open_nd(source(tmp_path / "a.ome.tif"))
    write_nd(tmp_path / "map.ome.tif", PIXELS[:, 0, 0].astype(np.float32), axes="TYX", like=image)
    found, planes = described(tmp_path / "map.ome.tif")
    pixels = found.find("{*}Pixels")
    assert pixels is not None
    assert pixels.get("SignificantBits") in (None, "32")
    assert values(planes, "ExposureTime") == {}
    assert values(planes, "PositionX") == {(t, 0, 0): 5000.0 + t for t in range(2)}


def test_some_channels_and_slices_have_their_own_planes(tmp_path: Path) -> None:
    image = open_nd(source(tmp_path / "a.ome.tif")).pick("C", 1).take("Z", [2])
    write_nd(tmp_path / "b.ome.tif", np.asarray(image), axes=image.axes, like=image)
    _, planes = described(tmp_path / "b.ome.tif")
    assert values(planes, "ExposureTime") == {(0, 0, 0): 50.0, (1, 0, 0): 50.0}
    assert values(planes, "PositionZ") == {(0, 0, 0): 32.0, (1, 0, 0): 32.0}


def test_planes_without_a_value_stay_without_one(tmp_path: Path) -> None:
    path = source(tmp_path / "a.ome.tif", PositionX=[None, *range(11)], ExposureTime=["?"] * 12)
    with tifffile.TiffFile(path) as tiff:
        xml = tiff.ome_metadata
    assert xml is not None
    write_nd(tmp_path / "b.ome.tif", PIXELS, axes="TCZYX", like=open_nd(path))
    _, planes = described(tmp_path / "b.ome.tif")
    assert len(values(planes, "PositionX")) == 11
    assert values(planes, "ExposureTime") == {}


def test_through_the_command_line(tmp_path: Path) -> None:
    path = source(tmp_path / "a.ome.tif")
    result = CliRunner().invoke(main, ["fuse", str(path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.stderr
    _, planes = described(tmp_path / "out" / "a_fused.ome.tif")
    assert len(values(planes, "ExposureTime")) == 4
    _, planes = described(tmp_path / "out" / "a_maps.ome.tif")
    assert values(planes, "ExposureTime") == {}
    assert set(values(planes, "DeltaT").values()) == {0.0, 100.0}


def test_ome_zarr_has_no_place_for_it_which_is_said(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    image = open_nd(source(tmp_path / "a.ome.tif"))
    with pytest.warns(DefocusWarning, match="OME-Zarr cannot store date, exposures"):
        write_nd(tmp_path / "b.ome.zarr", PIXELS, axes="TCZYX", like=image)


def test_a_negative_size_is_taken_without_its_sign_which_is_said(tmp_path: Path) -> None:
    about = {"axes": "ZYX", "PhysicalSizeZ": -0.5}
    tifffile.imwrite(tmp_path / "a.ome.tif", PIXELS[0, 0], ome=True, photometric="minisblack", metadata=about)
    with pytest.warns(DefocusWarning, match=r"PhysicalSizeZ -0\.5, which is negative"):
        assert open_nd(tmp_path / "a.ome.tif").calibration.spacing == {"Z": 0.5}


def test_broken_xml_is_said_and_the_pages_are_read(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tiff:
        for number, page in enumerate(PIXELS[0, 0]):
            xml = '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="'
            tiff.write(page, metadata=None, contiguous=False, description=None if number else xml + "</OME>")
    with pytest.warns(DefocusWarning, match="its OME-XML is damaged .*; the pages are read"):
        found = open_nd(tmp_path / "a.ome.tif")
    assert found.axes == "ZYX"
    np.testing.assert_array_equal(np.asarray(found), PIXELS[0, 0])
    tifffile.imwrite(tmp_path / "b.ome.tif", PIXELS[0, 0, 0], metadata=None, description=xml + "</OME>")
    with pytest.warns(DefocusWarning, match="its OME-XML is damaged"):
        np.testing.assert_array_equal(read_image(tmp_path / "b.ome.tif").array, PIXELS[0, 0, 0])
