"""The networks that turn gray values into a distribution over the 20 levels of blur.

Every network takes ``(N, 1, H, W)`` gray values in the unit range (gray / 255) and returns class
logits; level ``k`` stands for a Gaussian sigma of ``k`` pixels (Galetto and Deng 2021, section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from defocus_backend.classifier.layers import ExactConv2d, ZeroMeanConv2d, conv_bn_relu
from defocus_backend.classifier.pixelnet import LEVELS as PIXEL_LEVELS
from defocus_backend.classifier.pixelnet import PixelNet
from defocus_backend.classifier.zoo import densenet121, efficientnet_b0, nasnet_mobile, shufflenetv2
from defocus_backend.registry import Registry

LEVELS = 20
"""Number of classes; class k is a Gaussian sigma of k pixels."""

WINDOW = 32
"""Side of the classified patch in pixels."""


class BlurNet(nn.Module):
    """Window classifier whose dense run equals its run patch by patch.

    All convolutions are unpadded; receptive field exactly 32, total stride exactly 8. On one 32x32
    patch it returns ``(N, 20, 1, 1)``; on an image ``(N, 20, (H - 32) // 8 + 1, (W - 32) // 8 + 1)``,
    the same numbers as for every patch at step 8, at about 0.6 million multiply-adds per 8x8 cell.
    """

    stride = 8

    def __init__(self, levels: int = LEVELS, widths: tuple[int, ...] = (32, 32, 64, 96, 128, 256)) -> None:
        super().__init__()
        kernels, strides = (4, 3, 3, 3, 2, 2), (2, 1, 2, 1, 2, 1)
        inputs = (1, *widths[:-1])
        self.features = nn.Sequential(
            *(
                conv_bn_relu(i, o, k, s, first=n == 0)
                for n, (i, o, k, s) in enumerate(zip(inputs, widths, kernels, strides, strict=True))
            )
        )
        self.head = nn.Conv2d(widths[-1], levels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits for every 32x32 window at step 8; shapes as in the class docstring."""
        logits: Tensor = self.head(self.features(x))
        return logits


class _InvertedResidual(nn.Module):
    """Expansion, depthwise and linear projection with a skip where shapes allow (Sandler et al. 2018)."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers += [
                nn.Conv2d(inputs, hidden, 1, bias=False),
                nn.BatchNorm2d(hidden),
                nn.ReLU6(inplace=True),
            ]
        layers += [
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(inplace=True),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        self.layers = nn.Sequential(*layers)
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.skip else y


class MobileNetV2(nn.Module):
    """MobileNetV2 (Sandler et al. 2018) on one 32x32 gray patch, the classifier of the paper.

    Layout and strides as published (total stride 32), one input channel and 20 outputs: 2.25 million
    parameters. Patch by patch only; returns ``(N, 20)``.
    """

    stages = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )
    """Expansion, channels, repeats and first stride of each stage: Table 2 of Sandler et al."""

    def __init__(self, levels: int = LEVELS) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(1, 32, 3, 2, 1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU6(inplace=True),
        ]
        channels = 32
        for expansion, outputs, repeats, stride in self.stages:
            for n in range(repeats):
                layers.append(_InvertedResidual(channels, outputs, stride if n == 0 else 1, expansion))
                channels = outputs
        layers += [nn.Conv2d(channels, 1280, 1, bias=False), nn.BatchNorm2d(1280), nn.ReLU6(inplace=True)]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, levels))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, 20) for patches (N, 1, 32, 32)."""
        logits: Tensor = self.classifier(self.features(x).mean(dim=(2, 3)))
        return logits


@dataclass(frozen=True, kw_only=True)
class Network:
    """Registry entry of a network: how it is built and run.

    Attributes
    ----------
    name : str
        Key in `NETWORKS`.
    build : callable
        Makes the untrained module.
    dense_stride : int or None
        Step at which one run over a whole image equals the run patch by patch; None if the network
        takes single patches only.
    citation : str
        Where the architecture is described.
    per_pixel : bool
        True if the network gives a distribution for pixels instead of for 32x32 windows.
    levels : tuple of float
        Sigma in pixels of each of its classes, rising.
    """

    name: str
    build: Callable[[], nn.Module]
    dense_stride: int | None
    citation: str
    per_pixel: bool = False
    levels: tuple[float, ...] = tuple(float(n) for n in range(LEVELS))


NETWORKS = Registry(
    "network",
    Network(name="blurnet", build=BlurNet, dense_stride=8, citation="napari-defocus, docs/networks.md"),
    Network(
        name="mobilenetv2",
        build=MobileNetV2,
        dense_stride=None,
        citation="Sandler et al. 2018, doi:10.1109/CVPR.2018.00474",
    ),
    Network(
        name="pixelnet",
        build=PixelNet,
        dense_stride=None,
        citation="napari-defocus, docs/networks.md",
        per_pixel=True,
        levels=PIXEL_LEVELS,
    ),
    Network(
        name="efficientnet_b0",
        build=partial(efficientnet_b0, LEVELS),
        dense_stride=None,
        citation="Tan and Le 2019, arXiv:1905.11946",
    ),
    Network(
        name="nasnet_mobile",
        build=partial(nasnet_mobile, LEVELS),
        dense_stride=None,
        citation="Zoph et al. 2018, doi:10.1109/CVPR.2018.00907",
    ),
    Network(
        name="densenet121",
        build=partial(densenet121, LEVELS),
        dense_stride=None,
        citation="Huang et al. 2017, doi:10.1109/CVPR.2017.243",
    ),
    Network(
        name="shufflenetv2",
        build=partial(shufflenetv2, LEVELS),
        dense_stride=None,
        citation="Ma et al. 2018, doi:10.1007/978-3-030-01264-9_8",
    ),
)
"""Networks by name; weights of one that is added from outside are made by `defocus train` and read by their path."""


def channels_last(module: nn.Module, device: torch.device) -> nn.Module:
    """Move a network to a device in the memory layout in which its convolutions run fastest."""
    for parameter in module.to(device).parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return module


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """Merge every batch normalisation into the convolution before it, for inference.

    Parameters
    ----------
    module : nn.Module
        A trained network in evaluation mode; left unchanged.

    Returns
    -------
    nn.Module
        A copy that computes the same function with fewer passes over memory.
    """
    import copy

    folded = copy.deepcopy(module).eval()
    for parent in folded.modules():
        if not isinstance(parent, nn.Sequential):
            continue
        for n in range(len(parent) - 1):
            conv, norm = parent[n], parent[n + 1]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                parent[n] = _merge(conv, norm)
                parent[n + 1] = nn.Identity()
    return folded


def _merge(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    weight = conv.weight
    if isinstance(conv, ZeroMeanConv2d):
        weight = weight - weight.mean(dim=(2, 3), keepdim=True)
    assert norm.running_var is not None
    assert norm.running_mean is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    kind = ExactConv2d if isinstance(conv, ExactConv2d) else nn.Conv2d
    merged = kind(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        groups=conv.groups,
    ).to(weight.device)
    merged.weight = nn.Parameter(weight.detach() * scale.detach()[:, None, None, None])
    merged.bias = nn.Parameter((norm.bias - norm.running_mean * scale).detach())
    return merged.eval()
