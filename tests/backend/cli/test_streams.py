"""What stands on stderr is one line, and no stream that is closed, full or narrow stops the work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from PIL import Image

from defocus_backend.cli import main

POSIX = pytest.mark.skipif(os.name != "posix", reason="needs a shell of Unix")
FUSE = ("fuse", "--method", "mean", "--align", "off")


@pytest.fixture
def frames(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "in" / f"z{n}.png" for n in range(2)]
    paths[0].parent.mkdir()
    for path in paths:
        Image.fromarray(np.full((8, 9), 90, np.uint8)).save(path)
    return paths


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "defocus_backend.cli", *map(str, arguments)]


@POSIX
@pytest.mark.parametrize("redirection", [">/dev/full", "2>/dev/full", ">&- 2>&-", ">/dev/full 2>/dev/full"])
def test_the_work_is_done_whatever_becomes_of_the_streams(tmp_path: Path, frames: list[Path], redirection: str) -> None:
    if "full" in redirection and not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    words = command(*FUSE, *frames, "--out", tmp_path / "out", "--json")
    line = " ".join(f"'{word}'" for word in words)
    done = subprocess.run(["sh", "-c", f"{line} {redirection}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["z_fused.png"]


def test_a_narrow_terminal_shows_what_it_can(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    name = tmp_path / "\u0416\u6f22.png"
    done = subprocess.run(command("info", name), capture_output=True, env=environment, check=False)
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert b"\\u0416\\u6f22.png" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("map", "--no-such-option"),
        ("map",),
        ("no-such-command",),
        ("fuse", "a.png", "--times"),
        ("map", "a.png", "--step", "many"),
        ("batch", "in"),
        ("info", "x" * 5000),
        ("info", "a" * 300 + ".tif"),
        ("fuse", "x" * 5000, "y"),
        ("map", "x" * 5000 + ".png"),
        ("batch", "x" * 5000, "--out", "out"),
        ("map", "a.png", "--out", "x" * 5000),
        ("score", "x" * 5000, "y"),
    ],
)
def test_one_line(arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((8, 9), np.uint8)).save("a.png")
    result = CliRunner().invoke(main, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 2
    assert result.stderr.startswith("defocus: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_what_libraries_say_is_said_in_one_line_of_ours(tmp_path: Path) -> None:
    """tifffile logs and Pillow warns of such files; what matters of it is that a page is missing."""
    described = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0" '
        'DimensionOrder="XYZCT" Type="uint8" SizeX="9" SizeY="8" SizeZ="4" SizeC="1" SizeT="1">'
        '<Channel ID="Channel:0:0" SamplesPerPixel="1"/><TiffData/></Pixels></Image></OME>'
    )
    with tifffile.TiffWriter(tmp_path / "stopped.ome.tif") as tiff:
        for number in range(3):
            description = described if not number else None
            tiff.write(np.zeros((8, 9), np.uint8), contiguous=False, metadata=None, description=description)
    done = subprocess.run(command("info", tmp_path / "stopped.ome.tif"), capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert "defocus: warning: " in done.stderr
    assert "1 of 4 planes are missing; left out: Z 3" in done.stderr
    assert "3 x 8 x 9" in done.stdout


@POSIX
def test_two_quick_interrupts_are_as_quiet_as_one(tmp_path: Path) -> None:
    for number in range(2):
        tifffile.imwrite(tmp_path / f"z{number}.tif", np.zeros((2000, 2000), np.uint8))
    # Says when all is loaded: a signal that comes while libraries load may be lost in them.
    start = "import torch, defocus_backend.cli as c; print('loaded', flush=True); c.main(prog_name='defocus')"
    arguments = ["fuse", *map(str, sorted(tmp_path.glob("*.tif"))), "--align", "off", "--out", str(tmp_path / "out")]
    process = subprocess.Popen(
        [sys.executable, "-c", start, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "loaded\n"
    time.sleep(3)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    try:
        _, told = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode in (0, 130)
    assert "Traceback" not in told


@POSIX
def test_a_forked_process_computes(tmp_path: Path) -> None:
    """Fork is what multiprocessing does on Linux before Python 3.14."""
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing, numpy, torch\n"
        "torch.set_num_threads(2)\n"
        "import defocus_backend as db\n"
        "image = numpy.random.default_rng(0).random((96, 96))\n"
        "def work(_): return float(db.defocus_map(image).sigma.mean())\n"
        "here = work(0)\n"
        "with multiprocessing.get_context('fork').Pool(1) as pool:\n"
        "    there = pool.apply_async(work, (0,)).get(120)\n"
        "assert abs(here - there) < 1e-3, (here, there)\n"
    )
    subprocess.run([sys.executable, str(script)], check=True, timeout=300)
