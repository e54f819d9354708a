"""Commands on networks: train, evaluate, models. The only ones that load torch before they start."""

from __future__ import annotations

import contextlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import click

from defocus_backend.classifier.networks import NETWORKS
from defocus_backend.classifier.weights import ModelCard, load_network, save_network, shipped_weights
from defocus_backend.cli.interrupt import stop_on_interrupt
from defocus_backend.cli.options import SectionCommand, option, refuse_given, run_options
from defocus_backend.device import keep_freed_memory, resolve_device
from defocus_backend.errors import InputError
from defocus_backend.evaluation.benchmark import SCENES
from defocus_backend.evaluation.patch_scores import Scores
from defocus_backend.io import check_folder
from defocus_backend.synthetic.patches import list_photos
from defocus_backend.training.calibration import calibrate
from defocus_backend.training.train import StepReport, TrainingParams, score, train

F = TypeVar("F", bound=Callable[..., Any])

_RECIPE = "Recipe"
_TEST_SET = "Test set"
_BENCHMARK = "Benchmark of maps"
_PLAINER = {
    "network": "Architecture.",
    "protocol": "Blur whole photographs and cut patches afterwards, or blur each patch alone as in the paper.",
    "steps": "Optimiser steps.",
    "batch_size": "Patches (or scenes) in each step.",
}
"""Texts that say less about the code than the documentation of the dataclass does."""

_SCORES = ("mae", "bias", "accuracy", "within_one", "calibration_error", "patches")


def attribute_texts(documented: type) -> dict[str, tuple[str, str]]:
    """Type and text of every attribute in a numpydoc docstring; a line may name several."""
    # Python 3.13 strips the indentation of docstrings, earlier versions keep it.
    section = inspect.cleandoc(documented.__doc__ or "").partition("Attributes\n----------\n")[2]
    found = {}
    for names, kind, text in re.findall(r"^(\w[\w, ]*) : (.*)\n((?:    .*\n?)+)", section, re.MULTILINE):
        for name in names.split(","):
            found[name.strip()] = (kind, " ".join(text.split()).replace("`", ""))
    return found


def training_options(function: F) -> F:
    """An option for every field of `TrainingParams`, which documents itself."""
    texts = attribute_texts(TrainingParams)
    for field in reversed(fields(TrainingParams)):
        kind, text = texts.get(field.name, ("", ""))
        choices = re.findall(r'"(\w+)"', kind) or (list(NETWORKS) if field.name == "network" else [])
        function = option(
            "--" + field.name.replace("_", "-"),
            field.name,
            type=click.Choice(choices) if choices else type(field.default),
            default=field.default,
            show_default=True,
            section=_RECIPE,
            help=_PLAINER.get(field.name, text),
        )(function)
    return function


@click.command("train", cls=SectionCommand)
@click.argument("photos", type=click.Path(path_type=Path), metavar="PHOTOS")
@option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Weights to write, ending in .safetensors; the model card goes beside them as .json.",
)
@option("--val", type=click.Path(path_type=Path), metavar="DIR", help="Other photographs, to score the result on.")
@option("--half", is_flag=True, help="Store the weights as float16, which halves the file.")
@option("--description", default="", metavar="TEXT", help="One line for the model card.")
@option(
    "--run",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    section="Run",
    help="Folder of the checkpoint, written every 100 s; by default FILE without its suffix, plus -run.",
)
@option("--resume", is_flag=True, section="Run", help="Go on from the checkpoint.")
@option(
    "--workers",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    section="Run",
    help="Processes that prepare data.",
)
@training_options
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
    """Train a network on the folder PHOTOS of sharp photographs.

    Ctrl-C writes a checkpoint, from which --resume goes on. The weights and the model card appear at the end.
    """
    from tqdm import tqdm

    params = TrainingParams(**recipe)
    if out.suffix != ".safetensors":
        raise InputError("--out", str(out), "a name ending in .safetensors")
    count = len(list_photos(photos))
    if val is not None:
        list_photos(val)
        if NETWORKS[params.network].per_pixel:
            raise InputError("--val", f"photographs to score {params.network} on", "a network that judges windows")
    check_folder(out.parent)
    folder = folder or out.with_name(f"{out.stem}-run")
    check_folder(folder)
    keep_freed_memory()
    where = resolve_device(device)
    hidden = True if quiet else None
    with (
        _removed_if_empty(folder),
        stop_on_interrupt() as stopped,
        tqdm(total=params.steps, desc="training", unit=" steps", disable=hidden, file=sys.stderr) as bar,
    ):

        def show(step: StepReport) -> None:
            bar.set_postfix_str(
                f"loss {step.loss:.3f}, accuracy {step.accuracy:.3f}, MAE {step.mae:.2f} px", refresh=False
            )
            bar.update(step.step - bar.n)

        model = train(photos, params, folder, resume=resume, device=where, workers=workers, report=show, cancel=stopped)
    calibrate(model, photos, params)
    scores = score(model, val) if val is not None else {}
    card = ModelCard(
        name=out.stem,
        network=params.network,
        description=description,
        recipe=asdict(params),
        command=_command(params, photos, out, half),
        data=f"{count} photographs from {photos.name or photos}",
        scores={protocol: s.as_dict() for protocol, s in scores.items()},
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    card = save_network(model, out, card, half_precision=half)
    if as_json:
        summary = {"command": "train", "weights": str(out), "card": asdict(card), "device": str(where)}
        click.echo(json.dumps(summary))
    elif not quiet:
        click.echo(f"weights     {out}\nmodel card  {out.with_suffix('.json')}")
        _print_scores(scores)


def _command(params: TrainingParams, photos: Path, out: Path, half: bool) -> str:
    changed = {f.name: getattr(params, f.name) for f in fields(params) if getattr(params, f.name) != f.default}
    options = [
        # Names of files, not where this machine keeps them.
        f"--{name.replace('_', '-')} {Path(value).name if isinstance(value, str) else value}"
        for name, value in changed.items()
    ]
    return " ".join(["defocus train", photos.name, *options, *(["--half"] if half else []), f"--out {out.name}"])


@contextlib.contextmanager
def _removed_if_empty(folder: Path) -> Iterator[None]:
    """Take the folder of a run away again if it failed before its first checkpoint."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            folder.rmdir()
        raise


@click.command("evaluate", cls=SectionCommand)
@click.argument("weights", nargs=-1, metavar="[WEIGHTS]...")
@option(
    "--photos",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    section=_TEST_SET,
    help="Photographs that were not trained on.",
)
@option(
    "--per-photo",
    type=click.IntRange(1),
    default=12,
    show_default=True,
    section=_TEST_SET,
    help="Sharp places taken from each photograph, at most.",
)
@option(
    "--benchmark",
    is_flag=True,
    section=_BENCHMARK,
    help="Score whole maps on scenes composed from the photographs, whose sigma is known at every pixel.",
)
@option(
    "--scenes",
    type=click.IntRange(1),
    default=SCENES,
    show_default=True,
    section=_BENCHMARK,
    help="How many; 136 hold every sort of scene with every point spread function and condition once.",
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
    help="Write the tables as FILE.md and all figures as FILE.json; FILE may already end in either.",
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
    """Score WEIGHTS, a name from `defocus models` or a .safetensors file, on photographs that are sharp.

    Sharp patches are blurred to each of the 20 levels and judged, by both protocols: in context (the whole
    photograph is blurred, then cut) and isolated (the patch alone is blurred, as in the paper).

    With --benchmark WEIGHTS may be several, and map methods from `defocus methods` too; all of them if none is
    given. Prints Markdown tables of errors, edges and rank correlations, raw and refined. The networks compute on
    --device, the published methods on the CPU.
    """
    if benchmark:
        refuse_given("with --benchmark", "it only without --benchmark", sections=(_TEST_SET,), but=("photos",))
        _benchmark(weights, photos, scenes=scenes, seed=seed, out=out, device=device, quiet=quiet, as_json=as_json)
        return
    if len(weights) != 1:
        raise InputError("WEIGHTS", f"{len(weights)} names", "one; several only with --benchmark")
    refuse_given("without --benchmark", "it only with --benchmark", sections=(_BENCHMARK,))
    _evaluate_patches(weights[0], photos, per_photo=per_photo, device=device, quiet=quiet, as_json=as_json)


def _benchmark(
    names: tuple[str, ...],
    photos: Path,
    *,
    scenes: int,
    seed: int,
    out: Path | None,
    device: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """The benchmark of whole maps; the files appear together at the end."""
    from tqdm import tqdm

    from defocus_backend.evaluation.benchmark import candidate_names, make_candidate, run_benchmark
    from defocus_backend.evaluation.benchmark_report import as_json as figures_of
    from defocus_backend.evaluation.benchmark_report import as_markdown
    from defocus_backend.io import WholeFiles

    if out is not None:
        check_folder(out.parent)
    keep_freed_memory()
    where = resolve_device(device)
    chosen = names or tuple(candidate_names())
    candidates = [make_candidate(name, device=where) for name in chosen]
    with (
        stop_on_interrupt() as stopped,
        tqdm(total=scenes, desc="benchmark", unit=" scenes", disable=True if quiet else None, file=sys.stderr) as bar,
    ):
        trials = run_benchmark(
            candidates,
            photos,
            count=scenes,
            seed=seed,
            progress=lambda done, _total, _what: bar.update(done - bar.n),
            cancel=stopped,
        )
    tables = as_markdown(trials)
    figures = figures_of(trials, scenes=scenes, seed=seed, photos=photos.name, device=str(where))
    if out is not None:
        stem = out.stem if out.suffix.lower() in (".md", ".json") else out.name
        with WholeFiles() as files:
            files.add(out.with_name(f"{stem}.md"), tables.encode())
            files.add(out.with_name(f"{stem}.json"), (json.dumps(figures, indent=1) + "\n").encode())
    if as_json:
        click.echo(json.dumps({"command": "evaluate", "benchmark": figures}))
    elif not quiet:
        click.echo(tables)


def _evaluate_patches(weights: str, photos: Path, *, per_photo: int, device: str, quiet: bool, as_json: bool) -> None:
    """Sharp patches at every level, by both protocols."""
    keep_freed_memory()
    where = resolve_device(device)
    network, name = load_network(weights, device=where)
    scores = score(network, photos, per_photo=per_photo)
    if as_json:
        found = {protocol: s.as_dict() for protocol, s in scores.items()}
        summary = {"command": "evaluate", "weights": weights, "network": name, "scores": found, "device": str(where)}
        click.echo(json.dumps(summary))
    elif not quiet:
        _print_scores(scores)


def _print_scores(scores: dict[str, Scores]) -> None:
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
