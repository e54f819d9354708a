"""Every method side by side: python benchmarks/methods.py ../shared/data/photos/val

With a folder of sharp photographs: the rank correlation (Spearman) of every defocus map with the truth, raw and refined
by the weighted guided filter as in Fig. 7 of Galetto and Deng 2021. Each of ``--crops`` crops of 192x192 px is blurred
evenly by five sigmas and along a ramp, and two crops are joined at a step; 8 bits, Gaussian, with a noise of 1 gray
value. Pixels within 32 px of the border are left out. At a step the truth has two values only: a map without ties
reaches .87 there at best. The photographs must not be among those trained on.

With ``--times``: processor seconds on one thread of every map, sharpener, fusion of a pair and metric, by image size.

Prints Markdown tables; ``--json`` writes the figures.
"""

from __future__ import annotations

import os

if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from defocus_backend.errors import DefocusError
from defocus_backend.io.atomic import write_whole
from defocus_backend.methods import FUSION_METHODS, MAP_METHODS, NETWORK_METHODS, SHARPEN_METHODS

SIDE = 192
FRAME = 32
NOISE = 1.0
EVEN = (0.5, 1.0, 2.0, 4.0, 8.0)
RAMP = (0.0, 8.0)
STEPS = ((0.0, 3.0), (1.0, 6.0), (0.0, 1.5), (2.0, 8.0))
VARIANTS = ("raw", "refined")

SIZES = {"0.25": (500, 500), "1": (1000, 1000), "4": (2000, 2000)}
"""Megapixels and shape."""
PATIENCE = 60.0
"""A method that needs more seconds than this is not asked for a larger picture."""


@dataclass
class Ranks:
    """Of one variant of a method: values and truth of all evenly blurred pictures, correlations of the others."""

    found: list[np.ndarray] = field(default_factory=list)
    truth: list[np.ndarray] = field(default_factory=list)
    ramps: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        """Correlation over all pixels of the evenly blurred pictures, in ramps, at steps; and the mean of the three."""
        from defocus_backend.evaluation.map_scores import rank_correlation

        even = rank_correlation(np.concatenate(self.found), np.concatenate(self.truth))
        three = {"even": even, "ramps": float(np.mean(self.ramps)), "steps": float(np.mean(self.steps))}
        return {**three, "mean": float(np.mean(list(three.values())))}


def scenes(photos: Path, crops: int, seed: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Kind, picture (uint8) and true sigma of every scene."""
    from defocus_backend.synthetic.compositions import SharpPictures, compose
    from defocus_backend.synthetic.degrade import CLEAN, add_noise, quantise
    from defocus_backend.synthetic.patches import list_photos

    pictures = SharpPictures(list_photos(photos), SIDE)
    for crop in range(crops):
        blurs = [("uniform", (s, s)) for s in EVEN] + [("ramp", RAMP), ("step", STEPS[crop % len(STEPS)])]
        for kind, sigmas in blurs:
            # The same source of chance for every blur: the same crop.
            rng = np.random.default_rng((seed, crop))
            scene = compose(pictures, rng, CLEAN, kind=kind, psf="gaussian", sigmas=sigmas)
            noisy = add_noise(scene.picture, NOISE, np.random.default_rng((seed, crop, 1)))
            yield kind, quantise(noisy).astype(np.uint8), scene.sigma


def rank_table(options: argparse.Namespace) -> dict[str, Any]:
    """Measure all maps and print the table."""
    from defocus_backend.evaluation.benchmark import make_candidate
    from defocus_backend.evaluation.map_scores import rank_correlation

    names = options.methods or [*NETWORK_METHODS, *MAP_METHODS]
    candidates = [make_candidate(name) for name in names]
    found = {(c.name, v): Ranks() for c in candidates for v in VARIANTS}
    seconds = dict.fromkeys((c.name for c in candidates), 0.0)
    inner = np.s_[FRAME:-FRAME, FRAME:-FRAME]
    total = options.crops * (len(EVEN) + 2)
    every = tqdm(scenes(options.photos, options.crops, options.seed), total=total, disable=not sys.stderr.isatty())
    for kind, picture, sigma in every:
        truth = sigma[inner].ravel().astype(np.float64)
        for candidate in candidates:
            begin = time.process_time()
            maps = candidate.maps(picture)
            seconds[candidate.name] += time.process_time() - begin
            for variant in VARIANTS:
                values, ranks = maps[variant][inner].ravel().astype(np.float64), found[candidate.name, variant]
                if kind == "uniform":
                    ranks.found.append(values[::16])
                    ranks.truth.append(truth[::16])
                else:
                    (ranks.ramps if kind == "ramp" else ranks.steps).append(rank_correlation(values, truth))
    figures = {name: {v: found[name, v].figures() for v in VARIANTS} for name in seconds}
    columns = ("even", "ramps", "steps", "mean")
    heads = [f"{column}, {variant}" for column in columns for variant in VARIANTS]
    print("| method | " + " | ".join(heads) + " | s/picture |\n|---|" + "---:|" * (len(heads) + 1))
    best = max(f[v]["mean"] for f in figures.values() for v in VARIANTS)
    for name, of in sorted(figures.items(), key=lambda item: -max(item[1][v]["mean"] for v in VARIANTS)):
        cells = [_number(of[variant][column], best) for column in columns for variant in VARIANTS]
        print(f"| {name} | " + " | ".join(cells) + f" | {seconds[name] / total:.2f} |")
    return {"figures": figures, "seconds": {n: s / total for n, s in seconds.items()}, "scenes": total}


def _number(value: float, best: float) -> str:
    text = f"{value:.3f}"
    return f"**{text}**" if value == best else text


def texture(shape: tuple[int, int]) -> np.ndarray:
    """A photograph (H, W, 3) uint8 tiled to a size, mirrored so that there are no seams."""
    from skimage import data

    photo = np.asarray(data.coffee())
    turned = np.concatenate([photo, photo[:, ::-1]], axis=1)
    tile = np.concatenate([turned, turned[::-1]])
    repeats = [math.ceil(n / m) for n, m in zip(shape, tile.shape, strict=False)]
    return np.tile(tile, (*repeats, 1))[: shape[0], : shape[1]]


Prepared = tuple[Callable[[np.ndarray], Any], Callable[[Any], object]]
"""What a method needs, made of a colour picture (H, W, 3) outside the measured time; and the method."""


def timed_calls() -> dict[str, dict[str, Prepared]]:
    """For every operation its methods."""
    from scipy import ndimage

    import defocus_backend as db
    from defocus_backend import metrics
    from defocus_backend.compare import fuse_with, sharpen_with
    from defocus_backend.compare.lens import lens_blur

    def same(photo: np.ndarray) -> np.ndarray:
        return photo

    def pair(photo: np.ndarray) -> list[np.ndarray]:
        soft = ndimage.gaussian_filter(photo, (2, 2, 0))
        left = (np.arange(photo.shape[1]) < photo.shape[1] // 2)[None, :, None]
        return [np.where(left, photo, soft), np.where(left, soft, photo)]

    def gray_case(photo: np.ndarray) -> list[np.ndarray]:
        return [one[..., 1] for one in (photo, *pair(photo))]

    def with_ramp(photo: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return photo, np.tile(np.linspace(0, 10, photo.shape[1], dtype=np.float32), (photo.shape[0], 1))

    cpu: dict[str, Any] = {"channel_axis": -1, "device": "cpu"}
    return {
        "map, refined": {
            name: (same, lambda photo, name=name: db.defocus_map(photo, map_method=name, **cpu))
            for name in (*NETWORK_METHODS, *MAP_METHODS)
        },
        "sharpen": {
            "adaptive, map given": (with_ramp, lambda given: db.sharpen(*given, **cpu)),
            **{n: (same, lambda photo, n=n: sharpen_with(n, photo, channel_axis=-1)) for n in SHARPEN_METHODS},
        },
        "shallow": {
            "weighted, map given": (with_ramp, lambda given: db.shallow_depth_of_field(*given, **cpu)),
            "lens, map given": (with_ramp, lambda given: lens_blur(*given, channel_axis=-1)),
        },
        "fuse a pair": {
            "defocus": (pair, lambda sources: db.fuse(sources, **cpu)),
            **{n: (pair, lambda sources, n=n: fuse_with(n, sources, channel_axis=-1)) for n in FUSION_METHODS},
        },
        "score a pair": {
            **{n: (gray_case, lambda given, of=of: of(given[0], given[1:])) for n, of in metrics.FUSION_METRICS.items()}
        },
    }


def time_table() -> dict[str, Any]:
    """Measure all times and print the table."""
    import torch

    from defocus_backend.device import keep_freed_memory

    keep_freed_memory()
    torch.set_num_threads(1)
    photos = {name: texture(shape) for name, shape in SIZES.items()}
    small = texture((64, 64))
    found: dict[str, dict[str, dict[str, float]]] = {}
    print("| operation | method | " + " | ".join(f"{s} MP" for s in SIZES) + " |\n|---|---|" + "---:|" * len(SIZES))
    for operation, calls in timed_calls().items():
        for name, (prepare, call) in calls.items():
            call(prepare(small))  # loads what is loaded once
            row: dict[str, float] = {}
            for size, photo in photos.items():
                if row and max(row.values()) > PATIENCE / 4:
                    break
                given = prepare(photo)
                begin = time.process_time()
                call(given)
                row[size] = time.process_time() - begin
            found.setdefault(operation, {})[name] = row
            cells = [f"{row[s]:.2f}" if s in row else "-" for s in SIZES]
            print(f"| {operation} | {name} | " + " | ".join(cells) + " |", flush=True)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Print a table; 0 when it was measured, 2 when it cannot be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="?", help="folder of sharp photographs")
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="maps by name or .safetensors files")
    parser.add_argument("--crops", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--times", action="store_true", help="measure times instead")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    if not options.times and (options.photos is None or not options.photos.is_dir()):
        print(f"{options.photos} is no folder of photographs, and --times was not given", file=sys.stderr)
        return 2
    try:
        figures = time_table() if options.times else rank_table(options)
    except DefocusError as error:
        print(error, file=sys.stderr)
        return 2
    if options.json:
        write_whole(options.json, (json.dumps(figures, indent=1) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
