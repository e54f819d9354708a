"""Memory of the fusion against the number of slices: python benchmarks/memory.py [--side PX] [--large N]

Every measurement is a separate process. It fuses a stack that is generated slice by slice while it is read, so that
only the fusion is measured. Prints a Markdown table of peak resident memory and time.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

import defocus_backend as db
from defocus_backend.device import keep_freed_memory

SMALL, LARGE = (256, 256), (4000, 5000)
COUNTS = (10, 30, 100, 300)
KINDS = {"gray16": (np.uint16, 1), "rgb8": (np.uint8, 3)}
_TEXTURE, _LEVELS, _BANDS = 512, 8, 8


class TiltedStack(Sequence[NDArray[Any]]):
    """A tilted textured surface, in focus in one band of columns a slice; each slice is made when it is asked for.

    The texture repeats every 512 px and its blurred versions are made once: a slice costs one copy.
    """

    def __init__(self, count: int, shape: tuple[int, int], kind: str) -> None:
        dtype, self._channels = KINDS[kind]
        self._count, self._shape = count, shape
        rng = np.random.default_rng(0)
        sharp = sum(
            ndimage.gaussian_filter(rng.standard_normal((_TEXTURE, _TEXTURE)), s, mode="wrap") * 30 * s
            for s in (0.5, 2, 8)
        )
        levels = [ndimage.gaussian_filter(sharp, 1.5 * n, mode="wrap") if n else sharp for n in range(_LEVELS)]
        low, high = (0, 255) if dtype == np.uint8 else (100, 4000)
        self._tiles = [(np.clip(level / 250 + 0.5, 0, 1) * (high - low) + low).astype(dtype) for level in levels]

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> NDArray[Any]:  # type: ignore[override]
        if not 0 <= number < self._count:
            raise IndexError(number)
        height, width = self._shape
        out = np.empty((height, width), self._tiles[0].dtype)
        edges = np.linspace(0, width, _BANDS + 1).astype(int)
        focus = number / max(1, self._count - 1) * (_BANDS - 1)
        for band, (left, right) in enumerate(itertools.pairwise(edges)):
            tile = self._tiles[min(_LEVELS - 1, round(abs(band - focus)))]
            for top in range(0, height, _TEXTURE):
                rows = tile[: min(_TEXTURE, height - top)]
                out[top : top + _TEXTURE, left:right] = np.tile(rows, (1, (right - left) // _TEXTURE + 1))[
                    :, : right - left
                ]
        return out if self._channels == 1 else np.repeat(out[..., None], self._channels, axis=-1)


def measure(count: int, shape: tuple[int, int], kind: str) -> dict[str, float]:
    """Peak resident memory in GB and seconds of one fusion, in a process of its own."""
    arguments = ["--one", str(count), str(shape[0]), str(shape[1]), kind]
    done = subprocess.run([sys.executable, __file__, *arguments], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def one(count: int, shape: tuple[int, int], kind: str) -> None:
    """Fuse one stack and print what this process took."""
    keep_freed_memory()
    stack = TiltedStack(count, shape, kind)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.perf_counter()
    db.fuse(stack, channel_axis=-1 if KINDS[kind][1] == 3 else None, device="cpu")
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"start": before / 1e6, "peak": peak / 1e6, "seconds": seconds}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--side", type=int, default=SMALL[0], help="height and width of the planes, px")
    parser.add_argument("--large", type=int, default=0, metavar="N", help="also N slices of 20 megapixels")
    parser.add_argument("--one", nargs=4, metavar=("N", "H", "W", "KIND"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.one:
        count, height, width, kind = options.one
        one(int(count), (int(height), int(width)), kind)
        return
    points = [(n, (options.side, options.side), "gray16") for n in COUNTS]
    points += [(options.large, LARGE, kind) for kind in KINDS if options.large]
    print("| slices | pixels | kind | peak, GB | at the start, GB | s a slice |\n|---|---|---|---|---|---|")
    for count, shape, kind in points:
        found = measure(count, shape, kind)
        size = f"{shape[1]}x{shape[0]}"
        row = f"| {count} | {size} | {kind} | {found['peak']:.2f} | {found['start']:.2f} |"
        print(f"{row} {found['seconds'] / count:.2f} |", flush=True)


if __name__ == "__main__":
    main()
