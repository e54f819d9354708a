"""Open a multi-dimensional image in any supported format."""

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
    """Open a multi-dimensional image without reading its pixels.

    Parameters
    ----------
    path : str or Path
        OME-TIFF, ImageJ TIFF or other TIFF; OME-Zarr folder (0.4 or 0.5; extra ``zarr``); microscope format (extra
        ``bioio`` and the bioio plugin for the format); PNG, JPEG or RAW.
    scene : int or str
        Number or name of the image, if the file has several: OME images, positions of a plate, scenes.
    axes : str or None
        Letters of the axes, such as ``"TZCYX"``, instead of those stated in the file.

    Returns
    -------
    ImageND

    Raises
    ------
    FileError
        If the file is missing or damaged, or if the library that reads it is not installed.
    InputError
        If there is no such scene, or if the letters do not match the axes.
    """
    path = as_path(path)
    with file_errors(path):
        path.stat()
    image = _reader(path)(path, scene)
    return image if axes is None else image.renamed(axes)


def _reader(path: Path) -> Callable[[Path, int | str], ImageND]:
    """Function that opens a path.

    The format of a folder is determined by its contents, that of a file by its suffix.
    """
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
    """Open a TIFF of any kind, or a picture of another format as one plane."""
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
    """Whether a path needs `open_nd`, because it is neither a plain stack of slices nor a single picture.

    True for OME-Zarr folders, OME-TIFF, TIFF with more axes than a slice number, and any suffix that is not of a
    picture. False for everything that `open_stack` reads. Files that cannot be read raise their error later, when they
    are opened.
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
