"""What a stack holds in focus and what it misses: only an absolute sigma can tell that no slice is sharp."""

from __future__ import annotations

import torch
from torch import Tensor

from defocus_backend.filters import box_mean

NEVER_ABOVE = 3.5
"""Least sigma in px above which a pixel was never in focus, by default."""
_TELLS = 0.2
"""Confidence from which the least sigma says something."""
_AROUND = 4
"""Radius in px over which the least sigma is averaged before it is judged."""
_FAINT = 0.01


def never_in_focus(sigma: Tensor, confidence: Tensor, above: float) -> Tensor:
    """Where the stack holds nothing sharp.

    Parameters
    ----------
    sigma, confidence : (H, W) tensors
        Least sigma in px, infinite where no slice was valid; its confidence.
    above : float
        Least sigma in px above which nothing is sharp.

    Returns
    -------
    (H, W) bool tensor
        False where the map cannot tell (flat, dark, saturated): such places may well be in focus.
    """
    seen = sigma.isfinite()
    weight = torch.where(seen, confidence.clamp_min(_FAINT), 0)
    total = box_mean(weight, _AROUND).clamp_min(_FAINT / 10)
    around = box_mean(torch.where(seen, sigma, 0) * weight, _AROUND) / total
    return seen & (around > above) & (total > _TELLS)
