"""Throughput of `defocus batch` by jobs and threads: python benchmarks/batch.py [--stacks 6] [--side 384]

Small generated stacks (nine slices, 8-bit RGB, in files) are fused by the command with every setting in turn, in
several rounds, so that other load on the machine affects all settings equally. Prints a Markdown table with the fastest
round of each. The times include the start of the processes.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from memory import TiltedStack

from defocus_backend.io import write_image

SLICES = 9
SETTINGS = ((1, None), (1, 1), (2, None), (2, 1))
"""Number of jobs, and threads of each (OMP_NUM_THREADS); None for the default of the command."""


def write_stacks(folder: Path, count: int, side: int) -> None:
    """Folders of nine slices as files."""
    for stack in range(count):
        for number, plane in enumerate(TiltedStack(SLICES, (side, side), "rgb8")):
            write_image(folder / f"stack_{stack:02d}" / f"slice_{number}.png", plane)


def run(stacks: Path, jobs: int, threads: int | None) -> tuple[float, float]:
    """Wall and processor time in seconds of one batch."""
    variables = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    if threads is not None:
        variables["OMP_NUM_THREADS"] = str(threads)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "defocus_backend.cli", "batch", str(stacks), "--out", out, "--align", "off"]
        subprocess.run([*command, "--jobs", str(jobs), "--quiet"], env=variables, check=True)
    seconds = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stacks", type=int, default=6)
    parser.add_argument("--side", type=int, default=384, help="height and width of the slices, px")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    taken: dict[tuple[int, int | None], list[tuple[float, float]]] = {setting: [] for setting in SETTINGS}
    with tempfile.TemporaryDirectory() as folder:
        write_stacks(Path(folder), options.stacks, options.side)
        for _ in range(options.rounds):
            for setting in SETTINGS:
                taken[setting].append(run(Path(folder), *setting))
    best = {setting: min(runs) for setting, runs in taken.items()}
    print("| jobs | OMP_NUM_THREADS | wall, s | processor, s | stacks a minute | against one job |")
    print("|---:|---|---:|---:|---:|---:|")
    for (jobs, threads), (wall, processor) in best.items():
        rate = 60 * options.stacks / wall
        ratio = best[SETTINGS[0]][0] / wall
        print(f"| {jobs} | {threads or 'unset'} | {wall:.1f} | {processor:.1f} | {rate:.1f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
