"""Fusion metrics on the Lytro pairs: python benchmarks/lytro.py --data FOLDER [--pairs 3] [--blend decision]

FOLDER holds ``c_01_1.png``, ``c_01_2.png`` and so on (Nejati et al. 2015), which this project does not
ship. With ``--leaderboard FILE`` (JSON: method -> pair -> metric -> value) ours is ranked among the
methods in it. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

import defocus_backend as db
from defocus_backend import metrics
from defocus_backend.io import read_image
from defocus_backend.params import PAPER_REFINEMENT, BlendParams, FusionParams, SliceMapParams

NAMES = ("QG", "QP", "QY", "QCB", "QFMI")
PAPER_COOKIE = {"QG": 0.71277, "QP": 0.85668, "QY": 0.98892, "QCB": 0.79378, "QFMI": 0.59566}
"""Table 3 of Galetto and Deng (2021), the pair "Cookie", which is number 03 of the colour pairs."""


def scores(folder: Path, pair: int, options: dict[str, object]) -> dict[str, float]:
    """The five metrics of our fusion of one pair."""
    sources = [read_image(folder / f"c_{pair:02d}_{side}.png").array for side in (1, 2)]
    fused = db.fuse(sources, channel_axis=-1, **FusionParams.arrange(options)).image  # type: ignore[arg-type]
    found = metrics.evaluate(fused, sources, channel_axis=-1, names=(*NAMES, "QCB_unit"))
    # The published figures were made with the unrounded stretch.
    found["QCB"] = found.pop("QCB_unit")
    return {name: found[name] for name in NAMES}


def ranks(ours: dict[str, float], board: dict[str, dict[str, dict[str, float]]]) -> dict[str, int]:
    """Place of our mean among the methods of a leaderboard, metric by metric; 1 is best."""
    means = {
        method: {n: float(np.mean([values[n] for values in pairs.values()])) for n in NAMES}
        for method, pairs in board.items()
        if not method.startswith("_")  # summaries that stand beside the methods
    }
    return {n: 1 + sum(m[n] > ours[n] for m in means.values()) for n in NAMES}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pairs", type=int, nargs="*", default=list(range(1, 21)))
    parser.add_argument("--leaderboard", type=Path)
    parser.add_argument("--map-method", default=SliceMapParams.map_method)
    parser.add_argument("--step", type=int, default=4)
    parser.add_argument("--blend", default=FusionParams.blend)
    parser.add_argument("--decision", default=FusionParams.decision)
    parser.add_argument("--radius", type=int, default=BlendParams.radius, help="of the decision maps' guided filter")
    parser.add_argument(
        "--paper", action="store_true", help="by sigma alone, refined as in the paper, with its decision maps"
    )
    options = parser.parse_args()
    if not (options.data / "c_01_1.png").is_file():
        print(f"{options.data} does not hold the Lytro pairs (c_01_1.png ...); nothing was measured", file=sys.stderr)
        return 2
    names = ("map_method", "step", "decision", "blend", "radius")
    settings: dict[str, object] = {n: getattr(options, n) for n in names}
    if options.paper:
        settings |= {"decision": "sigma", "blend": "decision", "pooling": 1}
        settings |= {"refine": True, **PAPER_REFINEMENT}
    print("| pair | " + " | ".join(NAMES) + " |\n|---|" + "---|" * len(NAMES))
    found = {}
    for pair in options.pairs:
        found[pair] = scores(options.data, pair, settings)
        print(f"| {pair:02d} | " + " | ".join(f"{v:.5f}" for v in found[pair].values()) + " |", flush=True)
        if pair == 3:
            print("| 03, paper | " + " | ".join(f"{PAPER_COOKIE[n]:.5f}" for n in NAMES) + " |")
    mean = {n: float(np.mean([f[n] for f in found.values()])) for n in NAMES}
    print("| mean | " + " | ".join(f"{v:.5f}" for v in mean.values()) + " |")
    if options.leaderboard and len(found) == 20:
        place = ranks(mean, json.loads(options.leaderboard.read_text()))
        print("| rank | " + " | ".join(str(v) for v in place.values()) + " |")
        print(f"\nMean rank {np.mean(list(place.values())):.1f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
