"""Commands for networks: train, evaluate, models. Only these load torch before they start."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from defocus_backend.cli.interrupt import stop_on_interrupt
from defocus_backend.cli.options import (
    SectionCommand,
    option,
    params_options,
    refuse_given,
    run_options,
    settings_of,
)
from defocus_backend.errors import InputError
from defocus_backend.params import TrainingParams
from defocus_backend.pipeline.networks import (
    SCENES,
    Scores,
    StepReport,
    benchmark_maps,
    evaluate_weights,
    shipped_weights,
    train_files,
)
from defocus_backend.progress import ProgressCallback

_TEST_SET = "Test set"
_BENCHMARK = "Benchmark of maps"
_SCORES = ("mae", "bias", "accuracy", "within_one", "calibration_error", "patches")


@click.command("train", cls=SectionCommand)
@click.argument("photos", type=click.Path(path_type=Path), metavar="PHOTOS")
@option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File of weights to write, ending in .safetensors. The model card is written beside it as .json.",
)
@option(
    "--val",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of other photographs on which the result is scored.",
)
@option("--half", is_flag=True, help="Store the weights as float16, which halves the file.")
@option("--description", default="", metavar="TEXT", help="One line of text for the model card.")
@option(
    "--run",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    section="Run",
    help="Folder of the checkpoint, which is written every 100 s. Default: FILE without its suffix, plus -run.",
)
@option("--resume", is_flag=True, section="Run", help="Continue from the checkpoint.")
@option(
    "--workers",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    section="Run",
    help="Number of processes that prepare data.",
)
@params_options(TrainingParams)
@run_options
def train_command(
    photos: Path,
    out: Path,
    val: Path | None,
    half: bool,
    description: str,
    folder: Path | None,
    resume: bool,
    workers: int,
    device: str,
    quiet: bool,
    as_json: bool,
    **recipe: Any,
) -> None:
    """Train a network on PHOTOS, a folder of sharp photographs.

    Ctrl-C writes a checkpoint; --resume continues from it. The weights and the model card are written at the end.
    """
    with stop_on_interrupt() as stopped, _bar("training", recipe["steps"], "steps", hidden=quiet) as bar:

        def show(step: StepReport) -> None:
            found = f"loss {step.loss:.3f}, accuracy {step.accuracy:.3f}, MAE {step.mae:.2f} px"
            bar.set_postfix_str(found, refresh=False)
            bar.update(step.step - bar.n)

        where: dict[str, Any] = {"run": folder, "resume": resume, "workers": workers, "device": device}
        about: dict[str, Any] = {"val": val, "half": half, "description": description}
        params = settings_of(TrainingParams, recipe)
        made = train_files(photos, out, params, **about, **where, report=show, cancel=stopped)
    if as_json:
        click.echo(json.dumps(made.to_dict()))
    elif not quiet:
        click.echo(f"weights     {out}\nmodel card  {out.with_suffix('.json')}")
        _print_scores(made.scores)


def _bar(text: str, total: int, unit: str, *, hidden: bool) -> Any:
    """Progress bar on stderr, if that is a terminal."""
    from tqdm import tqdm

    return tqdm(total=total, desc=text, unit=f" {unit}", disable=True if hidden else None, file=sys.stderr)


@click.command("evaluate", cls=SectionCommand)
@click.argument("weights", nargs=-1, metavar="[WEIGHTS]...")
@option(
    "--photos",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    section=_TEST_SET,
    help="Folder of photographs that were not used for training.",
)
@option(
    "--per-photo",
    type=click.IntRange(1),
    default=12,
    show_default=True,
    section=_TEST_SET,
    help="Largest number of sharp patches taken from each photograph.",
)
@option(
    "--benchmark",
    is_flag=True,
    section=_BENCHMARK,
    help="Score whole maps on scenes composed from the photographs. The sigma of every pixel of these scenes is known.",
)
@option(
    "--scenes",
    type=click.IntRange(1),
    default=SCENES,
    show_default=True,
    section=_BENCHMARK,
    help="Number of scenes. 136 cover every combination of scene type, point spread function and condition once.",
)
@option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    section=_BENCHMARK,
    help="Seed of the random numbers.",
)
@option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    section=_BENCHMARK,
    help="Write the tables as FILE.md and all values as FILE.json. FILE may have either ending.",
)
@run_options
def evaluate_command(
    weights: tuple[str, ...],
    photos: Path,
    per_photo: int,
    benchmark: bool,
    scenes: int,
    seed: int,
    out: Path | None,
    device: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Score WEIGHTS, a name from `defocus models` or a .safetensors file, on sharp photographs.

    Sharp patches are blurred to each of the 20 levels and classified, in two ways: in context (the whole photograph
    is blurred, then cut into patches) and isolated (each patch is blurred alone, as in the paper).

    With --benchmark, WEIGHTS can be several names, including map methods from `defocus methods`. Without a name, all
    are scored. Prints Markdown tables of errors, edge accuracy and rank correlations, for raw and refined maps. The
    networks compute on --device, the published methods on the CPU.
    """
    if benchmark:
        refuse_given("with --benchmark", "this option only without --benchmark", sections=(_TEST_SET,), but=("photos",))
        with stop_on_interrupt() as stopped, _bar("benchmark", scenes, "scenes", hidden=quiet) as bar:
            progress: ProgressCallback = lambda done, _total, _what: bar.update(done - bar.n)  # noqa: E731
            settings: dict[str, Any] = {"scenes": scenes, "seed": seed, "out": out, "device": device}
            found = benchmark_maps(weights, photos, **settings, progress=progress, cancel=stopped)
        if as_json:
            click.echo(json.dumps({"command": "evaluate", "benchmark": found.figures}))
        elif not quiet:
            click.echo(found.tables)
        return
    if len(weights) != 1:
        raise InputError(
            "WEIGHTS", f"{len(weights)} names", "one name; several names are only allowed with --benchmark"
        )
    refuse_given("without --benchmark", "this option only with --benchmark", sections=(_BENCHMARK,))
    scored = evaluate_weights(weights[0], photos, per_photo=per_photo, device=device)
    if as_json:
        click.echo(json.dumps(scored.to_dict()))
    elif not quiet:
        _print_scores(scored.scores)


def _print_scores(scores: Mapping[str, Scores]) -> None:
    if not scores:
        return
    columns = {"mae": "MAE / px", "bias": "bias / px", "within_one": "within 1", "calibration_error": "ECE"}
    titles = [columns.get(name, name) for name in _SCORES]
    click.echo("protocol  " + "  ".join(f"{t:>9}" for t in titles))
    for protocol, found in scores.items():
        values = found.as_dict()
        cells = [f"{values[n]:>9.0f}" if n == "patches" else f"{values[n]:>9.3f}" for n in _SCORES]
        click.echo(f"{protocol:<10}" + "  ".join(cells))


@click.command("models", cls=SectionCommand)
@option("--json", "as_json", is_flag=True, section="Run", help="Print the whole model cards as one JSON object.")
def models_command(as_json: bool) -> None:
    """List the weights that come with the package."""
    cards = shipped_weights()
    if as_json:
        click.echo(json.dumps({"command": "models", "models": {n: asdict(c) for n, c in cards.items()}}))
        return
    if not cards:
        click.echo("no weights are installed")
    for name, card in cards.items():
        click.echo(f"{name}: {card.description or card.network}")
        for protocol, found in card.scores.items():
            if isinstance(found, dict) and "mae" in found:
                click.echo(f"  MAE {found['mae']:.2f} px ({protocol})")
        for title, text in (("data", card.data), ("limits", card.limits), ("made by", card.command)):
            if text:
                click.echo(f"  {title}: {text}")
