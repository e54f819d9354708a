"""Halving and doubling against convolution and interpolation as torch has them."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from defocus_backend.filters.octave import double, halve


@pytest.mark.parametrize("shape", [(3, 70, 91), (1, 1, 1), (2, 2, 3), (1, 129, 64), (1, 5, 1)])
def test_halving_is_a_convolution_and_doubling_is_bilinear(shape: tuple[int, int, int]) -> None:
    channels, height, width = shape
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    even = functional.pad(x[None], (0, width % 2, 0, height % 2), mode="replicate")
    padded = functional.pad(even, (1, 1, 1, 1), mode="replicate")
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    kernel = (taps[:, None] * taps).expand(channels, 1, 4, 4)
    low = halve(x)
    torch.testing.assert_close(low, functional.conv2d(padded, kernel, stride=2, groups=channels)[0])
    expected = functional.interpolate(low[None], scale_factor=2, mode="bilinear")[0, :, :height, :width]
    strips = [double(low, width, slice(top, min(top + 16, height))) for top in range(0, height, 16)]
    torch.testing.assert_close(torch.cat(strips, 1), expected)


def test_a_ramp_stays_where_it_is() -> None:
    ramp = torch.arange(64.0).expand(1, 64, 64)
    torch.testing.assert_close(double(halve(ramp), 64, slice(0, 64))[..., 4:-4], ramp[..., 4:-4])
