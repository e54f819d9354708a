"""Any dtype and layout goes in, and comes out as it went in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from defocus_backend.arrays import as_float64, as_float64_stack, as_image, as_map, float_white, gray_float64, to_map
from defocus_backend.errors import DefocusWarning, InputError
from defocus_backend.luma import LUMA

DTYPES = (np.bool_, np.uint8, np.uint16, np.int16, np.int32, np.float16, np.float32, np.float64)


def layouts(array: np.ndarray) -> list[np.ndarray]:
    """The same values C-ordered, F-ordered, read-only, and as a strided view."""
    frozen = array.copy()
    frozen.flags.writeable = False
    strided = np.repeat(array, 2, axis=-1)[..., ::2]
    return [array, np.asfortranarray(array), frozen, strided, array[::-1].copy()[::-1]]


@pytest.mark.filterwarnings("ignore::defocus_backend.errors.DefocusWarning")
@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(
            dtype,
            hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
            elements=st.floats(0, 1, width=16) if np.issubdtype(dtype, np.floating) else None,
        )
    )
)
def test_restore_returns_what_went_in(array: np.ndarray) -> None:
    for layout in layouts(array):
        image = as_image(layout)
        assert image.pixels.dtype == torch.float32
        assert torch.isfinite(image.pixels).all()
        back = image.restore(image.pixels)
        assert back.dtype == array.dtype
        assert back.shape == array.shape
        # Whole numbers up to 24 bits survive float32; wider ones to its relative precision.
        spread = float(array.max()) - float(array.min())
        np.testing.assert_allclose(back.astype(float), array.astype(float), atol=max(1e-6, spread * 2e-7))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_channel_axis_and_alpha_come_back(channels: int, axis: int) -> None:
    rng = np.random.default_rng(0)
    array = np.moveaxis(rng.integers(1, 256, (5, 7, channels), dtype=np.uint8), -1, axis)
    image = as_image(array, channel_axis=axis)
    assert image.pixels.shape == (3 if channels > 2 else 1, 5, 7)
    assert np.array_equal(image.restore(image.pixels), array)
    darker = image.restore(image.pixels * 0)
    if channels in (2, 4):
        assert np.array_equal(np.moveaxis(darker, axis, 0)[-1], np.moveaxis(array, axis, 0)[-1])


def test_gray_is_rec601_luma() -> None:
    array = np.zeros((1, 3, 3), np.uint8)
    array[0, [0, 1, 2], [0, 1, 2]] = 255
    gray = as_image(array, channel_axis=-1).gray
    np.testing.assert_allclose(gray[0].numpy(), LUMA, atol=1e-7)


def test_eight_bits_keep_their_range_and_sixteen_are_stretched() -> None:
    dim = np.full((8, 8), 100, np.uint8)
    assert as_image(dim).pixels[0, 0, 0] == pytest.approx(100 / 255)
    rng = np.random.default_rng(0)
    counts = rng.integers(90, 640, (200, 200)).astype(np.uint16)
    pixels = as_image(counts).pixels
    assert 0 <= np.quantile(pixels, 0.01) < 0.05
    assert 0.95 < np.quantile(pixels, 0.99) <= 1


def test_value_range_is_taken_literally() -> None:
    image = as_image(np.array([[0.0, 50.0, 100.0]]), value_range=(0, 100))
    np.testing.assert_allclose(image.pixels[0, 0], [0, 0.5, 1])


def test_only_floats_that_lay_in_the_unit_range_are_held_to_it() -> None:
    inside = as_image(np.array([[0.0, 1.0]]))
    assert inside.restore(inside.pixels * 2).tolist() == [[0, 1]]
    beyond = as_image(np.array([[0.0, 4.0]]), value_range=(0, 1))
    assert beyond.restore(beyond.pixels).tolist() == [[0, 4]]


def test_nan_is_filled_inside_and_returned_outside() -> None:
    array = np.full((4, 4), 0.5)
    array[1, 1], array[2, 2] = np.nan, np.inf
    image = as_image(array)
    assert torch.isfinite(image.pixels).all()
    back = image.restore(image.pixels)
    assert np.isnan(back[1, 1])
    assert np.isnan(back[2, 2])
    assert np.isfinite(back).sum() == 14
    assert np.isnan(to_map(torch.zeros(4, 4), image.valid)).sum() == 2


def test_integers_are_rounded_and_clipped_once() -> None:
    image = as_image(np.array([[0, 128, 255]], np.uint8))
    assert image.restore(image.pixels * 1.5).tolist() == [[0, 192, 255]]
    assert image.restore(image.pixels - 1).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize(
    ("value", "axis", "says"),
    [
        (np.zeros((4, 4, 3)), None, "channel_axis"),
        (np.zeros(4), None, "two dimensions"),
        (np.zeros((4, 4)), -1, "three dimensions"),
        (np.zeros((4, 4, 3)), 5, "channel_axis"),
        (np.zeros((4, 4, 7)), -1, "7 channels"),
        (np.zeros((0, 4)), None, "at least one pixel"),
        (np.full((3, 3), np.nan), None, "finite"),
        (np.zeros((3, 3), complex), None, "dtype complex128"),
        (np.array([["a"]]), None, "dtype"),
        ([[1, 2], [3]], None, "array"),
    ],
)
def test_refusals_name_the_argument(value: object, axis: int | None, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        as_image(value, channel_axis=axis, argument="slide")  # type: ignore[arg-type]
    assert str(caught.value).startswith(("slide:", "channel_axis:"))


@pytest.mark.parametrize("bad", [(1, 0), (0, np.nan), (3, 3), 255, (0, 1, 2), ("a", "b")])
def test_value_range_is_checked(bad: object) -> None:
    with pytest.raises(InputError, match="value_range"):
        as_image(np.zeros((3, 3)), value_range=bad)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="value_range"):
        as_float64(np.zeros((3, 3)), value_range=bad)  # type: ignore[arg-type]


def test_map_must_fit_its_image() -> None:
    with pytest.raises(InputError, match=r"sigma: got shape \(3, 4\)"):
        as_map(np.zeros((3, 4)), (4, 3))
    for shape in (None, (4, 3)):
        with pytest.raises(InputError, match=r"sigma: .*\(4, 3, 1\).*two dimensions \(H, W\)"):
            as_map(np.zeros((4, 3, 1)), shape)


def test_white_of_the_8_bit_scale_by_dtype() -> None:
    for dtype, white in ((np.bool_, 1), (np.uint8, 255), (np.uint16, 65535), (np.float32, 1), (np.float64, 255)):
        values = np.array([[0, white]], dtype)
        assert as_float64(values).tolist() == [[0, 255]]
    assert as_float64(np.array([[100, 4100]], np.uint16), value_range=(100, 4100)).tolist() == [[0, 255]]


def test_float_images_that_belong_together_have_one_white() -> None:
    dark, light = np.array([[0.0, 0.5]]), np.array([[0.0, 200.0]])
    assert float_white([dark]) == 1
    assert float_white([dark, light]) == 255
    stack = as_float64_stack([dark, light])
    np.testing.assert_array_equal(stack.restore(stack.values[0]), dark)
    np.testing.assert_allclose(stack.values[0, ..., 0], dark / 255)


def test_a_result_of_the_8_bit_scale_returns_in_the_callers_range_and_layout() -> None:
    rng = np.random.default_rng(0)
    array = rng.integers(100, 4100, (3, 5, 7)).astype(np.uint16)
    stack = as_float64_stack([array], channel_axis=0, value_range=(100, 4100))
    assert stack.values.shape == (1, 5, 7, 3)
    np.testing.assert_array_equal(stack.restore(stack.values[0]), array)
    assert stack.restore(np.zeros((5, 7, 3))).max() == 100


def test_gray_of_the_8_bit_scale_is_rounded_half_up() -> None:
    image = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [1, 2, 3]]], np.uint8)
    assert gray_float64(as_float64(image, channel_axis=-1)).tolist() == [[76, 150, 29, 2]]


@pytest.mark.parametrize(
    "value", [np.full((3, 3), np.nan), np.array([[0.0, np.inf]]), np.ma.masked_equal(np.arange(4).reshape(2, 2), 3)]
)
def test_the_8_bit_scale_has_no_mask(value: np.ndarray) -> None:
    with pytest.raises(InputError, match="slide: got NaN, infinite or masked"):
        as_float64(value, "slide")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_where_alpha_is_zero_pixels_are_missing(dtype: type) -> None:
    """As NaN is: no filter meets them, and where other frames have pixels the result is opaque."""
    full = 1 if dtype is np.float32 else np.iinfo(dtype).max
    array = np.full((6, 7, 4), full, dtype)
    array[:, :3] = 0
    array[:, :3, :3] = full // 2 if dtype is not np.float32 else 0.5
    image = as_image(array, channel_axis=-1)
    assert image.valid is not None
    np.testing.assert_array_equal(image.valid.numpy(), array[..., 3] > 0)
    assert image.pixels.min() == image.pixels.max()  # those of the pixels beside them
    np.testing.assert_array_equal(image.restore(image.pixels)[..., 3], array[..., 3])
    union = replace(image, valid=torch.ones(6, 7, dtype=torch.bool)).restore(image.pixels)
    assert (union[..., 3] == full).all()
    array[..., 3] = 0
    with pytest.raises(InputError, match="finite, visible value"):
        as_image(array, channel_axis=-1)


def test_floats_that_are_a_part_of_a_wider_range() -> None:
    """12 bits in 16, divided by 65535: the range is found as for the whole numbers that they were."""
    whole = np.random.default_rng(0).integers(100, 4000, (40, 50)).astype(np.uint16)
    with pytest.warns(DefocusWarning, match=r"0\.00\d+ counts as black, 0\.0\d+ as white"):
        found = as_image(whole / 65535)
    expected = as_image(whole)
    assert found.low * 65535 == pytest.approx(expected.low)
    np.testing.assert_allclose(found.pixels.numpy(), expected.pixels.numpy(), atol=1e-5)
    assert found.bounded
    given = as_image(whole / 65535, value_range=(0, 1))
    assert (given.low, given.high) == (0.0, 1.0)
