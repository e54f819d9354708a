"""Runs in ShineStacker's environment, whose command opens a window: FOLDER OUT pyramid|depth."""

from __future__ import annotations

import sys
from pathlib import Path

from shinestacker.algorithms import DepthMapStack, FocusStack, PyramidStack, StackJob

ALGORITHMS = {"pyramid": PyramidStack, "depth": DepthMapStack}


def main(folder: str, out: str, algorithm: str) -> None:
    """Fuse the pictures of a folder with the algorithm's own defaults."""
    Path(out).mkdir(parents=True, exist_ok=True)
    job = StackJob("stack", out, input_path=folder)
    job.add_action(FocusStack("fused", ALGORITHMS[algorithm](), plot_stack=False))
    job.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
