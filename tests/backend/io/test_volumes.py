"""Images of many dimensions: what was written is what is read, plane by plane, with what its axes mean."""

from __future__ import annotations

import contextlib
import errno
import pickle
import weakref
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from defocus_backend.errors import FileError, InputError
from defocus_backend.io import (
    ND_FORMATS,
    Calibration,
    Channel,
    WholeFiles,
    create_nd,
    is_nd,
    open_nd,
    write_image,
    write_nd,
)
from defocus_backend.stacks import open_stack

RNG = np.random.default_rng(0)
SIZES = {"T": 2, "C": 3, "Z": 4, "Y": 13, "X": 17, "S": 3}
CALIBRATION = Calibration(
    spacing={"T": 2.5, "Z": 0.5, "Y": 0.1, "X": 0.125},
    units={"T": "s", "Z": "µm", "Y": "µm", "X": "µm"},
    channels=(
        Channel(name="DAPI", colour=(0, 0, 255)),
        Channel(name="GFP", colour=(0, 255, 0)),
        Channel(name="mCherry é", colour=(255, 0, 64)),
    ),
)
ZARR = pytest.param(".ome.zarr", marks=pytest.mark.skipif(find_spec("zarr") is None, reason="needs the extra zarr"))


def pixels(axes: str, dtype: Any = np.uint16) -> np.ndarray:
    shape = [SIZES[a] for a in axes]
    if np.issubdtype(dtype, np.floating):
        return RNG.normal(size=shape).astype(dtype)
    return RNG.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


@pytest.mark.parametrize("suffix", [".ome.tif", ZARR])
@pytest.mark.parametrize(
    ("axes", "dtype"),
    [("TCZYX", np.uint16), ("ZYX", np.uint16), ("CYX", np.uint8), ("TYX", np.float32), ("YX", np.int16)],
)
def test_pixels_and_calibration_return(tmp_path: Path, suffix: str, axes: str, dtype: Any) -> None:
    array, path = pixels(axes, dtype), tmp_path / f"a{suffix}"
    write_nd(path, array, axes=axes, calibration=CALIBRATION)
    found = open_nd(path)
    assert found.axes == axes
    assert found.shape == array.shape
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(np.asarray(found), array)
    assert found.name == "a"
    assert dict(found.calibration.spacing) == {a: v for a, v in CALIBRATION.spacing.items() if a in axes}
    assert dict(found.calibration.units) == {a: v for a, v in CALIBRATION.units.items() if a in axes}
    if "C" in axes:
        assert found.calibration.channels == CALIBRATION.channels
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_axes_in_another_order_are_sorted_for_the_file(tmp_path: Path) -> None:
    array = pixels("XCTYZ")
    write_nd(tmp_path / "a.ome.tif", array, axes="XCTYZ", calibration=CALIBRATION)
    found = open_nd(tmp_path / "a.ome.tif")
    assert found.axes == "TCZYX"
    np.testing.assert_array_equal(np.asarray(found), array.transpose(2, 1, 4, 3, 0))


@pytest.mark.parametrize("suffix", [".ome.tif", ZARR])
def test_colour_samples(tmp_path: Path, suffix: str) -> None:
    """TIFF keeps RGB pixels; OME-Zarr has channels only, in the three colours."""
    array, path = pixels("TYXS", np.uint8), tmp_path / f"a{suffix}"
    write_nd(path, array, axes="TYXS")
    found = open_nd(path)
    if suffix == ".ome.tif":
        assert found.axes == "TYXS"
        np.testing.assert_array_equal(np.asarray(found), array)
    else:
        assert found.axes == "TCYX"
        np.testing.assert_array_equal(np.asarray(found), np.moveaxis(array, -1, 1))
        assert [c.colour for c in found.calibration.channels] == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]


def test_another_reader_agrees_on_ome_tiff(tmp_path: Path) -> None:
    """ome-types checks the XML against the schema."""
    ome_types = pytest.importorskip("ome_types")
    write_nd(tmp_path / "a.ome.tif", pixels("TCZYX"), axes="TCZYX", calibration=CALIBRATION)
    image = ome_types.from_tiff(tmp_path / "a.ome.tif").images[0].pixels
    assert (image.physical_size_x, image.physical_size_y, image.physical_size_z) == (0.125, 0.1, 0.5)
    assert image.physical_size_z_unit.value == "µm"
    assert image.time_increment == 2.5
    assert [c.name for c in image.channels] == ["DAPI", "GFP", "mCherry é"]
    assert image.channels[1].color.as_rgb_tuple()[:3] == (0, 255, 0)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_another_reader_agrees_on_ome_zarr(tmp_path: Path, version: str) -> None:
    """yaozarrs checks metadata and layout against the specification."""
    yaozarrs = pytest.importorskip("yaozarrs")
    from defocus_backend.io.ome_zarr import create_zarr

    array = create_zarr(
        tmp_path / "a.zarr",
        axes="TCZYX",
        shape=(2, 3, 4, 13, 17),
        dtype=np.dtype(np.uint16),
        calibration=CALIBRATION,
        name="a",
        version=version,
    )
    values = pixels("TCZYX")
    array[...] = values
    yaozarrs.validate_zarr_store(str(tmp_path / "a.zarr"))
    read = open_nd(tmp_path / "a.zarr")
    assert read.format == f"OME-Zarr {version}"
    assert read.calibration == CALIBRATION
    # The version of the source is that of what is made from it.
    write_nd(tmp_path / "b.zarr", read, axes=read.axes, like=read)
    again = open_nd(tmp_path / "b.zarr")
    assert (again.format, again.calibration) == (read.format, read.calibration)
    np.testing.assert_array_equal(np.asarray(again), values)


def _tiff(path: Path, kind: str) -> np.ndarray:
    if kind == "ImageJ":
        array = pixels("TZCYX")
        luts = [
            np.outer(colour, np.arange(256) / 255).astype(np.uint8) for colour in ((255, 0, 0), (0, 255, 0), (9, 9, 9))
        ]
        tifffile.imwrite(
            path,
            array,
            imagej=True,
            resolution=(10, 5),
            metadata={"axes": "TZCYX", "spacing": 0.5, "unit": "\\u00b5m", "finterval": 2.5, "LUTs": luts},
        )
        return array
    if kind == "ImageJ, one page listed":
        array = pixels("ZCYX")
        with tifffile.TiffWriter(path, imagej=True) as tiff:
            tiff.write(array, metadata={"axes": "ZCYX"}, truncate=True)
        return array
    if kind == "shaped":
        array = pixels("CZYX")
        tifffile.imwrite(path, array, metadata={"axes": "CZYX"}, photometric="minisblack", compression="zlib")
        return array
    array = pixels("ZYXS", np.uint8)
    tifffile.imwrite(
        path, np.moveaxis(array, -1, 1), photometric="rgb", planarconfig="separate", metadata={"axes": "ZSYX"}
    )
    return array


@pytest.mark.parametrize("kind", ["ImageJ", "ImageJ, one page listed", "shaped", "planar colour"])
def test_other_tiff(tmp_path: Path, kind: str) -> None:
    array = _tiff(tmp_path / "a.tif", kind)
    found = open_nd(tmp_path / "a.tif")
    assert found.axes == {"ImageJ": "TZCYX", "shaped": "CZYX", "planar colour": "ZYXS"}.get(kind, "ZCYX")
    np.testing.assert_array_equal(np.asarray(found), array)
    if kind == "ImageJ":
        assert found.calibration.spacing == {"T": 2.5, "Z": 0.5, "Y": 0.2, "X": 0.1}
        assert set(found.calibration.units.values()) == {"s", "µm"}
        assert [c.colour for c in found.calibration.channels] == [(255, 0, 0), (0, 255, 0), (9, 9, 9)]
    assert is_nd(tmp_path / "a.tif") == (kind != "planar colour")


def test_scenes_of_one_file(tmp_path: Path) -> None:
    first, second = pixels("ZYX"), pixels("CZYX", np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tiff:
        tiff.write(first, metadata={"axes": "ZYX", "Name": "left", "PhysicalSizeX": 1.0}, photometric="minisblack")
        tiff.write(second, metadata={"axes": "CZYX", "Name": "right", "PhysicalSizeX": 2.0}, photometric="minisblack")
    for scene, array, size in ((0, first, 1.0), ("right", second, 2.0), ("1", second, 2.0)):
        found = open_nd(tmp_path / "a.ome.tif", scene=scene)
        assert found.scenes == ("left", "right")
        assert found.calibration.spacing["X"] == size
        np.testing.assert_array_equal(np.asarray(found), array)
    with pytest.raises(InputError, match=r"scene: got 'middle'.*left, right"):
        open_nd(tmp_path / "a.ome.tif", scene="middle")


def test_plates_and_conversions_are_scenes(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    from defocus_backend.io.ome_zarr import create_zarr

    def field(path: Path, value: int) -> None:
        array = create_zarr(
            path, axes="ZYX", shape=(2, 5, 6), dtype=np.dtype(np.uint8), calibration=Calibration(), name=""
        )
        array[...] = value

    plate = zarr.open_group(str(tmp_path / "plate.zarr"), mode="w", zarr_format=3)
    plate.attrs["ome"] = {"version": "0.5", "plate": {"wells": [{"path": "A/1"}, {"path": "B/2"}]}}
    for number, well in enumerate(("A/1", "B/2")):
        group = plate.create_group(well)
        group.attrs["ome"] = {"version": "0.5", "well": {"images": [{"path": "0"}]}}
        field(tmp_path / "plate.zarr" / well / "0", number + 1)
    found = open_nd(tmp_path / "plate.zarr", scene="B/2/0")
    assert found.scenes == ("A/1/0", "B/2/0")
    assert found[0].max() == 2
    converted = zarr.open_group(str(tmp_path / "converted.zarr"), mode="w", zarr_format=3)
    converted.attrs["ome"] = {"version": "0.5", "bioformats2raw.layout": 3}
    for number in (0, 1, 10):
        field(tmp_path / "converted.zarr" / str(number), number)
    assert open_nd(tmp_path / "converted.zarr").scenes == ("0", "1", "10")
    assert open_nd(tmp_path / "converted.zarr", scene=2)[0].max() == 10


@pytest.mark.parametrize("suffix", [".ome.tif", ZARR])
def test_indexing_equals_that_of_an_array(tmp_path: Path, suffix: str) -> None:
    array = pixels("TCZYX")
    write_nd(tmp_path / f"a{suffix}", array, axes="TCZYX")
    found = open_nd(tmp_path / f"a{suffix}")
    for key in (
        (0, 1, 2),
        (1,),
        (..., 3),
        (slice(None), -1, slice(1, 3), slice(2, 9, 3)),
        (0, slice(2, 2)),
        (1, ..., 4, 5),
    ):
        np.testing.assert_array_equal(found[key], array[key])
    for wrong in ((2,), (0, 0, 0, 0, 0, 0), (..., 0, ...)):
        with pytest.raises(IndexError):
            found[wrong]
    np.testing.assert_array_equal(found.take("T", [1]).take("C", [2, 0])[0], array[1][[2, 0]])
    picked = found.pick("C", 1)
    assert picked.axes == "TZYX"
    np.testing.assert_array_equal(np.asarray(picked), array[:, 1])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(picked))[1, 2], array[1, 1, 2])


def test_selected_channels_keep_their_names(tmp_path: Path) -> None:
    write_nd(tmp_path / "a.ome.tif", pixels("CZYX"), axes="CZYX", calibration=CALIBRATION)
    found = open_nd(tmp_path / "a.ome.tif").take("C", [2, 0])
    assert [c.name for c in found.calibration.channels] == ["mCherry é", "DAPI"]
    for axis, numbers in (("T", [0]), ("Y", [0]), ("C", [3]), ("C", [])):
        with pytest.raises(InputError):
            found.take(axis, numbers)


@pytest.mark.parametrize("suffix", [".ome.tif", ZARR])
def test_dask_array_of_a_file_and_into_a_file(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("dask.array")
    array = pixels("TCZYX")
    write_nd(tmp_path / f"a{suffix}", array, axes="TCZYX")
    lazy = open_nd(tmp_path / f"a{suffix}").to_dask()
    assert lazy.chunksize == (1, 1, 1, 13, 17)
    np.testing.assert_array_equal(lazy[1, :, 2].compute(), array[1, :, 2])
    write_nd(tmp_path / f"b{suffix}", lazy[:, :, 0] // 2, axes="TCYX")
    np.testing.assert_array_equal(np.asarray(open_nd(tmp_path / f"b{suffix}")), array[:, :, 0] // 2)


def test_axes_can_be_named_anew(tmp_path: Path) -> None:
    array = pixels("TCYX")
    write_nd(tmp_path / "a.ome.tif", array, axes="TCYX", calibration=CALIBRATION)
    found = open_nd(tmp_path / "a.ome.tif", axes="zcyx")
    assert found.axes == "ZCYX"
    assert set(found.calibration.spacing) == {"Y", "X"}  # a time step is no slice distance
    assert len(found.calibration.channels) == 3
    for axes in ("ZYX", "CCYX", "ZCXY", "ZQYX"):
        with pytest.raises(InputError, match="axes"):
            open_nd(tmp_path / "a.ome.tif", axes=axes)


@pytest.mark.parametrize("suffix", [".ome.tif", ZARR])
def test_a_store_appears_whole_or_not_at_all(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_nd(path, pixels("ZYX"), axes="ZYX")

    class Broken:
        shape, dtype = (2, 5, 6), np.dtype(np.uint8)

        def __getitem__(self, number: int) -> np.ndarray:
            if number:
                raise ZeroDivisionError
            return np.zeros((5, 6), np.uint8)

    before = np.asarray(open_nd(path))
    with pytest.raises(ZeroDivisionError):
        write_nd(path, Broken(), axes="ZYX")
    np.testing.assert_array_equal(np.asarray(open_nd(path)), before)
    write_nd(path, before[:2], axes="ZYX")  # one store takes the place of another
    assert open_nd(path).shape[0] == 2
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_holds_a_written_file_open(tmp_path: Path, fails: bool) -> None:
    """Windows does not rename what is mapped into memory, and `WholeFiles` renames after the inner block."""
    part = tmp_path / "a.part"
    known: dict[str, Any] = {"axes": "ZYX", "shape": (2, 5, 6), "dtype": np.dtype(np.uint8), "calibration": CALIBRATION}
    with contextlib.suppress(ZeroDivisionError), create_nd(part, ND_FORMATS["OME-TIFF"], **known) as writer:
        mapped = weakref.ref(writer._target)
        assert isinstance(mapped(), np.memmap)
        writer.put(np.full((5, 6), 7, np.uint8), Z=1)
        if fails:
            raise ZeroDivisionError
    assert mapped() is None
    np.testing.assert_array_equal(tifffile.imread(part)[:, 0, 0], [0, 7])


def test_a_full_disk_is_an_error_not_the_end_of_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its room is taken before a mapped file is filled: a write into a hole on a full disk ends the process."""

    def full(_file: int, _start: int, size: int) -> None:
        assert size > 100
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full, raising=False)
    with pytest.raises(FileError, match="No space left"):
        write_nd(tmp_path / "a.ome.tif", pixels("ZYX"), axes="ZYX")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_store_is_not_replaced(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    (tmp_path / "a.ome.zarr").mkdir()
    (tmp_path / "a.ome.zarr" / "thesis.txt").write_text("kept")
    with pytest.raises(FileError, match="is a folder"):
        write_nd(tmp_path / "a.ome.zarr", pixels("ZYX"), axes="ZYX")
    with pytest.raises(FileError, match=r"no multiscales|not OME-Zarr"):
        open_nd(tmp_path / "a.ome.zarr")
    assert (tmp_path / "a.ome.zarr" / "thesis.txt").read_text() == "kept"
    with WholeFiles() as files:
        files.stage(tmp_path / "b").touch()
        with pytest.raises(FileError, match="two results"):
            files.stage(tmp_path / "b")


def test_damaged_and_foreign_files_are_named(tmp_path: Path) -> None:
    write_nd(tmp_path / "a.ome.tif", pixels("TCZYX"), axes="TCZYX")
    data = (tmp_path / "a.ome.tif").read_bytes()
    (tmp_path / "short.ome.tif").write_bytes(data[: len(data) // 2])
    with pytest.raises(FileError, match=r"short\.ome\.tif"):
        np.asarray(open_nd(tmp_path / "short.ome.tif"))
    tifffile.imwrite(tmp_path / "pages.tif", pixels("ZYX"), photometric="minisblack", metadata=None, contiguous=False)
    data = (tmp_path / "pages.tif").read_bytes()
    (tmp_path / "pages.tif").write_bytes(data[: len(data) // 2])
    for read in (open_nd, open_stack):
        with pytest.raises(FileError, match=r"pages\.tif: cannot be read, the file ends after page"):
            read(tmp_path / "pages.tif")
    for name in ("a.czi", "b.ome.tif"):
        (tmp_path / name).write_bytes(b"no picture" * 50)
        with pytest.raises(FileError, match=name):
            open_nd(tmp_path / name)
    with pytest.raises(FileError, match="No such file"):
        open_nd(tmp_path / "absent.ome.tif")
    assert not is_nd(tmp_path / "absent.ome.tif")


def test_a_chunk_that_is_damaged_is_named(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    write_nd(tmp_path / "a.ome.zarr", pixels("ZYX"), axes="ZYX")
    chunk = next(p for p in (tmp_path / "a.ome.zarr" / "0" / "c").rglob("*") if p.is_file())
    chunk.write_bytes(b"rotten")
    with pytest.raises(FileError, match=r"a\.ome\.zarr: cannot be read"):
        np.asarray(open_nd(tmp_path / "a.ome.zarr"))


def test_pictures_have_axes_too(tmp_path: Path) -> None:
    array = RNG.integers(0, 255, (5, 6, 3), dtype=np.uint8)
    write_image(tmp_path / "a.png", array)
    found = open_nd(tmp_path / "a.png")
    assert found.axes == "YXS"
    np.testing.assert_array_equal(found[...], array)
    assert not is_nd(tmp_path / "a.png")
