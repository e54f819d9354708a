"""Files of every kind by generators, against another reader of the same file: Pillow, tifffile or zarr."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packed_bits import tifffile_packs_bits
from PIL import Image, ImageOps

from defocus_backend.io import open_nd, read_image
from defocus_backend.io.writing_nd import xml_safe
from defocus_backend.stacks import open_stack

generated = settings(
    max_examples=int(os.environ.get("FUZZ_COUNT", "120")) // 6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
sizes = st.tuples(st.integers(1, 19), st.integers(1, 23))
seeds = st.integers(0, 2**32 - 1)


PACKED = (1, 2, 4, 6, 8, 10, 12, 14, 16) if tifffile_packs_bits() else (1, 8, 16)


@generated
@given(
    seed=seeds,
    size=sizes,
    pages=st.integers(1, 3),
    bits=st.sampled_from(PACKED),
    white=st.booleans(),
    orientation=st.integers(1, 8),
    byteorder=st.sampled_from("<>"),
)
def test_tiff_of_any_bits_turned_and_with_white_at_any_end(
    tmp_path: Path,
    seed: int,
    size: tuple[int, int],
    pages: int,
    bits: int,
    white: bool,
    orientation: int,
    byteorder: str,
) -> None:
    rng, dtype = np.random.default_rng(seed), np.uint8 if bits <= 8 else np.uint16
    array = rng.integers(0, 2**bits - 1, (pages, *size), endpoint=True).astype(dtype)
    if bits == 1:
        array = array.astype(bool)
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, byteorder=byteorder) as tiff:
        for page in array:
            tiff.write(
                page,
                photometric="miniswhite" if white else "minisblack",
                bitspersample=bits,
                metadata=None,
                contiguous=False,
                extratags=[(274, "H", 1, orientation, True)],
            )
    stored = tifffile.imread(path).reshape(array.shape)
    meant = stored if not white else ~stored if bits == 1 else (2**bits - 1 - stored).astype(dtype)
    found = read_image(path).array[None] if pages == 1 else np.stack(list(open_stack(path)))
    assert found.shape[1:] == (size if orientation < 5 else size[::-1])
    for read, page in zip(found, meant, strict=True):
        turned = np.array(upright(page.astype(np.uint8 if bits <= 8 else np.uint16), orientation))
        np.testing.assert_array_equal(read.astype(turned.dtype), turned)
    assert (read_image(path).white if pages == 1 else 0) in (0, None, 2**bits - 1)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turned by Pillow, which is asked for each byte alone, as it knows no colour of 16 bits."""
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    if orientation == 1:
        return pixels
    high, low = (pixels.astype(np.uint16) >> 8).astype(np.uint8), (pixels & 255).astype(np.uint8)
    high, low = (np.asarray(Image.fromarray(part).transpose(turns[orientation])) for part in (high, low))
    return (high.astype(np.uint16) << 8 | low).astype(pixels.dtype)


@generated
@given(
    seed=seeds,
    size=sizes,
    photometric=st.sampled_from(["palette", "rgb", "ycbcr"]),
    compression=st.sampled_from([None, "zlib", "lzw", "jpeg"]),
    predictor=st.booleans(),
    tile=st.booleans(),
)
def test_colours_of_tiff_are_those_that_pillow_sees(
    tmp_path: Path,
    seed: int,
    size: tuple[int, int],
    photometric: str,
    compression: str | None,
    predictor: bool,
    tile: bool,
) -> None:
    rng = np.random.default_rng(seed)
    size = (size[0] + 16, size[1] + 16)
    options: dict[str, Any] = {"compression": compression, "tile": (16, 16) if tile else None}
    if compression == "jpeg" and photometric != "palette":
        array = np.repeat(np.repeat(rng.integers(0, 256, (*size, 3), np.uint8)[::8, ::8], 8, 0), 8, 1)
        array = np.ascontiguousarray(array[: size[0], : size[1]])
        options["photometric"] = photometric
    elif photometric == "palette":
        options |= {"compression": None if compression == "jpeg" else compression, "photometric": "palette"}
        options["colormap"] = rng.integers(0, 256, (3, 256)).astype(np.uint16) * 257
        array = rng.integers(0, 256, size, np.uint8)
    else:
        options["photometric"] = "rgb"
        options["predictor"] = predictor and compression is not None
        array = rng.integers(0, 256, (*size, 3), np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, metadata=None, **options)
    with Image.open(path) as picture:
        seen = np.asarray(picture.convert("RGB")).astype(int)
    found = read_image(path)
    assert found.channel_axis == -1
    assert np.abs(found.array.astype(int) - seen).max() <= (3 if compression == "jpeg" else 0)


def png(path: Path, pixels: np.ndarray, colour: int, bits: int, *chunks: tuple[bytes, bytes]) -> None:
    """A PNG by the specification: (H, W, samples) of so many bits, without row filters."""
    height, width, _ = pixels.shape
    rows = []
    for row in pixels.reshape(height, -1):
        if bits == 16:
            body = row.astype(">u2").tobytes()
        else:
            each = (row[:, None] >> np.arange(bits)[::-1]) & 1
            body = np.packbits(each.astype(np.uint8).ravel()).tobytes()
        rows.append(b"\0" + body)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)), *chunks]
    parts += [(b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")]
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(struct.pack(">I", len(b)) + n + b + struct.pack(">I", zlib.crc32(n + b)) for n, b in parts)
    )


KINDS = [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2), (3, 4), (3, 8), (4, 8), (4, 16)]
KINDS += [(6, 8), (6, 16)]


@generated
@given(seed=seeds, size=sizes, kind=st.sampled_from(KINDS), transparent=st.booleans(), dpi=st.integers(1, 9999))
def test_png_of_every_colour_type_and_depth(
    tmp_path: Path, seed: int, size: tuple[int, int], kind: tuple[int, int], transparent: bool, dpi: int
) -> None:
    (colour, bits), rng, path = kind, np.random.default_rng(seed), tmp_path / "a.png"
    pixels = rng.integers(0, 2**bits, (*size, {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]))
    chunks = [(b"pHYs", struct.pack(">IIB", dpi, 2 * dpi, 1))]
    if colour == 3:
        palette = rng.integers(0, 256, (2**bits, 3), np.uint8)
        chunks.append((b"PLTE", palette.tobytes()))
        if transparent:
            chunks.append((b"tRNS", rng.integers(0, 256, 2**bits, np.uint8).tobytes()))
    png(path, pixels, colour, bits, *chunks)
    read = read_image(path)
    found = read.array if read.array.ndim == 3 else read.array[..., None]
    if bits == 16:
        np.testing.assert_array_equal(found, pixels)  # Pillow has eight bits of a colour at most
    else:
        mode = {0: "L", 2: "RGB", 3: "RGBA" if transparent else "RGB", 4: "LA", 6: "RGBA"}[colour]
        with Image.open(path) as picture:
            seen = np.asarray(picture.convert(mode))
        np.testing.assert_array_equal(found, seen.reshape(found.shape))
    assert read.metadata.resolution == pytest.approx((dpi * 0.0254, 2 * dpi * 0.0254))


@generated
@given(
    seed=seeds,
    size=sizes,
    mode=st.sampled_from(["L", "RGB", "CMYK"]),
    orientation=st.integers(0, 9),
    progressive=st.booleans(),
    subsampling=st.integers(0, 2),
    exposure=st.sampled_from([0.001, 0.5, 8.0]),
    maker=st.text("abc æ", max_size=9),
    called=st.sampled_from(["a.jpg", "a.JPEG", "a.png"]),
)
@pytest.mark.filterwarnings("ignore:.*CMYK colours")
def test_jpeg_with_exif(
    tmp_path: Path,
    seed: int,
    size: tuple[int, int],
    mode: str,
    orientation: int,
    progressive: bool,
    subsampling: int,
    exposure: float,
    maker: str,
    called: str,
) -> None:
    channels = {"L": (), "RGB": (3,), "CMYK": (4,)}[mode]
    picture = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, *channels), np.uint8), mode)
    exif, path = Image.Exif(), tmp_path / called
    exif[0x0112], exif[0x010F] = orientation, maker
    exif.get_ifd(0x8769)[0x829A] = exposure
    picture.save(path, "JPEG", exif=exif, progressive=progressive, subsampling=subsampling, quality=90)
    with Image.open(path) as seen:
        turned = np.asarray(ImageOps.exif_transpose(seen).convert("L" if mode == "L" else "RGB"))
    read = read_image(path)
    np.testing.assert_array_equal(read.array, turned)
    assert read.metadata.exif is not None
    kept = Image.Exif()
    kept.load(read.metadata.exif)
    assert kept[0x0112] == 1, "the pixels are upright"
    assert kept.get_ifd(0x8769)[0x829A] == pytest.approx(exposure)


def plain(array: np.ndarray, axes: str) -> np.ndarray:
    """The array in the order T, C, Z, Y, X, all of them there."""
    order = [axes.index(axis) for axis in "TCZYX" if axis in axes]
    sizes = dict(zip(axes, array.shape, strict=True))
    return array.transpose(order).reshape([sizes.get(axis, 1) for axis in "TCZYX"])


lengths = st.floats(1e-6, 1e6).map(lambda v: float(f"{v:.6g}"))
UNITS = {"µm": "micrometer", "nm": "nanometer", "mm": "millimeter", "Å": "angstrom", "in": "inch"}


@generated
@given(
    seed=seeds,
    leading=st.permutations("TCZ").flatmap(lambda order: st.integers(0, 3).map(lambda n: "".join(order[:n]))),
    counts=st.tuples(*[st.integers(1, 3)] * 3),
    dtype=st.sampled_from(["uint8", "uint16", "int16", "int32", "uint32", "float32", "float64"]),
    step=st.tuples(lengths, lengths, lengths),
    unit=st.sampled_from(sorted(UNITS)),
    names=st.lists(st.text("ab <&>\"'µ", min_size=1, max_size=5), min_size=3, max_size=3),
    compression=st.sampled_from([None, "zlib"]),
    byteorder=st.sampled_from("<>"),
)
def test_ome_tiff_of_any_order_of_axes(
    tmp_path: Path,
    seed: int,
    leading: str,
    counts: tuple[int, ...],
    dtype: str,
    step: tuple[float, ...],
    unit: str,
    names: list[str],
    compression: str | None,
    byteorder: str,
) -> None:
    axes, names = leading + "YX", xml_safe(names)
    shape = (*counts[: len(leading)], 17, 18)
    array = (np.random.default_rng(seed).random(shape) * 250).astype(dtype)
    about: dict[str, Any] = {"axes": axes, "Channel": {"Name": names[: shape[axes.index("C")] if "C" in axes else 1]}}
    for axis, size in zip("ZYX", step, strict=True):
        about |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": unit}
    path = tmp_path / "a.ome.tif"
    options = {"compression": compression, "byteorder": byteorder, "photometric": "minisblack"}
    tifffile.imwrite(path, array, ome=True, metadata=about, **options)
    image = open_nd(path)
    with tifffile.TiffFile(path) as tiff:
        series = tiff.series[0]
        seen = plain(series.asarray(), series.axes)
    np.testing.assert_array_equal(plain(np.asarray(image), image.axes), seen)
    np.testing.assert_array_equal(seen, plain(array, axes))
    assert dict(image.calibration.spacing) == dict(zip("ZYX", step, strict=True))
    assert {image.calibration.units[a] for a in "ZYX"} == {unit}
    assert [c.name for c in image.calibration.channels] == about["Channel"]["Name"]


@generated
@given(
    seed=seeds,
    axes=st.sampled_from(["yx", "zyx", "cyx", "tyx", "czyx", "tczyx", "tzyx", "zcyx", "xyz"]),
    dtype=st.sampled_from(["bool", "uint8", ">u2", "<i4", "float32", "float64"]),
    version=st.sampled_from(["0.4", "0.5"]),
    factor=lengths,
    shift=st.floats(-100, 100).map(lambda v: float(f"{v:.6g}")),
    unit=st.sampled_from([None, *sorted(UNITS)]),
    twice=st.booleans(),
    chunk=st.integers(1, 20),
)
def test_ome_zarr_of_any_axes_and_scale(
    tmp_path: Path,
    seed: int,
    axes: str,
    dtype: str,
    version: str,
    factor: float,
    shift: float,
    unit: str | None,
    twice: bool,
    chunk: int,
) -> None:
    zarr = pytest.importorskip("zarr")
    shape = tuple({"t": 2, "c": 3, "z": 4}.get(axis, 11) for axis in axes)
    array = (np.random.default_rng(seed).random(shape) * 250).astype(dtype)
    kinds = {"t": "time", "c": "channel"}
    described = [{"name": axis, "type": kinds.get(axis, "space")} for axis in axes]
    for axis in described:
        if unit and axis["type"] == "space":
            axis["unit"] = UNITS[unit]
    space = [axis not in kinds for axis in axes]
    scale = [factor if s else 1.0 for s in space]
    move = [shift if s else 0.0 for s in space]
    moved = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": move}]
    multiscale: dict[str, Any] = {
        "axes": described,
        "datasets": [{"path": "deep/0", "coordinateTransformations": moved}],
    }
    if twice:
        multiscale["coordinateTransformations"] = [{"type": "scale", "scale": [2.0 if s else 1.0 for s in space]}]
    path = tmp_path / f"{seed}-{version}-{axes}-{chunk}.zarr"
    group = zarr.open_group(str(path), mode="w", zarr_format=2 if version == "0.4" else 3)
    stored = group.create_array("deep/0", shape=shape, dtype=array.dtype, chunks=tuple(min(n, chunk) for n in shape))
    stored[...] = array
    found = {"multiscales": [multiscale]}
    group.attrs.update(found if version == "0.4" else {"ome": {"version": "0.5", **found}})
    image = open_nd(path)
    plain = np.asarray(zarr.open_array(str(path / "deep" / "0"), mode="r")[...])
    np.testing.assert_array_equal(np.asarray(image), plain.transpose([axes.index(a.lower()) for a in image.axes]))
    assert sorted(image.axes) == sorted(axes.upper())
    twofold = 2.0 if twice else 1.0
    for axis in "ZYX":
        if axis.lower() in axes and (unit or factor * twofold != 1):
            assert image.calibration.spacing[axis] == pytest.approx(factor * twofold)
            assert image.calibration.units[axis] == (unit or "")
        if axis.lower() in axes and shift:
            assert image.calibration.origin[axis] == pytest.approx(shift * twofold)
