"""The per-pixel network: two encoder-decoders, one at full and one at half size."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from defocus_backend.classifier.layers import conv_bn_relu

LEVELS = (*(n / 4 for n in range(13)), 3.5, 4.0, 4.5, *(float(n) for n in range(5, 20)))
"""Sigma of each class in pixels, a quarter of a pixel apart up to 3 px and a whole pixel from 5 px on. The error is a
few hundredths of a pixel at a blur of 1 px, and one or two pixels at 15 px."""


class EncoderDecoder(nn.Module):
    """Encoder-decoder with skip connections and strides down to 32, about 12 thousand multiply-adds per pixel.

    Takes ``(N, 1, H, W)`` with sides that are multiples of 32 and returns features ``(N, 32, H / 2, W / 2)``.
    """

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 128, 192)) -> None:
        super().__init__()
        inputs = (1, *widths[:-1])
        self.encoder = nn.ModuleList(
            nn.Sequential(conv_bn_relu(i, o, 3, 2, padding=1, first=n == 0), conv_bn_relu(o, o, 3, 1, padding=1))
            for n, (i, o) in enumerate(zip(inputs, widths, strict=True))
        )
        # The finest stage keeps 32 channels: the head has to separate all levels with them.
        self.channels = max(widths[0], 32)
        outputs = (self.channels, *widths[1:-1])
        deeper = (*outputs[1:], widths[-1])
        self.decoder = nn.ModuleList(
            conv_bn_relu(skip + deep, o, 3, 1, padding=1)
            for skip, deep, o in zip(widths[:-1], deeper, outputs, strict=True)
        )

    def features(self, x: Tensor) -> Tensor:
        """Return the features of the finest decoder stage; shapes as in the class docstring."""
        skips = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        for stage, skip in zip(reversed(self.decoder), reversed(skips[:-1]), strict=True):
            up = functional.interpolate(x, size=skip.shape[2:], mode="bilinear", align_corners=False)
            x = stage(torch.cat([skip, up], dim=1))
        return x


class PixelNet(EncoderDecoder):
    """Per-pixel network: one encoder-decoder on the picture, one on the picture at half size, one head for both.

    A blur of 12 px is one of 6 px at half size, which a smaller receptive field can measure. Takes
    ``(N, 1, H, W)`` with sides that are multiples of 64 and returns logits ``(N, 31, H / 2, W / 2)``, one for each
    of `LEVELS`, at about 16 thousand multiply-adds per pixel.

    Under autocast the body computes in bfloat16; the first convolution and the head stay in float32, since
    bfloat16 has 8 bits of mantissa and the picture up to 16.
    """

    align = 64
    """Sides of the input must be multiples of this."""
    halo = 320
    """Reach of the receptive field in pixels: pixels that are farther away do not change the result."""
    margin = 32
    """Width in pixels of the mirrored border around an image, beyond the reach of the layers' zero padding."""

    def __init__(
        self, levels: int = len(LEVELS), widths: tuple[int, ...] = (16, 32, 64, 128, 192), hidden: int = 48
    ) -> None:
        super().__init__(widths)
        self.coarse = EncoderDecoder(widths)
        self.head = nn.Sequential(*conv_bn_relu(2 * self.channels, hidden, 1, 1), nn.Conv2d(hidden, levels, 1))

    def forward(self, x: Tensor, every: int = 1, first: tuple[int, int] = (0, 0)) -> Tensor:
        """Logits at half resolution; shapes as in the class docstring.

        Training needs no head at every place: with `every` it is applied to every n-th row and column from `first` on.
        """
        return self.classify(self.joint_features(x, every, first))

    def joint_features(self, x: Tensor, every: int = 1, first: tuple[int, int] = (0, 0)) -> Tensor:
        """Features of both encoder-decoders at half resolution, which the head classifies; arguments as `forward`."""
        fine = self.features(x)
        coarse = self.coarse.features(functional.avg_pool2d(x, 2))
        up = functional.interpolate(coarse, size=fine.shape[2:], mode="bilinear", align_corners=False)
        both = torch.cat([fine, up], dim=1)
        return both[:, :, first[0] :: every, first[1] :: every] if every > 1 else both

    def classify(self, features: Tensor) -> Tensor:
        """The head, in float32. Its 1x1 convolutions run as matrix products: torch has no fast ones for one thread."""
        first, norm, relu, last = self.head
        assert isinstance(first, nn.Conv2d)
        assert isinstance(last, nn.Conv2d)
        with torch.autocast(features.device.type, enabled=False):
            return _mix(relu(norm(_mix(features.float(), first))), last)


def _mix(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """A 1x1 convolution of ``(N, C, H, W)`` as a matrix product over channels."""
    mixed = functional.linear(x.permute(0, 2, 3, 1), layer.weight[:, :, 0, 0], layer.bias)
    return mixed.permute(0, 3, 1, 2)
