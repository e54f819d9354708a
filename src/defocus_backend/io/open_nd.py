"""Open an image of many dimensions in whatever format it is stored."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from defocus_backend.arguments import names_bad_arguments
from defocus_backend.io.formats import ND_FORMATS, READ_SUFFIXES, TIFF_SUFFIXES
from defocus_backend.io.photos import is_tiff
from defocus_backend.io.picture import as_path, file_errors
from defocus_backend.io.raw import RAW_SUFFIXES
from defocus_backend.io.reading import read_image
from defocus_backend.io.tiff import read_tiff
from defocus_backend.io.tiff_series import images_of
from defocus_backend.io.volumes import ImageND

if TYPE_CHECKING:
    from tifffile import TiffFile


@names_bad_arguments
def open_nd(path: str | Path, *, scene: int | str = 0, axes: str | None = None) -> ImageND:
    """Open an image of many dimensions without reading its pixels.

    Parameters
    ----------
    path : str or Path
        OME-TIFF, ImageJ or any other TIFF; an OME-Zarr folder (0.4 or 0.5; extra ``zarr``); a microscope's own
        format (extra ``bioio`` and bioio's reader for it); PNG, JPEG or RAW.
    scene : int or str
        Number or name of the image in a file that holds several: OME images, positions of a plate, scenes.
    axes : str or None
        Letters for its axes in place of those that the file gives, such as ``"TZCYX"``.

    Returns
    -------
    ImageND

    Raises
    ------
    FileError
        If it is absent, damaged, or a library is missing that reads it.
    InputError
        If there is no such scene, or the letters do not fit.
    """
    path = as_path(path)
    with file_errors(path):
        path.stat()
    image = _reader(path)(path, scene)
    return image if axes is None else image.renamed(axes)


def _reader(path: Path) -> Callable[[Path, int | str], ImageND]:
    """What opens a path: a folder's format is known by its contents, a file's by the end of its name."""
    formats = [one for one in ND_FORMATS.values() if one.open is not None]
    if path.is_dir():
        folders = [(one, holds) for one in formats if (holds := one.function("is_folder"))]
        found = next((one for one, holds in folders if holds(path)), None)
        found = found or next(one for one, _ in sorted(folders, key=lambda pair: not pair[0].fits(path)))
    else:
        found = next((one for one in formats if one.is_folder is None and one.fits(path)), None)
    if found is not None:
        opened: Callable[[Path, int | str], ImageND] = found.function("open")  # type: ignore[assignment]
        return opened
    if path.suffix.lower() in READ_SUFFIXES:
        return open_by_content
    from defocus_backend.io.microscopes import open_bioio

    return open_bioio


def open_by_content(path: Path, scene: int | str) -> ImageND:
    """The axes of a TIFF of any kind, or a picture of another format as one plane."""
    suffix = path.suffix.lower()
    if suffix not in RAW_SUFFIXES and is_tiff(path, suffix in TIFF_SUFFIXES):
        from defocus_backend.io.tiff_nd import open_tiff

        return read_tiff(path, lambda path, tiff: open_tiff(path, tiff, scene))
    return _flat(path)


@dataclass(frozen=True)
class _OnePicture:
    path: Path

    def __call__(self, index: tuple[int, ...]) -> NDArray[Any]:  # noqa: ARG002
        return read_image(self.path).array


def _flat(path: Path) -> ImageND:
    picture = read_image(path)
    axes = "YX" if picture.channel_axis is None else "YXS"
    array = picture.array
    return ImageND(
        path=path,
        axes=axes,
        shape=array.shape,
        dtype=array.dtype,
        planes=_OnePicture(path),
        format=path.suffix.lstrip(".").upper(),
    )


def is_nd(path: str | Path) -> bool:
    """Whether a path holds more than one plain stack of slices or one picture: then `open_nd` is for it.

    True for OME-Zarr folders, OME-TIFF, TIFF with axes beside one that numbers slices, and any suffix that is no
    picture's; False for what `open_stack` reads. Whatever cannot be read is left to the function that opens it.
    """
    path = as_path(path)
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            return True
    except OSError:
        return False
    suffix = path.suffix.lower()
    if suffix not in READ_SUFFIXES:
        return path.is_file()
    try:
        tiff = suffix not in RAW_SUFFIXES and is_tiff(path, suffix in TIFF_SUFFIXES)
        return tiff and read_tiff(path, _has_axes)
    except OSError:  # a FileError too
        return False


def _has_axes(path: Path, tiff: TiffFile) -> bool:
    if tiff.is_ome:
        return True
    images = images_of(path, tiff)
    return len(images) > 1 or sum(n > 1 for n in images[0].shape) > 1
