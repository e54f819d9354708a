"""Files: what is read is what was written, and a file is there whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from defocus_backend.errors import FileError, InputError
from defocus_backend.io import (
    Metadata,
    Picture,
    WholeFiles,
    check_folder,
    read_image,
    read_map,
    write_image,
    write_map,
    write_whole,
)
from defocus_backend.stacks import open_stack

RNG = np.random.default_rng(0)


def pixels(dtype: str, channels: int, shape: tuple[int, int] = (13, 17)) -> np.ndarray:
    full = shape if channels == 1 else (*shape, channels)
    if np.issubdtype(np.dtype(dtype), np.floating):
        return RNG.normal(size=full).astype(dtype)
    return RNG.integers(0, np.iinfo(dtype).max, full, dtype=dtype, endpoint=True)


@pytest.mark.parametrize(
    ("suffix", "dtype", "channels"),
    [(".png", d, c) for d in ("uint8", "uint16") for c in (1, 2, 3, 4)]
    + [(".tif", d, c) for d in ("uint8", "uint16", "int16", "uint32", "float32", "float64") for c in (1, 2, 3, 4)],
)
def test_lossless_formats_return_the_same_array(tmp_path: Path, suffix: str, dtype: str, channels: int) -> None:
    array = pixels(dtype, channels)
    write_image(tmp_path / f"a{suffix}", array)
    found = read_image(tmp_path / f"a{suffix}")
    assert found.array.dtype == array.dtype
    np.testing.assert_array_equal(found.array, array)
    assert found.channel_axis == (None if channels == 1 else -1)


def test_colour_of_sixteen_bits_is_written_so_that_another_reader_agrees(tmp_path: Path) -> None:
    array = pixels("uint16", 1)
    write_image(tmp_path / "a.png", array)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")).astype(int), array)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_near_its_source(tmp_path: Path, channels: int) -> None:
    ramp = np.add.outer(np.arange(40), np.arange(50)).astype(np.uint8)
    array = ramp if channels == 1 else np.stack([ramp, ramp // 2, 255 - ramp], axis=-1)
    write_image(tmp_path / "a.jpg", array)
    assert np.abs(read_image(tmp_path / "a.jpg").array.astype(int) - array).max() <= 4


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_pictures_are_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    """Pillow's own turning is the reference."""
    from PIL import ImageOps

    path = tmp_path / f"a{suffix}"
    picture = Image.fromarray(np.kron(pixels("uint8", 1, (3, 4)), np.ones((8, 8), np.uint8)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(path, exif=exif)
    picture.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(picture))
    found = read_image(path)
    assert found.array.shape == expected.shape
    assert np.abs(found.array.astype(int) - expected).max() <= (4 if suffix == ".jpg" else 0)
    if suffix != ".tif":
        write_image(tmp_path / f"b{suffix}", found.array, like=found)
        assert read_image(tmp_path / f"b{suffix}").array.shape == expected.shape


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits", "zstd"])
@pytest.mark.parametrize("channels", [1, 3])
def test_compressed_tiff(tmp_path: Path, compression: str | None, channels: int) -> None:
    array = pixels("uint16", channels)
    tifffile.imwrite(
        tmp_path / "a.tif", array, compression=compression, photometric="rgb" if channels == 3 else "minisblack"
    )
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").array, array)


def test_planar_inverted_palette_and_bilevel_tiff(tmp_path: Path) -> None:
    rgb = pixels("uint8", 3)
    tifffile.imwrite(tmp_path / "planar.tif", np.moveaxis(rgb, -1, 0), photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_image(tmp_path / "planar.tif").array, rgb)
    gray = pixels("uint8", 1)
    tifffile.imwrite(tmp_path / "white.tif", gray, photometric="miniswhite")
    np.testing.assert_array_equal(read_image(tmp_path / "white.tif").array, 255 - gray)
    colours = Image.fromarray(rgb).quantize(8)
    colours.save(tmp_path / "palette.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "palette.tif").array, np.asarray(colours.convert("RGB")))
    write_image(tmp_path / "mask.tif", gray > 128)
    assert read_image(tmp_path / "mask.tif").array.dtype == bool
    np.testing.assert_array_equal(read_image(tmp_path / "mask.tif").array, gray > 128)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_resolution_profile_and_exif_are_kept(tmp_path: Path, suffix: str) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    Image.fromarray(pixels("uint8", 3)).save(tmp_path / f"a{suffix}", dpi=(300, 150), icc_profile=profile, exif=exif)
    first = read_image(tmp_path / f"a{suffix}")
    write_image(tmp_path / f"b{suffix}", first.array, like=first)
    again = read_image(tmp_path / f"b{suffix}")
    for found in (first, again):
        assert found.metadata.resolution == pytest.approx((300, 150), rel=1e-3)
        assert found.metadata.unit == "inch"
        assert found.metadata.icc == profile
    with Image.open(tmp_path / f"b{suffix}") as stored:
        assert stored.info["dpi"] == pytest.approx((300, 150), rel=1e-3)
        if suffix != ".tif":
            assert stored.getexif()[0x010F] == "a maker"


def test_the_micron_scale_of_imagej_survives_in_images_and_maps(tmp_path: Path) -> None:
    array = pixels("uint16", 1)
    tifffile.imwrite(tmp_path / "a.tif", array, imagej=True, resolution=(5.0, 5.0), metadata={"unit": "um"})
    source = read_image(tmp_path / "a.tif")
    assert source.metadata == Metadata(resolution=(5.0, 5.0), unit="um")
    write_image(tmp_path / "b.tif", array, like=source)
    write_map(tmp_path / "c.tif", array / 7, like=source)
    for name in ("b.tif", "c.tif"):
        assert read_image(tmp_path / name).metadata == source.metadata


@pytest.mark.parametrize("unit", ["", "µm"])
def test_the_sign_of_the_micron_can_be_written(tmp_path: Path, unit: str) -> None:
    """TIFF keeps text in ASCII, and a height is labelled with the unit of its stack."""
    values = pixels("float32", 1)
    place = Metadata(resolution=(5.0, 5.0), unit=unit) if unit else Metadata()
    like = Picture(array=values, channel_axis=None, metadata=place, path=Path("a.tif"))
    write_map(tmp_path / "a.tif", values, like=like, description="height / µm")
    np.testing.assert_array_equal(read_map(tmp_path / "a.tif"), values)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        told = file.imagej_metadata["Info"] if unit else file.pages[0].description
    assert told == "height / µm"


def test_the_physical_size_of_ome_becomes_a_resolution(tmp_path: Path) -> None:
    sizes = {"PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 500, "PhysicalSizeYUnit": "nm"}
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels("uint16", 1), metadata={"axes": "YX", **sizes})
    found = read_image(tmp_path / "a.ome.tif").metadata
    assert found.unit == "cm"
    assert found.resolution == pytest.approx((40_000, 20_000))


def test_maps_are_float_and_keep_nan(tmp_path: Path) -> None:
    values = pixels("float32", 1)
    values[2, 3] = np.nan
    like = Picture(
        array=values, channel_axis=None, metadata=Metadata(resolution=(72.0, 72.0), unit="inch"), path=Path("a.png")
    )
    write_map(tmp_path / "sigma.tif", values, like=like)
    np.testing.assert_array_equal(read_map(tmp_path / "sigma.tif"), values)
    assert read_image(tmp_path / "sigma.tif").metadata.resolution == (72.0, 72.0)
    with pytest.raises(FileError, match=r"sigma\.png"):
        write_map(tmp_path / "sigma.png", values)
    write_image(tmp_path / "gray.tif", pixels("uint8", 1))
    with pytest.raises(FileError, match="not a map"):
        read_map(tmp_path / "gray.tif")


def _truncated(data: bytes, suffix: str) -> bytes:
    return data[: len(data) // 2] if suffix != ".tif" else data[:200]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("damage", ["truncated", "foreign", "empty", "absent", "folder"])
def test_what_cannot_be_read_is_named_in_one_line(tmp_path: Path, suffix: str, damage: str) -> None:
    path = tmp_path / f"broken{suffix}"
    write_image(path, pixels("uint8", 3, (40, 50)))
    data = path.read_bytes()
    if damage in ("absent", "folder"):
        path.unlink()
        if damage == "folder":
            path.mkdir()
    else:
        path.write_bytes({"truncated": _truncated(data, suffix), "foreign": b"no picture" * 50, "empty": b""}[damage])
    with pytest.raises(FileError, match="broken") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(FileError, match="broken"):
        open_stack([path])


def test_formats_refuse_what_they_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"\.gif.*\.png"):
        write_image(tmp_path / "a.gif", pixels("uint8", 1))
    for suffix, array in ((".png", pixels("float32", 1)), (".jpg", pixels("uint16", 3)), (".jpg", pixels("uint8", 4))):
        with pytest.raises(InputError, match="write"):
            write_image(tmp_path / f"a{suffix}", array)
    with pytest.raises(InputError, match="shape"):
        write_image(tmp_path / "a.tif", np.zeros((2, 3, 7)))
    assert list(tmp_path.iterdir()) == []


def _write_all(contents: dict[Path, bytes], then: Callable[[], object] = lambda: None) -> None:
    with WholeFiles() as files:
        for path, data in contents.items():
            files.add(path, data)
        then()


class TestWholeFiles:
    def test_nothing_is_left_after_a_failure(self, tmp_path: Path) -> None:
        (tmp_path / "old.txt").write_bytes(b"old")
        deep = tmp_path / "new" / "deep" / "a.txt"
        with pytest.raises(ZeroDivisionError):
            _write_all({deep: b"a", tmp_path / "old.txt": b"changed"}, then=lambda: 1 / 0)
        assert [p.name for p in tmp_path.iterdir()] == ["old.txt"]
        assert (tmp_path / "old.txt").read_bytes() == b"old"

    def test_all_appear_together_at_the_end(self, tmp_path: Path) -> None:
        (tmp_path / "b.txt").write_bytes(b"old")
        with WholeFiles() as files:
            files.add(tmp_path / "new" / "a.txt", b"a")
            files.add(tmp_path / "b.txt", lambda path: path.write_bytes(b"b") and None)
            assert not (tmp_path / "new" / "a.txt").exists()
            assert (tmp_path / "b.txt").read_bytes() == b"old"
        assert (tmp_path / "new" / "a.txt").read_bytes() == b"a"
        assert (tmp_path / "b.txt").read_bytes() == b"b"
        assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.txt", "b.txt", "new"]

    def test_a_rename_that_fails_gives_earlier_files_back(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "a.txt").write_bytes(b"old")
        rename = Path.replace

        def fail(self: Path, target: Path) -> Path:
            if Path(target).name == "b.txt":
                raise PermissionError(13, "Permission denied")
            return rename(self, target)

        monkeypatch.setattr(Path, "replace", fail)
        with pytest.raises(FileError, match=r"b\.txt.*Permission denied"):
            _write_all({tmp_path / "a.txt": b"new", tmp_path / "b.txt": b"new"})
        assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a.txt", b"old")]

    def test_targets_that_cannot_be(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        (tmp_path / "folder").mkdir()
        for path in (tmp_path / "file" / "a.txt", tmp_path / "folder"):
            with pytest.raises(FileError, match="cannot be written"):
                write_whole(path, b"a")
        with pytest.raises(FileError, match="not a folder"):
            check_folder(tmp_path / "file" / "below")
        with WholeFiles() as files:
            files.add(tmp_path / "a", b"")
            with pytest.raises(FileError, match="two results"):
                files.add(tmp_path / "a", b"")
        (tmp_path / "a").unlink()
        assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]

    def test_files_have_the_usual_permissions(self, tmp_path: Path) -> None:
        write_whole(tmp_path / "a", b"")
        (tmp_path / "b").touch()
        assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


class TestStack:
    def test_one_file_a_slice(self, tmp_path: Path) -> None:
        slices = [pixels("uint8", 3) for _ in range(4)]
        paths = [tmp_path / f"fly_{n:02}.png" for n in range(4)]
        for path, array in zip(paths, slices, strict=True):
            write_image(path, array)
        stack = open_stack(paths)
        assert len(stack) == 4
        assert stack.channel_axis == -1
        assert stack.name == "fly"
        for _ in range(2):
            np.testing.assert_array_equal(list(stack), slices)
        np.testing.assert_array_equal(stack[-1], slices[-1])
        np.testing.assert_array_equal(stack[1:3], slices[1:3])

    @pytest.mark.parametrize(
        ("files", "name"),
        [
            (("ant_01", "ant_02"), "ant"),
            (("cell_z0037", "cell_z0039"), "cell"),
            (("IMG_1999", "IMG_2000"), "IMG"),
            (("jazz 1", "jazz 2"), "jazz"),
            (("1", "2"), "1"),
            (("a", "b"), "a"),
        ],
    )
    def test_names_of_results_come_from_what_the_files_share(
        self, tmp_path: Path, files: tuple[str, ...], name: str
    ) -> None:
        paths = [tmp_path / f"{stem}.png" for stem in files]
        for path in paths:
            write_image(path, np.zeros((4, 5), np.uint8))
        assert open_stack(paths).name == name

    @pytest.mark.parametrize("kind", ["plain", "imagej", "ome", "zlib", "pages", "rgb", "bigendian"])
    def test_one_file_with_many_pages(self, tmp_path: Path, kind: str) -> None:
        path = tmp_path / f"stack{'.ome' if kind == 'ome' else ''}.tif"
        array = np.stack([pixels("uint8" if kind == "rgb" else "uint16", 3 if kind == "rgb" else 1) for _ in range(5)])
        if kind == "pages":
            Image.fromarray(array[0]).save(path, save_all=True, append_images=[Image.fromarray(a) for a in array[1:]])
        elif kind == "imagej":
            tifffile.imwrite(path, array, imagej=True, metadata={"axes": "ZYX"})
        elif kind == "ome":
            tifffile.imwrite(path, array, metadata={"axes": "ZYX"})
        elif kind == "zlib":
            tifffile.imwrite(path, array, compression="zlib", photometric="minisblack")
        elif kind == "bigendian":
            tifffile.imwrite(path, array, photometric="minisblack", byteorder=">")
        else:
            tifffile.imwrite(path, array, photometric="rgb" if kind == "rgb" else "minisblack")
        stack = open_stack([path])
        assert len(stack) == 5
        for _ in range(2):
            np.testing.assert_array_equal(list(stack), array)
        assert stack[0].dtype == array.dtype

    def test_imagej_file_that_lists_its_first_page_only(self, tmp_path: Path) -> None:
        """ImageJ writes stacks beyond 4 GB so; here the same layout in small."""
        array = np.stack([pixels("uint16", 1) for _ in range(5)])
        buffer = io.BytesIO()
        with tifffile.TiffWriter(buffer, imagej=True) as tiff:
            tiff.write(array, metadata={"axes": "ZYX"}, truncate=True)
        (tmp_path / "a.tif").write_bytes(buffer.getvalue())
        np.testing.assert_array_equal(list(open_stack(tmp_path / "a.tif")), array)

    def test_slices_that_differ_are_named(self, tmp_path: Path) -> None:
        write_image(tmp_path / "a.png", pixels("uint8", 3))
        for name, array in (
            ("size", pixels("uint8", 3, (13, 18))),
            ("channels", pixels("uint8", 1)),
            ("alpha", pixels("uint8", 4)),
        ):
            write_image(tmp_path / f"{name}.png", array)
            with pytest.raises(FileError, match=rf"{name}\.png: is .*; expected 17x13 px RGB uint8 as a\.png"):
                open_stack([tmp_path / "a.png", tmp_path / f"{name}.png"])
        write_image(tmp_path / "deep.png", pixels("uint16", 3))
        with pytest.raises(FileError, match=r"deep\.png: is 17x13 px RGB uint16"):
            list(open_stack([tmp_path / "a.png", tmp_path / "deep.png"]))

    def test_what_is_no_stack(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="files"):
            open_stack([])
        tifffile.imwrite(tmp_path / "channels.tif", np.zeros((3, 2, 9, 9), np.uint16), imagej=True)
        with pytest.raises(FileError, match=r"channels\.tif: holds a series of 3 Z, 2 C"):
            open_stack(tmp_path / "channels.tif")
        with tifffile.TiffWriter(tmp_path / "mixed.tif") as tiff:
            tiff.write(np.zeros((9, 9), np.uint8))
            tiff.write(np.zeros((8, 9), np.uint8))
        with pytest.raises(FileError, match="page 1 is 9x8 px gray uint8; expected 9x9 px"):
            open_stack(tmp_path / "mixed.tif")
        write_map(tmp_path / "maps.tif", np.zeros((3, 9, 9)))
        with pytest.raises(FileError, match="several pictures"):
            read_image(tmp_path / "maps.tif")
        assert len(open_stack(tmp_path / "maps.tif")) == 3

    def test_no_slice_stays_in_memory(self, tmp_path: Path) -> None:
        import tracemalloc

        tifffile.imwrite(tmp_path / "a.tif", np.zeros((40, 256, 256), np.uint16), photometric="minisblack")
        stack = open_stack(tmp_path / "a.tif")
        tracemalloc.start()
        total = sum(float(s.sum()) for s in stack)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert total == 0
        assert peak < 8 * stack[0].nbytes
