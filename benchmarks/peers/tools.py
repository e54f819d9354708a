"""The compared tools: every peer and ours, each with the command that a user would type, without alignment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from environments import Environment, Unavailable, build
from numpy.typing import NDArray

HERE = Path(__file__).parent

OPENFOCUS = Environment("openfocus", "openfocus==1.72.0", (3, 10))
SHINESTACKER = Environment("shinestacker", "shinestacker==1.17.4", (3, 12))
FOCUSWEAVE = Environment("focusweave", "focusweave==2.0.0", (3, 10))
ENFUSE = Environment("enfuse", "enfuse", None)

NOT_TO_BE_HAD = {
    "focus-stack (C++)": "neither in the package index nor in Debian",
    "Fiji: EDF, Stack Focuser, LocalZProjector": "plugins of Fiji's own update sites; Debian has ImageJ without them",
    "Helicon Focus, Zerene Stacker": "commercial, closed",
}
"""Peers that are not in a package index, with the reason."""


@dataclass(frozen=True)
class Run:
    """A command to be measured and where its results will be.

    Attributes
    ----------
    command : list of str
    fused : str
        Pattern of the fused picture below the folder of results.
    height : callable or None
        From the folder of results and the number of slices to the height (H, W) in slices, if the tool has one.
    variables : dict
        Environment variables beyond those of this process.
    """

    command: list[str]
    fused: str
    height: Callable[[Path, int], NDArray[np.float32]] | None = None
    variables: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Tool:
    """One row of the tables.

    Attributes
    ----------
    title, options : str
        As printed.
    version : str
    environment : Environment or None
        None for ours, which runs where this script runs.
    plan : callable
        From the environment's folder, the files of the slices, the folder for the results, and whether the height
        is wanted too.
    """

    title: str
    options: str
    version: str
    environment: Environment | None
    plan: Callable[[Path, list[Path], Path, bool], Run]


@dataclass(frozen=True)
class Measured:
    """Time and memory of a run, and its results, which are None if it failed."""

    seconds: float
    processor: float
    peak: float
    fused: Path | None
    height: NDArray[np.float32] | None
    failure: str = ""


def ours(*options: str) -> Callable[[Path, list[Path], Path, bool], Run]:
    """`defocus fuse`, as it is in this repository."""

    def plan(_: Path, frames: list[Path], out: Path, height: bool) -> Run:
        extra = ["--height", *options] if height else list(options)
        files = [str(p) for p in frames]
        command = [sys.executable, "-m", "defocus_backend.cli", "fuse", *files, "--align", "off", "--quiet", *extra]
        return Run([*command, "--out", str(out)], "*_fused.*", _our_height if height else None)

    return plan


def _our_height(out: Path, _: int) -> NDArray[np.float32]:
    """Where nothing is in focus there is no height: the sharpest slice takes its place, as the peers have it."""
    from tifffile import imread

    height, index = (imread(next(out.glob(f"*_{name}.tif"))).astype(np.float32) for name in ("height", "index"))
    return np.where(np.isfinite(height), height, index)


def openfocus(method: str, has_height: bool = True) -> Callable[[Path, list[Path], Path, bool], Run]:
    """OpenFocus' command line; the exposures, which are equal, are left alone."""

    def plan(folder: Path, frames: list[Path], out: Path, height: bool) -> Run:
        command = [str(folder / "bin" / "openfocus"), "--input", *map(str, frames), "--method", method, "--cpu"]
        command += ["--align", "none", "--no-exposure-match", "--output", str(out / f"fused{frames[0].suffix}")]
        if not height or not has_height:
            return Run(command, "fused.*")
        command += ["--depth-map", str(out / "depth.png"), "--depth-colormap", "gray"]
        return Run(command, "fused.*", _openfocus_height)

    return plan


def _openfocus_height(out: Path, count: int) -> NDArray[np.float32]:
    """The index of the slice over the last index, in 8 bits."""
    from PIL import Image

    return np.asarray(Image.open(out / "depth.png").convert("L"), dtype=np.float32) / 255 * (count - 1)


def shinestacker(algorithm: str) -> Callable[[Path, list[Path], Path, bool], Run]:
    """ShineStacker's library, since its command opens a window."""

    def plan(folder: Path, frames: list[Path], out: Path, _: bool) -> Run:
        script = [str(folder / "bin" / "python"), str(HERE / "shinestacker_stack.py")]
        return Run([*script, str(frames[0].parent), str(out), algorithm], "fused/*")

    return plan


def _focusweave(folder: Path, frames: list[Path], out: Path, _: bool) -> Run:
    command = [str(folder / "bin" / "focusweave"), str(frames[0].parent), "--no-align", "--keep-size"]
    return Run([*command, "--output", str(out / f"fused{frames[0].suffix}")], "fused.*")


def _enfuse(folder: Path, frames: list[Path], out: Path, _: bool) -> Run:
    program = folder / "usr" / "bin" / "enfuse"
    libraries = os.pathsep.join(str(p) for p in (folder / "usr" / "lib").glob("*-linux-gnu"))
    command = [str(program) if program.exists() else "enfuse", "--exposure-weight=0", "--saturation-weight=0"]
    command += ["--contrast-weight=1", "--hard-mask", f"--output={out / 'fused'}{frames[0].suffix}"]
    return Run([*command, *map(str, frames)], "fused.*", variables={"LD_LIBRARY_PATH": libraries})


def all_tools() -> list[Tool]:
    """Every tool."""
    own = version("napari-defocus")
    openfocus_rows = [
        ("stackmffv3", "its default, a network", True),
        ("openfocus_a", "weighted average", False),
        ("openfocus_b", "depth map", True),
        ("openfocus_c", "pyramid", True),
        ("guided_filter", "guided filter", False),
        ("gfgfgf", "gradients, guided filter", True),
        ("dct", "block variance", True),
        ("dtcwt", "complex wavelets", True),
    ]
    return [
        Tool("**ours**", "default", own, None, ours()),
        *(
            Tool("OpenFocus", f"`{method}`, {kind}", "1.72.0", OPENFOCUS, openfocus(method, height))
            for method, kind, height in openfocus_rows
        ),
        Tool("ShineStacker", "pyramid", "1.17.4", SHINESTACKER, shinestacker("pyramid")),
        Tool("ShineStacker", "depth map", "1.17.4", SHINESTACKER, shinestacker("depth")),
        Tool("FocusWeave", "`--no-align`", "2.0.0", FOCUSWEAVE, _focusweave),
        Tool("enfuse", "contrast alone, `--hard-mask`", "4.2", ENFUSE, _enfuse),
    ]


@dataclass(frozen=True)
class Bench:
    """Where environments lie, and what a run may take: seconds, and cores (0: all)."""

    environments: Path
    limit: int
    cores: int

    def run(self, tool: Tool, frames: list[Path], out: Path, *, height: bool = False) -> Measured:
        """Run a tool on the frames, which lie alone in their folder, and leave its results in the folder `out`.

        Raises
        ------
        Unavailable
            If the tool cannot be had on this machine.
        """
        folder = Path() if tool.environment is None else build(tool.environment, self.environments)
        out.mkdir(parents=True)
        run = tool.plan(folder, frames, out, height)
        log, result = out / "log.txt", out / "took.json"
        variables = dict(os.environ)
        if self.cores:
            variables["OMP_NUM_THREADS"] = str(self.cores)
        start = [sys.executable, str(HERE / "measure.py"), str(result), str(log), str(self.limit), str(self.cores)]
        subprocess.run([*start, *run.command], env=variables | run.variables, check=False)
        if not result.exists():
            raise Unavailable(f"{run.command[0]} cannot be started")
        took: dict[str, Any] = json.loads(result.read_text())
        fused = next(iter(sorted(out.glob(run.fused))), None)
        failure = ""
        if took["status"] == 124:
            failure = f"not ready after {self.limit} s"
        elif took["status"] or fused is None:
            said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
            failure = f"failed: {said[-1].strip()[:150] if said else 'no word why'}"
        wrong = bool(failure)
        heights = None if wrong or run.height is None else run.height(out, len(frames))
        return Measured(took["seconds"], took["processor"], took["peak"], None if wrong else fused, heights, failure)
