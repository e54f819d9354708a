"""A height map as a triangle mesh: binary PLY with colours, or OBJ with material and texture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from defocus_backend.arguments import names_bad_arguments
from defocus_backend.errors import FileError, InputError
from defocus_backend.io.atomic import WholeFiles
from defocus_backend.io.formats import MESH_FORMATS, function_of
from defocus_backend.io.picture import as_path
from defocus_backend.io.writing import encode_image

_MOST_VERTICES = 500_000
"""Largest number of vertices without a given grid step; viewers display this many smoothly."""
_RELIEF = 0.25
"""Height of the mesh relative to the longer side, if the units of height and pixels cannot be compared."""


@dataclass(frozen=True)
class Mesh:
    """Triangles, counter-clockwise as seen from above (from large z).

    Attributes
    ----------
    vertices : (V, 3) float32 array
        x to the right, y upwards in the picture, z the height.
    faces : (F, 3) int32 array
        Indices of the vertices of each triangle.
    texcoords : (V, 2) float32 array
        Position in the texture, 0 to 1 from its lower left corner.
    colours : (V, 3) uint8 array
        RGB.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    texcoords: NDArray[np.float32]
    colours: NDArray[np.uint8]


def height_mesh(
    height: ArrayLike,
    image: ArrayLike,
    *,
    step: int | None = None,
    pixel_size: float | None = None,
    exaggeration: float | None = None,
) -> Mesh:
    """Create a mesh from a height map.

    Parameters
    ----------
    height : (H, W) array_like
        Height map; NaN leaves a hole in the mesh.
    image : (H, W[, C]) array_like
        The fused image, gray or RGB(A), for the colours. Images other than 8-bit are rescaled to their own range.
    step : int or None
        Grid spacing in pixels: each vertex is the mean over a cell of this side length. By default the smallest that
        gives at most 500,000 vertices.
    pixel_size : float or None
        Size of a pixel in the unit of the height. If None, x and y are in pixels.
    exaggeration : float or None
        Factor on the height. By default 1 if the pixel size is given; otherwise the mesh is a quarter as high as the
        longer side.

    Returns
    -------
    Mesh

    Raises
    ------
    InputError
        For invalid arguments, or if no three neighbouring vertices are known.
    """
    values = np.asarray(height, dtype=np.float32)
    if values.ndim != 2 or not values.size:
        raise InputError("height", f"shape {values.shape}", "a map (H, W)")
    colours = _colours(image, values.shape)
    if step is None:
        step = max(1, int(np.ceil(np.sqrt(values.size / _MOST_VERTICES))))
    if step != int(step) or step < 1:
        raise InputError("step", repr(step), "a whole number of pixels, 1 or more")
    for name, given in (("pixel_size", pixel_size), ("exaggeration", exaggeration)):
        if given is not None and not (np.isfinite(given) and given > 0):
            raise InputError(name, repr(given), "a finite number above 0")
    known = np.isfinite(values)
    share = _cells(known.astype(np.float32), step)
    level = _cells(np.where(known, values, np.float32(0)), step) / np.maximum(share, 1e-6)
    rows, columns = level.shape
    solid = share >= 0.5
    number = np.full(level.shape, -1, dtype=np.int32)
    faces = _faces(solid)
    used = np.unique(faces)
    if not used.size:
        raise InputError("height", "no three neighbouring known heights", "a height map with some surface")
    number.reshape(-1)[used] = np.arange(used.size, dtype=np.int32)
    y, x = (_centres(n, length, step) for n, length in ((rows, values.shape[0]), (columns, values.shape[1])))
    scale = 1.0 if pixel_size is None else pixel_size
    z = level.reshape(-1)[used]
    if exaggeration is None:
        relief = float(np.ptp(z))
        exaggeration = 1.0 if pixel_size is not None or not relief else _RELIEF * max(values.shape) / relief
    across, down = np.tile(x, rows)[used], np.repeat(y, columns)[used]
    vertices = np.stack([across * scale, -down * scale, z * exaggeration], axis=1)
    place = np.stack([(across + 0.5) / values.shape[1], 1 - (down + 0.5) / values.shape[0]], axis=1)
    paint = np.stack([_cells(colours[..., c].astype(np.float32), step).reshape(-1)[used] for c in range(3)], axis=1)
    return Mesh(
        vertices=vertices.astype(np.float32),
        faces=number.reshape(-1)[faces],
        texcoords=place.astype(np.float32),
        colours=np.rint(paint).astype(np.uint8),
    )


def encode_ply(path: Path, mesh: Mesh, image: ArrayLike) -> dict[Path, bytes]:  # noqa: ARG001
    """A binary little-endian PLY file with vertex colours."""
    corners = np.empty(len(mesh.vertices), dtype=[("place", "<f4", 3), ("colour", "u1", 3)])
    corners["place"], corners["colour"] = mesh.vertices, mesh.colours
    triangles = np.empty(len(mesh.faces), dtype=[("count", "u1"), ("corners", "<i4", 3)])
    triangles["count"], triangles["corners"] = 3, mesh.faces
    properties = [f"property float {axis}" for axis in "xyz"]
    properties += [f"property uchar {colour}" for colour in ("red", "green", "blue")]
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "comment height map by napari-defocus",
        f"element vertex {len(corners)}",
        *properties,
        f"element face {len(triangles)}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    return {path: ("\n".join(header) + "\n").encode("ascii") + corners.tobytes() + triangles.tobytes()}


def encode_obj(path: Path, mesh: Mesh, image: ArrayLike) -> dict[Path, bytes]:
    """A textured OBJ mesh: the file at `path`, and beside it ``<stem>.mtl`` and ``<stem>_texture.png``."""
    stem = path.stem
    if any(c.isspace() for c in stem):
        # The file names of material and texture cannot contain spaces, which separate words in OBJ files.
        raise FileError(f"{path}: OBJ files cannot name their texture with spaces; choose another name, or .ply")
    material, texture = f"{stem}.mtl", f"{stem}_texture.png"
    lines = ["# height map by napari-defocus", f"mtllib {material}", "usemtl surface"]
    lines += [f"v {x:.7g} {y:.7g} {z:.7g}" for x, y, z in mesh.vertices.tolist()]
    lines += [f"vt {u:.6f} {v:.6f}" for u, v in mesh.texcoords.tolist()]
    lines += [f"f {a}/{a} {b}/{b} {c}/{c}" for a, b, c in (mesh.faces + 1).tolist()]
    shading = ["newmtl surface", "Ka 1 1 1", "Kd 1 1 1", "Ks 0 0 0", "illum 1", f"map_Kd {texture}"]
    picture = np.asarray(image)
    return {
        path: ("\n".join(lines) + "\n").encode("utf-8"),
        path.with_name(material): ("\n".join(shading) + "\n").encode("utf-8"),
        path.with_name(texture): encode_image(_colours(picture, picture.shape[:2]), ".png"),
    }


def encode_mesh(path: str | Path, mesh: Mesh, image: ArrayLike) -> dict[Path, bytes]:
    """All files of a mesh in the format of the suffix, see `write_mesh`; the file at `path` comes first."""
    path = as_path(path)
    made: dict[Path, bytes] = function_of(path, MESH_FORMATS, "encode")(path, mesh, image)
    return made


@names_bad_arguments
def write_mesh(
    path: str | Path,
    height: ArrayLike,
    image: ArrayLike,
    *,
    step: int | None = None,
    pixel_size: float | None = None,
    exaggeration: float | None = None,
) -> None:
    """Write a height map as a mesh; either all its files are written or none.

    Parameters
    ----------
    path : str or Path
        ``.ply`` (binary, with vertex colours) or ``.obj`` (with ``.mtl`` and ``_texture.png`` beside it).
    height, image, step, pixel_size, exaggeration
        See `height_mesh`.

    Raises
    ------
    InputError, FileError
    """
    mesh = height_mesh(height, image, step=step, pixel_size=pixel_size, exaggeration=exaggeration)
    with WholeFiles() as files:
        for target, data in encode_mesh(path, mesh, image).items():
            files.add(target, data)


def _faces(solid: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Two triangles for every four neighbouring vertices; one triangle if one of the four is missing."""
    number = np.arange(solid.size, dtype=np.int32).reshape(solid.shape)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]
    has = [solid.reshape(-1)[corner] for corner in (a, b, c, d)]
    all_but_a, all_but_d = has[1] & has[2] & has[3], has[0] & has[1] & has[2]
    all_but_b, all_but_c = has[0] & has[2] & has[3], has[0] & has[1] & has[3]
    parts = [
        np.stack([a, c, b], -1)[all_but_d],
        np.stack([b, c, d], -1)[all_but_a],
        np.stack([a, c, d], -1)[all_but_b & ~has[1]],
        np.stack([a, d, b], -1)[all_but_c & ~has[2]],
    ]
    return np.concatenate(parts)


def _cells(values: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """Mean over cells of ``step`` x ``step`` pixels; the last cells may be smaller."""
    if step == 1:
        return values
    for axis in (0, 1):
        starts = np.arange(0, values.shape[axis], step)
        sizes = np.diff(np.append(starts, values.shape[axis])).astype(np.float32)
        shape = (-1, 1) if axis == 0 else (1, -1)
        values = (np.add.reduceat(values, starts, axis=axis) / sizes.reshape(shape)).astype(np.float32)
    return values


def _centres(count: int, length: int, step: int) -> NDArray[np.float64]:
    """Pixel coordinates of the centres of the cells along one axis."""
    starts = np.arange(count) * step
    return (starts + np.minimum(starts + step, length) - 1) / 2


def _colours(image: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """8-bit RGB (H, W, 3) of a gray or colour picture."""
    pixels: NDArray[Any] = np.asarray(image)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[:2] != tuple(shape) or pixels.shape[-1] not in (1, 2, 3, 4):
        raise InputError("image", f"shape {np.shape(image)}", f"a gray or RGB picture of shape {tuple(shape)}")
    pixels = pixels[..., :3] if pixels.shape[-1] >= 3 else pixels[..., :1].repeat(3, axis=-1)
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(255)
    wide = pixels.astype(np.float64)
    finite = wide[np.isfinite(wide)]
    low, high = np.percentile(finite, (0.1, 99.9)) if finite.size else (0.0, 1.0)
    unit = (np.nan_to_num(wide, nan=low) - low) / max(high - low, 1e-12)
    return np.asarray(np.rint(np.clip(unit, 0, 1) * 255), dtype=np.uint8)
