"""Equations 13 to 16, streaming, and what a stack may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import data

from defocus_backend.errors import Cancelled, InputError
from defocus_backend.filters import guided_filter
from defocus_backend.fusion import fuse, fuse_by_index
from defocus_backend.fusion.blend import Blend, WeightedSum, guided_weight
from defocus_backend.fusion.decision import Decision, Detail
from defocus_backend.methods import BLENDS, DECISIONS, Method
from defocus_backend.params import DecisionParams, FusionParams, SliceMapParams
from defocus_backend.synthetic.scenes import focal_stack, tilted_depth


@pytest.fixture
def stack() -> np.ndarray:
    """Five unrelated textures (5, 70, 90) uint8: what matters here is not that they are focal slices."""
    return np.random.default_rng(0).integers(0, 256, (5, 70, 90), dtype=np.uint8)


@pytest.fixture
def run(random_weights: dict[str, Path]) -> Callable[..., Any]:
    def fused(stack: Any, **options: Any) -> Any:
        own = {name: options.pop(name) for name in ("channel_axis", "progress", "cancel") if name in options}
        return fuse(
            stack, **own, **FusionParams.arrange({"weights": random_weights["blurnet"], "device": "cpu"} | options)
        )

    return fused


def test_result_is_eqs_13_to_16(run: Callable[..., Any], stack: np.ndarray) -> None:
    options = {
        "decision": "sigma",
        "pooling": 1,
        "blend": "decision",
        "radius": 5,
        "edge_tolerance": 1e-2,
        "least_weight": 1e-3,
    }
    found = run(stack, keep_slices=True, **options)
    np.testing.assert_array_equal(found.index, found.sigmas.argmin(0))
    # Eq 14, with ties given to the lowest slice, as argmin does.
    np.testing.assert_array_equal(found.decisions, found.sigmas.argmin(0) == np.arange(5)[:, None, None])
    np.testing.assert_array_equal(found.sigma, found.sigmas.min(0))
    unit = torch.from_numpy(stack / 255.0)
    decisions = torch.from_numpy(found.decisions).double()
    weights = guided_filter(unit, decisions, radius=5, eps=1e-2).clamp(0, 1) + 1e-3
    weights = (weights / weights.sum(0)).numpy()
    np.testing.assert_allclose(found.weights, weights, atol=1e-4)
    np.testing.assert_allclose(found.image, (weights * stack).sum(0), atol=0.52)
    assert found.image.dtype == np.uint8


@pytest.mark.parametrize("blend", ["octaves", "decision", "pixels"])
def test_equal_slices_fuse_to_themselves(run: Callable[..., Any], photo: np.ndarray, blend: str) -> None:
    found = run([photo[:101, :77]] * 3, blend=blend)
    assert np.abs(found.image.astype(int) - photo[:101, :77]).max() <= 1
    assert (found.index == 0).all()


def test_every_form_of_a_stack_gives_the_same(run: Callable[..., Any], stack: np.ndarray) -> None:
    dask = pytest.importorskip("dask.array")
    expected = run(stack).image
    forms: list[Any] = [
        list(stack),
        tuple(stack),
        iter(list(stack)),
        (s for s in stack),
        lambda: iter(stack),
        dask.from_array(stack, chunks=(1, 70, 90)),
        np.asfortranarray(stack),
    ]
    for form in forms:
        np.testing.assert_array_equal(run(form).image, expected)


def test_slices_are_read_one_at_a_time(run: Callable[..., Any], stack: np.ndarray) -> None:
    """No more than two slices are alive at any moment, however long the stack is."""
    import weakref

    alive: list[weakref.ref[Any]] = []
    most = 0

    def read() -> Any:
        nonlocal most
        for values in np.concatenate([stack] * 3):
            fresh = values.copy()
            alive.append(weakref.ref(fresh))
            most = max(most, sum(ref() is not None for ref in alive))
            yield fresh
            del fresh

    run(read)
    assert len(alive) > 30
    assert most <= 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.bool_])
def test_dtype_and_colour_survive(run: Callable[..., Any], dtype: type, colour_photo: np.ndarray) -> None:
    image = colour_photo[:64, :80].astype(np.float32) / 255
    scaled = (
        image > 0.5 if dtype is np.bool_ else (image * {np.uint8: 255, np.uint16: 4000}.get(dtype, 1)).astype(dtype)
    )
    found = run([scaled, scaled], channel_axis=-1)
    assert found.image.dtype == dtype
    assert found.image.shape == scaled.shape
    np.testing.assert_allclose(found.image.astype(float), scaled.astype(float), atol=2e-3 * float(scaled.max()))


def test_nan_in_one_slice_is_filled_from_another(run: Callable[..., Any], stack: np.ndarray) -> None:
    holed = (stack / 255.0).astype(np.float32)
    holed[0, 10:20, 10:20] = np.nan
    holed[:, 50, 50] = np.nan
    for order in (holed, holed[::-1]):
        found = run(order)
        assert np.isnan(found.image).sum() == 1
        assert np.isnan(found.image[50, 50])
        assert np.isnan(found.sigma[50, 50])


def test_painted_index_is_fused_as_given(stack: np.ndarray) -> None:
    index = np.zeros(stack.shape[1:], int)
    index[:, 45:] = 3
    image = fuse_by_index(stack, index, blend="pixels", device="cpu")
    assert np.abs(image[:, :30].astype(int) - stack[0][:, :30]).max() <= 1
    assert np.abs(image[:, 60:].astype(int) - stack[3][:, 60:]).max() <= 1


@pytest.mark.parametrize("blend", ["octaves", "decision", "pixels"])
@pytest.mark.parametrize("channels", [None, 3])
def test_a_region_equals_that_part_of_the_whole(channels: int | None, blend: str) -> None:
    rng = np.random.default_rng(1)
    shape = (4, 330, 340) if channels is None else (4, 330, 340, channels)
    stack = rng.integers(0, 256, shape, dtype=np.uint8)
    index = rng.integers(0, 4, (33, 34)).repeat(10, 0).repeat(10, 1)
    axis = None if channels is None else -1
    region = np.s_[170:195, 180:240]
    whole = fuse_by_index(stack, index, channel_axis=axis, blend=blend, device="cpu")
    part = fuse_by_index(stack, index, channel_axis=axis, blend=blend, region=region, device="cpu")
    assert np.abs(part.astype(int) - whole[region]).max() <= 1
    assert (part == whole[region]).mean() > 0.999


def test_progress_counts_every_slice_of_both_passes_and_cancel_stops(
    run: Callable[..., Any], stack: np.ndarray
) -> None:
    seen: list[tuple[int, int, str]] = []
    run(stack, blend="decision", progress=lambda *report: seen.append(report))
    assert seen == [(n, 10, "slices") for n in range(1, 11)]
    seen.clear()
    with pytest.raises(Cancelled):
        run(stack, progress=lambda *report: seen.append(report), cancel=lambda: len(seen) >= 3)
    assert seen == [(n, 5, "slices") for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ([], "no slices"),
        (5, "int"),
        ("stack.tif", "str"),
        (np.zeros((4, 4)), "three or more dimensions"),
        ([np.zeros((4, 4)), np.zeros((4, 5))], r"stack\[1\].*shape"),
        ([np.zeros((4, 4)), np.zeros((4, 4), np.uint8)], r"stack\[1\].*dtype"),
        ([np.zeros((4, 4, 3))], "channel_axis"),
    ],
)
def test_refusals(run: Callable[..., Any], bad: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        run(bad)


@pytest.mark.parametrize(
    "index", [np.zeros((3, 3), int), np.zeros((70, 90)), np.full((70, 90), 5), np.full((70, 90), -1)]
)
def test_bad_index_is_refused(stack: np.ndarray, index: np.ndarray) -> None:
    with pytest.raises(InputError, match="index"):
        fuse_by_index(stack, index)


@pytest.mark.parametrize("region", [np.s_[5:5, 0:9], np.s_[0:9:2, 0:9]])
def test_bad_region_is_refused(stack: np.ndarray, region: tuple[slice, slice]) -> None:
    with pytest.raises(InputError, match="region"):
        fuse_by_index(stack, np.zeros((70, 90), int), region=region)


def test_one_range_of_values_is_found_for_a_lazy_stack_too(run: Callable[..., Any], stack: np.ndarray) -> None:
    """The brightest slice need not be the first."""
    import dask.array as da

    bright = (stack / 255 * np.array([1, 3, 1, 2, 1])[:, None, None]).astype(np.float32)
    expected = run(bright)
    assert expected.image.max() > 1.5
    lazy = run(da.from_array(bright, chunks=(1, 70, 90)))
    np.testing.assert_array_equal(lazy.image, expected.image)


def test_what_no_slice_has_does_not_change_the_maps_beside_it(run: Callable[..., Any], stack: np.ndarray) -> None:
    """Sigma is found on squares of pixels, those of a hole among them."""
    holed = stack.astype(np.float32)
    holed[:, 20:41, 30:51] = np.nan
    found = run(holed, value_range=(0, 255), keep_slices=True, decision="sigma")
    hole = np.isnan(holed[0])
    for sigma in (found.sigma, *found.sigmas):
        np.testing.assert_array_equal(np.isnan(sigma), hole)
    # Each pixel of the least sigma lies between cells of the slices' least.
    assert found.sigma[~hole].min() > found.sigmas[:, ~hole].min() - 0.1


def test_blurs_below_half_a_cell_do_not_decide_on_the_height_under_noise() -> None:
    """Noise says which of them is less: with their squares as they are the errors are .182 and .345 slices."""
    photo = data.astronaut()[100:292, 100:292]
    scene = focal_stack(photo, tilted_depth(photo.shape[:2], 7), slices=7, noise=5.0, seed=2)
    errors = []
    for pooling in (2, 4):
        found = fuse(scene.slices, channel_axis=-1, map_settings=SliceMapParams(pooling=pooling), device="cpu")
        off = np.abs(found.height - scene.depth)[np.isfinite(found.height) & ~found.inferred]
        errors.append(float(np.sqrt(np.mean(off**2))))
    assert errors[0] < 0.17
    assert errors[1] < 0.31


def occlusion() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eight slices in which the ground is sharp in slice 2 and a thing in front of its right half in slice 5.

    Beside the edge the ground shows through the blurred thing: where slice 5 has the thing's detail, slice 2 has that
    of the ground at nearly the same strength.
    """
    rng = np.random.default_rng(8)
    ground, thing = rng.normal(0, 30, (2, 96, 128))
    columns = np.arange(128)
    slices = []
    for n in range(8):
        sharp = [ndimage.gaussian_filter(t, abs(n - place)) for t, place in ((ground, 2), (thing, 5))]
        opaque = ndimage.gaussian_filter1d((columns >= 64).astype(float), abs(n - 5) + 1e-3)
        slices.append(128 + sharp[0] * (1 - opaque) + sharp[1] * opaque)
    beside, plain = np.abs(columns - 64) < 4, np.abs(columns - 64) > 40
    return np.clip(np.rint(slices), 0, 255).astype(np.uint8), beside, plain


def test_at_an_occlusion_the_side_in_front_can_be_preferred() -> None:
    stack, beside, plain = occlusion()
    found = {
        front: fuse(stack, decision_settings=DecisionParams(front=front), device="cpu")
        for front in ("none", "first", "last")
    }
    near = {front: (f.index[:, beside] >= 4).mean() for front, f in found.items()}
    assert near["first"] < near["none"] - 0.05
    assert near["last"] > near["none"] + 0.05
    for front in ("first", "last"):
        np.testing.assert_array_equal(found[front].index[:, plain], found["none"].index[:, plain])


def test_a_blend_and_a_decision_can_be_added_from_outside(run: Callable[..., Any], stack: np.ndarray) -> None:
    """The last slice everywhere, and of every pixel the brightest: two rules that nothing here has."""

    class Last:
        def add(self, pixels: torch.Tensor, *_: torch.Tensor) -> None:
            self.pixels = pixels

        def result(self) -> torch.Tensor:
            return self.pixels

        def weights(self) -> torch.Tensor:
            raise NotImplementedError

    def brightness(detail: Detail, *_: Any) -> torch.Tensor:
        return detail.gray.clone()

    last = Blend(weigh=guided_weight, known=WeightedSum, scored=lambda *_: Last(), reach=lambda _: 0)
    BLENDS.add(Method(name="last", text="the last slice", citation="-", home=last))
    DECISIONS.add(Method(name="bright", text="the brightest", citation="-", home=Decision(score=brightness)))
    try:
        found = run(stack, blend="last", decision="bright", never_above=30)
        assert "last" in FusionParams.describe()["blend"]["choices"]
    finally:
        BLENDS.remove("last")
        DECISIONS.remove("bright")
    np.testing.assert_array_equal(found.image, stack[-1])
    np.testing.assert_array_equal(found.index, stack.argmax(0))


def test_an_unknown_blend_or_decision_is_refused(run: Callable[..., Any], stack: np.ndarray) -> None:
    for option in ({"blend": "mean"}, {"decision": "mean"}):
        with pytest.raises(InputError, match="one of"):
            run(stack, **option)
    with pytest.raises(InputError, match="blend: got 'mean'; expected one of octaves, decision, pixels"):
        BLENDS["mean"]
    with pytest.raises(InputError, match="each name once"):
        BLENDS.add(BLENDS["octaves"])


def test_the_result_says_what_its_maps_are(run: Callable[..., Any], stack: np.ndarray) -> None:
    found = run(stack, keep_slices=True)
    for field in fields(found):
        value = getattr(found, field.name)
        if field.metadata:  # a map
            assert value.dtype == field.metadata["dtype"], field.name
            assert value.ndim == len(field.metadata["axes"]), field.name
