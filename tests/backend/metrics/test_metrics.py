"""Fusion metrics against values of the public MATLAB programs, and where those give NaN, against what must hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from skimage import io

from defocus_backend import metrics
from defocus_backend.arrays import as_float64, gray_float64
from defocus_backend.errors import InputError

ORACLES = Path(__file__).parent.parent / "oracles" / "fusion"
EXPECTED = json.loads((ORACLES / "expected.json").read_text())
CASES = [(name, fused) for name in ("cam", "cat", "coffee") for fused in ("F1", "F2", "gff", "gfdf")]
SINGLE = {
    "QG": metrics.qg,
    "QP": metrics.qp,
    "QY": metrics.qy,
    "QCB": metrics.qcb,
    "QCB_unit": metrics.qcb_unit,
    "QW": metrics.qw,
}
ALL = {**SINGLE, "QFMI": metrics.qfmi, "MI": metrics.mutual_information}


def picture(name: str, kind: str) -> np.ndarray:
    return io.imread(ORACLES / f"{name}_{kind}.png")


def axis(name: str) -> int | None:
    return -1 if name == "coffee" else None


def to_gray(image: np.ndarray, argument: str, *, channel_axis: int | None) -> np.ndarray:
    return gray_float64(as_float64(image, argument, channel_axis=channel_axis))


def case(name: str, fused: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """Gray fused image and sources."""
    images = [to_gray(picture(name, kind), kind, channel_axis=axis(name)) for kind in (fused, "A", "B")]
    return images[0], images[1:]


@pytest.mark.parametrize(("name", "fused"), CASES)
@pytest.mark.parametrize("metric", SINGLE)
def test_published_program(metric: str, name: str, fused: str) -> None:
    sources = [picture(name, "A"), picture(name, "B")]
    value = SINGLE[metric](picture(name, fused), sources, channel_axis=axis(name))
    # The expected values are stored to 8 digits.
    assert value == pytest.approx(EXPECTED[name][fused][metric], abs=1e-8)


@pytest.mark.parametrize(("name", "fused"), CASES)
def test_published_qfmi_on_a_crop(name: str, fused: str) -> None:
    window = (slice(32, 96), slice(40, 120))
    image, sources = case(name, fused)
    value = metrics.qfmi(image[window], [source[window] for source in sources])
    # The gray pictures have no flat gradient windows there, where alone the program strays from the definition.
    assert value == pytest.approx(EXPECTED[name][fused]["QFMI_crop"], abs=4e-4 if name == "coffee" else 1e-8)


@pytest.mark.parametrize("name", ["cam", "cat", "coffee"])
def test_published_qfmi_on_the_whole_image(name: str) -> None:
    value = metrics.qfmi(*case(name, "F2"))
    assert value == pytest.approx(EXPECTED[name]["F2"]["QFMI"], abs=4e-4)


def test_evaluate_gives_what_the_single_functions_give() -> None:
    fused, sources = picture("coffee", "F2"), [picture("coffee", "A"), picture("coffee", "B")]
    scores = metrics.evaluate(fused, np.stack(sources), channel_axis=-1)
    assert list(scores) == list(metrics.FUSION_METRICS)
    for name, metric in ALL.items():
        assert scores[name] == metric(fused, sources, channel_axis=-1)
    assert scores["QMI"] == metrics.mutual_information(fused, sources, normalised=True, channel_axis=-1)


def test_names_choose_and_order() -> None:
    image, sources = case("cat", "F1")
    scores = metrics.evaluate(image, sources, reference=sources[0], names=["SSIM", "QW"])
    assert list(scores) == ["SSIM", "QW"]
    assert list(metrics.evaluate(image, sources, reference=sources[0]))[-2:] == ["PSNR", "SSIM"]
    assert list(metrics.evaluate(image, sources, names="QG")) == ["QG"]


@pytest.mark.parametrize("name", ["QY", "QCB", "QCB_unit", "QFMI", "QW"])
def test_a_source_fused_with_itself_is_perfect(name: str) -> None:
    image = case("cat", "A")[0]
    assert ALL[name](image, [image, image]) == pytest.approx(1, abs=1e-9)


def test_qg_of_a_source_fused_with_itself_is_the_sigmoids_product_at_one() -> None:
    image = case("cat", "A")[0]
    perfect = 1 / (1 + np.exp(-10 * (1 - 0.5))) / (1 + np.exp(-20 * (1 - 0.75)))
    assert metrics.qg(image, [image, image]) == pytest.approx(perfect, abs=1e-6)


def test_qp_of_a_source_fused_with_itself_is_high() -> None:
    # Not 1: weak features are masked in the sources but not in the fused image.
    image = case("cat", "A")[0]
    assert 0.9 < metrics.qp(image, [image, image]) <= 1


@pytest.mark.parametrize("metric", ALL.values(), ids=ALL)
def test_sources_are_interchangeable(metric: Callable[..., float]) -> None:
    image, sources = case("cam", "F2")
    assert metric(image, sources) == pytest.approx(metric(image, sources[::-1]), abs=1e-12)


@pytest.mark.parametrize("metric", SINGLE.values(), ids=SINGLE)
def test_a_third_blurrier_source_changes_little_and_keeps_the_order(metric: Callable[..., float]) -> None:
    good, sources = case("cam", "gfdf")
    poor = ndimage.gaussian_filter(good, 2)
    three = [*sources, ndimage.gaussian_filter(sources[0], 6)]
    assert metric(good, three) == pytest.approx(metric(good, sources), abs=0.15)
    assert metric(good, three) > metric(poor, three)


FLAT = np.full((24, 30), 100, np.uint8)
BLACK = np.zeros((24, 30), np.uint8)
HALF_FLAT = np.where(np.arange(30) < 15, 100, np.arange(24)[:, None] * 7 % 101).astype(np.uint8)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("metric", ALL.values(), ids=ALL)
@pytest.mark.parametrize(
    ("fused", "sources"),
    [
        (FLAT, [FLAT, FLAT]),
        (BLACK, [BLACK, BLACK]),
        (FLAT, [BLACK, HALF_FLAT]),
        (HALF_FLAT, [FLAT, BLACK]),
        (HALF_FLAT, [HALF_FLAT, FLAT]),
        (HALF_FLAT, [HALF_FLAT, HALF_FLAT.astype(float) + 0.1]),
    ],
)
def test_flat_images_give_finite_values(
    metric: Callable[..., float], fused: np.ndarray, sources: list[np.ndarray]
) -> None:
    value = metric(fused, sources)
    assert np.isfinite(value)
    assert -1 <= value <= 16


@pytest.mark.parametrize("name", ["QP", "QY", "QCB", "QFMI", "QW"])
def test_equal_flat_images_are_perfect(name: str) -> None:
    assert ALL[name](FLAT, [FLAT, FLAT]) == pytest.approx(1)


def test_mutual_information_with_itself_is_entropy() -> None:
    image = np.repeat([0, 10, 20, 30], 16).reshape(8, 8).astype(np.uint8)  # four equal levels: two bits
    assert metrics.mutual_information(image, [image, image]) == pytest.approx(4)
    assert metrics.mutual_information(image, [image, image], normalised=True) == pytest.approx(2)
    assert metrics.mutual_information(image, [image, image.T]) == pytest.approx(2 + 0, abs=1.0001)


def test_independent_levels_share_nothing() -> None:
    rows, columns = np.mgrid[0:16, 0:16]
    assert metrics.mutual_information(rows, [columns, columns], value_range=(0, 15)) == pytest.approx(0, abs=1e-12)


def test_colour_becomes_gray_as_in_matlab() -> None:
    image = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [1, 2, 3]]], np.uint8)
    assert to_gray(image, "image", channel_axis=-1).tolist() == [[76, 150, 29, 2]]
    first = np.moveaxis(image, -1, 0)
    assert to_gray(first, "image", channel_axis=0).tolist() == [[76, 150, 29, 2]]


@pytest.mark.parametrize("metric", ALL.values(), ids=ALL)
def test_every_dtype_and_order_scores_alike(metric: Callable[..., float]) -> None:
    image, sources = case("cat", "F2")
    expected = metric(image, sources)
    wide = [(one * 257).astype(np.uint16) for one in (image, *sources)]
    assert metric(wide[0], wide[1:]) == pytest.approx(expected, abs=1e-9)
    unit = [np.asfortranarray(one / 255) for one in (image, *sources)]
    assert metric(unit[0], unit[1:], value_range=(0, 1)) == pytest.approx(expected, abs=2e-5)
    small = [one.astype(np.float32) for one in (image, *sources)]
    for one in small:
        one.flags.writeable = False
    assert metric(small[0], small[1:]) == expected


def test_floats_in_the_unit_range_need_no_range() -> None:
    fused, sources = picture("coffee", "F2"), [picture("coffee", "A"), picture("coffee", "B")]
    options = {"reference": sources[0], "names": ["QG", "QW", "PSNR", "SSIM"], "channel_axis": -1}
    expected = metrics.evaluate(fused, sources, **options)
    unit = [one / 255 for one in (fused, *sources)]
    found = metrics.evaluate(unit[0], unit[1:], **{**options, "reference": unit[1]})
    assert found == pytest.approx(expected, abs=2e-5)


def test_one_dark_image_does_not_change_the_range_of_the_others() -> None:
    dark, light = np.zeros((16, 16)), np.full((16, 16), 255.0)
    assert metrics.evaluate(dark, [light, light], reference=light, names="PSNR") == {"PSNR": pytest.approx(0)}
    assert metrics.evaluate(dark, [light, light], reference=dark + 1, names="PSNR")["PSNR"] > 48


def test_inputs_are_left_as_they_were() -> None:
    image, sources = case("cam", "F2")
    before = [image.copy(), *(source.copy() for source in sources)]
    metrics.evaluate(image, sources, reference=sources[0])
    for one, kept in zip([image, *sources], before, strict=True):
        np.testing.assert_array_equal(one, kept)


def test_psnr_and_ssim() -> None:
    truth = picture("coffee", "A")
    off = truth.astype(float) + 5
    assert metrics.psnr(off, truth, channel_axis=-1) == pytest.approx(20 * np.log10(255 / 5))
    assert metrics.psnr(truth, truth, channel_axis=-1) == float("inf")
    opaque = np.full((*truth.shape[:2], 1), 255, truth.dtype)
    seen = [np.concatenate([one, opaque], -1) for one in (off, truth)]
    for score in (metrics.psnr, metrics.ssim):
        assert score(*seen, channel_axis=-1) == score(off, truth, channel_axis=-1), "alpha is no colour"
        assert score(seen[0], truth, channel_axis=-1) == score(off, truth, channel_axis=-1)
    assert metrics.ssim(truth, truth, channel_axis=-1) == pytest.approx(1)
    assert metrics.ssim(picture("coffee", "B"), truth, channel_axis=-1) < 0.95


GOOD = np.arange(256.0).reshape(16, 16)


@pytest.mark.parametrize(
    ("fused", "sources", "options", "argument"),
    [
        (GOOD, [GOOD], {}, "sources"),
        (GOOD, [GOOD, GOOD[:8]], {}, "sources[1]"),
        (GOOD, [GOOD, GOOD * np.nan], {}, "sources[1]"),
        (GOOD[..., None], [GOOD, GOOD], {}, "fused"),
        (GOOD.astype(complex), [GOOD, GOOD], {}, "fused"),
        (GOOD[:0], [GOOD, GOOD], {}, "fused"),
        (GOOD[:4], [GOOD[:4], GOOD[:4]], {"names": ["QW"]}, "fused"),
        (GOOD, [GOOD, GOOD], {"names": ["QX"]}, "names"),
        (GOOD, [GOOD, GOOD], {"names": ["SSIM"]}, "reference"),
        (GOOD, [GOOD, GOOD], {"reference": GOOD[:8]}, "reference"),
        (GOOD, [GOOD, GOOD], {"value_range": 0}, "value_range"),
        (GOOD[..., None], [GOOD[..., None]] * 2, {"channel_axis": 5}, "channel_axis"),
        (np.stack([GOOD] * 5, -1), [GOOD, GOOD], {"channel_axis": -1}, "fused"),
    ],
)
def test_bad_input_is_named(fused: Any, sources: Any, options: dict[str, Any], argument: str) -> None:
    with pytest.raises(InputError) as caught:
        metrics.evaluate(fused, sources, **options)
    assert caught.value.argument == argument


def test_unknown_normalisation() -> None:
    with pytest.raises(InputError, match="normalisation"):
        metrics.qcb(GOOD, [GOOD, GOOD], normalisation="word")  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(8, 8), (9, 31), (8, 9)])
def test_small_images(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).uniform(0, 255, shape)
    scores = metrics.evaluate(image, [image, np.zeros(shape)])
    assert all(np.isfinite(value) for value in scores.values())


def test_one_pixel() -> None:
    pixel = np.array([[7]], np.uint8)
    for name in ("QG", "QP", "QCB", "QCB_unit", "MI", "QMI"):
        assert np.isfinite(metrics.FUSION_METRICS[name](pixel, [pixel, pixel]))
