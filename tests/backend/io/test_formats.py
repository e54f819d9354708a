"""A format of files is one entry in a registry: read, written and offered wherever formats are."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import defocus_backend as db
from defocus_backend.batch.find import Finder
from defocus_backend.errors import FileError, InputError
from defocus_backend.io import (
    FORMATS,
    MESH_FORMATS,
    ND_FORMATS,
    READ_SUFFIXES,
    WRITTEN_SUFFIXES,
    Format,
    FormatND,
    ImageND,
    MeshFormat,
    Metadata,
    Picture,
)
from defocus_backend.io.mesh import Mesh
from defocus_backend.io.writing_nd import WriterND
from defocus_backend.pipeline.options import STACK_FORMATS, FuseFiles
from defocus_backend.quality.pieces import find_pieces


def read(path: Path) -> Picture:
    return Picture(array=np.load(path), channel_axis=None, metadata=Metadata(), path=path)


def encode(pixels: np.ndarray[Any, Any], metadata: Metadata) -> bytes:  # noqa: ARG001
    buffer = io.BytesIO()
    np.save(buffer, pixels)
    return buffer.getvalue()


def test_a_format_from_outside_is_read_and_written(tmp_path: Path) -> None:
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    assert ".npy" not in READ_SUFFIXES
    FORMATS.add(Format(name="NumPy", suffixes=(".npy",), read=read, encode=encode))
    try:
        assert ".npy" in READ_SUFFIXES
        assert ".npy" in WRITTEN_SUFFIXES
        db.write_image(tmp_path / "a.npy", pixels)
        np.testing.assert_array_equal(db.read_image(tmp_path / "a.npy").array, pixels)
        (tmp_path / "b.NPY").write_bytes((tmp_path / "a.npy").read_bytes())
        assert len(db.open_stack([tmp_path / "a.npy", tmp_path / "b.NPY"])) == 2
    finally:
        FORMATS.remove("NumPy")
    with pytest.raises(FileError, match=r"unknown suffix '.npy'; expected one of .png"):
        db.read_image(tmp_path / "a.npy")


def test_a_format_that_is_only_read_is_not_written(tmp_path: Path) -> None:
    assert ".webp" in READ_SUFFIXES
    with pytest.raises(FileError, match="unknown suffix"):
        db.write_image(tmp_path / "a.webp", np.zeros((2, 2), np.uint8))


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(InputError, match="format: got 'EXR'; expected one of PNG, JPEG, TIFF"):
        FORMATS["EXR"]


def open_volume(path: Path, scene: int | str) -> ImageND:  # noqa: ARG001
    array = np.load(path, mmap_mode="r")
    axes = "TCZYX"[-array.ndim :]
    return ImageND(path=path, axes=axes, shape=array.shape, dtype=array.dtype, planes=array.__getitem__, format="NPY")


def create_volume(part: Path, *, axes: str, shape: tuple[int, ...], dtype: np.dtype[Any], **_: Any) -> WriterND:
    with part.open("wb") as file:  # under a name without .npy
        np.lib.format.write_array(file, np.zeros(shape, dtype))
        start = file.tell() - int(np.prod(shape)) * dtype.itemsize
    return WriterND(np.memmap(part, dtype, "r+", start, shape), axes, shape, axes)


@pytest.fixture
def volumes() -> Iterator[None]:
    ND_FORMATS.add(FormatND(name="NPY", suffixes=(".npy",), open=open_volume, create=create_volume))
    yield
    ND_FORMATS.remove("NPY")


@pytest.fixture
def focal_series(photo: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Two times of three slices, the middle one sharp."""
    from scipy import ndimage

    sharp = photo[:64, :64]
    slices = np.stack([ndimage.gaussian_filter(sharp, sigma) for sigma in (4, 0, 4)])
    return np.stack([slices, slices])


@pytest.mark.usefixtures("volumes")
def test_a_format_with_axes_from_outside_is_read_fused_and_written(
    tmp_path: Path, focal_series: np.ndarray[Any, Any]
) -> None:
    np.save(tmp_path / "cells.npy", focal_series)
    image = db.open_nd(tmp_path / "cells.npy", axes="TZYX")
    np.testing.assert_array_equal(image[1, 2], focal_series[1, 2])
    db.write_nd(tmp_path / "again.npy", image, axes="TZYX")
    np.testing.assert_array_equal(np.load(tmp_path / "again.npy"), focal_series)

    assert "npy" in STACK_FORMATS
    settings = FuseFiles.of({"axes": "TZYX", "format": "npy", "out": tmp_path / "made"})
    made = db.fuse_files([tmp_path / "cells.npy"], settings)
    assert tmp_path / "made" / "cells_fused.npy" in [Path(o.path) for o in made.outputs]
    assert np.load(tmp_path / "made" / "cells_fused.npy").shape == (2, 64, 64)


@pytest.mark.usefixtures("volumes")
def test_a_format_with_axes_from_outside_is_found_in_folders(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "cells.npy", np.zeros((3, 8, 8), np.uint8))
    (tmp_path / "in" / "notes.foo").touch()
    stacks, left = Finder([tmp_path / "in"]).scan()
    assert [stack.files for stack in stacks] == [(tmp_path / "in" / "cells.npy",)]
    assert not left
    assert [piece.files for piece in find_pieces([tmp_path / "in"])] == [(tmp_path / "in" / "cells.npy",)]


def encode_stl(path: Path, mesh: Mesh, image: Any) -> dict[Path, bytes]:  # noqa: ARG001
    triangles = np.zeros(len(mesh.faces), dtype=[("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("rest", "<u2")])
    triangles["corners"] = mesh.vertices[mesh.faces]
    return {path: bytes(80) + np.uint32(len(triangles)).tobytes() + triangles.tobytes()}


def test_a_format_of_meshes_from_outside_is_written(tmp_path: Path) -> None:
    height, image = np.zeros((4, 5), np.float32), np.zeros((4, 5), np.uint8)
    MESH_FORMATS.add(MeshFormat(name="STL", suffixes=(".stl",), encode=encode_stl))
    try:
        db.write_mesh(tmp_path / "a.stl", height, image, step=1)
        assert FuseFiles.of({"mesh": "a.stl"}).relief.mesh == Path("a.stl")
    finally:
        MESH_FORMATS.remove("STL")
    data = (tmp_path / "a.stl").read_bytes()
    assert int.from_bytes(data[80:84], "little") == 3 * 4 * 2
    assert len(data) == 84 + 50 * 3 * 4 * 2
    with pytest.raises(FileError, match=r"unknown suffix '.stl'; expected one of .ply, .obj"):
        db.write_mesh(tmp_path / "b.stl", height, image, step=1)
    with pytest.raises(InputError, match=r"mesh: .* expected a file name ending in one of .ply, .obj"):
        FuseFiles.of({"mesh": "a.stl"})


def test_unknown_names_with_axes_are_refused_with_the_list(tmp_path: Path) -> None:
    with pytest.raises(
        FileError, match=r"unknown suffix '.foo'; expected one of .ome.tif, .ome.tiff, .ome.zarr, .zarr"
    ):
        db.write_nd(tmp_path / "a.foo", np.zeros((2, 3, 4)), axes="ZYX")
    (tmp_path / "a.foo").touch()
    with pytest.raises(FileError, match=r"the format is unknown; known are .png, .*, .czi"):
        db.open_nd(tmp_path / "a.foo")
    with pytest.raises(InputError, match=r"format: got 'npy'; expected one of same, png, jpg, tif, ome.tif, ome.zarr"):
        FuseFiles.of({"format": "npy"})
    with pytest.raises(
        InputError, match=r"format: got 'HDF'; expected one of OME-TIFF, OME-Zarr 0.5, OME-Zarr 0.4, CZI"
    ):
        ND_FORMATS["HDF"]
