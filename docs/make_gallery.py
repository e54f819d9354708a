"""Run every script of examples/ in one process, which loads torch once, and put the pictures into a folder.

python docs/make_gallery.py --out docs/images/examples
"""

from __future__ import annotations

import argparse
import inspect
import runpy
import time
from pathlib import Path

import matplotlib.pyplot as plt

EXAMPLES = Path(__file__).parents[1] / "examples"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=EXAMPLES / "output", help="folder for the pictures")
    parser.add_argument("names", nargs="*", help="some of them only")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for script in sorted(EXAMPLES.glob("*.py")):
        if options.names and script.stem not in options.names:
            continue
        started = time.perf_counter()
        example = runpy.run_path(str(script))["main"]
        draws = "out" in inspect.signature(example).parameters
        if draws:
            example(options.out)
            plt.close("all")
            if not (options.out / f"{script.stem}.jpg").exists():
                raise SystemExit(f"{script} drew no {script.stem}.jpg")
        else:
            example()
        print(f"{script.name}: {time.perf_counter() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main()
