"""Open an image of many dimensions in whatever format it is stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from defocus_backend.errors import FileError
from defocus_backend.io.picture import READ_SUFFIXES, TIFF_SUFFIXES
from defocus_backend.io.reading import read_image
from defocus_backend.io.tiff import read_tiff
from defocus_backend.io.volumes import ImageND


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
    path = Path(path)
    if not path.exists():
        raise FileError(f"{path}: cannot be read (No such file or directory)")
    suffix = path.suffix.lower()
    if path.is_dir():
        from defocus_backend.io.ome_zarr import open_zarr

        image = open_zarr(path, scene)
    elif suffix in TIFF_SUFFIXES:
        from defocus_backend.io.tiff_nd import open_tiff

        image = read_tiff(path, lambda path, tiff: open_tiff(path, tiff, scene))
    elif suffix in READ_SUFFIXES:
        image = _flat(path)
    else:
        from defocus_backend.io.microscopes import open_bioio

        image = open_bioio(path, scene)
    return image if axes is None else image.renamed(axes)


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
    path = Path(path)
    if path.is_dir():
        return True
    if path.suffix.lower() not in TIFF_SUFFIXES:
        return path.is_file() and path.suffix.lower() not in READ_SUFFIXES
    try:
        return read_tiff(
            path, lambda _, tiff: bool(tiff.is_ome) or _several_axes(tiff.series[0].axes, tiff.series[0].shape)
        )
    except FileError:
        return False


def _several_axes(axes: str, shape: tuple[int, ...]) -> bool:
    return sum(n > 1 and axis not in "YXS" for axis, n in zip(axes, shape, strict=True)) > 1
