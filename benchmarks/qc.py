"""Cost of `defocus qc` on 1-megapixel pictures, and what judging every fourth pixel changes. python benchmarks/qc.py

Simulated fields of nuclei and membranes at known distances from the focus, 1024 x 1024 pixels of 8 bits. The command
runs on a quarter of them and on all of them: the difference divided by the difference in number is the cost of a
picture without the start of the process, and the peak memory must not grow. Processor time is given, because wall time
depends on what else the machine does: two cores that are otherwise idle take half of it.

Then the same pictures are judged at every pixel: largest and median difference of the median sigma and of its tenth
percentile, and how many verdicts differ.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np

from defocus_backend.io import write_image
from defocus_backend.quality import QualityEstimator, focus
from defocus_backend.synthetic.microscope import SimulatedMicroscope, draw_membranes, draw_nuclei

PLACES = (0.0, 3.0, 8.0, 16.0, 30.0, 60.0)
"""Distances from the focus in micrometres: sigma from the optics' own to 15 px."""
DRAWN = (draw_nuclei, draw_membranes)


def picture(number: int, side: int) -> np.ndarray:
    """A field at one of the distances (side, side)."""
    draw = DRAWN[number // len(PLACES) % len(DRAWN)]
    scope = SimulatedMicroscope(draw(side, np.random.default_rng(number)), seed=number)
    return scope.stack([PLACES[number % len(PLACES)]])[0]


def cost(files: list[Path], folder: Path) -> tuple[float, float]:
    """Processor time in seconds of one run of the command in one process, and its peak memory in MB."""
    script = (
        "import resource, sys; from defocus_backend.cli import main\n"
        "try: main()\n"
        "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, file=sys.stderr)"
    )
    command = [sys.executable, "-c", script, "qc", *map(str, files), "--out", str(folder / f"{len(files)}.csv")]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ran = subprocess.run([*command, "--jobs", "1"], env=environment, check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, float(ran.stderr.split()[-1])


def agreement(pictures: list[np.ndarray]) -> dict[str, float]:
    """Every fourth pixel against all of them."""
    judge = QualityEstimator(device="cpu")
    fourth = [judge.measure(one) for one in pictures]
    with mock.patch.object(focus, "_STEP", 1):
        every = [judge.measure(one) for one in pictures]
    pairs = list(zip(fourth, every, strict=True))
    median = np.array([abs(a.sigma_median - b.sigma_median) for a, b in pairs])
    tenth = np.array([abs(a.sigma_p10 - b.sigma_p10) for a, b in pairs])
    return {
        "pictures": len(pictures),
        "verdicts_that_differ": sum(a.verdict != b.verdict for a, b in pairs),
        "median_px_largest": round(float(np.nanmax(median)), 3),
        "median_px_typical": round(float(np.nanmedian(median)), 4),
        "tenth_px_largest": round(float(np.nanmax(tenth)), 3),
        "share_largest": round(max(abs(a.informative - b.informative) for a, b in pairs), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=24, help="a multiple of four")
    parser.add_argument("--side", type=int, default=1024, help="of the pictures in pixels")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()
    pictures = [picture(n, options.side) for n in range(options.pictures)]
    with tempfile.TemporaryDirectory() as name:
        files = [Path(name) / f"{n:04d}.tif" for n in range(len(pictures))]
        for file, one in zip(files, pictures, strict=True):
            write_image(file, one)
        few = files[: max(1, len(files) // 4)]
        (first, low), (whole, high) = cost(few, Path(name)), cost(files, Path(name))
    each = (whole - first) / (len(files) - len(few))
    figures = {
        "processor_s_each": round(each, 3),
        "start_s": round(first - each * len(few), 2),
        "minutes_1000_on_two_idle_cores": round(1000 * each / 2 / 60, 2),
        "peak_mb": [round(low), round(high)],
        **agreement(pictures),
    }
    for key, value in figures.items():
        print(f"{key:<34}{value}")
    if options.json:
        options.json.write_text(
            json.dumps({"pictures": options.pictures, "side": options.side, **figures}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
