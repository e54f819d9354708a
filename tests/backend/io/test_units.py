"""One table of units: what one format says is what the other formats say of the same image."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tifffile

from defocus_backend.errors import DefocusWarning
from defocus_backend.io import Calibration, Channel, open_nd, read_image, write_nd
from defocus_backend.io.units import canonical, escaped, microns, ome_symbol, zarr_name

SCHEMA = [
    "Ym",
    "Zm",
    "Em",
    "Pm",
    "Tm",
    "Gm",
    "Mm",
    "km",
    "hm",
    "dam",
    "m",
    "dm",
    "cm",
    "mm",
    "µm",
    "nm",
    "pm",
    "fm",
    "am",
    "zm",
    "ym",
    "Å",
    "thou",
    "li",
    "in",
    "ft",
    "yd",
    "mi",
    "ua",
    "ly",
    "pc",
    "pt",
    "pixel",
]
"""UnitsLength of OME 2016-06, without "reference frame"."""

SPECIFICATION = [
    "angstrom",
    "attometer",
    "centimeter",
    "decimeter",
    "exameter",
    "femtometer",
    "foot",
    "gigameter",
    "hectometer",
    "inch",
    "kilometer",
    "megameter",
    "meter",
    "micrometer",
    "mile",
    "millimeter",
    "nanometer",
    "parsec",
    "petameter",
    "picometer",
    "terameter",
    "yard",
    "yoctometer",
    "yottameter",
    "zeptometer",
    "zettameter",
]
"""Units of space of OME-Zarr 0.4 and 0.5."""

needs_zarr = pytest.mark.skipif(find_spec("zarr") is None, reason="needs the extra zarr")


def test_every_unit_of_the_schema_is_itself_and_has_a_length() -> None:
    for symbol in SCHEMA:
        assert canonical(symbol) == symbol == ome_symbol(symbol)
        assert symbol == "pixel" or microns(symbol) is not None
    assert [microns(u) for u in ("µm", "nm", "mm", "in", "Å")] == pytest.approx([1, 1e-3, 1e3, 25400, 1e-4])


def test_every_unit_of_the_other_specification_is_one_of_the_schema_and_back() -> None:
    for name in SPECIFICATION:
        assert canonical(name) in SCHEMA
        assert zarr_name(canonical(name)) == name
    assert {zarr_name(s) for s in SCHEMA} - {None} == set(SPECIFICATION)
    assert [zarr_name(t) for t in ("s", "ms", "min", "h", "d")] == ["second", "millisecond", "minute", "hour", "day"]


@pytest.mark.parametrize(
    ("spelled", "symbol"),
    [
        *((u, "µm") for u in ("um", "micron", "microns", "Microns", "micrometer", "micrometre", "\u03bcm", "Âµm")),
        *((u, "µm") for u in ("\\u00B5m", "\\u00b5m", " µm\0")),
        *((u, "Å") for u in ("angstrom", "\\u00C5", "\u212b", "Angstroms")),
        *(("inch", "in"), ("inches", "in"), ("sec", "s"), ("nm", "nm"), ("Mm", "Mm"), ("pixels", "pixel")),
        *(("", ""), ("furlong", "furlong")),
    ],
)
def test_spellings(spelled: str, symbol: str) -> None:
    assert canonical(spelled) == symbol
    assert escaped(canonical(spelled)).isascii()
    assert canonical(escaped(symbol)) == symbol


@pytest.mark.parametrize("unit", ["micron", "inch", "\\u00C5", "micrometer", "furlong"])
def test_what_imagej_says_is_in_the_schema_when_written_as_ome(tmp_path: Path, unit: str) -> None:
    about = {"axes": "TZYX", "unit": unit, "spacing": 0.5}
    array = np.zeros((2, 3, 5, 6), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", array, imagej=True, resolution=(10, 10), metadata=about)
    found = open_nd(tmp_path / "a.tif")
    write_nd(tmp_path / "b.ome.tif", found, axes=found.axes, like=found)
    with tifffile.TiffFile(tmp_path / "b.ome.tif") as tiff:
        (written,) = re.findall(r'PhysicalSizeXUnit="([^"]*)"', tiff.ome_metadata or "")
    assert written in (*SCHEMA, "reference frame")
    assert open_nd(tmp_path / "b.ome.tif").calibration.spacing["Z"] == 0.5


@needs_zarr
@pytest.mark.parametrize("unit", ["Å", "µm", "in", "pm"])
def test_there_and_back_between_ome_tiff_and_ome_zarr(tmp_path: Path, unit: str) -> None:
    known = Calibration(spacing={"Z": 2.0, "Y": 0.5, "X": 0.5}, units=dict.fromkeys("ZYX", unit))
    write_nd(tmp_path / "a.ome.tif", np.zeros((3, 5, 6), np.uint16), axes="ZYX", calibration=known)
    first = open_nd(tmp_path / "a.ome.tif")
    write_nd(tmp_path / "b.ome.zarr", first, axes="ZYX", like=first)
    again = open_nd(tmp_path / "b.ome.zarr")
    import zarr

    attributes = zarr.open_group(str(tmp_path / "b.ome.zarr"), mode="r").attrs["ome"]
    assert attributes["multiscales"][0]["name"] == "a"
    for found in (first.calibration, again.calibration):
        assert (found.spacing, found.units) == (known.spacing, known.units)


@needs_zarr
@pytest.mark.parametrize("kind", ["OME-Zarr 0.5", "OME-Zarr 0.4"])
def test_windows_colours_and_origin_of_a_store_are_kept(tmp_path: Path, kind: str) -> None:
    from defocus_backend.io import ND_FORMATS, create_nd

    known = Calibration(
        spacing={"Z": 0.5, "Y": 0.1, "X": 0.1},
        units=dict.fromkeys("ZYX", "µm"),
        channels=(
            Channel(name="DAPI", colour=(0, 0, 255), window=(0, 4095, 50, 3000)),
            Channel(name="GFP", colour=(0, 255, 0), window=(0, 4095, 10, 2000), shown=False),
        ),
        origin={"Z": 7.5, "X": -3.0},
    )
    shape = (2, 3, 5, 6)
    known_as = {"axes": "CZYX", "shape": shape, "dtype": np.dtype("u2"), "calibration": known}
    with create_nd(tmp_path / "a.zarr", ND_FORMATS[kind], **known_as):
        pass
    found = open_nd(tmp_path / "a.zarr")
    assert found.calibration == known
    assert found.take("Z", [1, 2]).calibration.origin == {"Z": 8.0, "X": -3.0}


@pytest.mark.parametrize(("unit", "size"), [("µm", 0.5), ("\u03bcm", 0.5), ("Å", 5000.0), ("pm", 500_000.0)])
def test_a_single_picture_has_its_resolution(tmp_path: Path, unit: str, size: float) -> None:
    about = {"PhysicalSizeX": size, "PhysicalSizeXUnit": unit, "PhysicalSizeY": size, "PhysicalSizeYUnit": unit}
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((5, 6), np.uint8), metadata={"axes": "YX", **about})
    assert read_image(tmp_path / "a.ome.tif").metadata.resolution == pytest.approx((20_000, 20_000))


@pytest.mark.parametrize(("dtype", "stored"), [("int64", "float64"), ("uint64", "float64"), ("float16", "float32")])
def test_types_that_ome_tiff_lacks_are_widened_with_a_word(tmp_path: Path, dtype: str, stored: str) -> None:
    array = np.arange(60).reshape(2, 5, 6).astype(dtype)
    with pytest.warns(DefocusWarning, match=f"no {dtype}: written as {stored}"):
        write_nd(tmp_path / "a.ome.tif", array, axes="ZYX")
    found = np.asarray(open_nd(tmp_path / "a.ome.tif"))
    assert found.dtype == stored
    np.testing.assert_array_equal(found, array)
