"""Write pictures and maps to PNG, JPEG and TIFF files, with the bit depth and metadata of their source."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from defocus_backend.arguments import names_bad_arguments
from defocus_backend.errors import FileError, InputError
from defocus_backend.io.atomic import reason, write_whole
from defocus_backend.io.exif import PLACEHOLDER, append_exif, date_of, has_inner, of_size, tiff_tags
from defocus_backend.io.formats import FORMATS, JPEG_SUFFIXES, PNG_SUFFIXES, function_of
from defocus_backend.io.picture import Metadata, Picture, as_path, check_suffix
from defocus_backend.io.units import escaped

_JPEG_QUALITY = 95
_PNG_LEVEL = 3
_PER_METRE = {"inch": 1 / 0.0254, "cm": 100.0}
_IMAGEJ_DTYPES = (np.uint8, np.uint16, np.float32)
_NONE = Metadata()


@names_bad_arguments
def write_image(path: str | Path, array: ArrayLike, *, like: Picture | None = None) -> None:
    """Write a picture in the format of the suffix, completely or not at all.

    Parameters
    ----------
    path : str or Path
        ``.png`` (bool, uint8, uint16), ``.jpg`` (bool, uint8, no alpha) or ``.tif`` (any of these, float).
    array : (H, W) or (H, W, C) array_like
        Picture; written in its own bit depth and never rescaled.
    like : Picture or None
        Picture whose resolution, colour profile and EXIF block are copied.

    Raises
    ------
    InputError
        If the format does not support the array.
    FileError
        If the suffix is unknown or the target cannot be written.
    """
    path = as_path(path)
    write_whole(path, encode_image(array, check_suffix(path), like=like))


@names_bad_arguments
def write_map(
    path: str | Path, values: ArrayLike, *, like: Picture | None = None, description: str = "sigma / px"
) -> None:
    """Write a map, or maps (N, H, W), as a float32 TIFF in its own unit, completely or not at all.

    Parameters
    ----------
    path : str or Path
        Target ending in ``.tif`` or ``.tiff``.
    values : (H, W) or (N, H, W) array_like
        Values, such as sigma in pixels; NaN is preserved.
    like : Picture or None
        Picture whose resolution is copied.
    description : str
        Quantity and unit, for the description tag.

    Raises
    ------
    InputError
        If `values` is not a map.
    FileError
        If the suffix is not of a TIFF, or if the target cannot be written.
    """
    path = as_path(path)
    if check_suffix(path) in JPEG_SUFFIXES + PNG_SUFFIXES:
        raise FileError(f"{path}: maps are float TIFF files; expected a name ending in .tif")
    write_whole(path, encode_map(values, like=like, description=description))


def encode_map(values: ArrayLike, *, like: Picture | None = None, description: str = "sigma / px") -> bytes:
    """Encode a map as the bytes of a float32 TIFF, see `write_map`."""
    array = np.asarray(values, dtype=np.float32)
    if array.ndim not in (2, 3) or array.size == 0:
        raise InputError("values", f"shape {array.shape}", "a map (H, W) or maps (N, H, W)")
    metadata = _NONE if like is None else like.metadata
    return _tiff(array, Metadata(resolution=metadata.resolution, unit=metadata.unit), description)


def encode_image(array: ArrayLike, suffix: str, *, like: Picture | None = None) -> bytes:
    """Encode a picture as bytes in the format of a suffix, see `write_image`."""
    pixels = np.asarray(array)
    metadata = _NONE if like is None else like.metadata
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[-1] not in (1, 2, 3, 4)):
        raise InputError("array", f"shape {pixels.shape}", "(H, W) or (H, W, C) with at most four channels")
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    metadata = _fitting(metadata, pixels)
    encoded: bytes = function_of(suffix, FORMATS, "encode")(pixels, metadata)
    return encoded


def encode_tiff(pixels: NDArray[Any], metadata: Metadata) -> bytes:
    """Encode pixels as a TIFF."""
    return _tiff(pixels, metadata, "")


def _fitting(metadata: Metadata, pixels: NDArray[Any]) -> Metadata:
    """The metadata with the size of these pixels, and without a colour profile that does not match them."""
    icc, exif = metadata.icc, metadata.exif
    gray = pixels.ndim == 2 or pixels.shape[-1] < 3
    if icc is not None and icc[16:20] != (b"GRAY" if gray else b"RGB "):
        icc = None
    if exif is not None:
        exif = of_size(exif, pixels.shape[0], pixels.shape[1])
    return replace(metadata, icc=icc, exif=exif)


def encode_png(pixels: NDArray[Any], metadata: Metadata) -> bytes:
    """Encode pixels as a PNG."""
    import imagecodecs

    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise InputError("array", f"{pixels.dtype} values for .png", "uint8 or uint16; write .tif instead")
    data = bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels), level=_PNG_LEVEL))
    chunks = b""
    if metadata.icc:
        chunks += _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc))
    per_metre = _PER_METRE.get(metadata.unit)
    if metadata.resolution and per_metre:
        x, y = (round(v * per_metre) for v in metadata.resolution)
        if 0 < x < 2**31 and 0 < y < 2**31:
            chunks += _chunk(b"pHYs", struct.pack(">IIB", x, y, 1))
    if metadata.exif:
        chunks += _chunk(b"eXIf", metadata.exif.removeprefix(b"Exif\0\0"))
    after_header = 8 + 12 + 13  # signature, then the IHDR chunk: length, type, checksum and 13 bytes
    return data[:after_header] + chunks + data[after_header:]


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def encode_jpeg(pixels: NDArray[Any], metadata: Metadata) -> bytes:
    """Encode pixels as a JPEG."""
    from PIL import Image

    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype != np.uint8 or (pixels.ndim == 3 and pixels.shape[-1] != 3):
        given = f"{pixels.dtype} values" if pixels.dtype != np.uint8 else "an alpha channel"
        raise InputError("array", f"{given} for .jpg", "8-bit gray or RGB; write .png or .tif instead")
    extra: dict[str, Any] = {}
    if metadata.resolution and metadata.unit in _PER_METRE:
        inches = _PER_METRE[metadata.unit] * 0.0254
        extra["dpi"] = tuple(round(v * inches) for v in metadata.resolution)
    if metadata.icc:
        extra["icc_profile"] = metadata.icc
    if metadata.exif:
        extra["exif"] = metadata.exif
    buffer = io.BytesIO()
    try:
        Image.fromarray(np.ascontiguousarray(pixels)).save(
            buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0, **extra
        )
    except (OSError, ValueError) as error:
        raise FileError(f"JPEG: cannot hold this picture ({reason(error)}); write .png or .tif") from error
    return buffer.getvalue()


def _tiff(pixels: NDArray[Any], metadata: Metadata, description: str) -> bytes:
    import tifffile

    stacked = bool(description) and pixels.ndim == 3
    colour = pixels.ndim == 3 and not stacked
    options: dict[str, Any] = {"photometric": "minisblack"}
    if colour:
        options["planarconfig"] = "contig"
        if pixels.shape[-1] >= 3:
            options["photometric"] = "rgb"
        if pixels.shape[-1] in (2, 4):
            options["extrasamples"] = ["unassalpha"]
    if metadata.icc:
        options["iccprofile"] = metadata.icc
    if metadata.resolution:
        options["resolution"] = metadata.resolution
    standard = {"inch": "INCH", "cm": "CENTIMETER"}
    imagej = metadata.unit not in ("", *standard) and pixels.dtype in _IMAGEJ_DTYPES
    imagej = imagej and (not colour or (pixels.shape[-1] == 3 and pixels.dtype == np.uint8))
    if imagej:
        axes = "ZYX" if stacked else "YXS" if colour else "YX"
        options["metadata"] = {"unit": escaped(metadata.unit), "axes": axes}
        options.pop("photometric")
        options.pop("planarconfig", None)
        if description:
            options["metadata"]["Info"] = description
    else:
        options["resolutionunit"] = standard.get(metadata.unit, "NONE")
        options["metadata"] = None
        options["compression"] = "zlib"
        if description:
            options["description"] = description.encode()  # bytes, because text must be ASCII, and "µm" is not
    # Classic TIFF files are limited to 4 GB.
    big = not imagej and pixels.nbytes > 2**32 - 2**25
    inner = False
    if metadata.exif and not (imagej or big or stacked):
        inner = has_inner(metadata.exif)
        options["datetime"] = date_of(metadata.exif)
        options["extratags"] = tiff_tags(metadata.exif) + ([(PLACEHOLDER, "I", 1, 0, True)] if inner else [])
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, imagej=imagej, bigtiff=big, byteorder=">" if imagej else "<") as tiff:
        tiff.write(pixels, **options)
    data = buffer.getvalue()
    return append_exif(data, metadata.exif) if inner and metadata.exif else data
