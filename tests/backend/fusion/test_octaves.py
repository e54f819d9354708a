"""Octave by octave: against the definition over the whole stack, and what it is for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from defocus_backend.fusion import fuse, fuse_by_index
from defocus_backend.fusion.octaves import FrameRange, OctaveSum

CPU = torch.device("cpu")


def by_definition(pixels: Tensor, scores: Tensor, firmness: float, octaves: int) -> Tensor:
    """The blend of slices (N, C, H, W) with scores (N, 1, H, W), all at once."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8

    def down(x: Tensor) -> Tensor:
        kernel = (taps[:, None] * taps).expand(x.shape[1], 1, 4, 4)
        return functional.conv2d(functional.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, stride=2, groups=x.shape[1])

    def up(x: Tensor) -> Tensor:
        return functional.interpolate(x, scale_factor=2, mode="bilinear")

    share = torch.softmax(firmness * scores, 0)
    if not octaves:
        return (share * pixels).sum(0, keepdim=True)
    low = down(pixels)
    rest = by_definition(low, down(scores), firmness, octaves - 1)
    return (share * (pixels - up(low))).sum(0, keepdim=True) + up(rest)


def test_the_stream_gives_what_the_definition_gives() -> None:
    generator = torch.Generator().manual_seed(0)
    pixels, scores = torch.rand(6, 3, 64, 96, generator=generator), 3 * torch.randn(6, 1, 64, 96, generator=generator)
    blend = OctaveSum(1.5, 3, (64, 96), CPU, octaves=3)
    for image, score in zip(pixels, scores, strict=True):
        blend.add(image, score[0])
    torch.testing.assert_close(blend.result(), by_definition(pixels, scores, 1.5, 3)[0], atol=2e-6, rtol=0)


@pytest.mark.parametrize("shape", [(1, 1), (3, 70), (70, 91)])
def test_equal_slices_stay_what_they_are(shape: tuple[int, int]) -> None:
    image = torch.rand(1, *shape)
    blend = OctaveSum(5.0, 1, shape, CPU)
    for _ in range(3):
        blend.add(image, torch.randn(shape))
    torch.testing.assert_close(blend.result(), image)


def test_slices_that_cover_half_each_join_without_a_trace() -> None:
    plane = torch.full((1, 70, 91), 0.3)
    left = torch.zeros(70, 91, dtype=torch.bool)
    left[:, :30] = True
    blend = OctaveSum(5.0, 1, (70, 91), CPU)
    blend.add(plane.where(left, 0.9), torch.zeros(70, 91), left)
    blend.add(plane.where(~left, 0.1), torch.full((70, 91), torch.nan).where(left, 0.0), ~left)
    torch.testing.assert_close(blend.result(), plane)


def test_a_range_holds_what_the_slices_have() -> None:
    slices = torch.rand(4, 2, 20, 30)
    valid = torch.rand(4, 20, 30) > 0.3
    limits = FrameRange((2, 20, 30), CPU)
    for image, seen in zip(slices, valid, strict=True):
        limits.add(image, seen)
    held = limits.clamp_(torch.randn(2, 20, 30) * 3)
    any_valid = valid.any(0)
    low = slices.masked_fill(~valid[:, None], torch.inf).amin(0)[:, any_valid]
    high = slices.masked_fill(~valid[:, None], -torch.inf).amax(0)[:, any_valid]
    assert bool(((held[:, any_valid] >= low) & (held[:, any_valid] <= high)).all())


def test_a_flat_wall_under_two_lights_does_not_mottle() -> None:
    """Two frames of one wall, one a tenth brighter, with noise: which of them is sharper nothing tells."""
    rng = np.random.default_rng(0)
    wall = np.stack([np.full((192, 192), 100.0), np.full((192, 192), 110.0)]) + rng.normal(0, 1, (2, 192, 192))
    frames = np.clip(np.rint(wall), 0, 255).astype(np.uint8)
    fused = fuse(frames, device="cpu").image.astype(float)
    smooth = ndimage.gaussian_filter(fused, 4)[16:-16, 16:-16]
    alone = max(ndimage.gaussian_filter(f.astype(float), 4)[16:-16, 16:-16].std() for f in frames)
    assert fused.std() < 1.1 * min(f.std() for f in frames)
    assert smooth.std() < 4 * alone


def test_a_painted_decision_stays_within_the_frames_and_is_taken_far_from_its_seams() -> None:
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 256, (3, 64, 640), dtype=np.uint8)
    index = np.repeat([[0], [2]], 320, axis=0).reshape(1, -1).repeat(64, 0)
    fused = fuse_by_index(frames, index, device="cpu")
    assert (np.abs(fused[:, :160].astype(int) - frames[0][:, :160]) <= 1).all()
    assert (np.abs(fused[:, -160:].astype(int) - frames[2][:, -160:]) <= 1).all()
    assert ((fused >= frames.min(0)) & (fused <= frames.max(0))).all()
