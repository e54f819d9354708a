"""Train a network on a folder of photographs, and score weights on photographs."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from defocus_backend.classifier.networks import NETWORKS
from defocus_backend.classifier.weights import ModelCard, load_network, save_network, shipped_weights
from defocus_backend.device import keep_freed_memory, resolve_device
from defocus_backend.errors import InputError
from defocus_backend.evaluation.benchmark import SCENES, candidate_names, make_candidate, run_benchmark
from defocus_backend.evaluation.benchmark_report import as_json, as_markdown
from defocus_backend.evaluation.patch_scores import Scores
from defocus_backend.io import WholeFiles, check_folder
from defocus_backend.params import TrainingParams
from defocus_backend.progress import CancelCallback, ProgressCallback
from defocus_backend.synthetic.patches import list_photos
from defocus_backend.training.calibration import calibrate
from defocus_backend.training.train import StepReport, score, train

__all__ = [
    "SCENES",
    "Benchmarked",
    "Evaluated",
    "Scores",
    "StepReport",
    "Trained",
    "benchmark_maps",
    "evaluate_weights",
    "shipped_weights",
    "train_files",
]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """Result of `train_files`.

    Attributes
    ----------
    weights : Path
        The file of weights. Its model card is beside it as ``.json``.
    card : ModelCard
    scores : dict of str to Scores
        Scores on the validation photographs, by protocol; empty without such photographs.
    device : str
    """

    weights: Path
    card: ModelCard
    scores: dict[str, Scores]
    device: str

    def to_dict(self) -> dict[str, Any]:
        """All attributes as plain values, for JSON."""
        return {"command": "train", "weights": str(self.weights), "card": asdict(self.card), "device": self.device}


def train_files(
    photos: Path,
    out: Path,
    params: TrainingParams | None = None,
    *,
    val: Path | None = None,
    half: bool = False,
    description: str = "",
    run: Path | None = None,
    resume: bool = False,
    workers: int = 1,
    device: str = "auto",
    report: Callable[[StepReport], None] | None = None,
    cancel: CancelCallback | None = None,
) -> Trained:
    """Train a network on a folder of sharp photographs; write its weights and its model card.

    Parameters
    ----------
    photos : Path
        Folder of sharp photographs.
    out : Path
        File of weights to write, ending in ``.safetensors``.
    params : TrainingParams or None
        The recipe.
    val : Path or None
        Folder of other photographs on which the result is scored.
    half : bool
        Store the weights as float16, which halves the file.
    description : str
        One line of text for the model card.
    run : Path or None
        Folder of the checkpoint; by default `out` without its suffix, plus ``-run``.
    resume : bool
        Continue from the checkpoint.
    workers : int
        Number of processes that prepare data.
    device : str
    report, cancel : callable or None
        See `defocus_backend.training.train.train`.

    Returns
    -------
    Trained

    Raises
    ------
    InputError, FileError, DeviceError
    Cancelled
        After a checkpoint is written, from which `resume` continues.
    """
    params = params or TrainingParams()
    if out.suffix != ".safetensors":
        raise InputError("out", str(out), "a name ending in .safetensors")
    count = len(list_photos(photos))
    if val is not None:
        list_photos(val)
        if NETWORKS[params.network].per_pixel:
            raise InputError("val", f"photographs to score {params.network} on", "a network that judges windows")
    folder = run or out.with_name(f"{out.stem}-run")
    for target in (out.parent, folder):
        check_folder(target)
    keep_freed_memory()
    where = resolve_device(device)
    with _removed_if_empty(folder):
        model = train(
            photos, params, folder, resume=resume, device=where, workers=workers, report=report, cancel=cancel
        )
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
    return Trained(weights=out, card=card, scores=scores, device=str(where))


def _command(params: TrainingParams, photos: Path, out: Path, half: bool) -> str:
    changed = {f.name: getattr(params, f.name) for f in fields(params) if getattr(params, f.name) != f.default}
    options = [
        # Names of files only, because paths differ between machines.
        f"--{name.replace('_', '-')} {Path(value).name if isinstance(value, str) else value}"
        for name, value in changed.items()
    ]
    return " ".join(["defocus train", photos.name, *options, *(["--half"] if half else []), f"--out {out.name}"])


@contextlib.contextmanager
def _removed_if_empty(folder: Path) -> Iterator[None]:
    """Remove the folder of a run if the run fails before its first checkpoint."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            folder.rmdir()
        raise


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """Result of `evaluate_weights`.

    Attributes
    ----------
    weights, network : str
    scores : dict of str to Scores
        Scores by protocol: whole photographs blurred (context), or patches blurred alone (isolated).
    device : str
    """

    weights: str
    network: str
    scores: dict[str, Scores]
    device: str

    def to_dict(self) -> dict[str, Any]:
        """All attributes as plain values, for JSON."""
        found = {protocol: scores.as_dict() for protocol, scores in self.scores.items()}
        about = {"weights": self.weights, "network": self.network, "scores": found, "device": self.device}
        return {"command": "evaluate", **about}


def evaluate_weights(weights: str, photos: Path, *, per_photo: int = 12, device: str = "auto") -> Evaluated:
    """Score the weights of a network that judges windows on sharp patches, blurred to each of the 20 levels.

    Parameters
    ----------
    weights : str
        A shipped name or a ``.safetensors`` file.
    photos : Path
        Folder of photographs that were not used for training.
    per_photo : int
        Largest number of sharp patches taken from each photograph.
    device : str

    Returns
    -------
    Evaluated

    Raises
    ------
    InputError, FileError, WeightsError, DeviceError
    """
    keep_freed_memory()
    where = resolve_device(device)
    network, name = load_network(weights, device=where)
    return Evaluated(
        weights=weights, network=name, scores=score(network, photos, per_photo=per_photo), device=str(where)
    )


@dataclass(frozen=True, kw_only=True)
class Benchmarked:
    """Result of `benchmark_maps`.

    Attributes
    ----------
    tables : str
        Errors, edge accuracy and rank correlations, as Markdown tables.
    figures : dict
        All values of the tables.
    """

    tables: str
    figures: dict[str, Any]


def benchmark_maps(
    names: Sequence[str],
    photos: Path,
    *,
    scenes: int = SCENES,
    seed: int = 0,
    out: Path | None = None,
    device: str = "auto",
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
) -> Benchmarked:
    """Score whole maps on scenes that are composed from photographs and have a known sigma at every pixel.

    Parameters
    ----------
    names : sequence of str
        Names of weights and map methods; if empty, all of them.
    photos : Path
        Folder of photographs that were not used for training.
    scenes, seed : int
        Number of scenes, and the seed of their random numbers.
    out : Path or None
        Also write the tables as ``out.md`` and the figures as ``out.json``, together.
    device : str
        Compute device of the networks; published methods compute on the CPU.
    progress, cancel : callable or None

    Returns
    -------
    Benchmarked

    Raises
    ------
    InputError, FileError, WeightsError, DeviceError, Cancelled
    """
    if out is not None:
        check_folder(out.parent)
    keep_freed_memory()
    where = resolve_device(device)
    candidates = [make_candidate(name, device=where) for name in names or candidate_names()]
    trials = run_benchmark(candidates, photos, count=scenes, seed=seed, progress=progress, cancel=cancel)
    tables = as_markdown(trials)
    figures = as_json(trials, scenes=scenes, seed=seed, photos=photos.name, device=str(where))
    if out is not None:
        stem = out.stem if out.suffix.lower() in (".md", ".json") else out.name
        with WholeFiles() as files:
            files.add(out.with_name(f"{stem}.md"), tables.encode())
            files.add(out.with_name(f"{stem}.json"), (json.dumps(figures, indent=1) + "\n").encode())
    return Benchmarked(tables=tables, figures=figures)
