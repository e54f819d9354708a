"""Images in a TIFF file and the location of their planes; shared by pictures, stacks and `open_nd`."""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from defocus_backend.errors import DefocusError, FileError, note
from defocus_backend.io.limits import check_size
from defocus_backend.io.picture import unreadable
from defocus_backend.io.tiff import open_file
from defocus_backend.io.tiff_pages import page_kind, page_pixels

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffFrame, TiffPage, TiffPageSeries

_PLAIN = ("generic", "uniform")
"""Kinds of tifffile series that only guess which pages belong together."""

_LETTERS = "PTCZ"
"""Letters for unnamed axes of an array, assigned from the last axis."""


@dataclass(frozen=True)
class TiffImage:
    """One image of a TIFF file.

    Attributes
    ----------
    name : str
    axes : str
        Letters of the leading axes, without those of a plane.
    shape : tuple of int
        Lengths of the leading axes.
    pages : tuple of int or None
        Indices of the pages that are the planes; None if the planes are those of `series`.
    series : int
        Number of tifffile's series.
    """

    name: str
    axes: str
    shape: tuple[int, ...]
    pages: tuple[int, ...] | None
    series: int

    @property
    def count(self) -> int:
        """Number of planes."""
        return math.prod(self.shape)


def own_pages(tiff: TiffFile) -> list[TiffPage]:
    """Pages that are pictures; previews and masks count only if there is nothing else.

    If every page is a preview, as in files of some cameras, the pictures are in the SubIFDs.
    """
    pages = [tiff.pages[number].aspage() for number in range(len(tiff.pages))]
    below = (sub.aspage() for page in pages if page.subifds for sub in page.pages or ())
    return _pictures(pages) or _pictures(below) or pages


def _pictures(pages: Iterable[TiffPage]) -> list[TiffPage]:
    return [page for page in pages if not (page.is_reduced or page.is_mask)]


def images_of(path: Path, tiff: TiffFile) -> tuple[TiffImage, ...]:
    """All images of a file.

    Raises
    ------
    FileError
        If the kinds of its pages differ, so that their meaning is unclear.
    """
    series = _series(tiff)
    if only_pages(tiff):
        return (_image_of_pages(path, own_pages(tiff)),)
    numbers = [number for number, one in enumerate(tiff.series) if not one.keyframe.is_reduced]
    found = tuple(_image_of_series(path, tiff.series[n], place, n) for place, n in enumerate(numbers))
    _note_other_pages(path, tiff, series)
    return found


def only_pages(tiff: TiffFile) -> bool:
    """Whether a file has no information on how its pages belong together."""
    series = _series(tiff)
    # Pages that were written one by one as arrays still count as pages.
    singles = len(series) > 1 and all(one.kind == "shaped" and _is_plane(one) for one in series)
    return singles or all(one.kind in _PLAIN for one in series)


def _series(tiff: TiffFile) -> list[TiffPageSeries]:
    return [one for one in tiff.series if not one.keyframe.is_reduced]


def _is_plane(series: TiffPageSeries) -> bool:
    return all(length == 1 or axis in "YXS" for axis, length in zip(series.axes, series.shape, strict=True))


def _image_of_pages(path: Path, pages: list[TiffPage]) -> TiffImage:
    kinds = [page_kind(path, page) for page in pages]
    for page, kind in zip(pages, kinds, strict=True):
        if kind != kinds[0]:
            raise FileError(f"{path}: page {page.index} is {kind}; expected {kinds[0]} as page {pages[0].index}")
    many = len(pages) > 1
    numbers = tuple(int(page.index) for page in pages)
    return TiffImage("Image:0", "Z" if many else "", (len(pages),) if many else (), numbers, 0)


def _image_of_series(path: Path, series: TiffPageSeries, place: int, number: int) -> TiffImage:
    if "Y" not in series.axes or "X" not in series.axes or not all(series.shape):
        raise FileError(f"{path}: holds a series of the axes {series.axes}; expected planes (Y, X)")
    leading = [(axis, n) for axis, n in zip(series.axes, series.shape, strict=True) if axis not in "YXS"]
    axes = _named(path, "".join(axis for axis, _ in leading))
    return TiffImage(series.name or f"Image:{place}", axes, tuple(n for _, n in leading), None, number)


def _named(path: Path, axes: str) -> str:
    """Letters for axes with repeated names, which stand for unnamed axes."""
    twice = {axis for axis in axes if axes.count(axis) > 1}
    if not twice:
        return axes
    unnamed = sum(axis in twice for axis in axes)
    free = [letter for letter in _LETTERS if letter not in axes]
    if unnamed > len(free):
        raise FileError(f"{path}: has {unnamed} unnamed axes before the rows; expected at most {len(free)}")
    if unnamed == 2 and {"T", "Z"} <= set(free):
        free = ["T", "Z"]  # T is the safer guess: times are fused separately, whereas channels share a decision
    letters = iter(free[-unnamed:])
    named = "".join(next(letters) if axis in twice else axis for axis in axes)
    note(f"{path}: does not name its axes; read as {named}YX; use --axes to name them differently")
    return named


def _note_other_pages(path: Path, tiff: TiffFile, series: list[TiffPageSeries]) -> None:
    """Warn about pages of an OME-TIFF that its metadata does not describe."""
    if not tiff.is_ome or any(page is None or page.parent is not tiff for one in series for page in one.pages):
        return
    used = sum(len(one.pages) for one in tiff.series)
    if len(tiff.pages) > used:
        note(f"{path}: holds {len(tiff.pages)} pages, but its OME-XML describes {used}; the others are left out")


def present_planes(tiff: TiffFile, image: TiffImage) -> NDArray[np.bool_]:
    """Whether each plane of an image exists in the file or its set of files, in the shape of the leading axes."""
    present = np.ones(image.shape, bool)
    if image.pages is None:
        pages = tiff.series[image.series].pages
        if len(pages) == image.count:
            present = np.array([page is not None for page in pages], bool).reshape(image.shape)
    return present


class TiffPlanes:
    """Planes of one image of a TIFF file. The file stays open until this object is deleted."""

    def __init__(self, path: Path, image: TiffImage) -> None:
        self.path, self.image = path, image
        self._lock = threading.Lock()
        self._tiff: TiffFile | None = None
        self._last: tuple[int, NDArray[Any]] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return TiffPlanes, (self.path, self.image)

    def __call__(self, index: tuple[int, ...]) -> NDArray[Any]:
        """The plane at an index of the leading axes, upright, black at 0."""
        number = int(np.ravel_multi_index(index, self.image.shape)) if self.image.shape else 0
        try:
            with self._lock:
                if self._tiff is None:
                    self._tiff = open_file(self.path)
                    weakref.finalize(self, self._tiff.close)
                return self._read(self._tiff, number)
        except DefocusError:
            raise
        except Exception as error:  # damaged files can raise any exception
            raise unreadable(self.path, error) from error

    def _read(self, tiff: TiffFile, number: int) -> NDArray[Any]:
        if self.image.pages is not None:
            page = tiff.pages[self.image.pages[number]].aspage()
            return page_pixels(self.path, page, decoded(self.path, page), literal=tiff.is_shaped)
        series = tiff.series[self.image.series]
        first = series.keyframe.aspage()
        # A page can contain several planes: as samples that its axes do not call colours, or as a volume.
        count, pages = self.image.count, len(series.pages)
        planes = _planes_of(first) if "S" not in series.axes else 1
        if pages * planes == count:
            place, part = divmod(number, planes)
            holder = series.pages[place]
            if holder is None:
                raise FileError(f"{self.path}: plane {number} is missing from the file")
            if planes == 1:
                return page_pixels(self.path, first, decoded(self.path, holder), literal=tiff.is_shaped)
            return self._part(place, holder, part)
        # In large files, ImageJ writes the pages one after another and lists only the first.
        if series.dataoffset is None or planes > 1:
            raise FileError(f"{self.path}: stores its planes in one compressed block; expected one page per plane")
        dtype = np.dtype(first.dtype or np.uint8).newbyteorder(tiff.byteorder)
        length = int(np.prod(first.shape))
        values = np.fromfile(self.path, dtype, length, offset=series.dataoffset + number * length * dtype.itemsize)
        if values.size != length:
            raise FileError(f"{self.path}: cannot be read, the file ends within plane {number}")
        return page_pixels(self.path, first, values.reshape(first.shape), literal=tiff.is_shaped)

    def _part(self, place: int, page: Any, part: int) -> NDArray[Any]:
        """One plane of a page that contains several; the decoded page is cached for the next one."""
        if self._last is None or self._last[0] != place:
            self._last = place, decoded(self.path, page)
        values = self._last[1]
        height, width = values.shape[-2:]
        return np.array(values.reshape(-1, height, width)[part], dtype=values.dtype.newbyteorder("="))


def decoded(path: Path, page: TiffPage | TiffFrame) -> NDArray[Any]:
    """Samples of a page as decoded by tifffile, after its claimed size was checked."""
    whole = page.aspage()
    height, width = whole.imagelength, whole.imagewidth
    size = (height, width, max(1, math.prod(whole.shape) // max(1, height * width)))
    check_size(path, size, whole.dtype or np.uint8, sum(whole.databytecounts))
    return np.asarray(page.asarray())


def _planes_of(page: TiffPage) -> int:
    """Number of planes (Y, X) in a page."""
    return math.prod(page.shape[:-2]) if page.axes.endswith("YX") else 1
