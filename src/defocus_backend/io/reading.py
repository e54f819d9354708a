"""Read pictures from PNG, JPEG, TIFF and RAW files, with resolution, colour profile and EXIF."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from defocus_backend.arguments import names_bad_arguments
from defocus_backend.errors import DefocusError, FileError, note
from defocus_backend.io.exif import exif_of_tiff
from defocus_backend.io.formats import FORMATS, TIFF_SUFFIXES, function_of
from defocus_backend.io.photos import is_tiff, read_photo
from defocus_backend.io.picture import Metadata, Picture, as_path, file_errors, unreadable
from defocus_backend.io.raw import read_raw
from defocus_backend.io.tiff import read_tiff, tiff_metadata
from defocus_backend.io.tiff_pages import page_pixels, white_value
from defocus_backend.io.tiff_series import decoded, images_of, only_pages, own_pages

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage, TiffPageSeries


@names_bad_arguments
def read_image(path: str | Path) -> Picture:
    """Read one picture from a file; the format is determined by the contents, not by the name.

    Parameters
    ----------
    path : str or Path
        PNG (8 or 16 bits, gray, RGB, alpha or palette); JPEG, rotated upright by its EXIF tag; single-page TIFF (bool,
        8 to 32 bits or float, gray or RGB, compressed or not); WebP, BMP, GIF and JPEG 2000; camera RAW (extra
        ``raw``), developed into 16-bit sRGB without automatic brightening.

    Returns
    -------
    Picture

    Raises
    ------
    FileError
        If the file is missing, damaged or of another format, if it does not contain exactly one picture, or if it
        states more pixels than the file can contain or the memory can hold (see `defocus_backend.io.limits`).
    InputError
        If `path` is not a path.

    Warns
    -----
    DefocusWarning
        If a part of the file is left out: a damaged EXIF block, channels that are neither colour nor alpha, pages.
    """
    path = as_path(path)
    read = function_of(path, FORMATS, "read")
    with file_errors(path):
        picture: Picture = read(path)
        return picture


def read_by_content(path: Path) -> Picture:
    """Read a picture of any format except RAW; the format is determined by the contents of the file."""
    if is_tiff(path, path.suffix.lower() in TIFF_SUFFIXES):
        return read_tiff(path, _single_picture)
    try:
        array, metadata = read_photo(path, path.read_bytes())
    except DefocusError:
        raise
    except Exception as error:  # decoders can raise any exception
        raise unreadable(path, error) from error
    return Picture(array=array, channel_axis=None if array.ndim == 2 else -1, metadata=metadata, path=path)


@names_bad_arguments
def read_map(path: str | Path) -> NDArray[np.float32]:
    """Read a map (H, W), such as sigma in pixels, from a float TIFF.

    Raises
    ------
    FileError
        If it is unreadable, has several channels, or does not contain floats.
    """
    picture = read_image(path)
    if picture.array.ndim != 2 or not np.issubdtype(picture.array.dtype, np.floating):
        raise FileError(f"{path}: is not a map; expected a float TIFF as written by `defocus map`")
    return picture.array.astype(np.float32)


def read_raw_picture(path: Path) -> Picture:
    """Read a camera RAW file. It is recognised by its suffix, because most RAW files begin like a TIFF."""
    array, white_balance = read_raw(path)
    with path.open("rb") as file:
        exif = exif_of_tiff(file)
    return Picture(array=array, channel_axis=-1, metadata=Metadata(exif=exif, white_balance=white_balance), path=path)


def _single_picture(path: Path, tiff: TiffFile) -> Picture:
    page = _only_page(path, tiff)
    array = page_pixels(path, page, decoded(path, page), literal=tiff.is_shaped)
    return Picture(
        array=array,
        channel_axis=None if array.ndim == 2 else -1,
        metadata=tiff_metadata(tiff, page),
        path=path,
        white=white_value(page),
    )


def _only_page(path: Path, tiff: TiffFile) -> TiffPage:
    pages = own_pages(tiff)
    if len(pages) == 1 and (tiff.is_ome or not tiff.series or _flat(tiff.series[0])):
        return pages[0]  # the page of this file, in a set of files that belong together
    sizes = {(page.imagelength, page.imagewidth) for page in pages}
    if len(sizes) > 1 and only_pages(tiff):
        note(f"{path}: holds {len(pages)} pages of {len(sizes)} sizes; only the first is read")
        return pages[0]
    image = images_of(path, tiff)[0]
    extra = [f"{n} {axis}" for axis, n in zip(image.axes, image.shape, strict=True) if n > 1]
    if extra:
        raise FileError(
            f"{path}: holds several pictures ({', '.join(extra)}); expected one (`defocus fuse` takes stacks)"
        )
    return pages[0]


def _flat(series: TiffPageSeries) -> bool:
    return all(n == 1 or axis in "YXS" for axis, n in zip(series.axes, series.shape, strict=True))
