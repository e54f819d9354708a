"""The decision over whole regions: islands go, thick things stay, every pixel is some slice's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from defocus_backend import fuse
from defocus_backend.fusion.regions import region_score, without_islands
from defocus_backend.synthetic.degrade import blur


def test_islands_below_a_hundredth_of_a_pair_take_the_number_around_them() -> None:
    index = torch.zeros(100, 100, dtype=torch.int32)
    index[:, 50:] = 1
    index[20:29, 20:29] = 1  # 81 pixels in 10,000: an island
    index[70:81, 70:81] = 0  # 121: a region
    found = without_islands(index, 2)
    expected = index.clone()
    expected[20:29, 20:29] = 0
    assert torch.equal(found, expected)
    assert found.dtype == torch.int32


def test_among_more_slices_smaller_regions_stay() -> None:
    index = torch.zeros(100, 100, dtype=torch.int32)
    index[20:29, 20:29] = 1
    assert torch.equal(without_islands(index, 3), index)


def test_nothing_but_islands_is_left_as_it_is() -> None:
    index = (torch.arange(64 * 64).reshape(64, 64) % 2).int()
    index[::2] = 1 - index[::2] + 2
    assert torch.equal(without_islands(index * 7 % 5, 1), index * 7 % 5)


def test_sigma_decides_where_there_is_no_detail() -> None:
    flat = torch.full((32, 32), 0.5)
    near, far = (region_score(flat, torch.full((32, 32), sigma), 0.2) for sigma in (1.0, 6.0))
    assert bool((near > far).all())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_pair_is_put_together_from_its_own_pixels(photo: np.ndarray, dtype: type) -> None:
    """Apart from the seam, the fused picture is one source or the other, and the right one."""
    scale = np.iinfo(dtype).max // 255
    soft = blur(photo.astype(np.float32), 4.0, "disc")
    left = np.arange(photo.shape[1]) < photo.shape[1] // 2
    pair = [np.rint(np.where(keep, photo, soft) * scale).astype(dtype) for keep in (left, ~left)]
    found = fuse(pair, decision="region")
    away = np.abs(np.arange(photo.shape[1]) - photo.shape[1] // 2) > 16
    assert found.image.dtype == dtype
    # In a sky that is the same in both sources neither is the right one.
    differ = away & (np.abs(np.subtract(*pair, dtype=np.int64)) > 3 * scale)
    true = photo.astype(np.int64) * scale
    np.testing.assert_array_equal(found.index[differ], np.broadcast_to(~left, photo.shape)[differ])
    np.testing.assert_array_equal(found.image[differ], true[differ])
    assert np.abs(found.image - true)[:, away].max() <= 3 * scale
