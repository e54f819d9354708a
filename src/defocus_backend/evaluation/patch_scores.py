"""Scores of a window classifier on patches of held-out photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from defocus_backend.classifier.networks import LEVELS
from defocus_backend.evaluation.reliability import calibration_error
from defocus_backend.synthetic.patches import PatchSet


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores of a classifier on one test set.

    Attributes
    ----------
    accuracy : float
        Share of patches whose most likely level is the true one.
    within_one : float
        Share whose most likely level is at most one off.
    mae : float
        Mean absolute error of the expected sigma, in pixels.
    bias : float
        Mean signed error of the expected sigma, in pixels.
    calibration_error : float
        Expected calibration error of the most likely level, 15 equal bins (Guo et al. 2017).
    loss : float
        Mean cross-entropy.
    patches : int
        Size of the test set.
    """

    accuracy: float
    within_one: float
    mae: float
    bias: float
    calibration_error: float
    loss: float
    patches: int

    def as_dict(self) -> dict[str, float]:
        """The scores rounded for a model card."""
        return {k: round(v, 4) for k, v in asdict(self).items()}


@torch.inference_mode()
def class_probabilities(network: nn.Module, patches: Tensor, *, batch_size: int = 512) -> Tensor:
    """Distribution over the levels (N, 20) for patches (N, 1, 32, 32) in the unit range.

    A per-pixel network's distributions are averaged over the patch.
    """
    network.eval()
    device = next(network.parameters()).device
    rows = [network(part.to(device)).softmax(1) for part in patches.split(batch_size)]
    return torch.cat([row.reshape(*row.shape[:2], -1).mean(2).cpu() for row in rows])


def expected_sigma(probabilities: Tensor, levels: Sequence[float] = tuple(range(LEVELS))) -> Tensor:
    """Expectation over the levels (their sigmas in pixels) along dimension 1, in pixels."""
    centres = torch.tensor(levels, dtype=probabilities.dtype, device=probabilities.device)
    result: Tensor = torch.tensordot(probabilities, centres, dims=([1], [0]))
    return result


def evaluate(network: nn.Module, test: PatchSet) -> Scores:
    """Score a window classifier; the true sigma of the test set must be whole levels."""
    probabilities = class_probabilities(network, test.patches)
    truth = test.sigma.round().long()
    level, sigma = probabilities.argmax(1), expected_sigma(probabilities)
    return Scores(
        accuracy=(level == truth).float().mean().item(),
        within_one=((level - truth).abs() <= 1).float().mean().item(),
        mae=(sigma - test.sigma).abs().mean().item(),
        bias=(sigma - test.sigma).mean().item(),
        calibration_error=calibration_error(probabilities.amax(1), level == truth),
        loss=nn.functional.nll_loss(probabilities.clamp_min(1e-12).log(), truth).item(),
        patches=len(truth),
    )
