"""Options for training a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from defocus_backend.errors import InputError
from defocus_backend.methods import NETWORK_METHODS
from defocus_backend.options import Params, option
from defocus_backend.registry import Names

SIDE_STEP = 64
"""The side of the training scenes of per-pixel networks is a multiple of this, in pixels."""


@dataclass(frozen=True, kw_only=True)
class TrainingParams(Params):
    """Options of one training run, complete enough to repeat it."""

    heading: ClassVar[str] = "Recipe"

    network: str = option("blurnet", "Network architecture.", choices=Names(NETWORK_METHODS))
    protocol: str = option(
        "context",
        "Blur whole photographs and cut patches afterwards (context), or blur each patch alone as in the paper "
        "(isolated).",
        choices=("context", "isolated"),
    )
    degradation: str = option(
        "light",
        "Amount of noise, contrast change and compression added to the patches. Isolated patches always stay clean.",
        choices=("clean", "light", "full"),
    )
    steps: int = option(6000, "Number of optimiser steps.", low=1)
    batch_size: int = option(512, "Number of patches, or scenes, in each step.", low=1)
    side: int = option(
        256,
        f"Side of the scenes on which per-pixel networks are trained, a multiple of {SIDE_STEP}.",
        unit="px",
        low=SIDE_STEP,
    )
    learning_rate: float = option(
        3e-3,
        "Learning rate after a short warm-up. It decreases to zero over the second half of the steps. Before the "
        "decrease starts, a run can be resumed with another number of steps.",
        above=0.0,
    )
    expectation_weight: float = option(
        0.2, "Weight of the absolute error of the expected sigma, relative to the cross-entropy.", low=0.0
    )
    ranked_weight: float = option(
        0.0,
        "Weight of the ranked probability score relative to the cross-entropy. This score penalises a wrong level by "
        "its distance.",
        low=0.0,
    )
    lens_weight: float = option(
        0.0,
        "Weight of a second task of per-pixel networks, relative to the cross-entropy: to classify the blur as "
        "Gaussian, disc or mixed.",
        low=0.0,
    )
    weight_decay: float = option(1e-4, "Weight decay of the optimiser.", low=0.0)
    average_decay: float = option(
        0.998, "Decay of the running average of the weights. The average is saved.", low=0.0, high=1.0
    )
    seed: int = option(0, "Seed of the random numbers for data, initial weights and order.", low=0)
    start: str = option(
        "",
        "Weights to start from: a shipped name or a .safetensors file. Default: random weights.",
        metavar="NAME|FILE",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.side % SIDE_STEP:
            raise InputError("side", repr(self.side), f"a positive multiple of {SIDE_STEP}")
