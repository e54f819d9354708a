"""Meshes against what an independent reader makes of their files, and against geometry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from defocus_backend.errors import FileError, InputError
from defocus_backend.io import read_image
from defocus_backend.io.mesh import Mesh, encode_mesh, height_mesh, write_mesh


@pytest.fixture
def height() -> np.ndarray:
    """A plane rising by 2 a pixel along x and 3 along y, (10, 14)."""
    y, x = np.mgrid[:10, :14]
    return (2.0 * x + 3.0 * y).astype(np.float32)


@pytest.fixture
def image() -> np.ndarray:
    """Colours that tell where they came from, (10, 14, 3) uint8."""
    y, x = np.mgrid[:10, :14]
    return np.stack([10 * y, 10 * x, 0 * x + 7], axis=-1).astype(np.uint8)


def read_ply(data: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places, colours and faces of a PLY file, read by its own header."""
    head, body = data.split(b"end_header\n", 1)
    lines = head.decode("ascii").splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    counts = {line.split()[1]: int(line.split()[2]) for line in lines if line.startswith("element")}
    vertex = np.dtype([("p", "<f4", 3), ("c", "u1", 3)])
    face = np.dtype([("n", "u1"), ("v", "<i4", 3)])
    corners = np.frombuffer(body, vertex, counts["vertex"])
    faces = np.frombuffer(body, face, counts["face"], offset=corners.nbytes)
    assert len(body) == corners.nbytes + faces.nbytes
    assert (faces["n"] == 3).all()
    return corners["p"], corners["c"], faces["v"]


def normals(mesh: Mesh) -> np.ndarray:
    a, b, c = (mesh.vertices[mesh.faces[:, n]] for n in range(3))
    return np.cross(b - a, c - a)


def test_every_pixel_is_a_vertex_with_its_height_and_colour(height: np.ndarray, image: np.ndarray) -> None:
    mesh = height_mesh(height, image, step=1, pixel_size=0.5)
    assert mesh.vertices.shape == (140, 3)
    assert mesh.faces.shape == (2 * 9 * 13, 3)
    columns, rows = mesh.vertices[:, 0] / 0.5, -mesh.vertices[:, 1] / 0.5
    np.testing.assert_allclose(mesh.vertices[:, 2], 2 * columns + 3 * rows)
    np.testing.assert_array_equal(mesh.colours[:, 0], 10 * rows)
    np.testing.assert_array_equal(mesh.colours[:, 1], 10 * columns)
    # The texture's rows are counted from below.
    np.testing.assert_allclose(mesh.texcoords[:, 0] * 14 - 0.5, columns, atol=1e-5)
    np.testing.assert_allclose((1 - mesh.texcoords[:, 1]) * 10 - 0.5, rows, atol=1e-5)


def test_triangles_tile_the_picture_and_look_up(height: np.ndarray, image: np.ndarray) -> None:
    doubled = normals(height_mesh(height, image, step=1, pixel_size=1))[:, 2]
    assert (doubled > 0).all()
    assert doubled.sum() / 2 == pytest.approx(9 * 13)


def test_unknown_height_leaves_a_hole(height: np.ndarray, image: np.ndarray) -> None:
    height[3:6, 4:7] = np.nan
    mesh = height_mesh(height, image, step=1, pixel_size=1)
    assert np.isfinite(mesh.vertices).all()
    assert len(mesh.vertices) == 140 - 9
    # Nine missing vertices take sixteen squares with them; each outer corner square keeps half of itself.
    assert normals(mesh)[:, 2].sum() / 2 == pytest.approx(9 * 13 - 16 + 4 * 0.5)
    assert set(mesh.faces.reshape(-1)) == set(range(len(mesh.vertices)))


def test_a_coarse_grid_lies_in_the_same_plane(height: np.ndarray, image: np.ndarray) -> None:
    mesh = height_mesh(height, image, step=4, pixel_size=1)
    assert len(mesh.vertices) == 3 * 4
    np.testing.assert_allclose(mesh.vertices[:, 2], 2 * mesh.vertices[:, 0] - 3 * mesh.vertices[:, 1], rtol=1e-6)


def test_by_default_large_maps_are_thinned() -> None:
    mesh = height_mesh(np.zeros((750, 800), np.float32), np.zeros((750, 800), np.uint8))
    assert 100_000 < len(mesh.vertices) <= 500_000


def test_exaggeration(height: np.ndarray, image: np.ndarray) -> None:
    plain = height_mesh(height, image, step=1, pixel_size=1)
    raised = height_mesh(height, image, step=1, pixel_size=1, exaggeration=3)
    np.testing.assert_allclose(raised.vertices[:, 2], 3 * plain.vertices[:, 2])
    fitted = height_mesh(height, image, step=1)
    assert np.ptp(fitted.vertices[:, 2]) == pytest.approx(14 / 4)


def test_ply_comes_back(height: np.ndarray, image: np.ndarray, tmp_path: Path) -> None:
    mesh = height_mesh(height, image, step=1, pixel_size=1)
    write_mesh(tmp_path / "a.ply", height, image, step=1, pixel_size=1)
    data = (tmp_path / "a.ply").read_bytes()
    assert data == encode_mesh(tmp_path / "a.ply", mesh, image)[tmp_path / "a.ply"]
    places, colours, faces = read_ply(data)
    np.testing.assert_array_equal(places, mesh.vertices)
    np.testing.assert_array_equal(colours, mesh.colours)
    np.testing.assert_array_equal(faces, mesh.faces)


def test_obj_names_a_material_that_names_a_texture(height: np.ndarray, image: np.ndarray, tmp_path: Path) -> None:
    mesh = height_mesh(height, image, step=1, pixel_size=1)
    write_mesh(tmp_path / "a.obj", height, image, step=1, pixel_size=1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mtl", "a.obj", "a_texture.png"]
    lines = [line.split() for line in (tmp_path / "a.obj").read_text().splitlines()]
    assert ["mtllib", "a.mtl"] in lines
    assert "map_Kd a_texture.png" in (tmp_path / "a.mtl").read_text()
    np.testing.assert_array_equal(read_image(tmp_path / "a_texture.png").array, image)
    places = np.array([line[1:] for line in lines if line[0] == "v"], float)
    np.testing.assert_allclose(places, mesh.vertices, rtol=1e-6)
    faces = [[corner.split("/") for corner in line[1:]] for line in lines if line[0] == "f"]
    np.testing.assert_array_equal(np.array(faces, int), np.repeat(mesh.faces[..., None] + 1, 2, axis=-1))


def test_sixteen_bits_and_gray_become_colours(height: np.ndarray) -> None:
    gray = np.linspace(400, 900, 140).reshape(10, 14).astype(np.uint16)
    colours = height_mesh(height, gray, step=1).colours
    assert (colours[:, 0] == colours[:, 2]).all()
    assert colours[0, 0] == 0
    assert colours[-1, 0] == 255


def test_all_files_or_none(height: np.ndarray, image: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "a.mtl").mkdir()
    with pytest.raises(FileError, match=r"a\.mtl"):
        write_mesh(tmp_path / "a.obj", height, image)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mtl"]


@pytest.mark.parametrize("name", ["a.stl", "a", "two words.obj"])
def test_bad_names_are_refused(height: np.ndarray, image: np.ndarray, tmp_path: Path, name: str) -> None:
    with pytest.raises(FileError, match=name.split(".")[0]):
        write_mesh(tmp_path / name, height, image)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"step": 0}, "step"),
        ({"step": 1.5}, "step"),
        ({"pixel_size": 0}, "pixel_size"),
        ({"exaggeration": np.inf}, "exag"),
    ],
)
def test_bad_options_are_refused(height: np.ndarray, image: np.ndarray, options: dict[str, float], named: str) -> None:
    with pytest.raises(InputError, match=named):
        height_mesh(height, image, **options)


def test_bad_maps_are_refused(height: np.ndarray, image: np.ndarray) -> None:
    with pytest.raises(InputError, match="height"):
        height_mesh(height[0], image)
    with pytest.raises(InputError, match="some surface"):
        height_mesh(np.full_like(height, np.nan), image)
    with pytest.raises(InputError, match="image"):
        height_mesh(height, image[:5])
