"""Time and memory of the defocus map: python benchmarks/speed.py [--threads 2]

Ratios are taken between runs interleaved in one process, since machines are shared; the memory of a
20-megapixel image is the peak of a process of its own. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

import defocus_backend as db
from defocus_backend.classifier.predict import classify_pixels, classify_windows
from defocus_backend.classifier.weights import load_network
from defocus_backend.device import keep_freed_memory
from defocus_backend.filters import weighted_guided_filter

MEGAPIXEL = (1000, 1000)
TWENTY = (4000, 5000)


def texture(shape: tuple[int, int]) -> np.ndarray:
    """A picture (H, W) uint8 with structure at all scales."""
    rng = np.random.default_rng(0)
    picture = np.zeros(shape, np.float32)
    for scale in (1, 4, 16, 64):
        coarse = rng.standard_normal((shape[0] // scale + 1, shape[1] // scale + 1), dtype=np.float32)
        picture += coarse.repeat(scale, 0).repeat(scale, 1)[: shape[0], : shape[1]]
    return np.clip(picture * 25 + 128, 0, 255).astype(np.uint8)


def interleaved(*calls: Callable[[], object], repeats: int = 5) -> list[float]:
    """Median seconds of each call, taken in turns after one round to warm up."""
    seconds: list[list[float]] = [[] for _ in calls]
    for turn in range(repeats + 1):
        for call, kept in zip(calls, seconds, strict=True):
            begin = time.perf_counter()
            call()
            if turn:
                kept.append(time.perf_counter() - begin)
    return [statistics.median(kept) for kept in seconds]


def peak_of_twenty_megapixels(threads: int, method: str) -> float:
    """Peak resident memory in GB of a process that maps one 20-megapixel gray image."""
    command = [sys.executable, __file__, "--threads", str(threads), "--one-large-map", method]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def one_large_map(method: str) -> None:
    """Map 20 megapixels and print the peak memory of this process in GB."""
    db.defocus_map(texture(TWENTY), map_method=method, device="cpu")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one-large-map", metavar="METHOD", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.one_large_map:
        one_large_map(options.one_large_map)
        return
    keep_freed_memory()
    image = texture(MEGAPIXEL)
    gray = torch.from_numpy(image / np.float32(255))
    blurnet, mobilenet, pixelnet = (load_network(n)[0] for n in ("blurnet", "mobilenetv2", "pixelnet"))
    dense, pixels, refined, refined_pixels = interleaved(
        lambda: classify_windows(gray, blurnet, "blurnet", step=8),
        lambda: classify_pixels(gray, pixelnet),
        lambda: db.defocus_map(image, map_method="blurnet", device="cpu"),
        lambda: db.defocus_map(image, map_method="pixelnet", device="cpu"),
    )
    (patches,) = interleaved(lambda: classify_windows(gray, mobilenet, "mobilenetv2", step=8), repeats=1)
    small, large = interleaved(
        lambda: weighted_guided_filter(gray, gray, radius=4, eps=0.005),
        lambda: weighted_guided_filter(gray, gray, radius=64, eps=0.005),
        repeats=9,
    )
    print(f"torch {torch.__version__}, {options.threads} threads, 1 megapixel of gray\n")
    print("| what | seconds |\n|---|---|")
    print(f"| BlurNet over the whole image, step 8 | {dense:.2f} |")
    print(f"| MobileNetV2 patch by patch, step 8 | {patches:.2f} |")
    print(f"| PixelNet, every pixel | {pixels:.2f} |")
    print(f"| refined map, BlurNet, step 8 | {refined:.2f} |")
    print(f"| refined map, PixelNet | {refined_pixels:.2f} |")
    print(f"| weighted guided filter, r = 4 | {small:.3f} |")
    print(f"| weighted guided filter, r = 64 | {large:.3f} |")
    print("\n| ratio | measured |\n|---|---|")
    print(f"| MobileNetV2 / BlurNet, classification | {patches / dense:.1f} |")
    print(f"| weighted guided filter, r = 64 / r = 4 | {large / small:.2f} |")
    for method in ("blurnet", "pixelnet"):
        print(
            f"| peak memory of 20 megapixels, {method}, GB | {peak_of_twenty_megapixels(options.threads, method):.2f} |"
        )


if __name__ == "__main__":
    main()
