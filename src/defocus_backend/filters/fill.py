"""Fill unknown pixels from their neighbourhood."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def fill_from_surroundings(image: Tensor, known: Tensor) -> Tensor:
    """Replace unknown pixels by a smooth continuation of the known ones (pull-push, Gortler et al. 1996).

    The weighted image is averaged down to a single pixel. On the way back up, known pixels of each level stay, and
    unknown ones are taken from the coarser level. The cost is linear in the number of pixels.

    Parameters
    ----------
    image : (C, H, W) tensor
        Any range.
    known : (H, W) tensor
        0 where the pixel is replaced, 1 where it stays, or a weight between.

    Returns
    -------
    (C, H, W) tensor
        Equal to `image` where `known` is 1; the image itself if nothing is known.
    """
    weight = known.to(image).clamp(0, 1)[None]
    if not bool((weight > 0).any()):
        return image
    filled = _pull_push(image * weight, weight)
    return weight * image + (1 - weight) * filled


def _pull_push(weighted: Tensor, weight: Tensor) -> Tensor:
    height, width = weighted.shape[-2:]
    if height == 1 and width == 1:
        return weighted / weight.clamp_min(1e-12)
    layers = torch.cat([weighted, weight])[None]
    both = functional.avg_pool2d(layers, 2, ceil_mode=True, count_include_pad=False)[0]
    small, share = both[:-1], both[-1:]
    # A coarse pixel with few known pixels counts as much as one with many: saturate its weight.
    certainty = (share * 4).clamp(max=1)
    coarse = _pull_push(small / share.clamp_min(1e-12) * certainty, certainty)
    up = functional.interpolate(coarse[None], size=(height, width), mode="bilinear", align_corners=False)[0]
    return weighted + (1 - weight) * up
