"""Ours beside its peers, in one run: python benchmarks/peers FRAMES... [--photos PHOTOS]; see README.md there."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from environments import Unavailable
from numpy.typing import NDArray
from PIL import Image
from tools import NOT_TO_BE_HAD, Bench, Measured, Tool, all_tools

sys.path.insert(0, str(Path(__file__).parents[1]))

from fusion import run_stack, scenes_with_truth, stack_scores
from truth import SceneWithTruth

FRAMES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
BASELINES = {"laplacian_argmax": "arg-max of the smoothed Laplacian", "pyramid": "Laplacian pyramid"}
"""Methods of our own registry that stand for what many programs do."""


def main() -> int:
    """Print the tables; 2 where there is nothing to measure on."""
    options = _parser().parse_args()
    bench = Bench(options.environments, options.limit, options.cores)
    tools = [tool for tool in all_tools(options.fast) if not options.only or _named(tool, options.only)]
    for folder in options.stacks:
        frames = [p for p in sorted(folder.glob("*")) if p.suffix.lower() in FRAMES] if folder.is_dir() else []
        if len(frames) < 2:
            print(f"{folder} holds no frames; nothing was measured", file=sys.stderr)
            return 2
        cost_table(bench, tools, folder.name, frames, options.repeats)
    if options.photos is not None:
        photos = sorted(options.photos.glob("*.png"))
        if len(photos) < 2:
            print(f"{options.photos} holds no photographs (*.png); nothing was measured", file=sys.stderr)
            return 2
        truth_table(bench, tools, scenes_with_truth(photos, options.scenes, options.side))
    return 0


def _named(tool: Tool, words: list[str]) -> bool:
    return any(word.lower() in f"{tool.title} {tool.options}".lower() for word in words)


def cost_table(bench: Bench, tools: list[Tool], name: str, frames: list[Path], repeats: int) -> None:
    """Time and peak memory of every tool on the frames of one folder; of several runs the fastest."""
    width, height = Image.open(frames[0]).size
    print(f"\n### `{name}`: {len(frames)} frames of {width}x{height}\n")
    print("| tool | options | version | wall, s | processor, s | peak, MB |\n|---|---|---|---:|---:|---:|", flush=True)
    for tool in tools:
        found = _tried(bench, tool, frames, repeats)
        cells = ["", "", found] if isinstance(found, str) else _costs(found)
        print(f"| {tool.title} | {tool.options} | {tool.version} | {' | '.join(cells)} |", flush=True)
    for title, why in NOT_TO_BE_HAD.items():
        print(f"| {title} | | | | | not to be had: {why} |", flush=True)


def _tried(bench: Bench, tool: Tool, frames: list[Path], repeats: int) -> Measured | str:
    """The fastest of several runs, or why there is none."""
    runs: list[Measured] = []
    with _alone(frames) as files:
        for _ in range(repeats):
            with tempfile.TemporaryDirectory() as out:
                try:
                    runs.append(bench.run(tool, files, Path(out) / "out"))
                except Unavailable as error:
                    return f"not to be had: {error}"
            if runs[-1].failure:
                return runs[-1].failure
    return min(runs, key=lambda run: run.seconds)


def _costs(run: Measured) -> list[str]:
    return [f"{run.seconds:.1f}", f"{run.processor:.1f}", f"{run.peak / 1e6:.0f}"]


@contextmanager
def _alone(frames: list[Path]) -> Iterator[list[Path]]:
    """The frames by links in a folder without anything else, for tools that take a folder."""
    with tempfile.TemporaryDirectory() as folder:
        links = [Path(folder) / frame.name for frame in frames]
        for link, frame in zip(links, frames, strict=True):
            link.symlink_to(frame.resolve())
        yield links


def truth_table(bench: Bench, tools: list[Tool], scenes: list[SceneWithTruth]) -> None:
    """Scores of what every tool makes of stacks whose truth is known, given to all as 8-bit RGB files."""
    side, count = scenes[0].stack.slices.shape[1], len(scenes[0].stack.slices)
    print(f"\n### {len(scenes)} stacks with truth, {count} slices of {side}x{side}\n")
    columns = ["PSNR", "textured", "occlusion", "bars", "bars kept"]
    print(f"| tool | options | {' | '.join(columns)} |\n|---|---|" + "---:|" * len(columns), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        stacks = [write_stack(scene, Path(folder) / str(n)) for n, scene in enumerate(scenes)]
        for number, tool in enumerate(tools):
            scores: list[dict[str, float]] = []
            failure = ""
            for n, (scene, frames) in enumerate(zip(scenes, stacks, strict=True)):
                try:
                    run = bench.run(tool, frames, Path(folder) / f"out-{number}-{n}", height=True)
                except Unavailable as error:
                    failure = f"not to be had: {error}"
                    break
                failure = run.failure
                if run.fused is None:
                    break
                fused = read_gray(run.fused)
                if fused.shape != scene.stack.sharp.shape:
                    failure = f"made {fused.shape[1]}x{fused.shape[0]} of {side}x{side}"
                    break
                scores.append(stack_scores(scene, fused, run.height))
            _print_scores(tool.title, tool.options, columns, scores, failure)
    for name, text in BASELINES.items():
        found = [stack_scores(scene, *run_stack(name, scene.stack.slices)) for scene in scenes]
        _print_scores(f"`{name}`", text, columns, found, "")
    for title, why in NOT_TO_BE_HAD.items():
        _print_scores(title, "", columns, [], f"not to be had: {why}")


def write_stack(scene: SceneWithTruth, folder: Path) -> list[Path]:
    """Slices as PNG files with three equal channels, since not every peer reads gray."""
    folder.mkdir()
    files = [folder / f"slice_{n:02d}.png" for n in range(len(scene.stack.slices))]
    for file, plane in zip(files, scene.stack.slices, strict=True):
        Image.fromarray(np.repeat(plane[..., None], 3, axis=2)).save(file)
    return files


def read_gray(path: Path) -> NDArray[np.float64]:
    """The mean of the colour channels, without alpha."""
    picture = np.asarray(Image.open(path), dtype=np.float64)
    return picture if picture.ndim == 2 else picture[..., :3].mean(axis=2)


def _print_scores(title: str, options: str, columns: list[str], scores: list[dict[str, float]], failure: str) -> None:
    if failure:
        print(f"| {title} | {options} | {failure} |" + " |" * (len(columns) - 1), flush=True)
        return
    cells = [f"{np.mean([s[c] for s in scores]):.3f}" if c in scores[0] else "" for c in columns]
    print(f"| {title} | {options} | {' | '.join(cells)} |", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python benchmarks/peers", description=__doc__.split(":")[0])
    parser.add_argument("stacks", type=Path, nargs="*", metavar="FRAMES", help="folders of frames: time and memory")
    parser.add_argument("--photos", type=Path, help="sharp photographs, for stacks with truth")
    parser.add_argument("--scenes", type=int, default=3, help="stacks with truth (default: 3, one of each noise)")
    parser.add_argument("--side", type=int, default=256, help="their height and width in px (default: 256)")
    parser.add_argument("--repeats", type=int, default=1, help="runs of each, of which the fastest counts")
    parser.add_argument("--limit", type=int, default=900, help="seconds that a run may take (default: 900)")
    parser.add_argument("--cores", type=int, default=0, help="cores that a run may use (default: all)")
    parser.add_argument("--fast", default="--fast", help="options that make ours fast, as one word")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only tools with one of these in name or options")
    parser.add_argument(
        "--environments",
        type=Path,
        default=Path(tempfile.gettempdir()) / "defocus-peers",
        help="where the environments of the peers are built and found again",
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
