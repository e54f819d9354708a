"""Units of work for measuring many pictures: one file, or one field at one time of a large file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from defocus_backend.batch.find import Finder
from defocus_backend.errors import FileError, InputError
from defocus_backend.io import READ_SUFFIXES, ImageND, is_store, open_nd
from defocus_backend.io.folders import natural_order
from defocus_backend.io.formats import TIFF_SUFFIXES, is_many


@dataclass(frozen=True)
class Piece:
    """Work of one task: all planes and channels of a field at one time.

    Attributes
    ----------
    files : tuple of Path
        One file, or the planes of a stack in order.
    scene : str or int
        Name of the image, if the file has several; otherwise 0.
    index : tuple of (str, int)
        Index along the axes position and time, if the file has them.
    error : str
        Reason why the file cannot be measured; empty if it can.
    """

    files: tuple[Path, ...]
    scene: str | int = 0
    index: tuple[tuple[str, int], ...] = ()
    error: str = ""

    @property
    def key(self) -> str:
        """Unique key of the piece."""
        return "|".join([str(self.files[0].resolve()), str(self.scene), *(f"{a}{n}" for a, n in self.index)])


def find_pieces(
    paths: Sequence[Path], *, pattern: str = "*", group_by: str | None = None, axes: str | None = None
) -> Iterator[Piece]:
    """Find all pieces in files and folders, in the order of their names; files are opened one by one.

    Parameters
    ----------
    paths : sequence of Path
        Pictures, multi-dimensional images, or folders that are searched recursively.
    pattern : str
        In folders, use only files whose names match this pattern.
    group_by : str or None
        Regular expression that groups files into stacks, see `batch.find.Finder`.
    axes : str or None
        See `open_nd`.

    Raises
    ------
    InputError
        If a path does not exist.
    """
    for path in paths:
        if not path.exists():
            raise InputError("PATHS", str(path), "an existing file or folder")
    if group_by is not None:
        found, _ = Finder(list(paths), pattern=pattern, group_by=group_by, singles=True).scan()
        yield from (Piece(stack.files) for stack in found)
        return
    for path in paths:
        whole = path.is_file() or is_many(path) or is_store(path)
        for file in [path] if whole else _in_folder(path, pattern):
            yield from _of_file(file, axes)


def open_piece(piece: Piece, axes: str | None = None) -> ImageND:
    """Open the image (..., Y, X) of a single-file piece at its position and time; no pixels are read.

    Raises
    ------
    FileError, InputError
    """
    image = open_nd(piece.files[0], scene=piece.scene, axes=axes)
    for axis, number in piece.index:
        image = image.pick(axis, number)
    return image


def _in_folder(folder: Path, pattern: str) -> Iterator[Path]:
    """Files of known types and stores below a folder, without hidden ones."""
    inside = sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=lambda p: natural_order(p.name))
    for path in inside:
        if path.is_dir() and not is_many(path) and not is_store(path):
            yield from _in_folder(path, pattern)
        elif path.match(pattern) and (path.is_dir() or path.suffix.lower() in READ_SUFFIXES or is_many(path)):
            yield path


def _of_file(path: Path, axes: str | None) -> Iterator[Piece]:
    suffix = path.suffix.lower()
    if suffix in READ_SUFFIXES and suffix not in TIFF_SUFFIXES:
        yield Piece((path,))
        return
    try:
        scenes = open_nd(path, axes=axes).scenes
        for scene in scenes:
            name: str | int = scene if len(scenes) > 1 else 0
            sizes = open_nd(path, scene=name, axes=axes).sizes if len(scenes) > 1 else open_nd(path, axes=axes).sizes
            for position in range(sizes["P"]) if "P" in sizes else (None,):
                for time in range(sizes["T"]) if "T" in sizes else (None,):
                    index = [("P", position)] if position is not None else []
                    index += [("T", time)] if time is not None else []
                    yield Piece((path,), name, tuple(index))
    except FileError as error:
        yield Piece((path,), error=str(error))
