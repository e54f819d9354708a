"""Train the networks of Table 2 by the paper's recipe, for equal times instead of 100 epochs."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from defocus_backend.classifier.networks import LEVELS
from defocus_backend.classifier.weights import ModelCard, save_network
from defocus_backend.errors import Cancelled, FileError
from defocus_backend.io import write_whole
from defocus_backend.params import TrainingParams
from defocus_backend.progress import CancelCallback, ProgressCallback
from defocus_backend.synthetic.patches import list_photos, sharp_patches
from defocus_backend.training.train import StepReport, read_average, train

PAPER = TrainingParams(
    protocol="isolated",
    degradation="clean",
    steps=1_000_000,
    batch_size=128,
    learning_rate=1e-3,
    expectation_weight=0.0,
    average_decay=0.99,
)
"""Section 3.1: batches of 128, Adam at 1e-3 to the end, cross-entropy, patches that are filtered alone.

More steps than any run reaches: the clock ends it before the rate falls, as the paper's rate never does.
"""

_SECONDS = "seconds.json"
_NOTE_EVERY = 30.0
"""Processor time after which it is written to `_SECONDS`, so that a killed run does not start its budget again."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """One training run, as recorded in the model card of its weights.

    Attributes
    ----------
    steps : int
        Optimiser steps of 128 patches.
    epochs : float
        How often each sharp patch was seen at each level, on average.
    seconds : float
        Processor time.
    loss, accuracy : float
        On the training patches, over about the last 50 steps.
    """

    steps: int
    epochs: float
    seconds: float
    loss: float
    accuracy: float


class _Stopwatch:
    """Processor time where the processor does the work, so that a busy machine takes no training away."""

    def __init__(self, device: torch.device) -> None:
        self._clock = time.thread_time if device.type == "cpu" else time.monotonic
        self._start = self._clock()

    @property
    def seconds(self) -> float:
        return self._clock() - self._start


def train_for(
    name: str,
    photos: Path,
    folder: Path,
    *,
    seconds: float,
    patches: int | None = None,
    device: torch.device | str = "cpu",
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
) -> Trained:
    """Train a network by the paper's recipe until its time is up, or it has seen enough patches.

    The forward pass runs in bfloat16 where the processor has units for it. A run that was killed goes on from its last
    checkpoint, with the time that it had spent.

    Parameters
    ----------
    name : str
        Network, a key of `NETWORKS`.
    photos : Path
        Folder of sharp photographs.
    folder : Path
        Gets ``NAME.safetensors`` with its card, and ``NAME-run`` with the checkpoint, from which a later call with
        more seconds goes on.
    seconds : float
        Processor time in all, that of earlier calls included.
    patches : int or None
        Patches in all, each batch of 128 counted; None for no limit.
    device : torch.device or str
    progress : callable or None
        Called with seconds done and seconds in all.
    cancel : callable or None
        Return True to stop; a checkpoint is written first.

    Raises
    ------
    InputError, FileError, Cancelled
    """
    device = torch.device(device)
    run = folder / f"{name}-run"
    params = replace(PAPER, network=name)
    before = _seconds_so_far(run)
    last, watch, up = StepReport(0, math.nan, math.nan, math.nan), _Stopwatch(device), False
    noted = before

    def note() -> None:
        nonlocal noted
        noted = before + watch.seconds
        write_whole(run / _SECONDS, json.dumps(noted).encode())

    def report(step: StepReport) -> None:
        nonlocal last, watch
        if not last.step:
            watch = _Stopwatch(device)  # the time to read the photographs does not count
        last = step
        if before + watch.seconds - noted > _NOTE_EVERY:
            note()
        if progress is not None:
            progress(min(round(before + watch.seconds), round(seconds)), round(seconds), f"s of {name}")

    def stop() -> bool:
        nonlocal up
        up = before + watch.seconds >= seconds
        up |= patches is not None and last.step * params.batch_size >= patches
        return up or (cancel is not None and cancel())

    try:
        train(photos, params, run, resume=True, device=device, workers=0, report=report, cancel=stop)
    except Cancelled:
        note()
        if not up:
            raise
    model, steps = read_average(run)
    sharp = len(sharp_patches(list_photos(photos)))
    made = Trained(
        steps=steps,
        epochs=round(steps * params.batch_size / (sharp * LEVELS), 2),
        seconds=round(before + watch.seconds, 1),
        loss=round(last.loss, 4),
        accuracy=round(last.accuracy, 4),
    )
    save_network(model, folder / f"{name}.safetensors", _card(params, photos, sharp, made))
    return made


def _seconds_so_far(run: Path) -> float:
    try:
        return float(json.loads((run / _SECONDS).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return 0.0


def _card(params: TrainingParams, photos: Path, patches: int, made: Trained) -> ModelCard:
    return ModelCard(
        name=params.network,
        network=params.network,
        description="For Table 2 of Galetto and Deng (2021) only: trained on patches blurred alone.",
        recipe=asdict(replace(params, steps=made.steps)),
        command=f"python -m paper --only table2 --train-minutes {made.seconds / 60:.1f}",
        data=f"{patches} sharp patches at {LEVELS} levels from {len(list_photos(photos))} photographs",
        scores={"training": asdict(made)},
        limits="A few minutes of training; the borders of its patches betrayed their level.",
    )


def read_trained(weights: Path) -> Trained:
    """Read the training run from a model card; raise `FileError` if `train_for` did not write it."""
    card = weights.with_suffix(".json")
    try:
        noted: dict[str, Any] = json.loads(card.read_text(encoding="utf-8"))["scores"]["training"]
        return Trained(**noted)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(f"{card}: is not a model card of `python -m paper --train-minutes` ({error})") from error
