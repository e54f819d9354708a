"""An audit of pictures of which it is known what was lost and what was made up."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from defocus_backend.errors import InputError
from defocus_backend.fusion.audit import audit

SHARP = np.random.default_rng(0).integers(40, 216, (128, 128)).astype(np.uint8)
SOFT = ndimage.gaussian_filter(SHARP.astype(float), 2).round().astype(np.uint8)


def test_a_slice_itself_loses_nothing_and_makes_nothing_up() -> None:
    found = audit(SHARP, [SHARP, SOFT])
    assert (found.soft, found.made_up, found.outside) == (0, 0, 0)
    np.testing.assert_array_equal(found.ratio, 1)


def test_blurred_and_invented_blocks_are_counted() -> None:
    picture = SHARP.copy()
    picture[:32] = SOFT[:32]
    assert audit(picture, [SHARP, SOFT]).soft == 0.25
    picture = SOFT.copy()
    picture[:, :48] = SHARP[:, :48]  # one column of blocks and half of the next
    found = audit(picture, [SOFT, SOFT])
    assert found.made_up == 0.5
    assert found.outside > 0.3


def test_noise_that_was_averaged_away_is_no_loss() -> None:
    rng = np.random.default_rng(1)
    frames = [np.clip(np.rint(120 + rng.normal(0, 6, (128, 128))), 0, 255).astype(np.uint8) for _ in range(9)]
    mean = np.rint(np.mean(frames, axis=0)).astype(np.uint8)
    found = audit(mean, frames)
    assert (found.soft, found.made_up) == (0, 0)


def test_noise_that_grows_with_brightness_is_no_detail() -> None:
    """Blurred light over a dark place is noisier than the dark itself, which is what the sharp slice has there."""
    rng = np.random.default_rng(2)
    x = np.indices((256, 256))[1]
    sharp = np.where(x < 128, 30.0, 200.0)
    blurred = [30 + 170 / (1 + np.exp((128 - x) / width)) for width in (20, 30, 40, 50)]
    frames = [f + rng.normal(0, 1, f.shape) * np.sqrt(f / 30) for f in (sharp, *blurred)]
    slices = [np.clip(np.rint(f), 0, 255).astype(np.uint8) for f in frames]
    fused = np.clip(np.rint(sharp + rng.normal(0, 0.8, sharp.shape)), 0, 255).astype(np.uint8)
    assert audit(fused, slices).soft == 0
    lost = ndimage.gaussian_filter(fused.astype(float), (0, 4)).astype(np.uint8)
    assert audit(lost, slices).soft >= 1 / 8  # the column of blocks with the edge


def test_colour_is_compared_plane_by_plane() -> None:
    colour = np.stack([SHARP, SOFT, SHARP], -1)
    swapped = colour[..., ::-1].copy()
    assert audit(colour, [colour, colour], channel_axis=-1).outside == 0
    assert audit(swapped + np.uint8(30), [colour, colour], channel_axis=-1).outside == 1


@pytest.mark.parametrize(("options", "argument"), [({"block": 2}, "block"), ({"fused": SHARP[1:]}, "fused")])
def test_what_cannot_be_used_is_refused(options: dict[str, object], argument: str) -> None:
    given = {"fused": SHARP} | options
    fused = given.pop("fused")
    with pytest.raises(InputError) as caught:
        audit(fused, [SHARP, SOFT], **given)  # type: ignore[arg-type]
    assert caught.value.argument == argument
