"""The pieces in which many pictures are measured: one file, or one field at one time of a large one."""

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
    """What one task measures: all planes and channels of a field at one time.

    Attributes
    ----------
    files : tuple of Path
        One file, or the planes of a stack in order.
    scene : str or int
        Name of the image in a file that holds several; 0 for the only one.
    index : tuple of (str, int)
        Number on the axes position and time, where the file has them.
    error : str
        Why the file cannot be measured; empty if it can.
    """

    files: tuple[Path, ...]
    scene: str | int = 0
    index: tuple[tuple[str, int], ...] = ()
    error: str = ""

    @property
    def key(self) -> str:
        """Tells it from all other pieces."""
        return "|".join([str(self.files[0].resolve()), str(self.scene), *(f"{a}{n}" for a, n in self.index)])


def find_pieces(
    paths: Sequence[Path], *, pattern: str = "*", group_by: str | None = None, axes: str | None = None
) -> Iterator[Piece]:
    """All pieces of files and folders, in the order of their names; files are opened one after another.

    Parameters
    ----------
    paths : sequence of Path
        Pictures, images of many dimensions, or folders to search for them at any depth.
    pattern : str
        In folders, only files whose names match.
    group_by : str or None
        See `batch.find.Finder`: files that are the planes of one stack.
    axes : str or None
        See `open_nd`.

    Raises
    ------
    InputError
        If a path is absent.
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
    """The image (..., Y, X) of a piece of one file, with its position and time picked; nothing is read yet.

    Raises
    ------
    FileError, InputError
    """
    image = open_nd(piece.files[0], scene=piece.scene, axes=axes)
    for axis, number in piece.index:
        image = image.pick(axis, number)
    return image


def _in_folder(folder: Path, pattern: str) -> Iterator[Path]:
    """Files of known types, and stores, below a folder; hidden ones are left out."""
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
