"""Networks that judge every pixel: an encoder-decoder, read at one scale or at two."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from defocus_backend.classifier.layers import conv_bn_relu


class PixelNet(nn.Module):
    """Per-pixel network: an encoder-decoder with skip connections, the distribution at half resolution.

    Strides down to 32, so that long blurs and the shapes of objects are seen whole, and about 12.5
    thousand multiply-adds per pixel. Takes ``(N, 1, H, W)`` with sides that are multiples of 32 and
    returns ``(N, 20, H / 2, W / 2)``.
    """

    align = 32
    """Sides of the input must be multiples of this."""
    halo = 192
    """Reach of the receptive field in pixels: what lies farther from a pixel does not matter to it."""
    margin = 32
    """Mirrored pixels put around a picture, which keep the zero padding of the layers away from it."""

    def __init__(self, levels: int = 20, widths: tuple[int, ...] = (16, 32, 64, 128, 192)) -> None:
        super().__init__()
        inputs = (1, *widths[:-1])
        self.encoder = nn.ModuleList(
            nn.Sequential(conv_bn_relu(i, o, 3, 2, padding=1, first=n == 0), conv_bn_relu(o, o, 3, 1, padding=1))
            for n, (i, o) in enumerate(zip(inputs, widths, strict=True))
        )
        # The finest decoder stage keeps 32 channels: it has to hold 20 levels.
        outputs = (max(widths[0], 32), *widths[1:-1])
        deeper = (*outputs[1:], widths[-1])
        self.decoder = nn.ModuleList(
            conv_bn_relu(skip + deep, o, 3, 1, padding=1)
            for skip, deep, o in zip(widths[:-1], deeper, outputs, strict=True)
        )
        self.head: nn.Module = nn.Conv2d(outputs[0], levels, 1)

    def features(self, x: Tensor) -> Tensor:
        """What the decoder's finest stage says, (N, 32, H / 2, W / 2)."""
        skips = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        for stage, skip in zip(reversed(self.decoder), reversed(skips[:-1]), strict=True):
            up = functional.interpolate(x, size=skip.shape[2:], mode="bilinear", align_corners=False)
            x = stage(torch.cat([skip, up], dim=1))
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Logits at half resolution; shapes as in the class docstring."""
        logits: Tensor = self.head(self.features(x))
        return logits


class TwoScaleNet(PixelNet):
    """Two such networks, one on the picture and one on the picture at half size, and a head that weighs both.

    A blur of 12 px is one of 6 px at half size, where less of the picture is needed to tell it. Shapes as
    in `PixelNet`; sides are multiples of 64; about 16 thousand multiply-adds per pixel.
    """

    align = 64
    halo = 384

    def __init__(self, levels: int = 20, widths: tuple[int, ...] = (16, 32, 64, 128, 192), hidden: int = 48) -> None:
        super().__init__(levels, widths)
        self.coarse = PixelNet(levels, widths)
        # Its own logits are not asked for.
        self.coarse.head = nn.Identity()
        inputs = 2 * max(widths[0], 32)
        self.head = nn.Sequential(*conv_bn_relu(inputs, hidden, 1, 1), nn.Conv2d(hidden, levels, 1))

    def features(self, x: Tensor) -> Tensor:
        """What both networks say, side by side, (N, 64, H / 2, W / 2)."""
        fine = super().features(x)
        coarse = self.coarse.features(functional.avg_pool2d(x, 2))
        up = functional.interpolate(coarse, size=fine.shape[2:], mode="bilinear", align_corners=False)
        return torch.cat([fine, up], dim=1)
