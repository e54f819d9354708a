"""Calibrate a network by one temperature (Guo et al. 2017).

The temperature is merged into the weights of the last layer, so no other code depends on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from defocus_backend.classifier.pixelnet import LEVELS as PIXEL_LEVELS
from defocus_backend.classifier.pixelnet import PixelNet
from defocus_backend.errors import InputError
from defocus_backend.params import TrainingParams
from defocus_backend.synthetic.patches import list_photos
from defocus_backend.training.loss import WHOLE_LEVELS, soft_labels
from defocus_backend.training.train import training_data

_GRID = 8
"""Stride, in outputs along both axes, at which a per-pixel network is sampled, because neighbours are nearly equal."""


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """Logits (N, L) of many windows or pixels, their true sigma (N,), their weight (N,) and the levels, in px."""

    logits: Tensor
    sigma: Tensor
    weight: Tensor
    levels: tuple[float, ...] = WHOLE_LEVELS

    @property
    def probabilities(self) -> Tensor:
        """Distribution over the levels, (N, L)."""
        return self.logits.softmax(1)

    @property
    def whole_probabilities(self) -> Tensor:
        """Distribution over the paper's levels of 0 to 19 px (N, 20), so that networks can be compared.

        Probability between two whole levels is divided between them, as `soft_labels` does for a true sigma.
        """
        return self.probabilities @ soft_labels(torch.tensor(self.levels)[:, None])


@torch.inference_mode()
def collect(network: nn.Module, batches: Iterable[tuple[Tensor, ...]]) -> Verdicts:
    """Run a network over batches of (picture, sigma, trust) as used in training.

    Raises
    ------
    InputError
        If there is no batch.
    """
    rows = []
    for pictures, sigma, trust, *_ in batches:
        logits = network(pictures)
        logits = logits.reshape(*logits.shape[:2], *(logits.shape[2:] or (1, 1)))
        truth, weight = (functional.adaptive_avg_pool2d(t, (logits.shape[2], logits.shape[3])) for t in (sigma, trust))
        part = (slice(None), slice(None), slice(None, None, _GRID), slice(None, None, _GRID))
        rows.append(tuple(t[part].permute(0, 2, 3, 1).reshape(-1, t.shape[1]) for t in (logits, truth, weight)))
    if not rows:
        raise InputError("batches", "none", "at least one")
    logits, truth, weight = (torch.cat(part) for part in zip(*rows, strict=True))
    levels = PIXEL_LEVELS if isinstance(network, PixelNet) else WHOLE_LEVELS
    return Verdicts(logits=logits, sigma=truth[:, 0], weight=weight[:, 0], levels=levels)


def fit_temperature(verdicts: Verdicts) -> float:
    """Return the divisor of the logits that minimises the cross-entropy; above 1 for an overconfident network."""
    from scipy.optimize import minimize_scalar

    target = soft_labels(verdicts.sigma[:, None], verdicts.levels)
    share = verdicts.weight / verdicts.weight.sum()

    def loss(log_temperature: float) -> float:
        entropy = -(target * (verdicts.logits / np.exp(log_temperature)).log_softmax(1)).sum(1)
        return float((entropy * share).sum())

    return float(np.exp(minimize_scalar(loss, bounds=(-4.0, 4.0), method="bounded").x))


def divide_logits(network: nn.Module, temperature: float) -> None:
    """Divide the logits of a network by a temperature, in its last layer.

    Raises
    ------
    InputError
        If the temperature is not a positive number.
    """
    if not temperature > 0:
        raise InputError("temperature", repr(temperature), "a positive number")
    final = getattr(network, "head", network)
    last = [m for m in final.modules() if isinstance(m, nn.Conv2d | nn.Linear)][-1]
    with torch.no_grad():
        last.weight /= temperature
        if last.bias is not None:
            last.bias /= temperature


def calibrate(network: nn.Module, photos: Path, params: TrainingParams, *, batches: int = 12) -> float:
    """Calibrate a trained network on new batches of its recipe, and return the temperature.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode, on the CPU; its last layer is changed.
    photos : Path
        Folder of its training photographs; a single parameter cannot overfit them.
    params : TrainingParams
        Training recipe of the network.
    batches : int
        Number of batches, from the first that was not trained on.
    """
    data = training_data(list_photos(photos), replace(params, steps=params.steps + batches))
    verdicts = collect(network, (data[n] for n in range(params.steps, params.steps + batches)))
    temperature = fit_temperature(verdicts)
    divide_logits(network, temperature)
    return temperature
