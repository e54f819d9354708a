"""Ours beside its peers, in one run: python benchmarks/peers FRAMES... [--photos PHOTOS]; see README.md there."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from environments import Unavailable
from numpy.typing import NDArray
from PIL import Image
from tools import NOT_TO_BE_HAD, Bench, Measured, Tool, all_tools

sys.path.insert(0, str(Path(__file__).parents[1]))

from fusion import run_stack, scenes_with_truth, stack_scores
from truth import SceneWithTruth

from defocus_backend.fusion.audit import audit
from defocus_backend.io import read_image

FRAMES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
BASELINES = {"laplacian_argmax": "arg-max of the smoothed Laplacian", "pyramid": "Laplacian pyramid"}
"""Methods of our own registry that stand for what many programs do."""
COSTS = ("wall, s", "processor, s", "peak, MB", "soft, %", "made up, %")
SCORES = ("PSNR", "textured", "occlusion", "bars", "bars kept", "soft, %", "made up, %")

GATE = {"PSNR": (31.7, None), "textured": (None, 0.18), "soft, %": (None, 2.0), "made up, %": (None, 3.0)}
"""Least and largest score of ours that `--gate` lets pass."""
GATE_PHOTOS = ("gravel", "coffee", "grass")
"""Photographs that scikit-image has installed, on which no network was trained."""

Row = dict[str, Any]


class Tables:
    """Prints each row as it is known, and remembers it for the file."""

    def __init__(self) -> None:
        self.found: list[Row] = []
        self._columns: tuple[str, ...] = ()

    def begin(self, title: str, columns: tuple[str, ...]) -> None:
        """A table with a row for each tool."""
        self._columns = columns
        self.found.append({"title": title, "rows": []})
        print(
            f"\n### {title}\n\n| tool | options | {' | '.join(columns)} |\n|---|---|" + "---:|" * len(columns),
            flush=True,
        )

    def add(self, title: str, options: str, figures: dict[str, float], failure: str = "") -> None:
        """One row; what a tool does not have stays empty."""
        known = {name: round(float(value), 4) for name, value in figures.items() if name in self._columns}
        self.found[-1]["rows"].append({"tool": title, "options": options, **known, "failure": failure})
        cells = [
            format(known[name], ".3g" if abs(known[name]) < 10 else ".1f") if name in known else ""
            for name in self._columns
        ]
        print(f"| {title} | {options} | {' | '.join([failure, *cells[1:]] if failure else cells)} |", flush=True)


def main() -> int:
    """Print the tables; 2 where there is nothing to measure on."""
    options = _parser().parse_args()
    bench, tables = Bench(options.environments, options.limit, options.cores), Tables()
    if options.gate:
        return gate(bench, tables)
    tools = [tool for tool in all_tools() if not options.only or _named(tool, options.only)]
    for folder in options.stacks:
        frames = [p for p in sorted(folder.glob("*")) if p.suffix.lower() in FRAMES] if folder.is_dir() else []
        if len(frames) < 2:
            print(f"{folder} holds no frames; nothing was measured", file=sys.stderr)
            return 2
        cost_table(bench, tools, frames, options.repeats, tables)
    if options.photos is not None:
        photos = sorted(options.photos.glob("*.png"))
        if len(photos) < 2:
            print(f"{options.photos} holds no photographs (*.png); nothing was measured", file=sys.stderr)
            return 2
        truth_table(bench, tools, scenes_with_truth(photos, options.scenes, options.side), tables)
    if options.json is not None:
        options.json.write_text(json.dumps(tables.found, indent=1) + "\n", encoding="utf-8")
    return 0


def gate(bench: Bench, tables: Tables) -> int:
    """Ours alone, on three small stacks with truth: 1 if a score is worse than `GATE` or than a simple method's."""
    from skimage import data

    photos = [Path(data.__file__).parent / f"{name}.png" for name in GATE_PHOTOS]
    truth_table(bench, all_tools()[:1], scenes_with_truth(photos, len(photos), 192), tables, peers=False)
    ours, *others = tables.found[-1]["rows"]
    wrong = [ours["failure"]] if ours["failure"] else []
    for name, (least, most) in GATE.items():
        value = ours.get(name, float("nan"))
        if not (least is None or value >= least) or not (most is None or value <= most):
            wrong.append(f"{name} is {value}; expected {'at least ' + str(least) if least else 'at most ' + str(most)}")
    if not wrong and not all(ours["PSNR"] > other["PSNR"] for other in others):
        wrong.append("a simple method has a larger PSNR")
    for line in wrong:
        print(f"gate: {line}", file=sys.stderr)
    return 1 if wrong else 0


def _named(tool: Tool, words: list[str]) -> bool:
    return any(word.lower() in f"{tool.title} {tool.options}".lower() for word in words)


def cost_table(bench: Bench, tools: list[Tool], frames: list[Path], repeats: int, tables: Tables) -> None:
    """Time, peak memory and audit of every tool on the frames of one folder; of several runs the fastest."""
    width, height = Image.open(frames[0]).size
    tables.begin(f"`{frames[0].parent.name}`: {len(frames)} frames of {width}x{height}", COSTS)
    for tool in tools:
        try:
            tables.add(tool.title, f"{tool.options} {tool.version}", _costs(bench, tool, frames, repeats))
        except Unavailable as error:
            tables.add(tool.title, tool.options, {}, str(error))
    for title, why in NOT_TO_BE_HAD.items():
        tables.add(title, "", {}, f"not to be had: {why}")


def _costs(bench: Bench, tool: Tool, frames: list[Path], repeats: int) -> dict[str, float]:
    """What the fastest of several runs took, and what its picture lost and made up."""
    runs: list[Measured] = []
    found: dict[str, float] = {}
    with _alone(frames) as files:
        for _ in range(repeats):
            with tempfile.TemporaryDirectory() as out:
                runs.append(bench.run(tool, files, Path(out) / "out"))
                if runs[-1].failure or runs[-1].fused is None:
                    raise Unavailable(runs[-1].failure)
                if not found:
                    found = audited(read_gray(runs[-1].fused), [read_gray(file) for file in files])
    best = min(runs, key=lambda run: run.seconds)
    return {**dict(zip(COSTS, (best.seconds, best.processor, best.peak / 1e6), strict=False)), **found}


def audited(fused: NDArray[np.float64], slices: Sequence[NDArray[np.float64]]) -> dict[str, float]:
    """Per cent of the blocks of a picture that lost detail and that made it up; nothing if its size is another."""
    if fused.shape != slices[0].shape:
        return {}
    found = audit(fused, slices, value_range=(0, 255))
    return {"soft, %": 100 * found.soft, "made up, %": 100 * found.made_up}


@contextmanager
def _alone(frames: list[Path]) -> Iterator[list[Path]]:
    """The frames by links in a folder without anything else, for tools that take a folder."""
    with tempfile.TemporaryDirectory() as folder:
        links = [Path(folder) / frame.name for frame in frames]
        for link, frame in zip(links, frames, strict=True):
            link.symlink_to(frame.resolve())
        yield links


def truth_table(
    bench: Bench, tools: list[Tool], scenes: list[SceneWithTruth], tables: Tables, *, peers: bool = True
) -> None:
    """Scores of what every tool makes of stacks whose truth is known, given to all as 8-bit RGB files."""
    side, count = scenes[0].stack.slices.shape[1], len(scenes[0].stack.slices)
    tables.begin(f"{len(scenes)} stacks with truth, {count} slices of {side}x{side}", SCORES)
    with tempfile.TemporaryDirectory() as folder:
        stacks = [write_stack(scene, Path(folder) / str(n)) for n, scene in enumerate(scenes)]
        for number, tool in enumerate(tools):
            scores, failure = [], ""
            for n, (scene, frames) in enumerate(zip(scenes, stacks, strict=True)):
                try:
                    run = bench.run(tool, frames, Path(folder) / f"out-{number}-{n}", height=True)
                    failure = run.failure
                except Unavailable as error:
                    failure = f"not to be had: {error}"
                if failure or run.fused is None:
                    break
                fused = read_gray(run.fused)
                if fused.shape != scene.stack.sharp.shape:
                    failure = f"made {fused.shape[1]}x{fused.shape[0]} of {side}x{side}"
                    break
                scores.append(scored(scene, fused, run.height))
            tables.add(tool.title, tool.options, {} if failure else mean_of(scores), failure)
    for name, text in BASELINES.items():
        found = [scored(scene, *run_stack(name, scene.stack.slices)[:2]) for scene in scenes]
        tables.add(f"`{name}`", text, mean_of(found))
    for title, why in NOT_TO_BE_HAD.items() if peers else ():
        tables.add(title, "", {}, f"not to be had: {why}")


def scored(scene: SceneWithTruth, fused: NDArray[Any], height: NDArray[np.float32] | None = None) -> dict[str, float]:
    """All scores of one fused stack: PSNR in dB, errors of the height in slices, what was lost and made up."""
    slices = [plane.astype(np.float64) for plane in scene.stack.slices]
    return {**stack_scores(scene, fused, height), **audited(fused.astype(np.float64), slices)}


def mean_of(scores: list[dict[str, float]]) -> dict[str, float]:
    """Mean of each score over the stacks."""
    return {name: float(np.mean([one[name] for one in scores])) for name in scores[0]}


def write_stack(scene: SceneWithTruth, folder: Path) -> list[Path]:
    """Slices as PNG files with three equal channels, since not every peer reads gray."""
    folder.mkdir()
    files = [folder / f"slice_{n:02d}.png" for n in range(len(scene.stack.slices))]
    for file, plane in zip(files, scene.stack.slices, strict=True):
        Image.fromarray(np.repeat(plane[..., None], 3, axis=2)).save(file)
    return files


def read_gray(path: Path) -> NDArray[np.float64]:
    """The mean of the colour channels on the scale 0 to 255, without alpha."""
    picture = read_image(path).array
    gray = picture.astype(np.float64) * (255 / 65535 if picture.dtype == np.uint16 else 1)
    return gray if gray.ndim == 2 else gray[..., :3].mean(axis=2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python benchmarks/peers", description=__doc__.split(":")[0])
    parser.add_argument("stacks", type=Path, nargs="*", metavar="FRAMES", help="folders of frames: time and memory")
    parser.add_argument("--photos", type=Path, help="sharp photographs, for stacks with truth")
    parser.add_argument("--scenes", type=int, default=3, help="stacks with truth (default: 3, one of each noise)")
    parser.add_argument("--side", type=int, default=256, help="their height and width in px (default: 256)")
    parser.add_argument("--repeats", type=int, default=1, help="runs of each, of which the fastest counts")
    parser.add_argument("--limit", type=int, default=900, help="seconds that a run may take (default: 900)")
    parser.add_argument("--cores", type=int, default=0, help="cores that a run may use (default: all)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only tools with one of these in name or options")
    parser.add_argument("--gate", action="store_true", help="ours alone, small and fast; 1 if a score is too low")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument(
        "--environments",
        type=Path,
        default=Path(tempfile.gettempdir()) / "defocus-peers",
        help="where the environments of the peers are built and found again",
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
