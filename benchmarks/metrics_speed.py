"""Time of the fusion metrics and methods: python benchmarks/metrics_speed.py [--size 520] [--lytro FOLDER]

Seconds by the wall and by the processor (both cores together), the least of the repeats, for a pair of that size.
With ``--lytro`` (``c_03_1.png`` and ``c_03_2.png``; Nejati et al. 2015, not shipped) GFDF's fusion of pair 03 is scored
beside the published figures. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import ndimage
from skimage import data, transform

from defocus_backend import metrics
from defocus_backend.compare import FUSION_METHODS, fuse_with
from defocus_backend.io import read_image

PUBLISHED = {"QG": 0.71176, "QP": 0.86355, "QY": 0.98848, "QCB_unit": 0.79449, "QFMI": 0.59631}
"""GFDF on Lytro pair 03, "Cookie" (Galetto and Deng 2021, Table 3)."""


def pair(size: int) -> list[np.ndarray]:
    """Two sources (size, size) uint8, each sharp in one half."""
    sharp = transform.resize(data.camera(), (size, size), preserve_range=True)
    soft = ndimage.gaussian_filter(sharp, 2.0)
    left = np.arange(size) < size // 2
    return [np.round(image).astype(np.uint8) for image in (np.where(left, sharp, soft), np.where(left, soft, sharp))]


def least(call: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Least wall and processor seconds of a call."""
    wall, processor = [], []
    for _ in range(repeats):
        start = time.perf_counter(), time.process_time()
        call()
        wall.append(time.perf_counter() - start[0])
        processor.append(time.process_time() - start[1])
    return min(wall), min(processor)


def speed(size: int, repeats: int) -> None:
    sources = pair(size)
    fused = fuse_with("gfdf", sources)
    print(f"| {size} x {size} | wall s | processor s |\n|---|---|---|")
    for name, metric in metrics.FUSION_METRICS.items():
        wall, processor = least(lambda metric=metric: metric(fused, sources), repeats)
        print(f"| {name} | {wall:.3f} | {processor:.3f} |")
    wall, processor = least(lambda: metrics.evaluate(fused, sources), repeats)
    print(f"| evaluate, all | {wall:.3f} | {processor:.3f} |")
    for name in FUSION_METHODS:
        wall, processor = least(lambda name=name: fuse_with(name, sources), repeats)
        print(f"| fuse with {name} | {wall:.3f} | {processor:.3f} |")


def published(folder: Path) -> int:
    """Score GFDF on pair 03; 1 if a figure differs in the last place printed."""
    sources = [read_image(folder / f"c_03_{side}.png").array for side in (1, 2)]
    fused = fuse_with("gfdf", sources, channel_axis=-1)
    found = metrics.evaluate(fused, sources, channel_axis=-1, names=PUBLISHED)
    print("\n| GFDF, Lytro 03 | " + " | ".join(PUBLISHED) + " |\n|---|" + "---|" * len(PUBLISHED))
    print("| ours | " + " | ".join(f"{value:.5f}" for value in found.values()) + " |")
    print("| published | " + " | ".join(f"{value:.5f}" for value in PUBLISHED.values()) + " |")
    return int(any(abs(found[name] - value) > 1e-5 for name, value in PUBLISHED.items()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=520)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--lytro", type=Path)
    options = parser.parse_args()
    if options.lytro and not (options.lytro / "c_03_1.png").is_file():
        print(f"{options.lytro} does not hold the Lytro pairs (c_03_1.png ...)", file=sys.stderr)
        return 2
    speed(options.size, options.repeats)
    return published(options.lytro) if options.lytro else 0


if __name__ == "__main__":
    raise SystemExit(main())
