"""What cameras write: RAW files developed alike, EXIF and colour profiles that survive into every format."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import IFDRational

from defocus_backend.errors import FileError
from defocus_backend.io import read_image, write_image
from defocus_backend.io.exif import exif_of_tiff
from defocus_backend.stacks import open_stack

EXIF_IFD, EXPOSURE, ISO, TAKEN = 0x8769, 0x829A, 0x8827, 0x9003
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def camera_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0132] = "a maker", "Model 7", "2020:01:02 03:04:05"
    inner = exif.get_ifd(EXIF_IFD)
    inner[EXPOSURE], inner[ISO], inner[TAKEN] = IFDRational(1, 125), 200, "2020:01:02 03:04:05"
    return exif


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_pictures_beyond_pillows_limit_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    """It takes what is large for an attack; the limit of the process is left as it was, whichever thread reads."""
    array = np.full((30, 40, 3), 90, np.uint8)
    paths = [tmp_path / f"a{n}.{suffix}" for n in range(8)]
    for path in paths:
        write_image(path, array)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert len(open_stack(paths)) == 8
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(read_image, paths * 4):
            np.testing.assert_allclose(found.array, array, atol=2)
    assert Image.MAX_IMAGE_PIXELS == 100
    with pytest.raises(Image.DecompressionBombError):
        Image.open(paths[0])


@pytest.mark.parametrize("source", ["jpg", "png", "tif"])
@pytest.mark.parametrize("target", ["jpg", "png", "tif"])
def test_exif_and_profile_go_from_any_format_to_any(tmp_path: Path, source: str, target: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / f"a.{source}", exif=camera_exif().tobytes(), icc_profile=PROFILE)
    first = read_image(tmp_path / f"a.{source}")
    write_image(tmp_path / f"b.{target}", first.array, like=first)
    with Image.open(tmp_path / f"b.{target}") as stored:  # Pillow reads what we wrote
        assert stored.info["icc_profile"] == PROFILE
        found = stored.getexif()
        assert (found[0x010F], found[0x0110], found[0x0132]) == ("a maker", "Model 7", "2020:01:02 03:04:05")
        inner = found.get_ifd(EXIF_IFD)
        assert (float(inner[EXPOSURE]), inner[ISO], inner[TAKEN]) == (1 / 125, 200, "2020:01:02 03:04:05")
    again = read_image(tmp_path / f"b.{target}")
    np.testing.assert_array_equal(again.array, first.array) if target != "jpg" else None


def test_sixteen_bit_colour_tiff_keeps_them_too(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(tmp_path / "a.jpg", exif=camera_exif())
    first = read_image(tmp_path / "a.jpg")
    deep = np.random.default_rng(0).integers(0, 65535, (8, 9, 3), dtype=np.uint16)
    write_image(tmp_path / "b.tif", deep, like=first)
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        tags = tiff.pages[0].tags
        assert tags["Make"].value == "a maker"
        assert tags["ExifTag"].value["ISOSpeedRatings"] == 200
        assert list(tags.keys()) == sorted(tags.keys())  # as TIFF demands
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif").array, deep)


def test_a_tiff_without_a_camera_has_no_exif(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 6), np.uint8), description="about", software="a program")
    assert read_image(tmp_path / "a.tif").metadata.exif is None
    assert exif_of_tiff(io.BytesIO(b"nothing of the kind")) is None


def dng(path: Path, level: float, neutral: tuple[float, float, float] = (0.5, 1.0, 0.6)) -> None:
    """A RAW file with the Bayer pattern RGGB: a ramp of `level` at its bright end, white at 16383."""
    ramp = np.tile(np.linspace(0.1, 1, 96), (64, 1)) * level
    balance = [round(v * 10_000) for v in neutral]
    tags: list[tuple[Any, ...]] = [
        (50706, "B", 4, (1, 4, 0, 0), True),  # DNG version
        (50708, "s", 0, "Synthetic camera", True),
        (33421, "H", 2, (2, 2), True),  # pattern
        (33422, "B", 4, (0, 1, 1, 2), True),
        (50714, "H", 1, 0, True),  # black
        (50717, "I", 1, 16383, True),  # white
        (50721, 10, 9, tuple(v for n in range(9) for v in ((10_000 if n % 4 == 0 else 0), 10_000)), True),
        (50728, 5, 3, (balance[0], 10_000, balance[1], 10_000, balance[2], 10_000), True),
        (271, "s", 0, "a maker", True),
    ]
    tifffile.imwrite(path, ramp.astype(np.uint16), photometric=32803, extratags=tags, metadata=None)


def test_raw_is_not_brightened_by_its_own_content(tmp_path: Path) -> None:
    """Half the light is the same picture at half the linear value, whatever else is in it."""
    pytest.importorskip("rawpy")
    for name, level in (("bright", 12_000), ("dark", 6_000)):
        dng(tmp_path / f"{name}.dng", level)
    bright, dark = (linear(read_image(tmp_path / f"{n}.dng").array) for n in ("bright", "dark"))
    inner = (slice(8, -8), slice(8, 60), 1)  # green, away from the border and from clipping
    np.testing.assert_allclose(dark[inner] / bright[inner], 0.5, rtol=0.02)


def linear(values: np.ndarray) -> np.ndarray:
    """Undo the curve of BT.709: a straight part, then a power of 0.45."""
    unit = values / 65535
    return np.where(unit < 0.081, unit / 4.5, ((unit + 0.099) / 1.099) ** (1 / 0.45))


def test_raw_picture(tmp_path: Path) -> None:
    pytest.importorskip("rawpy")
    dng(tmp_path / "a.dng", 12_000)
    found = read_image(tmp_path / "a.dng")
    assert found.array.shape == (64, 96, 3)
    assert found.array.dtype == np.uint16
    assert found.metadata.white_balance == pytest.approx((2.0, 1.0, 1 / 0.6, 1.0), rel=1e-3)
    write_image(tmp_path / "b.jpg", (found.array >> 8).astype(np.uint8), like=found)
    with Image.open(tmp_path / "b.jpg") as stored:
        assert stored.getexif()[0x010F] == "a maker"


def test_a_stack_of_raw_files_has_the_white_balance_of_its_first(tmp_path: Path) -> None:
    pytest.importorskip("rawpy")
    dng(tmp_path / "a0.dng", 12_000, (0.5, 1.0, 0.6))
    dng(tmp_path / "a1.dng", 12_000, (0.8, 1.0, 0.4))  # the same light, another automatic balance
    stack = open_stack([tmp_path / "a0.dng", tmp_path / "a1.dng"])
    np.testing.assert_array_equal(stack[1], stack[0])
    assert (read_image(tmp_path / "a1.dng").array != stack[0]).any()


def test_damaged_raw(tmp_path: Path) -> None:
    pytest.importorskip("rawpy")
    (tmp_path / "a.nef").write_bytes(b"no picture" * 50)
    with pytest.raises(FileError, match=r"a\.nef.*LibRaw"):
        read_image(tmp_path / "a.nef")
    with pytest.raises(FileError, match="No such file"):
        read_image(tmp_path / "absent.nef")


def test_raw_files_on_the_command_line(tmp_path: Path, random_weights: dict[str, Path]) -> None:
    """The fused picture of RAW frames is a 16-bit TIFF with the camera's EXIF."""
    pytest.importorskip("rawpy")
    from click.testing import CliRunner

    from defocus_backend.cli import main

    paths = [tmp_path / "in" / f"a{n}.dng" for n in range(2)]
    paths[0].parent.mkdir()
    for path in paths:
        dng(path, 12_000)
    arguments = ["fuse", *map(str, paths), "--out", str(tmp_path / "out"), "--weights", str(random_weights["blurnet"])]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    fused = read_image(tmp_path / "out" / "a_fused.tif")
    assert fused.array.dtype == np.uint16
    with tifffile.TiffFile(fused.path) as tiff:
        assert tiff.pages[0].tags["Make"].value == "a maker"
