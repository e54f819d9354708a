"""The layers that the networks share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class ExactConv2d(nn.Conv2d):
    """A convolution that stays in float32 under autocast, for the first layer: a picture has up to 16 bits."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x)


class ZeroMeanConv2d(ExactConv2d):
    """A convolution whose kernels sum to zero, so that its output ignores a constant added to the image.

    Blur does not depend on brightness. With this layer, the network need not learn this from examples.
    """

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean(dim=(2, 3), keepdim=True)
        with torch.autocast(x.device.type, enabled=False):
            return functional.conv2d(x, weight, self.bias, self.stride, self.padding)


def conv_bn_relu(
    inputs: int, outputs: int, kernel: int, stride: int, *, padding: int = 0, first: bool = False
) -> nn.Sequential:
    """A convolution without bias, batch normalisation and ReLU; the `first` of a network ignores constants."""
    conv = ZeroMeanConv2d if first else nn.Conv2d
    return nn.Sequential(
        conv(inputs, outputs, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
