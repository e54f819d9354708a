"""Write multi-dimensional images to OME-TIFF and OME-Zarr, plane by plane, completely or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from defocus_backend.arguments import names_bad_arguments
from defocus_backend.errors import FileError, InputError, note
from defocus_backend.io.acquisition import Acquisition
from defocus_backend.io.atomic import WholeFiles, reason
from defocus_backend.io.formats import ND_FORMATS, FormatND, formats_of, is_store
from defocus_backend.io.ome_zarr import create_zarr
from defocus_backend.io.picture import as_path
from defocus_backend.io.units import ome_symbol
from defocus_backend.io.volumes import AXES, Calibration, Channel, ImageND, check_axes

_OME_ORDER = "TCZYX"
_WIDENED: dict[str, np.dtype[Any]] = {
    "int64": np.dtype(np.float64),
    "uint64": np.dtype(np.float64),
    "float16": np.dtype(np.float32),
}
"""Types that OME-TIFF lacks, mapped to types that represent their values."""
_RGB = (
    Channel(name="red", colour=(255, 0, 0)),
    Channel(name="green", colour=(0, 255, 0)),
    Channel(name="blue", colour=(0, 0, 255)),
)


class WriterND:
    """A file being written. Parts can be written in any order, in the caller's axes.

    Attributes
    ----------
    axes : str
    shape : tuple of int
        Shape of the image in the caller's axes.
    """

    def __init__(self, target: Any, axes: str, shape: tuple[int, ...], order: str) -> None:
        self.axes, self.shape = axes, shape
        self._target = target
        self._order = order

    def put(self, values: ArrayLike, **at: int) -> None:
        """Write the part at given indices, such as ``T=3``; `values` has all other axes, in order."""
        rest = [a for a in self.axes if a not in at]
        turned = np.asarray(values).transpose([rest.index(a) for a in self._order if a in rest])
        self._target[tuple(at.get(a, slice(None)) for a in self._order)] = turned

    def flush(self) -> None:
        """Write all buffered data to disk."""
        if isinstance(self._target, np.memmap):
            self._target.flush()

    def close(self) -> None:
        """Close the file; no further part can be written."""
        self._target = None


@names_bad_arguments
def write_nd(
    path: str | Path,
    array: ArrayLike,
    *,
    axes: str,
    calibration: Calibration | None = None,
    like: ImageND | None = None,
) -> None:
    """Write a multi-dimensional image, completely or not at all.

    Parameters
    ----------
    path : str or Path
        Target ending in ``.ome.tif`` or ``.ome.zarr`` (version 0.5; version 0.4 if `like` has it).
    array : array_like or dask array
        Image; written in its own bit depth. A dask array is computed along its first axis, one index at a time.
    axes : str
        A letter of `AXES` for each axis.
    calibration : Calibration or None
        Pixel sizes, units and channels; by default those of `like`.
    like : ImageND or None
        The image from which it was made.

    Raises
    ------
    InputError
        If the letters do not match the array or the format.
    FileError
        If the target cannot be written.
    """
    path = as_path(path)
    image: Any = array if hasattr(array, "shape") and hasattr(array, "dtype") else np.asarray(array)
    form = format_like(path, like)
    known = calibration or (like.calibration if like is not None else Calibration())
    ending = next(suffix for suffix in form.suffixes if path.name.lower().endswith(suffix))
    name = like.name if like is not None else path.name[: -len(ending)]
    with WholeFiles() as files:
        part = files.stage(path, replaces=is_store)
        with create_nd(
            part, form, axes=axes, shape=tuple(image.shape), dtype=image.dtype, calibration=known, name=name
        ) as target:
            if axes[0] in "YXS":
                target.put(image)
            else:
                for number in range(image.shape[0]):
                    target.put(image[number], **{axes[0]: number})


def format_like(path: str | Path, like: ImageND | None = None) -> FormatND:
    """Format for the suffix of a path; if several formats share it, that of the image `like`.

    Raises
    ------
    FileError
        If the suffix is unknown. The message lists the known suffixes.
    """
    found = formats_of(path, ND_FORMATS, "create")
    return next((one for one in found if like is not None and one.name == like.format), found[0])


@contextmanager
def create_nd(
    part: Path,
    form: FormatND,
    *,
    axes: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    calibration: Calibration,
    name: str = "",
) -> Iterator[WriterND]:
    """Create a file or folder under a hidden name, to be written in the ``with`` block; it is closed afterwards.

    Parameters
    ----------
    part : Path
        Hidden name from `WholeFiles.stage`.
    form : FormatND
        Format; it must support writing.
    axes, shape, dtype
        Axes, shape and type of the image. In OME-Zarr, colour samples (S) become the channels R, G and B.
    calibration, name
        Pixel sizes, units and channels of the image, and its name.

    Raises
    ------
    InputError
        If the letters do not match the array or the format.
    FileError
        If it cannot be written.
    """
    check_axes(axes)
    if len(axes) != len(shape):
        raise InputError("axes", repr(axes), f"{len(shape)} letters for the shape {shape}")
    if "P" in axes:
        raise InputError("axes", repr(axes), f"no axis P ({AXES['P']}): both formats keep positions as images")
    create = form.function("create")
    assert create is not None, f"{form.name} is not written"
    writer: WriterND | None = None
    try:
        writer = create(part, axes=axes, shape=tuple(shape), dtype=np.dtype(dtype), calibration=calibration, name=name)
        yield writer
        writer.flush()
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{part.name}: cannot be written ({reason(error)})") from error
    finally:
        if writer is not None:
            writer.close()  # Windows cannot rename a file that is still mapped


def _colour_as_channels(axes: str, shape: tuple[int, ...], known: Calibration) -> tuple[str, Calibration]:
    """Axes and calibration for OME-Zarr, which has channels instead of colour samples."""
    if "S" not in axes:
        return "".join(a for a in _OME_ORDER if a in axes), known
    if "C" in axes:
        raise InputError("axes", repr(axes), "either channels (C) or colour samples (S) for OME-Zarr; write .ome.tif")
    order = "".join(a for a in _OME_ORDER.replace("C", "S") if a in axes)
    samples = shape[axes.index("S")]
    return order, replace(known, channels=_RGB if samples == 3 else ())


def _note_left_out(part: Path, known: Calibration) -> None:
    """Warn about metadata that OME-Zarr cannot store."""
    optics = any(c.optics for c in known.channels)
    if known.acquisition or optics:
        left = [*(["date, exposures, stage positions or significant bits"] if known.acquisition else [])]
        left += ["wavelengths and optics of the channels"] if optics else []
        note(f"{part.name}: OME-Zarr cannot store {' and '.join(left)}; left out")


def create_store(
    part: Path,
    *,
    axes: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    calibration: Calibration,
    name: str,
    version: str = "0.5",
) -> WriterND:
    """Create an OME-Zarr folder."""
    order, calibration = _colour_as_channels(axes, shape, calibration)
    _note_left_out(part, calibration)
    target = create_zarr(
        part,
        axes=order.replace("S", "C"),
        shape=tuple(shape[axes.index(a)] for a in order),
        dtype=np.dtype(np.uint8) if dtype == np.bool_ else dtype,
        calibration=calibration,
        name=name,
        version=version,
    )
    return WriterND(target, axes, shape, order)


create_store_04 = partial(create_store, version="0.4")
"""Create an OME-Zarr folder in version 0.4."""


def create_tiff(
    part: Path, *, axes: str, shape: tuple[int, ...], dtype: np.dtype[Any], calibration: Calibration, name: str
) -> WriterND:
    """Create an OME-TIFF of zeros that is mapped into memory."""
    order = "".join(a for a in _OME_ORDER if a in axes) + ("S" if "S" in axes else "")
    sizes = {a: shape[axes.index(a)] for a in order}
    return WriterND(_mapped(part, sizes, dtype, calibration, name), axes, shape, order)


def _mapped(part: Path, sizes: dict[str, int], dtype: np.dtype[Any], known: Calibration, name: str) -> NDArray[Any]:
    import tifffile

    axes = "".join(sizes)
    metadata: dict[str, Any] = {"axes": axes, "Name": name or None}
    for axis, attribute in (
        ("T", "TimeIncrement"),
        ("Z", "PhysicalSizeZ"),
        ("Y", "PhysicalSizeY"),
        ("X", "PhysicalSizeX"),
    ):
        if axis in known.spacing and axis in axes:
            metadata[attribute] = known.spacing[axis]
            if unit := known.units.get(axis):
                symbol = ome_symbol(unit, time=axis == "T")
                if symbol is None and axis == "T":
                    del metadata[attribute]  # without a unit, readers assume seconds
                    note(f"{part.name}: OME has no unit of time {unit!r}; the interval is left out")
                else:
                    metadata[f"{attribute}Unit"] = symbol or "reference frame"
    if known.channels and len(known.channels) == sizes.get("C", 1) and sizes.get("S", 1) == 1:
        names, colours = [c.name for c in known.channels], [c.colour for c in known.channels]
        channel: dict[str, Any] = {}
        if any(names):
            channel["Name"] = [n or f"channel {k}" for k, n in enumerate(names)]
        if any(c is not None for c in colours):
            channel["Color"] = [_signed(c or (255, 255, 255)) for c in colours]
        for name in sorted({name for c in known.channels for name in c.optics}):
            channel[name] = [c.optics.get(name) for c in known.channels]
        metadata["Channel"] = [
            {name: values[k] for name, values in channel.items()} for k in range(len(known.channels))
        ]
    metadata |= _acquired(known.acquisition, axes, sizes, dtype)
    options: dict[str, Any] = {"photometric": "rgb" if sizes.get("S", 1) >= 3 else "minisblack"}
    if sizes.get("S", 1) in (2, 4):
        options["extrasamples"] = ["unassalpha"]
    stored = np.dtype(np.uint8) if dtype == np.bool_ else _WIDENED.get(dtype.newbyteorder("=").name, dtype)
    if dtype.name in _WIDENED:
        note(f"OME-TIFF has no {dtype}: written as {stored}, as whole numbers up to 2**53 exactly")
    mapped = tifffile.memmap(
        part,
        shape=tuple(sizes.values()),
        dtype=stored,
        ome=True,
        metadata=xml_safe({k: v for k, v in metadata.items() if v is not None}),
        **options,
    )
    _reserve(part)
    return mapped


def xml_safe(metadata: Any) -> Any:
    """OME metadata that tifffile can write: older releases do not escape `"`, which becomes `'` for them."""
    if isinstance(metadata, dict):
        return {key: xml_safe(value) for key, value in metadata.items()}
    if isinstance(metadata, list):
        return [xml_safe(value) for value in metadata]
    return metadata.replace('"', "'") if isinstance(metadata, str) and not _tifffile_escapes() else metadata


@cache
def _tifffile_escapes() -> bool:
    import tifffile

    document = tifffile.OmeXml()
    document.addimage("uint8", (1, 1, 1), (1, 1, 1, 1, 1, 1), axes="CYX", Channel={"Name": ['"']})
    return "&quot;" in document.tostring()


def _acquired(known: Acquisition, axes: str, sizes: dict[str, int], dtype: np.dtype[Any]) -> dict[str, Any]:
    """Acquisition metadata as OME-XML attributes."""
    return {
        "AcquisitionDate": known.date or None,
        # The number of bits applies to samples of the input, not to a map or an index.
        "SignificantBits": known.significant_bits if dtype.name == known.stored_as else None,
        "Plane": known.as_planes("".join(a for a in axes if a in "TCZ"), sizes) or None,
    }


def _reserve(path: Path) -> None:
    """Allocate the disk space of a file.

    Without this, writing to the memory map of a file on a full disk would kill the process.
    """
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # the file system does not support it
                    raise


def _signed(colour: tuple[int, int, int]) -> int:
    """OME writes a colour as RGBA in one signed number of 32 bits."""
    return int.from_bytes(bytes((*colour, 255)), "big", signed=True)
