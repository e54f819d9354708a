"""Focal stacks in files: one file per slice, or one multi-page TIFF, read slice by slice."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from defocus_backend.arguments import names_bad_arguments
from defocus_backend.errors import FileError, InputError
from defocus_backend.io.formats import JPEG_SUFFIXES, PHOTO_SUFFIXES, PNG_SUFFIXES, TIFF_SUFFIXES
from defocus_backend.io.photos import exif_of, is_tiff, open_pillow, orientation_of
from defocus_backend.io.picture import Picture, as_path, check_suffix, file_errors, unreadable
from defocus_backend.io.raw import RAW_SUFFIXES, read_raw
from defocus_backend.io.reading import read_image
from defocus_backend.io.tiff import read_tiff, tiff_metadata
from defocus_backend.io.tiff_pages import white_value
from defocus_backend.io.tiff_series import TiffPlanes, images_of
from defocus_backend.stacks.source import SliceSource

if TYPE_CHECKING:
    from tifffile import TiffFile

_SLICE_AXES = "ZTIQ"
"""Axes of a TIFF series that can be the slices; programs often label the z axis of a stack as time."""


class FileStack(SliceSource):
    """Slices of a focal stack that are read from disk on each access; only the first is kept in memory.

    Attributes
    ----------
    paths : list of Path
        The file of each slice, or the one multi-page file.
    first : Picture
        The first slice, with the metadata of the stack.
    """

    @names_bad_arguments
    def __init__(self, paths: list[Path], first: Picture, length: int, pages: TiffPlanes | None = None) -> None:
        super().__init__(
            None,
            length,
            channel_axis=first.channel_axis,
            layout=first.array.shape,
            dtype=first.array.dtype,
            value_range=first.value_range,
        )
        self.paths = paths
        self.first = first
        self._pages = pages

    @property
    def name(self) -> str:
        """Common part of the file names, without the trailing number; used to name results."""
        if len(self.paths) == 1:
            return self.paths[0].stem
        stems = [p.stem for p in self.paths]
        first, last = min(stems), max(stems)
        same = next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
        return re.sub(r"([-_. ]+[zZ]?)?[0-9]*[-_. ]*$", "", first[:same]) or self.paths[0].stem

    def origin(self, number: int) -> str:
        """File name of a slice, or its page in a multi-page file."""
        return self.paths[number].name if self._pages is None else f"{self.paths[0].name}, page {number}"

    def _read(self, number: int, rows: slice) -> NDArray[Any]:
        """Read one slice; raise `FileError` if it does not match the first slice."""
        if number == 0:
            return self.first.array[rows].copy()  # it is in memory already
        if self._pages is not None:
            shape = self._pages.image.shape
            return self._pages(tuple(int(n) for n in np.unravel_index(number, shape)))[rows]
        path = self.paths[number]
        if path.suffix.lower() in RAW_SUFFIXES:
            # Use the white balance of the first frame for all, because an automatic one changes along the stack.
            array: NDArray[Any] = read_raw(path, self.first.metadata.white_balance)[0]
        else:
            array = read_image(path).array
        _check_alike(path, _Kind.of(array), self.paths[0], _Kind.of(self.first.array))
        return array[rows]


@names_bad_arguments
def open_stack(paths: str | Path | Iterable[str | Path]) -> FileStack:
    """Open a focal stack without reading its slices.

    Parameters
    ----------
    paths : path or iterable of paths
        Several PNG, JPEG, TIFF or RAW files, one per slice, in order; or one TIFF whose pages are the slices.

    Returns
    -------
    FileStack
        A sequence of arrays (H, W) or (H, W, C).

    Raises
    ------
    FileError
        If a file is unreadable, or if its size, channels or bit depth differ from the first file. The file headers are
        checked first, so that this is found before any computation.
    InputError
        If no file is given.
    """
    if isinstance(paths, str | Path) or not isinstance(paths, Iterable):
        paths = [paths]
    files = [as_path(path, "files") for path in paths]
    if not files:
        raise InputError("files", "none", "two or more pictures, or one multi-page TIFF")
    if len(files) == 1:
        suffix = check_suffix(files[0], "read")
        with file_errors(files[0]):
            if suffix not in RAW_SUFFIXES and is_tiff(files[0], suffix in TIFF_SUFFIXES):
                return read_tiff(files[0], _page_stack)
    first = read_image(files[0])
    wanted = _Kind.of(first.array)
    for path in files[1:]:
        _check_alike(path, _peek(path, wanted), files[0], wanted)
    return FileStack(files, first, len(files))


@dataclass(frozen=True)
class _Kind:
    """Size, channels and dtype of a slice, for error messages."""

    height: int
    width: int
    channels: int
    dtype: str

    @classmethod
    def of(cls, array: NDArray[Any]) -> _Kind:
        height, width, *rest = array.shape
        return cls(height, width, rest[0] if rest else 1, str(array.dtype))

    def __str__(self) -> str:
        channels = {1: "gray", 2: "gray+alpha", 3: "RGB", 4: "RGBA"}[self.channels]
        return f"{self.width}x{self.height} px {channels} {self.dtype}"


def _check_alike(path: Path, kind: _Kind, first: Path, wanted: _Kind) -> None:
    if kind != wanted:
        raise FileError(f"{path}: is {kind}; expected {wanted} as {first.name}")


def _peek(path: Path, wanted: _Kind) -> _Kind:
    """Kind of a slice from its file header; values that the header lacks are assumed to be as expected."""
    suffix = check_suffix(path, "read")
    if suffix in RAW_SUFFIXES and path.is_file():
        return wanted  # developing a RAW file takes seconds; it is checked when it is read
    if suffix not in (*PNG_SUFFIXES, *JPEG_SUFFIXES, *PHOTO_SUFFIXES):
        return _Kind.of(read_image(path).array)
    try:
        with open_pillow(path) as picture:
            width, height = picture.size
            turned = _turned(picture)
            channels = {"L": 1, "1": 1, "RGB": 3, "RGBA": 4, "LA": 2}.get(picture.mode, wanted.channels)
            if "transparency" in picture.info:
                channels = wanted.channels
    except Exception as error:
        raise unreadable(path, error) from error
    if turned:
        width, height = height, width
    return _Kind(height, width, channels, wanted.dtype)


def _turned(picture: Any) -> bool:
    try:
        return orientation_of(exif_of(picture)) >= 5
    except Exception:  # a damaged block, which the reader ignores too
        return False


def _page_stack(path: Path, tiff: TiffFile) -> FileStack:
    images = images_of(path, tiff)
    if len(images) > 1:
        raise FileError(f"{path}: holds {len(images)} images; expected one series of slices (choose one with --scene)")
    image = images[0]
    numbering = [(axis, n) for axis, n in zip(image.axes, image.shape, strict=True) if n > 1]
    if len(numbering) > 1 or any(axis not in _SLICE_AXES for axis, _ in numbering):
        axes = ", ".join(f"{n} {axis}" for axis, n in numbering)
        raise FileError(f"{path}: holds a series of {axes}; expected one series of slices (Z)")
    planes = TiffPlanes(path, image)
    array = planes((0,) * len(image.shape))
    page = tiff.pages[image.pages[0] if image.pages else 0].aspage()
    first = Picture(
        array=array,
        channel_axis=None if array.ndim == 2 else -1,
        metadata=tiff_metadata(tiff, page),
        path=path,
        white=white_value(page),
    )
    return FileStack([path], first, image.count, planes)
