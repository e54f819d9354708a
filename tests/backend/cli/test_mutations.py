"""Damaged files of every kind through the command line: an answer or one line, never a traceback.

A sample runs with all tests; ``make fuzz`` runs thousands. A case is named by its seed and number, so that one that
fails can be run again: ``FUZZ_SEED=0 FUZZ_FROM=1234 FUZZ_COUNT=1``.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time
import traceback
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from PIL import Image

from defocus_backend.batch.journal import RECORD
from defocus_backend.cli import main
from defocus_backend.io import write_nd

SEED, FIRST, COUNT = (
    int(os.environ.get(f"FUZZ_{name}", default))
    for name, default in (
        ("SEED", 0),
        ("FROM", 0),
        ("COUNT", 120),
    )
)
SECONDS = 10
pytestmark = pytest.mark.filterwarnings("default")  # of damaged numbers; the command line itself shows ours alone
SHAPE = (12, 14)
FUSE = ("--method", "mean", "--align", "off")


def pixels(*shape: int, dtype: Any = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 250, shape).astype(dtype)


def transforms() -> str:
    from defocus_backend.align import Alignment

    identity = np.repeat(np.eye(3)[None], 2, axis=0)
    found = Alignment(matrices=identity, gains=np.ones((2, 1)), correlation=np.ones(1), shape=SHAPE, reference=0)
    return found.to_json()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A valid file of every kind."""
    folder = tmp_path_factory.mktemp("sound")
    stack = pixels(3, *SHAPE, dtype=np.uint16)
    made = {
        name: folder / name for name in ("plain.tif", "zlib.tif", "imagej.tif", "ome.ome.tif", "rgb.tif", "big.tif")
    }
    tifffile.imwrite(made["plain.tif"], stack, photometric="minisblack", metadata=None)
    tifffile.imwrite(made["zlib.tif"], stack, photometric="minisblack", compression="zlib", tile=(16, 16))
    about = {"axes": "ZYX", "unit": "\\u00B5m", "spacing": 0.5, "Info": "x = 1"}
    tifffile.imwrite(made["imagej.tif"], stack, imagej=True, resolution=(5, 5), metadata=about)
    write_nd(made["ome.ome.tif"], stack, axes="ZYX")
    tifffile.imwrite(made["rgb.tif"], pixels(*SHAPE, 4), photometric="rgb", planarconfig="contig", bigtiff=False)
    tifffile.imwrite(made["big.tif"], stack, photometric="minisblack", bigtiff=True, byteorder=">")
    exif = Image.Exif()
    exif[0x010F], exif[0x0112], exif[0x011A] = "maker", 6, 72.0
    exif.get_ifd(0x8769)[0x829A] = 0.01
    colour = Image.fromarray(pixels(*SHAPE, 3))
    for suffix in ("jpg", "png", "webp"):
        made[f"photo.{suffix}"] = folder / f"photo.{suffix}"
        colour.save(made[f"photo.{suffix}"], exif=exif)
    for suffix in ("gif", "bmp", "jp2"):
        made[f"photo.{suffix}"] = folder / f"photo.{suffix}"
        colour.save(made[f"photo.{suffix}"])
    tifffile.imwrite(folder / "sigma.tif", pixels(*SHAPE).astype(np.float32))
    made["sigma.tif"] = folder / "sigma.tif"
    made["transforms.json"] = folder / "transforms.json"
    made["transforms.json"].write_text(transforms())
    made["config.toml"] = folder / "config.toml"
    made["config.toml"].write_text('mode = "fuse"\nalign = "off"\nmethod = "mean"\nretry = 1\nrange = [0, 4095]\n')
    if find_spec("zarr") is not None:
        made["store.ome.zarr"] = folder / "store.ome.zarr"
        write_nd(made["store.ome.zarr"], stack, axes="ZYX")
    frames = folder / "in" / "a"
    frames.mkdir(parents=True)
    for n, frame in enumerate(pixels(2, *SHAPE)):
        Image.fromarray(frame).save(frames / f"z{n}.png")
    run(["batch", str(folder / "in"), "--out", str(folder / "out"), *FUSE])
    made["record"] = folder / "out"
    made["frames"] = folder / "in"
    return made


def run(arguments: list[str]) -> Any:
    return CliRunner().invoke(main, arguments)


def mutated(data: bytes, draw: random.Random) -> bytes:
    """The bytes with one to four changes: flipped, extreme, cut, repeated, inserted, nested."""
    found = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        at = draw.randrange(len(found)) if found else 0
        kind = draw.randrange(8)
        if kind == 0 and found:
            found[at] ^= 1 << draw.randrange(8)
        elif kind == 1 and found:
            found[at] = draw.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 2:
            size = draw.choice((2, 4, 8))
            found[at : at + size] = draw.choice((0, 1, 2**31, 2**32 - 1, 2**63)).to_bytes(9, "little")[:size]
        elif kind == 3:
            del found[at:]
        elif kind == 4:
            length = draw.randrange(1, 64)
            found[at:at] = found[at : at + length]
        elif kind == 5:
            del found[at : at + draw.randrange(1, 32)]
        elif kind == 6:
            found[at:at] = bytes(draw.randrange(256) for _ in range(draw.randrange(1, 9)))
        else:
            found[at : at + 1] = draw.choice((b'"', b"[", b"{", b"null", b"-1", b"1e999", b"\xc3\x85", b"9" * 30))
    return bytes(found)


VALUES: tuple[Any, ...] = (None, True, -1, 0, 1e300, 10**30, "", "x" * 400, [], {}, [[]], "../x", "\0", 0.5, [1, 2])


def reshaped(found: Any, draw: random.Random) -> Any:
    """JSON with one value somewhere in it changed or left out."""
    if isinstance(found, dict) and found and draw.random() < 0.9:
        key = draw.choice(sorted(found))
        if draw.random() < 0.15:
            return {k: v for k, v in found.items() if k != key}
        return {**found, key: reshaped(found[key], draw)}
    if isinstance(found, list) and found and draw.random() < 0.9:
        at = draw.randrange(len(found))
        return [*found[:at], reshaped(found[at], draw), *found[at + 1 :]]
    return draw.choice(VALUES)


def damage(path: Path, draw: random.Random) -> None:
    data = path.read_bytes()
    if path.suffix == ".json" and draw.random() < 0.7:
        path.write_text(json.dumps(reshaped(json.loads(data), draw)))
    elif draw.random() < 0.02:
        path.write_bytes(draw.choice((b"[", b'{"a":', b"x = [")) * 100_000)
    else:
        path.write_bytes(mutated(data, draw))


def case(sound: dict[str, Path], folder: Path, number: int) -> list[str]:
    """A damaged copy of one file and the command that reads it."""
    draw = random.Random(f"{SEED} {number}")
    names = sorted(set(sound) - {"frames"})
    name = names[number % len(names)]
    source, out = sound[name], str(folder / "out")
    if name == "record":
        shutil.copytree(source, folder / "out", dirs_exist_ok=True)
        damage(folder / "out" / "a" / RECORD, draw)
        return ["batch", str(sound["frames"]), "--out", out, "--resume", "--dry-run", *FUSE]
    copy = folder / source.name
    if source.is_dir():
        shutil.copytree(source, copy)
        damage(draw.choice(sorted(p for p in copy.rglob("*") if p.is_file())), draw)
    else:
        shutil.copy(source, copy)
        damage(copy, draw)
    frames = [str(path) for path in sorted(sound["frames"].rglob("*.png"))]
    if name == "transforms.json":
        return ["fuse", *frames, "--method", "mean", "--apply-transforms", str(copy), "--out", out]
    if name == "config.toml":
        return ["batch", str(sound["frames"]), "--config", str(copy), "--out", out, "--dry-run"]
    if name == "sigma.tif":
        return ["shallow", frames[0], "--map", str(copy), "--method", "lens", "--out", out]
    if name.startswith(("photo", "rgb")):
        return draw.choice((["info", str(copy)], ["sharpen", str(copy), "--method", "cas", "--out", out]))
    if name.startswith(("ome", "store")):
        return ["info", str(copy)]
    return draw.choice((["info", str(copy)], ["fuse", str(copy), *FUSE, "--out", out]))


def failure(arguments: list[str]) -> str | None:
    """What is wrong with how a command ended; None if nothing is."""
    started = time.monotonic()
    result = run(arguments)
    spent = time.monotonic() - started
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return "".join(traceback.format_exception(result.exception)[-4:])
    if result.exit_code not in (0, 1, 2):
        return f"exit code {result.exit_code}"
    lines = [line for line in result.stderr.splitlines() if not line.startswith("defocus: warning: ")]
    told = [line for line in lines if not line.startswith("not aligned") and not line.startswith("aligning")]
    if result.exit_code == 2 and (len(told) != 1 or not told[0].startswith("defocus: ")):
        return f"exit code 2 and {len(told)} lines on stderr: {told[:3]}"
    if "Traceback" in result.output:
        return "a traceback in the output"
    return f"{spent:.0f} s" if spent > SECONDS else None


def test_what_is_sound_is_read(sound: dict[str, Path]) -> None:
    """Else the mutations would test nothing but the first refusal."""
    for name, path in sound.items():
        if path.suffix in (".json", ".toml") or (path.is_dir() and path.suffix != ".zarr"):
            continue
        result = run(["info", str(path)])
        assert result.exit_code == 0, (name, result.output)


def test_damaged_files_end_in_an_answer_or_one_line(sound: dict[str, Path], tmp_path: Path) -> None:
    failed = {}
    for number in range(FIRST, FIRST + COUNT):
        folder = tmp_path / str(number)
        folder.mkdir()
        arguments = case(sound, folder, number)
        wrong = failure(arguments)
        if wrong is None:
            shutil.rmtree(folder)
        else:
            failed[number] = (arguments, wrong)
    told = "\n".join(f"{number}: {' '.join(arguments)}\n{wrong}" for number, (arguments, wrong) in failed.items())
    assert not failed, f"{len(failed)} of {COUNT} cases, seed {SEED}\n{told}"
