"""Stacks within images of many dimensions: each is fused as `fuse` does it, all channels by one choice."""

from __future__ import annotations

import itertools
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from defocus_backend.errors import Cancelled, InputError
from defocus_backend.fusion import fuse, fuse_by_index, fuse_each, fuse_nd
from defocus_backend.params import SliceMapParams
from defocus_backend.stacks import StackPlan
from defocus_backend.stacks.channels import detail_above_noise, focus_weights, sharpest_channel

SIZES = {"P": 2, "T": 2, "C": 2, "Z": 3, "Y": 40, "X": 48, "S": 3}
RNG = np.random.default_rng(0)


def image(axes: str, dtype: Any = np.uint16) -> np.ndarray:
    return RNG.integers(0, 200 if dtype == np.uint8 else 5000, [SIZES[a] for a in axes]).astype(dtype)


@pytest.fixture
def options(random_weights: dict[str, Path]) -> dict[str, Any]:
    return {"map_settings": SliceMapParams(weights=random_weights["blurnet"]), "device": "cpu"}


@pytest.mark.parametrize("axes", ["ZYX", "TZYX", "ZCYX", "XZY", "ZYXS", "TCZYX", "CTZXY"])
def test_every_stack_is_fused_as_if_it_were_alone(axes: str, options: dict[str, Any]) -> None:
    whole = image(axes)
    choice = {"focus_channels": 1} if "C" in axes else {}
    found = fuse_nd(whole, axes=axes, **choice, **options)
    kept = "".join(a for a in axes if a in "TC") + "YX" + ("S" if "S" in axes else "")
    assert found.image.shape == tuple(SIZES[a] for a in kept)
    assert found.image.dtype == np.uint16
    # The same, taken apart by hand: (T, C, Z, Y, X, S), absent axes of length one.
    order = [a for a in "TCZYXS" if a in axes]
    plain = whole.transpose([axes.index(a) for a in order])
    for place, a in enumerate("TCZYXS"):
        if a not in axes:
            plain = np.expand_dims(plain, place)
    result = found.image.transpose([kept.index(a) for a in "TCYXS" if a in kept])
    result = result.reshape(plain.shape[0], plain.shape[1], *plain.shape[3:])
    colour = -1 if "S" in axes else None
    squeeze = (lambda a: a) if "S" in axes else (lambda a: a[..., 0])
    judged = 1 if "C" in axes else 0
    for t in range(plain.shape[0]):
        expected = fuse(squeeze(plain[t, judged]), channel_axis=colour, **options)
        np.testing.assert_array_equal(squeeze(result[t, judged]), expected.image)
        np.testing.assert_array_equal(found.index[t] if "T" in axes else found.index, expected.index)
        np.testing.assert_array_equal(found.sigma[t] if "T" in axes else found.sigma, expected.sigma)


def test_an_option_that_fuse_does_not_have_is_refused_with_its_place(options: dict[str, Any]) -> None:
    for name, wanted in (
        ("refine_radius", "map_settings=SliceMapParams"),
        ("channel_axis", "one of"),
        ("blnd", "blend?"),
    ):
        with pytest.raises(InputError, match=re.escape(wanted)) as caught:
            fuse_nd(image("CZYX"), axes="CZYX", **options, **{name: 1})
        assert caught.value.argument == name


def test_other_channels_take_the_choice_of_the_deciding_one(options: dict[str, Any]) -> None:
    whole = image("CZYX")
    found = fuse_nd(whole, axes="CZYX", focus_channels=0, **options)
    np.testing.assert_array_equal(found.image[1], fuse_by_index(whole[1], found.index, device="cpu"))
    # A channel that is constant in each slice shows which slice was taken.
    whole[1] = np.array([100, 200, 300], np.uint16)[:, None, None]
    values = fuse_nd(whole, axes="CZYX", focus_channels=0, blend="pixels", **options).image[1]
    certain = ndimage.minimum_filter(found.index, 7) == ndimage.maximum_filter(found.index, 7)
    np.testing.assert_array_equal(values[certain], (found.index[certain] + 1) * 100)


def test_other_channels_of_whole_regions_keep_the_slices_own_pixels(options: dict[str, Any]) -> None:
    whole = image("CZYX")
    found = fuse_nd(whole, axes="CZYX", focus_channels=0, decision="region", **options)
    np.testing.assert_array_equal(found.image[1], fuse_by_index(whole[1], found.index, blend="pixels", device="cpu"))


def test_a_weighted_set_of_channels_is_their_sum_on_unit_ranges(options: dict[str, Any]) -> None:
    whole = image("CZYX", np.uint8)
    found = fuse_nd(whole, axes="CZYX", focus_channels={0: 3.0, 1: 1.0}, **options)
    mixed = (0.75 * whole[0].astype(np.float32) + 0.25 * whole[1].astype(np.float32)) / 255
    expected = fuse(mixed.astype(np.float32), **options)
    assert (found.index == expected.index).mean() > 0.99  # but for ties that rounding decides
    assert found.image.dtype == np.uint8


def test_the_range_of_values_is_that_of_each_deciding_channel(options: dict[str, Any]) -> None:
    """Two equal channels, or more of them, decide as one of them does."""
    one = image("ZYX")
    whole = np.stack([one, one], axis=0)
    alone = fuse(one, value_range=(0, 4095), **options)
    for lazy in (False, True) if find_spec("dask") else (False,):
        found = fuse_nd(whole, axes="CZYX", focus_channels=[0, 1], value_range=(0, 4095), lazy=lazy, **options)
        assert (np.asarray(found.index) == alone.index).mean() > 0.99  # but for ties that rounding decides
        np.testing.assert_allclose(np.asarray(found.sigma), alone.sigma, atol=0.01)
        assert found.image.dtype == np.uint16
    with pytest.raises(InputError, match="value_range"):
        fuse_nd(whole, axes="CZYX", focus_channels=[0, 1], value_range=(9, 9), **options)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_type_and_range_of_each_channel_are_kept(dtype: Any, options: dict[str, Any]) -> None:
    whole = image("CZYX", dtype)
    whole[1] = whole[1] // 8 + 3 if dtype != np.float32 else whole[1] / 1e4
    found = fuse_nd(whole, axes="CZYX", focus_channels=0, **options).image
    assert found.dtype == dtype
    for channel, source in zip(found, whole, strict=True):
        assert source.min() <= channel.min()
        assert channel.max() <= source.max()


def test_axes_names_and_planes_come_from_the_image(options: dict[str, Any]) -> None:
    """Only single planes are read, each of them once."""

    class Image:
        axes = "TCZYX"
        shape = tuple(SIZES[a] for a in axes)
        dtype = np.dtype(np.uint16)

        def __init__(self) -> None:
            self.read: list[tuple[int, ...]] = []
            self._values = image(self.axes)

        def __getitem__(self, key: tuple[Any, ...]) -> np.ndarray:
            assert [isinstance(k, slice) for k in key] == [False, False, False, True, True]
            self.read.append(key[:3])
            return self._values[key]

    source = Image()
    plan = StackPlan(source, focus_channels="b", channel_names=["a", "b"])
    assert plan.focus == {1: 1.0}
    assert source.read == []
    stacks = list(fuse_each(plan, **options))
    assert [index for index, _ in stacks] == [(0,), (1,)]
    assert sorted(source.read) == sorted(set(source.read))
    assert len(source.read) == 2 * 2 * 3
    assert {key[0] for key in source.read[: len(source.read) // 2]} == {0}


def test_lazy_arrays_hold_the_same_and_compute_nothing_before(options: dict[str, Any]) -> None:
    da = pytest.importorskip("dask.array")
    whole = image("TCZYX")
    reads = itertools.count()

    def read(block: np.ndarray) -> np.ndarray:
        next(reads)
        return block

    given = da.from_array(whole, chunks=(1, 1, 1, 40, 48)).map_blocks(read, meta=np.empty((0,) * 5, np.uint16))
    found = fuse_nd(given, axes="TCZYX", focus_channels=0, lazy=True, **options)
    assert next(reads) == 0
    assert found.image.shape == (2, 2, 40, 48)
    assert found.image.dtype == np.uint16
    expected = fuse_nd(whole, axes="TCZYX", focus_channels=0, **options)
    np.testing.assert_array_equal(found.image[1].compute(scheduler="synchronous"), expected.image[1])
    np.testing.assert_array_equal(found.index.compute(scheduler="threads"), expected.index)


def test_progress_counts_the_whole_job_and_cancel_stops_it(options: dict[str, Any]) -> None:
    seen: list[tuple[int, int]] = []
    plan = StackPlan(image("TCZYX"), "TCZYX", focus_channels=0)
    list(fuse_each(plan, progress=lambda done, total, _: seen.append((done, total)), **options))
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]
    with pytest.raises(Cancelled):
        fuse_nd(image("TZYX"), axes="TZYX", cancel=lambda: True, **options)


def test_what_a_mask_hides_is_missing(options: dict[str, Any]) -> None:
    hidden = np.zeros_like(image("TZYX"), dtype=bool)
    hidden[1, :, 4:12, 6:20] = True
    found = fuse_nd(np.ma.MaskedArray(image("TZYX"), hidden), axes="TZYX", **options)
    np.testing.assert_array_equal(np.isnan(found.sigma), hidden[:, 0])


@pytest.mark.parametrize(("axes", "focus"), [("ZYX", None), ("CZYX", 1), ("CZYX", [0, 1])])
def test_progress_ends_at_its_total(options: dict[str, Any], axes: str, focus: Any) -> None:
    seen: list[tuple[int, int]] = []
    plan = StackPlan(image(axes), axes, focus_channels=focus)
    list(fuse_each(plan, progress=lambda done, total, _: seen.append((done, total)), **options))
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]


@pytest.mark.parametrize(
    ("axes", "shape", "message"),
    [
        ("TYX", (2, 9, 9), "without Z"),
        ("ZYQ", (2, 9, 9), "letters of P"),
        ("ZZYX", (2, 2, 9, 9), "each letter once"),
        ("ZYX", (2, 2, 9, 9), r"3 letters.*4 letters for the shape \(2, 2, 9, 9\)"),
        ("ZYX", (0, 9, 9), "at least one pixel"),
        ("ZYXS", (2, 9, 9, 5), "colour samples"),
        (None, (2, 9, 9), "axes: got None"),
    ],
)
def test_axes_that_cannot_be(axes: str | None, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fuse_nd(np.zeros(shape), axes=axes)


def test_options_and_channels_that_cannot_be(options: dict[str, Any]) -> None:
    whole = image("CZYX")
    for choice in (2, -1, "DAPI", [], [0, 0], {0: 0.0}, {0: float("nan")}, 1.5):
        with pytest.raises((InputError, TypeError), match=r"focus_channels|iterable"):
            fuse_nd(whole, axes="CZYX", focus_channels=choice, **options)
    with pytest.raises(InputError, match="axes without C"):
        fuse_nd(whole[0], axes="ZYX", focus_channels=0, **options)
    with pytest.raises(InputError, match="channel_axis"):
        fuse_nd(whole, axes="CZYX", channel_axis=0, **options)


def test_channels_by_name() -> None:
    names = ["DAPI", "gfp", "GFP"]
    assert focus_weights("dapi", 3, names) == {0: 1.0}
    assert focus_weights(["GFP", 0], 3, names) == {2: 0.5, 0: 0.5}
    assert focus_weights({"gfp": 1, "DAPI": 3}, 3, names) == {1: 0.25, 0: 0.75}
    assert focus_weights("1", 3, names) == {1: 1.0}
    with pytest.raises(InputError, match="0 to 2 or one of DAPI, gfp, GFP"):
        focus_weights("Gfp", 3, names)
    for choice in (object(), None, 1.5, 7, [None], b"x"):
        with pytest.raises(InputError, match=r"^focus_channels\b"):
            focus_weights(choice, 3, names)  # type: ignore[arg-type]


def test_the_channel_with_detail_is_preferred_to_a_brighter_but_noisy_one(photo: np.ndarray) -> None:
    small = photo[:128, :128].astype(float)
    noisy = RNG.normal(3000, 200, small.shape).astype(np.uint16)
    detailed = (small * 2 + RNG.normal(50, 3, small.shape)).astype(np.uint16)
    planes = [noisy, detailed, np.zeros_like(noisy)]
    assert sharpest_channel(lambda c, _: planes[c], 3, 5) == 1
    plan = StackPlan(np.stack([np.stack([p] * 2) for p in planes]), "CZYX")
    assert plan.chosen
    assert plan.focus == {1: 1.0}


def test_pure_noise_has_no_detail_above_it() -> None:
    """Its variance between two Gaussians is known, so that the measure is 1 whatever the noise."""
    for sigma in (5, 50, 500):
        noise = np.random.default_rng(1).normal(3000, sigma, (256, 256)).astype(np.float32)
        assert detail_above_noise(noise) == pytest.approx(1, rel=0.15)
    assert detail_above_noise(np.full((20, 20), 7, np.uint8)) == 0
