"""TIFF as it is written: what the pixels mean, which pages there are, and what their axes are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packed_bits import tifffile_packs_bits
from PIL import Image

from defocus_backend.errors import DefocusWarning, FileError
from defocus_backend.io import is_nd, open_nd, read_image
from defocus_backend.stacks import open_stack

RNG = np.random.default_rng(0)
SHAPE = (17, 23)
GRAY8 = RNG.integers(0, 256, SHAPE, dtype=np.uint8)
RGB = RNG.integers(0, 256, (*SHAPE, 3), dtype=np.uint8)


packs_bits = pytest.mark.skipif(not tifffile_packs_bits(), reason="this imagecodecs writes whole bytes alone")


def values(dtype: str, *shape: int) -> np.ndarray:
    if dtype == "bool":
        return RNG.random(shape) > 0.5
    if np.dtype(dtype).kind == "f":
        return RNG.random(shape).astype(dtype)
    limits = np.iinfo(dtype)
    return RNG.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


kinds = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["uint8", "uint16", "int16", "uint32", "float32", "float64", "bool"]),
        "channels": st.sampled_from([1, 2, 3, 4]),
        "white": st.booleans(),
        "separate": st.booleans(),
        "tile": st.booleans(),
        "compression": st.sampled_from([None, "zlib", "lzw", "packbits", "zstd"]),
        "byteorder": st.sampled_from("<>"),
        "bigtiff": st.booleans(),
        "pages": st.sampled_from([1, 2, 3]),
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=kinds)
def test_whatever_way_pixels_are_stored_they_are_read_as_they_were(tmp_path: Path, kind: dict[str, Any]) -> None:
    channels, pages = kind["channels"], kind["pages"]
    if kind["dtype"] == "bool":
        channels, kind = 1, {**kind, "tile": False, "compression": None}
    if channels > 1 or kind["dtype"].startswith("float64"):
        kind = {**kind, "white": False}
    array = values(kind["dtype"], pages, *SHAPE, *([channels] if channels > 1 else []))
    options: dict[str, Any] = {"compression": kind["compression"], "tile": (16, 16) if kind["tile"] else None}
    options["photometric"] = "rgb" if channels > 2 else "miniswhite" if kind["white"] else "minisblack"
    if channels in (2, 4):
        options["extrasamples"] = ["unassalpha"]
    separate = kind["separate"] and channels > 1
    if channels > 1:
        options["planarconfig"] = "separate" if separate else "contig"
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, byteorder=kind["byteorder"], bigtiff=kind["bigtiff"]) as tiff:
        for page in array:
            stored = page
            if kind["white"]:
                wide = page.astype(np.float64)
                stored = ~page if page.dtype.kind in "bui" else (1 - wide).astype(page.dtype)
            tiff.write(np.moveaxis(stored, -1, 0) if separate else stored, metadata=None, contiguous=False, **options)
    if pages == 1:
        read = read_image(path).array[None]
    else:
        read = np.stack(list(open_stack(path)))
        np.testing.assert_array_equal(read, np.asarray(open_nd(path)))
    assert read.dtype == array.dtype
    if kind["white"] and array.dtype.kind == "f":
        np.testing.assert_allclose(read, array, atol=1e-6)
    else:
        np.testing.assert_array_equal(read, array)


@packs_bits
@pytest.mark.parametrize("bits", [4, 12])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_the_range_is_that_of_the_bits_not_of_the_array(tmp_path: Path, bits: int, photometric: str) -> None:
    white = 2**bits - 1
    array = RNG.integers(0, white, SHAPE, endpoint=True).astype(np.uint8 if bits == 4 else np.uint16)
    stored = white - array if photometric == "miniswhite" else array
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric=photometric, bitspersample=bits)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").array, array)
    assert read_image(tmp_path / "a.tif").white == white


@packs_bits
def test_slices_of_four_bits_have_the_range_of_four_bits(tmp_path: Path) -> None:
    pages = RNG.integers(0, 9, (3, *SHAPE), endpoint=True).astype(np.uint8)
    with tifffile.TiffWriter(tmp_path / "pages.tif") as writer:
        for number, page in enumerate(pages):
            writer.write(page, photometric="minisblack", bitspersample=4)
            tifffile.imwrite(tmp_path / f"{number}.tif", page, photometric="minisblack", bitspersample=4)
    for files in ([tmp_path / "pages.tif"], [tmp_path / f"{number}.tif" for number in range(3)]):
        stack = open_stack(files)
        assert stack.value_range == (0, 15)
        np.testing.assert_allclose(stack.image(1).gray.numpy(), pages[1] / np.float32(15), rtol=1e-6)


def test_white_at_zero_of_signed_whole_numbers_floats_and_bool(tmp_path: Path) -> None:
    signed = values("int16", *SHAPE)
    tifffile.imwrite(tmp_path / "i.tif", ~signed, photometric="miniswhite")
    np.testing.assert_array_equal(read_image(tmp_path / "i.tif").array, signed)
    tifffile.imwrite(tmp_path / "f.tif", values("float32", *SHAPE) * 9, photometric="miniswhite")
    with pytest.raises(FileError, match="the value of black"):
        read_image(tmp_path / "f.tif")
    mask = values("bool", *SHAPE)
    tifffile.imwrite(tmp_path / "b.tif", mask)  # tifffile labels every bool array as white at 0
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif").array, mask)
    Image.fromarray(mask).save(tmp_path / "p.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "p.tif").array, mask)


def test_ycbcr_becomes_rgb_as_pillow_has_it(tmp_path: Path) -> None:
    picture = Image.fromarray(RGB).convert("YCbCr")
    picture.save(tmp_path / "a.tif")
    found = read_image(tmp_path / "a.tif").array.astype(int)
    assert np.abs(found - np.asarray(picture.convert("RGB"))).max() <= 1
    smooth = np.add.outer(np.arange(32) * 3, np.arange(48) * 2).astype(np.uint8)
    smooth = np.stack([smooth // 2 + 60, smooth // 4 + 90, 160 - smooth // 4], axis=-1)
    tifffile.imwrite(tmp_path / "j.tif", smooth, photometric="ycbcr", compression="jpeg")  # takes it for YCbCr already
    expected = np.asarray(Image.merge("YCbCr", [Image.fromarray(smooth[..., n]) for n in range(3)]).convert("RGB"))
    assert np.abs(read_image(tmp_path / "j.tif").array.astype(int) - expected).max() <= 12


def test_extra_samples_are_alpha_only_where_the_file_says_so(tmp_path: Path) -> None:
    five = np.dstack([RGB, GRAY8, GRAY8])
    tifffile.imwrite(tmp_path / "a.tif", five, photometric="rgb", extrasamples=["unspecified"] * 2)
    with pytest.warns(DefocusWarning, match=r"a\.tif: 2 of 5 channels"):
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif").array, RGB)
    # Colours that were multiplied by their alpha are as they were before, as far as eight bits hold it.
    alpha = np.full(SHAPE, 128, np.uint8)
    alpha[0] = 0
    premultiplied = np.rint(RGB * (alpha / 255)[..., None]).astype(np.uint8)
    tifffile.imwrite(tmp_path / "b.tif", np.dstack([premultiplied, alpha]), photometric="rgb", extrasamples=[1])
    found = read_image(tmp_path / "b.tif").array
    np.testing.assert_array_equal(found[..., 3], alpha)
    assert np.abs(found[1:, :, :3].astype(int) - RGB[1:]).max() <= 1
    tifffile.imwrite(tmp_path / "c.tif", np.zeros((7, *SHAPE), np.uint8), photometric="minisblack", planarconfig=2)
    with pytest.raises(FileError, match="7 channels"):
        read_image(tmp_path / "c.tif")


class TestPages:
    def write(self, path: Path, options: Any, convert: Any = lambda _k, x: x) -> np.ndarray:
        array = values("uint8", 4, 32, 48)
        with tifffile.TiffWriter(path) as tiff:
            for k, page in enumerate(array):
                about = {"photometric": "minisblack", **options(k)}
                tiff.write(convert(k, page), contiguous=False, metadata=None, **about)
        return array

    @pytest.mark.parametrize("kind", ["compression", "tiled", "white"])
    def test_pages_that_are_stored_differently_are_one_stack(self, tmp_path: Path, kind: str) -> None:
        options = {
            "compression": lambda k: {"compression": [None, None, "zlib", "lzw"][k]},
            "tiled": lambda k: {"tile": (16, 16)} if k > 1 else {},
            "white": lambda k: {"photometric": "miniswhite"} if k == 2 else {},
        }[kind]
        array = self.write(tmp_path / "a.tif", options, lambda k, x: 255 - x if kind == "white" and k == 2 else x)
        np.testing.assert_array_equal(list(open_stack(tmp_path / "a.tif")), array)
        found = open_nd(tmp_path / "a.tif")
        assert found.axes == "ZYX"
        np.testing.assert_array_equal(np.asarray(found), array)

    def test_others_are_refused_by_page(self, tmp_path: Path) -> None:
        for name, convert, words in (
            ("depth", lambda k, x: x.astype(np.uint16) if k == 3 else x, "page 3 is 48x32 px gray uint16"),
            ("size", lambda k, x: x[:30] if k == 2 else x, "page 2 is 48x30 px gray uint8"),
        ):
            self.write(tmp_path / f"{name}.tif", lambda _k: {}, convert)
            for read in (open_stack, open_nd):
                with pytest.raises(FileError, match=rf"{name}\.tif: {words}; expected 48x32 px gray uint8 as page 0"):
                    read(tmp_path / f"{name}.tif")
        with pytest.warns(DefocusWarning, match="only the first is read"):
            assert read_image(tmp_path / "size.tif").array.shape == (32, 48)

    def test_arrays_of_two_sizes_written_one_by_one(self, tmp_path: Path) -> None:
        with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
            tiff.write(GRAY8)
            tiff.write(GRAY8[:9])
        with pytest.warns(DefocusWarning, match="only the first is read"):
            np.testing.assert_array_equal(read_image(tmp_path / "a.tif").array, GRAY8)
        with pytest.raises(FileError, match="page 1 is 23x9 px"):
            open_stack(tmp_path / "a.tif")

    @pytest.mark.parametrize("place", ["first", "last", "subifd"])
    def test_a_preview_is_not_the_picture_wherever_it_stands(self, tmp_path: Path, place: str) -> None:
        small, path = GRAY8[::4, ::4].copy(), tmp_path / "a.tif"
        with tifffile.TiffWriter(path) as tiff:
            if place == "first":
                tiff.write(small, subfiletype=1)
            tiff.write(GRAY8, subifds=1 if place == "subifd" else 0)
            if place != "first":
                tiff.write(small, subfiletype=1)
        for array in (read_image(path).array, open_stack(path)[0], np.asarray(open_nd(path))):
            np.testing.assert_array_equal(array, GRAY8)

    def test_each_page_keeps_its_own_orientation(self, tmp_path: Path) -> None:
        square = values("uint8", 2, 20, 20)
        with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
            for k, page in enumerate(square):
                turned = page[::-1, ::-1] if k else page
                tags = [(274, "H", 1, 3 if k else 1, True)]
                tiff.write(turned, metadata=None, contiguous=False, extratags=tags, photometric="minisblack")
        np.testing.assert_array_equal(list(open_stack(tmp_path / "a.tif")), square)

    def test_pages_written_one_by_one_are_a_stack(self, tmp_path: Path) -> None:
        array = values("uint16", 3, *SHAPE)
        with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
            for page in array:
                tiff.write(page, contiguous=False)
        np.testing.assert_array_equal(list(open_stack(tmp_path / "a.tif")), array)


@pytest.mark.parametrize("leading", [(2, 4), (2, 3, 4), (4, 4)])
def test_arrays_without_named_axes(tmp_path: Path, leading: tuple[int, ...]) -> None:
    array, path = values("uint16", *leading, *SHAPE), tmp_path / "a.tif"
    tifffile.imwrite(path, array, photometric="minisblack")
    with pytest.warns(DefocusWarning, match=r"does not name its axes; read as T.*ZYX"):
        found = open_nd(path)
    assert found.shape == array.shape
    np.testing.assert_array_equal(np.asarray(found), array)
    with pytest.warns(DefocusWarning):
        assert is_nd(path)


def test_four_planes_that_are_named_slices_are_not_colours(tmp_path: Path) -> None:
    array, path = values("uint8", 4, *SHAPE), tmp_path / "a.tif"
    described = json.dumps({"shape": array.shape, "axes": "ZYX"})
    with tifffile.TiffWriter(path) as tiff:  # as tifffile wrote (4, H, W) of 8 bits by default
        tiff.write(array, metadata=None, description=described, photometric="rgb", planarconfig="separate")
    assert open_nd(path).axes == "ZYX"
    np.testing.assert_array_equal(np.asarray(open_nd(path)), array)
    np.testing.assert_array_equal(list(open_stack(path)), array)
    with pytest.raises(FileError, match="several pictures"):
        read_image(path)


def test_a_picture_below_its_preview_is_the_picture(tmp_path: Path) -> None:
    """Cameras write the preview as the page and the picture as its SubIFD."""
    picture = (np.arange(96 * 128).reshape(96, 128) % 251).astype(np.uint8)
    path = tmp_path / "preview.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(picture[::8, ::8].copy(), photometric="minisblack", subfiletype=1, subifds=1)
        tiff.write(picture, photometric="minisblack", subfiletype=0)
    np.testing.assert_array_equal(read_image(path).array, picture)
    np.testing.assert_array_equal(open_stack(path)[0], picture)
