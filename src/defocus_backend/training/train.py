"""Training with checkpoints: a run that was stopped at any moment can be resumed.

Batch ``i`` depends on the seed and on ``i`` alone, so a resumed run sees the data that the
uninterrupted one would have seen.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset, Subset

from defocus_backend.classifier.networks import NETWORKS, channels_last
from defocus_backend.classifier.pixelnet import PixelNet
from defocus_backend.classifier.weights import load_trainable
from defocus_backend.device import computes_bfloat16
from defocus_backend.errors import Cancelled, DefocusError, FileError, InputError
from defocus_backend.evaluation.patch_scores import Scores, evaluate
from defocus_backend.params import TrainingParams
from defocus_backend.progress import CancelCallback
from defocus_backend.synthetic.compositions import LENSES, ComposedScenes
from defocus_backend.synthetic.degrade import DEGRADATIONS
from defocus_backend.synthetic.patches import (
    PROTOCOLS,
    ContextPatches,
    IsolatedPatches,
    held_out_patches,
    list_photos,
)
from defocus_backend.training.loss import LensHead, training_loss


@dataclass(frozen=True)
class StepReport:
    """Progress after each step: running means of loss, accuracy and error in pixels."""

    step: int
    loss: float
    accuracy: float
    mae: float


_EVERY = 2
"""A per-pixel network is trained on the pixels of every second row and column."""


def train(
    photos: Path,
    params: TrainingParams,
    run: Path,
    *,
    resume: bool = False,
    device: torch.device | str = "cpu",
    workers: int = 1,
    checkpoint_seconds: float = 100.0,
    report: Callable[[StepReport], None] | None = None,
    cancel: CancelCallback | None = None,
) -> nn.Module:
    """Train a window classifier on a folder of photographs.

    Parameters
    ----------
    photos : Path
        Folder of sharp pictures of any size and format.
    params : TrainingParams
        The recipe.
    run : Path
        Folder for the checkpoint, created if missing.
    resume : bool
        Continue from the checkpoint in `run`, if there is one; its recipe must be the same.
    device : torch.device or str
        Compute device. The forward pass uses bfloat16 if `device.computes_bfloat16` is True.
    workers : int
        Number of processes that prepare data.
    checkpoint_seconds : float
        Longest time between two checkpoints.
    report : callable
        Called with a `StepReport` after every step.
    cancel : callable
        Called after every step; it returns True to stop. A checkpoint is written first.

    Returns
    -------
    nn.Module
        The averaged network in evaluation mode, on the CPU.

    Raises
    ------
    InputError, FileError, Cancelled
    DefocusError
        If the loss is no longer a finite number.
    """
    device = torch.device(device)
    checkpoint = run / "checkpoint.pt"
    if checkpoint.exists() and not resume:
        raise FileError(f"out: {checkpoint} exists; resume it or choose another folder")
    run.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(params.seed)
    model = channels_last(_initial(params), device)
    average = AveragedModel(model, avg_fn=_warming_average(params.average_decay), use_buffers=True)
    lens_head = _lens_head(model, params, device)
    learnt = [*model.parameters(), *(lens_head.parameters() if lens_head else ())]
    optimiser = torch.optim.AdamW(learnt, lr=params.learning_rate, weight_decay=params.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _rate_of(params.steps))
    state: dict[str, Any] = {"model": model, "average": average, "optimiser": optimiser, "schedule": schedule}
    if lens_head:
        state["lens"] = lens_head
    first = _restore(checkpoint, state, params) if checkpoint.exists() else 0

    data = training_data(list_photos(photos), params)
    loader = DataLoader(
        Subset(data, range(first, params.steps)),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=8 if workers else None,
        pin_memory=device.type == "cuda",
    )
    running = _RunningMeans()
    saved = time.monotonic()
    model.train()
    mixed = computes_bfloat16(device)
    for step, (pictures, sigma, trust, *lens) in enumerate(loader, start=first + 1):
        pictures = pictures.to(device, memory_format=torch.channels_last, non_blocking=True)
        sigma, trust = sigma.to(device, non_blocking=True), trust.to(device, non_blocking=True)
        with torch.autocast(device.type, enabled=mixed, dtype=torch.bfloat16):
            if isinstance(model, PixelNet):
                # Neighbours are similar, so only a quarter of the pixels is used, a different one in each step. This
                # saves a third of the time.
                first_place = (step % _EVERY, step // _EVERY % _EVERY)
                features = model.joint_features(pictures, _EVERY, first_place)
                logits = model.classify(features)
                sigma, trust = (_at_places(t, first_place) for t in (sigma, trust))
            else:
                logits = model(pictures)
        loss, accuracy, mae = training_loss(
            logits.float(),
            sigma,
            trust,
            NETWORKS[params.network].levels,
            expectation_weight=params.expectation_weight,
            ranked_weight=params.ranked_weight,
        )
        if lens_head:
            loss = loss + params.lens_weight * lens_head.loss(features.float(), lens[0].to(device), sigma, trust)
        if not torch.isfinite(loss):
            # Nothing is saved, because one such step makes every weight NaN, and the checkpoint on disk is still valid.
            raise DefocusError(f"the loss at step {step} is not finite; start again with a lower learning rate")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        average.update_parameters(model)
        if report is not None:
            report(running.update(step, loss.item(), accuracy.item(), mae.item()))
        stop = cancel is not None and cancel()
        if stop or step == params.steps or time.monotonic() - saved > checkpoint_seconds:
            _save(checkpoint, state, params, step)
            saved = time.monotonic()
        if stop:
            raise Cancelled(f"training stopped after step {step} of {params.steps}; resume it from {run}")
    averaged: nn.Module = average.module
    return averaged.eval().cpu()


def read_average(run: Path) -> tuple[nn.Module, int]:
    """The averaged network in the checkpoint of a stopped run, and its number of steps.

    Returns
    -------
    nn.Module
        In evaluation mode, on the CPU.
    int
        Optimiser steps.

    Raises
    ------
    FileError
        If there is no readable checkpoint.
    """
    path = run / "checkpoint.pt"
    try:
        stored = torch.load(path, weights_only=True, map_location="cpu")
        average = AveragedModel(NETWORKS[stored["params"]["network"]].build(), use_buffers=True)
        average.load_state_dict(stored["average"])
    except (OSError, RuntimeError, KeyError, ValueError, pickle.UnpicklingError) as error:
        raise FileError(f"{path}: cannot be read as a checkpoint ({type(error).__name__})") from error
    averaged: nn.Module = average.module
    return averaged.eval(), int(stored["step"])


def score(model: nn.Module, photos: Path, *, per_photo: int = 12) -> dict[str, Scores]:
    """Scores of a window classifier on a folder of photographs, by both protocols.

    Raises
    ------
    InputError
        For a per-pixel network: it needs a larger neighbourhood than a 32x32 patch, so its score would be meaningless.
        `defocus_backend.evaluation.benchmark` measures such networks on whole scenes.
    """
    if isinstance(model, PixelNet):
        raise InputError("network", "a per-pixel network", "a window network; measure this one on whole scenes instead")
    paths = list_photos(photos)
    return {p: evaluate(model, held_out_patches(paths, p, per_photo=per_photo)) for p in PROTOCOLS}


def _initial(params: TrainingParams) -> nn.Module:
    if not params.start:
        return NETWORKS[params.network].build()
    model, name = load_trainable(params.start)
    if name != params.network:
        raise InputError("start", f"weights of {name}", f"weights of {params.network}")
    return model


def _lens_head(model: nn.Module, params: TrainingParams, device: torch.device) -> LensHead | None:
    """Head for the kind of lens, if the recipe uses it."""
    if not params.lens_weight:
        return None
    if not isinstance(model, PixelNet):
        raise InputError("lens_weight", repr(params.lens_weight), f"0 for {params.network}, which sees patches alone")
    return LensHead(2 * model.channels, len(LENSES)).to(device)


def training_data(photos: list[Path], params: TrainingParams) -> Dataset[tuple[Tensor, ...]]:
    """Batches of (picture, sigma, trust) by the recipe; batch ``i`` is the same in every run."""
    common: dict[str, Any] = {"batches": params.steps, "batch_size": params.batch_size, "seed": params.seed}
    if NETWORKS[params.network].per_pixel:
        return ComposedScenes(photos, side=params.side, degradation=DEGRADATIONS[params.degradation], **common)
    if params.protocol == "isolated":
        return IsolatedPatches(photos, **common)
    return ContextPatches(photos, degradation=DEGRADATIONS[params.degradation], **common)


def _rate_of(steps: int) -> Callable[[int], float]:
    """Factor of the learning rate at every step: it rises, is constant, and falls over the second half.

    Before the fall, it does not depend on the number of steps. A run can therefore be extended or shortened and still
    be repeated exactly from its final recipe.
    """
    warm_up, fall = min(100, steps // 5), steps - _falling(steps)

    def rate(step: int) -> float:
        if step < warm_up:
            return (step + 1) / (warm_up + 1)
        return 1.0 if step < fall else max(0.001, (steps - step) / (steps - fall))

    return rate


def _falling(steps: int) -> int:
    """Number of steps at the end over which the learning rate falls."""
    return max(1, steps // 2)


def _at_places(labels: Tensor, first: tuple[int, int]) -> Tensor:
    """Labels (N, 1, H, W) at the positions of a per-pixel network's logits, starting at `first`."""
    return functional.avg_pool2d(labels, 2)[:, :, first[0] :: _EVERY, first[1] :: _EVERY]


def _warming_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Exponential average with a short window at the start, because the first weights differ from later ones."""

    def average(mean: Tensor, value: Tensor, seen: Tensor | int) -> Tensor:
        if not mean.is_floating_point():
            return value
        keep = min(decay, (1 + int(seen)) / (10 + int(seen)))
        return mean.lerp(value, 1 - keep)

    return average


class _RunningMeans:
    """Exponential means of loss, accuracy and error, unbiased at the start."""

    def __init__(self, decay: float = 0.98) -> None:
        self._decay, self._sums, self._weight = decay, [0.0, 0.0, 0.0], 0.0

    def update(self, step: int, *values: float) -> StepReport:
        self._weight = self._decay * self._weight + 1 - self._decay
        self._sums = [self._decay * s + (1 - self._decay) * v for s, v in zip(self._sums, values, strict=True)]
        return StepReport(step, *(s / self._weight for s in self._sums))


def _save(path: Path, state: dict[str, Any], params: TrainingParams, step: int) -> None:
    """Write the checkpoint beside its target and rename it, so that a killed run leaves the previous one intact."""
    part = path.with_suffix(".part")
    torch.save({k: v.state_dict() for k, v in state.items()} | {"params": asdict(params), "step": step}, part)
    part.replace(path)


def _restore(path: Path, state: dict[str, Any], params: TrainingParams) -> int:
    try:
        # Load on the CPU first; each part is then moved to the device of this run, which may differ from that of the
        # file.
        stored = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:
        raise FileError(f"resume: {path} cannot be read ({type(error).__name__})") from error
    changed = sorted(k for k, v in asdict(params).items() if stored["params"].get(k) != v)
    before = int(stored["params"]["steps"])
    if changed == ["steps"] and all(stored["step"] <= s - _falling(s) and s >= 500 for s in (before, params.steps)):
        changed = []
    if changed:
        raise InputError("resume", f"a run with another {', '.join(changed)}", f"the recipe stored in {path}")
    for name, part in state.items():
        part.load_state_dict(stored[name])
    return int(stored["step"])
