"""Measure blur maps on scenes with a known sigma: ``python benchmarks/defocus_map.py photos/val``.

The same as ``defocus evaluate --benchmark --photos photos/val``, with the settings of the refinement as options.

The photographs must be sharp and must not be among those that the networks were trained on. Prints Markdown
tables; ``--json`` and ``--markdown`` write files.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from tqdm import tqdm

from defocus_backend.errors import DefocusError
from defocus_backend.evaluation import benchmark
from defocus_backend.evaluation.benchmark_report import as_json, as_markdown
from defocus_backend.io.atomic import write_whole
from defocus_backend.params import MapParams


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 0 when it ran, 2 when it cannot."""
    options = _parser().parse_args(arguments)
    if not options.photos.is_dir():
        print(f"The photo folder {options.photos} does not exist: give a folder of sharp photographs.", file=sys.stderr)
        return 2
    torch.set_num_threads(options.threads)
    try:
        params = MapParams(refine_radius=options.radius, refine_iterations=options.iterations, step=options.step)
        names = options.methods or benchmark.candidate_names()
        candidates = [benchmark.make_candidate(name, params) for name in names]
        with tqdm(total=options.scenes, unit="scene", disable=not sys.stderr.isatty()) as bar:
            trials = benchmark.run_benchmark(
                candidates,
                options.photos,
                count=options.scenes,
                side=options.side,
                seed=options.seed,
                progress=lambda done, _total, _what: bar.update(done - bar.n),
            )
        tables = as_markdown(trials)
        print(tables)
        if options.markdown:
            write_whole(options.markdown, tables.encode())
        if options.json:
            settings = {k: getattr(options, k) for k in ("scenes", "side", "seed", "radius", "iterations", "step")}
            write_whole(options.json, (json.dumps(as_json(trials, **settings), indent=1) + "\n").encode())
    except DefocusError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    defaults = MapParams()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of sharp photographs, at least 320 px a side")
    parser.add_argument(
        "--methods", nargs="+", metavar="NAME", help="methods by name or .safetensors files; all at hand if not given"
    )
    parser.add_argument("--scenes", type=int, default=benchmark.SCENES)
    parser.add_argument("--side", type=int, default=benchmark.SIDE, help="side of a scene in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--radius", type=int, default=defaults.refine_radius, help="of the refining filter")
    parser.add_argument("--iterations", type=int, default=defaults.refine_iterations, help="of the refining filter")
    parser.add_argument("--step", type=int, default=defaults.step, help="between windows, in pixels")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--markdown", type=Path, help="write the tables to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
