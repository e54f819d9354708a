"""Alpha is coverage: what is transparent in a frame takes no part, as hugin and align_image_stack write it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from defocus_backend.fusion import fuse
from defocus_backend.params import SliceMapParams


@pytest.fixture
def frames() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Frames of which each further one is sharper and leaves more of the left open, black there; and their masks."""
    texture = np.random.default_rng(0).integers(60, 250, (48, 64, 3)).astype(np.float64)
    made, masks = [], []
    for number in range(3):
        colours = ndimage.gaussian_filter(texture, (2 - number, 2 - number, 0)).astype(np.uint8)
        alpha = np.full(colours.shape[:2], 255, np.uint8)
        alpha[:, : 10 * number] = 0
        colours[alpha == 0] = 0
        made.append(np.dstack([colours, alpha]))
        masks.append(alpha > 0)
    return made, masks


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("blend", ["octaves", "decision"])
def test_no_pixel_comes_from_a_transparent_place(
    frames: tuple[list[np.ndarray], list[np.ndarray]], order: int, blend: str
) -> None:
    made, masks = frames[0][::order], frames[1][::order]
    result = fuse(made, channel_axis=-1, blend=blend, map_settings=SliceMapParams(map_method="energy_ratio"))
    for number, mask in enumerate(masks):
        assert mask[result.index == number].all()
    assert result.image[..., 3].min() == 255
    assert result.image[:, :30, :3].min() > 50  # nothing of the black border


def test_the_alpha_of_the_result_is_the_union(frames: tuple[list[np.ndarray], list[np.ndarray]]) -> None:
    made = [frame.copy() for frame in frames[0]]
    for frame in made:
        frame[:5, :, 3] = 0
    result = fuse(made, channel_axis=-1, map_settings=SliceMapParams(map_method="energy_ratio"))
    assert (result.image[:5, :, 3] == 0).all()
    assert (result.image[5:, :, 3] == 255).all()


def test_frames_with_alpha_are_fused_as_masked_frames_are(frames: tuple[list[np.ndarray], list[np.ndarray]]) -> None:
    made, masks = frames
    masked = [
        np.ma.array(frame[..., :3], mask=np.repeat(~mask[..., None], 3, axis=-1))
        for frame, mask in zip(made, masks, strict=True)
    ]
    with_alpha = fuse(made, channel_axis=-1, map_settings=SliceMapParams(map_method="energy_ratio"))
    as_masked = fuse(masked, channel_axis=-1, map_settings=SliceMapParams(map_method="energy_ratio"))
    np.testing.assert_array_equal(with_alpha.image[..., :3], as_masked.image)
    np.testing.assert_array_equal(with_alpha.index, as_masked.index)
