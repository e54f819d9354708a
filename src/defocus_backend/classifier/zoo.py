"""The four other networks that the paper compares in Table 2, taken from pytorchcv (extra ``train``).

Each is built as published, with one input channel and one output per level. The total stride of 32 is not changed, so a
32x32 patch becomes a single cell, as in Keras, which the paper used. The last pooling, which in pytorchcv expects the
7x7 cells of a 224x224 picture, is replaced by one for any size.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from torch import nn

from defocus_backend.errors import InputError


def _from_pytorchcv(module: str, builder: str, levels: int, **layout: Any) -> nn.Module:
    try:
        found = import_module(f"pytorchcv.models.{module}")
    except ImportError as error:
        raise InputError("network", builder, 'pytorchcv installed: pip install "napari-defocus[train]"') from error
    network: nn.Module = getattr(found, builder)(in_channels=1, num_classes=levels, **layout)
    network.get_submodule("features").final_pool = nn.AdaptiveAvgPool2d(1)
    return network


def efficientnet_b0(levels: int) -> nn.Module:
    """EfficientNet-B0 (Tan and Le 2019) on one 32x32 gray patch, 4.0 million parameters."""
    return _from_pytorchcv("efficientnet", "efficientnet_b0", levels)


def nasnet_mobile(levels: int) -> nn.Module:
    """NASNet-A 4 @ 1056, "NASNetMobile" (Zoph et al. 2018), on one 32x32 gray patch, 4.3 million parameters."""
    return _from_pytorchcv("nasnet", "nasnet_4a1056", levels)


def densenet121(levels: int) -> nn.Module:
    """DenseNet-121 (Huang et al. 2017) on one 32x32 gray patch, 7.0 million parameters."""
    return _from_pytorchcv("densenet", "densenet121", levels)


def shufflenetv2(levels: int) -> nn.Module:
    """ShuffleNetV2 1.5x (Ma et al. 2018) on one 32x32 gray patch, 2.5 million parameters.

    The paper does not state the width. The sizes in its Table 2 are 12 to 13 bytes per parameter (float32 and
    the two moments of Adam); by that, its 33 MB mean 1.5x, where 1x would take 15 MB and 2x 66 MB.
    """
    # Table 5 of Ma et al.; pytorchcv's own 1.5x has a wider last layer than theirs.
    channels = [[176] * 4, [352] * 8, [704] * 4]
    return _from_pytorchcv(
        "shufflenetv2", "ShuffleNetV2", levels, channels=channels, init_block_channels=24, final_block_channels=1024
    )
