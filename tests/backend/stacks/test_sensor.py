"""Defects of the sensor: what stands still in every slice is taken out, what the lens can make is not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from defocus_backend import InputError, RepairedStack, repair_stack

HOT = np.array([(5, 7), (40, 60), (41, 20), (70, 90), (22, 33)])


def frames(count: int = 6, *, step: int = 0, dtype: type = np.uint8) -> NDArray[np.integer]:
    """Frames of a texture, focused one after the other along x, moving by `step` pixels a frame."""
    rng = np.random.default_rng(3)
    size = (80, 100)
    scene = sum(s * ndimage.gaussian_filter(rng.standard_normal((80 + 9 * step, 100 + 9 * step)), s) for s in (1, 2, 5))
    scene = 0.1 + 0.5 * (scene - scene.min()) / np.ptp(scene)
    x = np.linspace(0, count - 1, scene.shape[1])
    blurred = np.stack([ndimage.gaussian_filter(scene, s) if s else scene for s in range(count)])
    found = []
    for n in range(count):
        level = np.abs(x - n).round().astype(int).clip(0, count - 1)
        frame = np.take_along_axis(blurred, np.broadcast_to(level, (1, *scene.shape)), 0)[0]
        found.append(frame[n * step :, n * step :][: size[0], : size[1]])
    return (np.stack(found) * np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("step", [0, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_hot_and_dead_pixels_are_found_and_filled(step: int, dtype: type) -> None:
    clean = frames(step=step, dtype=dtype)
    dirty = clean.copy()
    dirty[:, HOT[:3, 0], HOT[:3, 1]] = np.iinfo(dtype).max
    dirty[:, HOT[3:, 0], HOT[3:, 1]] = 0
    repaired = repair_stack(dirty)
    assert isinstance(repaired, RepairedStack)
    assert set(map(tuple, np.argwhere(repaired.bad))) == set(map(tuple, HOT))
    assert repaired.spots == len(HOT)
    filled = np.asarray(repaired).astype(float)
    error = (filled - clean)[:, HOT[:, 0], HOT[:, 1]] / np.iinfo(dtype).max
    assert np.abs(error).max() < 0.05
    there = ~repaired.bad
    assert (filled[:, there] == clean[:, there]).all()


def test_rows_of_repaired_slices_are_those_of_the_whole() -> None:
    dirty = frames()
    dirty[:, HOT[:, 0], HOT[:, 1]] = 255
    repaired = repair_stack(dirty)
    for first, last in ((0, 6), (5, 41), (40, 80)):
        assert (repaired.rows(first, last).plane(2) == repaired.plane(2)[first:last]).all()


def test_clean_stacks_and_small_points_of_light_stay_as_they_are() -> None:
    clean = frames()
    assert not isinstance(repair_stack(clean), RepairedStack)
    # Beads of sigma 0.6 px in focus, blurred by a pixel more with every slice, on a dark ground with noise.
    beads = np.zeros((80, 100))
    beads[HOT[:, 0], HOT[:, 1]] = 1
    noise = np.random.default_rng(0)
    stack = [
        2000 + 50000 * ndimage.gaussian_filter(beads, np.hypot(0.6, n - 2)) + noise.normal(0, 60, beads.shape)
        for n in range(5)
    ]
    assert not isinstance(repair_stack(np.array(stack).astype(np.uint16)), RepairedStack)


def test_noise_and_what_is_everywhere_is_no_defect() -> None:
    rng = np.random.default_rng(1)
    assert not isinstance(repair_stack(rng.integers(0, 255, (4, 64, 64)).astype(np.uint8)), RepairedStack)
    dots = np.full((4, 64, 64), 50, np.uint8)
    dots[:, ::4, ::4] = 200
    assert not isinstance(repair_stack(dots), RepairedStack)


def test_colours_are_looked_at_one_by_one_and_alpha_is_left_alone() -> None:
    clean = frames()
    colour = np.stack([clean, clean[:, ::-1], 255 - clean, np.full_like(clean, 255)], axis=-1)
    dirty = colour.copy()
    dirty[:, 40, 60, 1] = 255
    dirty[:, 20, 20, 3] = 0
    repaired = repair_stack(dirty, channel_axis=-1)
    assert np.argwhere(repaired.bad).tolist() == [[40, 60]]
    assert (np.asarray(repaired)[..., 3] == dirty[..., 3]).all()


@pytest.mark.parametrize("kind", ["gray", "colour"])
def test_a_flat_frame_takes_out_dust_and_shading(kind: str) -> None:
    clean = frames().astype(float)
    y, x = np.indices(clean.shape[1:])
    shading = 1.1 - 0.3 * ((x - 50) / 50) ** 2
    dust = 1 - 0.4 * np.exp(-((y - 30) ** 2 + (x - 70) ** 2) / 50)
    seen = np.rint(clean * shading * dust).clip(0, 255).astype(np.uint8)
    flat = np.rint(200 * shading * dust).clip(0, 255).astype(np.uint8)
    axis = None
    if kind == "colour":
        seen, flat, axis = np.stack([seen] * 3, axis=-1), np.stack([flat] * 3, axis=-1), -1
    repaired = np.asarray(repair_stack(seen, channel_axis=axis, flat_frame=flat)).astype(float)
    ratio = (repaired[..., 0] if axis else repaired)[2] / clean[2]
    assert ratio.std() / ratio.mean() < 0.01


def test_a_flat_frame_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(InputError, match="flat_frame"):
        repair_stack(frames(), flat_frame=np.ones((3, 3)))
    with pytest.raises(InputError, match="flat_frame"):
        repair_stack(frames(), flat_frame=np.zeros((80, 100)))
