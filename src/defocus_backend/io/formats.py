"""File formats in three registries: single pictures, multi-dimensional images, meshes. Others can be added."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from defocus_backend.errors import FileError
from defocus_backend.io.raw import RAW_SUFFIXES
from defocus_backend.registry import Registry

if TYPE_CHECKING:
    from numpy.typing import NDArray

PNG_SUFFIXES = (".png",)
JPEG_SUFFIXES = (".jpg", ".jpeg")
TIFF_SUFFIXES = (".tif", ".tiff")
PHOTO_SUFFIXES = (".webp", ".bmp", ".gif", ".jp2", ".j2k", ".jpx")
"""Suffixes of formats that are read, but not written."""


@dataclass(frozen=True, kw_only=True)
class AnyFormat:
    """Base of the formats of all three kinds.

    The functions of a format are callables, None if the format does not support the operation, or text that names a
    function in this package, such as ``"reading:read_by_content"``. A named function is imported on first use.

    Attributes
    ----------
    name : str
    suffixes : tuple of str
        Endings of its file names, in lower case. The first is the default for new files.
    """

    name: str
    suffixes: tuple[str, ...]

    def fits(self, path: str | Path) -> bool:
        """Whether the name of a file has a suffix of this format."""
        return Path(path).name.lower().endswith(self.suffixes)

    def function(self, what: str) -> Callable[..., Any] | None:
        """One of its functions, imported now; None if the format does not support it."""
        found = getattr(self, what)
        if isinstance(found, str):
            module, _, name = found.partition(":")
            found = getattr(import_module(f"defocus_backend.io.{module}"), name)
        made: Callable[..., Any] | None = found
        return made


@dataclass(frozen=True, kw_only=True)
class Format(AnyFormat):
    """A file format of single pictures.

    Attributes
    ----------
    read : callable, str or None
        ``read(path) -> Picture``; raises `FileError`.
    encode : callable, str or None
        ``encode(pixels, metadata) -> bytes``; raises `InputError` for pixels that the format does not support.
    """

    read: Callable[[Path], Any] | str | None = None
    encode: Callable[[NDArray[Any], Any], bytes] | str | None = None


@dataclass(frozen=True, kw_only=True)
class FormatND(AnyFormat):
    """A file format, or a kind of folder, for multi-dimensional images.

    Attributes
    ----------
    open : callable, str or None
        ``open(path, scene) -> ImageND``, without reading pixels; raises `FileError`.
    create : callable, str or None
        ``create(part, axes=, shape=, dtype=, calibration=, name=) -> WriterND``: creates the file or folder under the
        hidden name `part`, whose planes can then be written in any order; raises `InputError` for axes that the format
        does not support.
    is_folder : callable, str or None
        ``is_folder(path) -> bool``: whether a folder contains an image of this format. None for file formats.
    needs : str
        Package that must be installed to read such files, if any.
    """

    open: Callable[[Path, int | str], Any] | str | None = None
    create: Callable[..., Any] | str | None = None
    is_folder: Callable[[Path], bool] | str | None = None
    needs: str = ""


@dataclass(frozen=True, kw_only=True)
class MeshFormat(AnyFormat):
    """A file format of triangle meshes.

    Attributes
    ----------
    encode : callable or str
        ``encode(path, mesh, image) -> {path: bytes}``: all files of the mesh, the one at `path` first.
    """

    encode: Callable[[Path, Any, Any], dict[Path, bytes]] | str


FORMATS: Registry[Format] = Registry(
    "format",
    Format(name="PNG", suffixes=PNG_SUFFIXES, read="reading:read_by_content", encode="writing:encode_png"),
    Format(name="JPEG", suffixes=JPEG_SUFFIXES, read="reading:read_by_content", encode="writing:encode_jpeg"),
    Format(name="TIFF", suffixes=TIFF_SUFFIXES, read="reading:read_by_content", encode="writing:encode_tiff"),
    Format(name="WebP, BMP, GIF and JPEG 2000", suffixes=PHOTO_SUFFIXES, read="reading:read_by_content"),
    Format(name="RAW", suffixes=RAW_SUFFIXES, read="reading:read_raw_picture"),
)
"""Formats of single pictures; `add` registers another one."""

_STORE: dict[str, Any] = {
    "suffixes": (".ome.zarr", ".zarr"),
    "open": "ome_zarr:open_zarr",
    "is_folder": "ome_zarr:is_store",
}

ND_FORMATS: Registry[FormatND] = Registry(
    "format",
    FormatND(
        name="OME-TIFF",
        suffixes=(".ome.tif", ".ome.tiff"),
        open="open_nd:open_by_content",
        create="writing_nd:create_tiff",
    ),
    FormatND(name="OME-Zarr 0.5", **_STORE, create="writing_nd:create_store"),
    FormatND(name="OME-Zarr 0.4", **_STORE, create="writing_nd:create_store_04"),
    *(
        FormatND(name=name.upper(), suffixes=(f".{name}",), open="microscopes:open_bioio", needs=f"bioio-{name}")
        for name in ("czi", "nd2", "lif", "dv", "sldy")
    ),
)
"""Formats of multi-dimensional images; bioio reads further formats if a reader for them is installed."""

MESH_FORMATS: Registry[MeshFormat] = Registry(
    "format",
    MeshFormat(name="PLY", suffixes=(".ply",), encode="mesh:encode_ply"),
    MeshFormat(name="OBJ", suffixes=(".obj",), encode="mesh:encode_obj"),
)
"""Formats of meshes."""


class _Listed(Collection[str]):
    """Texts that are listed again on each use, so that formats added later are included."""

    def __contains__(self, text: object) -> bool:
        return any(text == known for known in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __str__(self) -> str:
        return ", ".join(self)


class Suffixes(_Listed):
    """Suffixes of the formats in a registry that have a function."""

    def __init__(self, formats: Registry[Any], what: str) -> None:
        self._formats, self._what = formats, what

    def __iter__(self) -> Iterator[str]:
        able = [one.suffixes for one in self._formats.values() if getattr(one, self._what) is not None]
        yield from dict.fromkeys(suffix for suffixes in able for suffix in suffixes)


class Endings(_Listed):
    """Choices of an output format: ``"same"``, or a suffix without its dot."""

    def __init__(self, *registries: Registry[Any]) -> None:
        self._registries = registries

    def __iter__(self) -> Iterator[str]:
        every = (one for formats in self._registries for one in formats.values())
        written = [one for one in every if (one.encode if isinstance(one, Format) else one.create) is not None]
        yield from dict.fromkeys(["same", *(one.suffixes[0].removeprefix(".") for one in written)])


WRITTEN_SUFFIXES = Suffixes(FORMATS, "encode")
"""Suffixes of the formats that are read and written."""
READ_SUFFIXES = Suffixes(FORMATS, "read")
"""Suffixes of the formats that are read as pictures."""
ND_READ_SUFFIXES, ND_WRITTEN_SUFFIXES = Suffixes(ND_FORMATS, "open"), Suffixes(ND_FORMATS, "create")
MESH_SUFFIXES = Suffixes(MESH_FORMATS, "encode")

F = TypeVar("F", bound=AnyFormat)


def formats_of(path: str | Path, formats: Registry[F], what: str) -> list[F]:
    """Formats that match the suffix of a path and have a function.

    Raises
    ------
    FileError
        If there is none. The message lists the known suffixes.
    """
    found = [one for one in formats.values() if one.fits(path) and getattr(one, what) is not None]
    if not found:
        suffix = Path(path).suffix or str(path)
        raise FileError(f"{path}: unknown suffix {suffix!r}; expected one of {Suffixes(formats, what)}")
    return found


def function_of(path: str | Path, formats: Registry[F], what: str) -> Callable[..., Any]:
    """A function of the first format that matches the suffix of a path; raise `FileError` if there is none."""
    found = formats_of(path, formats, what)[0].function(what)
    assert found is not None
    return found


def is_many(path: Path) -> bool:
    """Whether a path has the name of a multi-dimensional image (file or folder) instead of a picture."""
    return path.suffix.lower() not in READ_SUFFIXES and any(one.fits(path) for one in ND_FORMATS.values() if one.open)


def is_store(path: Path) -> bool:
    """Whether a folder contains a multi-dimensional image and may be replaced by another one."""
    return any(holds(path) for one in ND_FORMATS.values() if (holds := one.function("is_folder")))
