"""Focal stacks in files: one file a slice, or one TIFF with many pages, read slice by slice."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from defocus_backend.errors import FileError, InputError
from defocus_backend.io.picture import READ_SUFFIXES, TIFF_SUFFIXES, Picture, check_suffix, unreadable
from defocus_backend.io.raw import RAW_SUFFIXES, read_raw
from defocus_backend.io.reading import open_pillow, read_image
from defocus_backend.io.tiff import check_complete, page_pixels, read_tiff, tiff_metadata
from defocus_backend.stacks.source import SliceSource

if TYPE_CHECKING:
    from tifffile import TiffFile

_SLICE_AXES = "ZTIQ"
"""Axes of a TIFF series that may number the slices; programs often call the z axis of a stack time."""


class FileStack(SliceSource):
    """Slices of a focal stack, read from disk each time they are asked for; memory holds the first.

    Attributes
    ----------
    paths : list of Path
        The file of each slice, or the one multi-page file.
    first : Picture
        The first slice, with the metadata of the stack.
    """

    def __init__(self, paths: list[Path], first: Picture, length: int, pages: _Pages | None = None) -> None:
        super().__init__(
            None, length, channel_axis=first.channel_axis, layout=first.array.shape, dtype=first.array.dtype
        )
        self.paths = paths
        self.first = first
        self._pages = pages

    @property
    def name(self) -> str:
        """What the file names have in common, without the trailing number; for naming results."""
        if len(self.paths) == 1:
            return self.paths[0].stem
        stems = [p.stem for p in self.paths]
        first, last = min(stems), max(stems)
        same = next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
        return re.sub(r"([-_. ]+[zZ]?)?[0-9]*[-_. ]*$", "", first[:same]) or self.paths[0].stem

    def origin(self, number: int) -> str:
        """The file of a slice, or its page in the one file."""
        return self.paths[number].name if self._pages is None else f"{self.paths[0].name}, page {number}"

    def _read(self, number: int, rows: slice) -> NDArray[Any]:
        """Read one slice; raise `FileError` if it no longer fits the first."""
        if number == 0:
            return self.first.array[rows].copy()  # it is in memory already
        if self._pages is not None:
            return self._pages.read(number)[rows]
        path = self.paths[number]
        if path.suffix.lower() in RAW_SUFFIXES:
            # All frames with the first one's white balance: an automatic one drifts along a stack.
            array: NDArray[Any] = read_raw(path, self.first.metadata.white_balance)[0]
        else:
            array = read_image(path).array
        _check_alike(path, _Kind.of(array), self.paths[0], _Kind.of(self.first.array))
        return array[rows]


def open_stack(paths: str | Path | Iterable[str | Path]) -> FileStack:
    """Open a focal stack without reading it.

    Parameters
    ----------
    paths : path or iterable of paths
        Several PNG, JPEG, TIFF or RAW files, one slice each in the order given; or one TIFF, whose pages are
        the slices.

    Returns
    -------
    FileStack
        A sequence of arrays (H, W) or (H, W, C).

    Raises
    ------
    FileError
        If a file is unreadable, or its size, channels or bit depth differ from the first; from file
        headers where they tell, so that it comes before any work.
    InputError
        If no file is given.
    """
    files = [Path(paths)] if isinstance(paths, str | Path) else [Path(p) for p in paths]
    if not files:
        raise InputError("files", "none", "two or more pictures, or one multi-page TIFF")
    if len(files) == 1 and check_suffix(files[0], READ_SUFFIXES) in TIFF_SUFFIXES:
        return read_tiff(files[0], _page_stack)
    first = read_image(files[0])
    wanted = _Kind.of(first.array)
    for path in files[1:]:
        _check_alike(path, _peek(path, wanted), files[0], wanted)
    return FileStack(files, first, len(files))


@dataclass(frozen=True)
class _Kind:
    """Size, channels and dtype of a slice, in the words of an error message."""

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
    """What the header of a file says; where a header does not tell all, the rest is taken as wanted."""
    suffix = check_suffix(path, READ_SUFFIXES)
    if suffix in TIFF_SUFFIXES:
        return _Kind.of(read_image(path).array)
    if suffix in RAW_SUFFIXES and path.is_file():
        return wanted  # developing takes seconds; checked when it is read
    try:
        with open_pillow(path) as picture:
            width, height = picture.size
            turned = picture.getexif().get(0x0112, 1) >= 5
            channels = {"L": 1, "1": 1, "RGB": 3, "RGBA": 4, "LA": 2}.get(picture.mode, wanted.channels)
            if "transparency" in picture.info:
                channels = wanted.channels
    except Exception as error:
        raise unreadable(path, error) from error
    if turned:
        width, height = height, width
    return _Kind(height, width, channels, wanted.dtype)


class _Pages:
    """Pages of one TIFF series, opened anew for each so that no handle stays open between them."""

    def __init__(self, path: Path, offset: int | None, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._path, self._offset, self._shape, self._dtype = path, offset, shape, dtype

    def read(self, number: int) -> NDArray[Any]:
        return read_tiff(self._path, lambda path, tiff: self._read(path, tiff, number))

    def _read(self, path: Path, tiff: TiffFile, number: int) -> NDArray[Any]:
        first = tiff.pages[0].aspage()
        if self._offset is None:
            page = tiff.series[0].pages[number]
            if page is None:
                raise FileError(f"{path}: page {number} is missing")
            return page_pixels(path, first, page.asarray())
        # ImageJ writes the pages of a large file one after another and lists only the first.
        count = int(np.prod(self._shape))
        start = self._offset + number * count * self._dtype.itemsize
        values = np.fromfile(path, self._dtype, count, offset=start)
        if values.size != count:
            raise FileError(f"{path}: cannot be read, the file ends within slice {number}")
        return page_pixels(path, first, values.reshape(self._shape))


def _page_stack(path: Path, tiff: TiffFile) -> FileStack:
    check_complete(path, tiff)
    series = tiff.series[0]
    numbering = [(axis, n) for axis, n in zip(series.axes, series.shape, strict=True) if axis not in "YXS" and n > 1]
    others = [s for s in tiff.series[1:] if not s.keyframe.is_reduced]
    if others and not numbering:
        size, other = series.keyframe.shape, others[0].keyframe.shape
        raise FileError(f"{path}: holds pages of different kinds, {size} and {other}; expected one kind")
    if len(numbering) > 1 or any(axis not in _SLICE_AXES for axis, _ in numbering):
        axes = ", ".join(f"{n} {axis}" for axis, n in numbering)
        raise FileError(f"{path}: holds a series of {axes}; expected one series of slices (Z)")
    length = numbering[0][1] if numbering else 1
    page = tiff.pages[0].aspage()
    offset = None
    if len(series.pages) != length or any(p is None for p in (series.pages[0], series.pages[length - 1])):
        offset = series.dataoffset
        if offset is None:
            raise FileError(f"{path}: holds its slices in one compressed block; expected one page a slice")
    dtype = np.dtype(page.dtype if page.dtype is not None else np.uint8).newbyteorder(tiff.byteorder)
    pages = _Pages(path, offset, page.shape, dtype)
    array = pages._read(path, tiff, 0)
    first = Picture(
        array=array,
        channel_axis=None if array.ndim == 2 else -1,
        metadata=tiff_metadata(tiff, page),
        path=path,
    )
    return FileStack([path], first, length, pages)
