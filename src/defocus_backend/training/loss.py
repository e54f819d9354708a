"""Training losses: cross-entropy and distances between distributions over the levels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from defocus_backend.classifier.networks import LEVELS
from defocus_backend.evaluation.patch_scores import expected_sigma

WHOLE_LEVELS = tuple(float(n) for n in range(LEVELS))
"""The paper's levels: sigmas of 0 to 19 px."""


_SHAPELESS = 0.75
"""Up to this sigma, in px, the kind of lens is not visible."""


def soft_labels(sigma: Tensor, levels: Sequence[float] = WHOLE_LEVELS) -> Tensor:
    """Distribution over the levels whose mean is sigma: shared between its two neighbours.

    Parameters
    ----------
    sigma : (N, 1, ...) tensor
        In pixels, 0 to 19.
    levels : sequence of L floats
        Sigma of each level in pixels, rising.

    Returns
    -------
    (N, L, ...) tensor
    """
    centres = torch.tensor(levels, dtype=sigma.dtype, device=sigma.device)
    low = (torch.searchsorted(centres, sigma.contiguous(), right=True) - 1).clamp(0, len(levels) - 2)
    upper = ((sigma - centres[low]) / (centres[low + 1] - centres[low])).clamp(0, 1)
    target = sigma.new_zeros(len(sigma), len(levels), *sigma.shape[2:])
    target.scatter_(1, low, 1 - upper)
    return target.scatter_(1, low + 1, upper)


def ranked_score(found: Tensor, target: Tensor, levels: Sequence[float] = WHOLE_LEVELS) -> Tensor:
    """Ranked probability score (Epstein 1969): the summed squared differences of two cumulated distributions.

    Like the cross-entropy, its mean is smallest if `found` is the true distribution, but the cost of a wrong level
    depends on its distance.

    Parameters
    ----------
    found, target : (N, L, ...) tensor
        Distributions over the levels.
    levels : sequence of L floats
        Sigma of each level in pixels, rising.

    Returns
    -------
    (N, 1, ...) tensor
        Score in pixels; for two certain distributions, it is their distance.
    """
    centres = torch.tensor(levels, dtype=found.dtype, device=found.device)
    squares = (found - target).cumsum(1)[:, :-1].square()
    score: Tensor = torch.tensordot(squares, centres.diff(), dims=([1], [0]))[:, None]
    return score


def training_loss(
    logits: Tensor,
    sigma: Tensor,
    trust: Tensor,
    levels: Sequence[float],
    *,
    expectation_weight: float = 0.0,
    ranked_weight: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, accuracy of the most likely level, and error of the expectation, all weighted by trust.

    Parameters
    ----------
    logits : (N, L) or (N, L, h, w) tensor
    sigma, trust : (N, 1, H, W) tensors
        In pixels, and 0 to 1; averaged to the size of the logits.
    levels : sequence of L floats
        Sigma of each level in pixels.
    expectation_weight, ranked_weight : float
        See `defocus_backend.params.TrainingParams`.
    """
    logits = logits.reshape(*logits.shape[:2], *(logits.shape[2:] or (1, 1)))
    sigma, trust = (functional.adaptive_avg_pool2d(t, (logits.shape[2], logits.shape[3])) for t in (sigma, trust))
    share = trust / trust.sum()
    target, found = soft_labels(sigma, levels), logits.softmax(1)
    entropy = -(target * logits.log_softmax(1)).sum(1, keepdim=True)
    error = ((expected_sigma(found, levels)[:, None] - sigma).abs() * share).sum()
    loss = (entropy * share).sum() + expectation_weight * error
    if ranked_weight:
        loss = loss + ranked_weight * (ranked_score(found, target, levels) * share).sum()
    with torch.no_grad():
        # Every 16th pixel is enough for a running mean, and the search over channels is slow.
        some = np.s_[:, :, ::4, ::4]
        hits = logits[some].argmax(1, keepdim=True) == target[some].argmax(1, keepdim=True)
        accuracy = (hits * share[some]).sum() / share[some].sum().clamp_min(1e-9)
    return loss, accuracy, error


class LensHead(nn.Module):
    """Classifies the kind of lens that blurred a scene, from the features of a per-pixel network; only for training.

    A disc and a Gaussian of the same variance differ in their fine detail. A network that is not trained to distinguish
    them confuses them and overestimates the blur of a disc by 10 %.

    Parameters
    ----------
    channels : int
        Number of channels of the features.
    kinds : int
        Number of kinds.
    """

    def __init__(self, channels: int, kinds: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(channels, 32, 1), nn.ReLU(), nn.Conv2d(32, kinds, 1))

    def loss(self, features: Tensor, lens: Tensor, sigma: Tensor, trust: Tensor) -> Tensor:
        """Cross-entropy of the kind, over trusted pixels whose blur is large enough to have a visible shape.

        Parameters
        ----------
        features : (N, C, h, w) tensor
        lens : (N,) integer tensor
            The kind, or -1 if it is none of them.
        sigma, trust : (N, 1, h, w) tensors
            In pixels, and 0 to 1.
        """
        share = trust * ((sigma > _SHAPELESS) & (lens >= 0)[:, None, None, None])
        target = lens.clamp_min(0)[:, None, None].expand(-1, *features.shape[2:])
        entropy = functional.cross_entropy(self.layers(features), target, reduction="none")[:, None]
        return (entropy * share).sum() / share.sum().clamp_min(1)
