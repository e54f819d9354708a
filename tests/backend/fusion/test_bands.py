"""Large planes in bands: the same result as at once, in memory that the size of a plane does not set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from defocus_backend.fusion import Fusion, bands, fuse
from defocus_backend.fusion.bands import band_by_band, bands_of
from defocus_backend.params import FusionParams
from defocus_backend.progress import ProgressCallback
from defocus_backend.stacks import SliceSource, as_source


@pytest.fixture
def small_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bands of 40 rows and a halo of 32 for planes of 60 columns."""
    monkeypatch.setattr(bands, "_HALO", 32)
    monkeypatch.setattr(bands, "_FADE", 8)
    monkeypatch.setattr(bands, "BAND_PIXELS", 60 * 128)
    monkeypatch.setattr(bands, "WHOLE_PIXELS", 60 * 128)


@pytest.mark.parametrize("shape", [(4000, 5000), (3001, 9001), (500, 20_000), (100_000, 300), (10, 10)])
def test_bands_cover_every_row_once_and_stay_small(shape: tuple[int, int]) -> None:
    found = bands_of(shape)
    rows = [n for band in found for n in range(band.start, band.stop)]
    assert rows == list(range(shape[0]))
    assert all(0 <= b.first <= b.start < b.stop <= b.last <= shape[0] for b in found)
    if shape[1] <= 9_001:  # wider planes have the halo's rows at least
        assert all((b.last - b.first) * shape[1] <= bands.WHOLE_PIXELS for b in found)


def maximum(stack: SliceSource, progress: ProgressCallback | None) -> Fusion:
    """A fusion of one pixel at a time, whose bands must therefore equal the whole exactly."""
    images = list(stack.images())
    if progress is not None:
        progress(1, 2, "steps")
        progress(2, 2, "steps")
    gray = np.stack([image.pixels.amax(0).numpy() for image in images])
    brightest = np.stack([image.restore(image.pixels) for image in images]).max(0)
    return result(brightest, gray.argmax(0), gray)


def result(image: np.ndarray, index: np.ndarray, each: np.ndarray) -> Fusion:
    flat = np.zeros(index.shape)
    return Fusion(
        image=image,
        index=index,
        sigma=flat,
        confidence=flat,
        height=flat,
        height_error=flat,
        inferred=flat > 0,
        never_in_focus=flat > 0,
        sigmas=each,
    )


@pytest.mark.parametrize("channel_axis", [None, -1, 0, 1])
@pytest.mark.parametrize("form", ["array", "list", "callable", "iterator"])
@pytest.mark.usefixtures("small_bands")
def test_bands_are_put_together(channel_axis: int | None, form: str) -> None:
    stack = np.random.default_rng(0).integers(0, 4000, (4, 300, 60), dtype=np.uint16)
    if channel_axis is not None:
        stack = np.stack([stack, stack // 2, stack // 3], axis=1 + channel_axis % 3)
    given = {"array": stack, "list": list(stack), "callable": lambda: iter(stack), "iterator": iter(stack)}[form]
    seen: list[tuple[int, int]] = []
    slices = as_source(given, channel_axis=channel_axis)
    plan = bands_of(slices.plane_shape)
    found = band_by_band(maximum, slices, plan, lambda done, total, _: seen.append((done, total)))
    whole = maximum(slices, None)
    np.testing.assert_array_equal(found.image, stack.max(0))
    assert found.image.dtype == np.uint16
    np.testing.assert_array_equal(found.index, whole.index)
    assert found.sigmas is not None
    # One range of values for all bands.
    np.testing.assert_array_equal(found.sigmas, whole.sigmas)
    assert found.weights is None
    assert len(plan) > 3
    assert [done for done, _ in seen] == list(range(1, 2 * len(plan) + 1))


@pytest.mark.usefixtures("small_bands")
def test_the_image_fades_over_at_a_seam() -> None:
    """Each band returns its number of rows read, so that bands differ by a known step."""

    def numbered(stack: SliceSource, _: ProgressCallback | None) -> Fusion:
        rows = stack.image(0).pixels[0].numpy()
        return result(np.full(rows.shape, rows[0, 0], float), rows, rows[None])

    stack = np.arange(300.0)[None, :, None] * np.ones((2, 1, 60))
    image = band_by_band(numbered, as_source(stack, value_range=(0, 1)), bands_of((300, 60))).image[:, 0]
    starts = [b.first for b in bands_of((300, 60))]
    assert image[0] == starts[0]
    assert image[-1] == starts[-1]
    steps = np.diff(image)
    assert steps.max() <= max(np.diff(starts)) / 16 + 1e-9  # 2 * 8 rows from one to the next
    assert steps.min() >= 0


class Frames(list[Any]):
    """Slices with the shape of one, as an aligned stack has it."""

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(self[0])


@pytest.mark.parametrize("form", ["callable", "frames", "masked", "list"])
@pytest.mark.usefixtures("small_bands")
def test_every_form_of_a_stack_is_fused_in_bands(
    random_weights: dict[str, Path], monkeypatch: pytest.MonkeyPatch, photo: np.ndarray, form: str
) -> None:
    slices = [photo[100:300, 100 + n : 160 + n] for n in range(3)]
    options = FusionParams.arrange({"weights": random_weights["blurnet"], "device": "cpu", "never_above": 30})
    missing = np.zeros((200, 60), bool)
    missing[90:110, 20:40] = form == "masked"
    masked = [np.ma.MaskedArray(values, missing) for values in slices]
    given = {"callable": lambda: iter(slices), "frames": Frames(slices), "masked": masked, "list": slices}[form]
    heights: list[int] = []
    merge = bands._merge

    def counting(whole: Any, part: Any, *rest: Any) -> Any:
        if isinstance(part, Fusion):
            heights.append(part.index.shape[0])
        return merge(whole, part, *rest)

    monkeypatch.setattr(bands, "_merge", counting)
    found = fuse(given, **options)
    assert len(heights) > 1
    assert max(heights) < 200
    np.testing.assert_array_equal(np.isnan(found.sigma), missing)


@pytest.mark.usefixtures("small_bands")
def test_fusion_in_bands_is_that_at_once(
    random_weights: dict[str, Path], monkeypatch: pytest.MonkeyPatch, photo: np.ndarray
) -> None:
    from scipy import ndimage

    tilt = np.linspace(0, 6, 200)[:, None]
    blurred = [ndimage.gaussian_filter(photo[100:300, 100:160].astype(float), s) for s in (0, 2, 4, 6)]
    stack = np.stack(
        [np.choose(np.abs(np.rint(tilt / 2) - n).astype(int) + 0 * photo[100:300, 100:160], blurred) for n in range(4)]
    )
    options = FusionParams.arrange({"weights": random_weights["blurnet"], "device": "cpu"})
    stack = stack.astype(np.uint8)
    parts = fuse(stack, **options)
    monkeypatch.setattr(bands, "WHOLE_PIXELS", 10**9)
    whole = fuse(stack, **options)
    assert (parts.index == whole.index).mean() > 0.97
    assert np.abs(parts.image.astype(int) - whole.image).mean() < 0.5
    assert parts.image.shape == whole.image.shape


@pytest.mark.parametrize(
    ("kind", "lacking", "blend"),
    [
        ("nan", [0], "octaves"),
        ("masked", [2], "decision"),
        ("masked", [0, 1, 2], "octaves"),
        ("nan", [0, 1, 2], "pixels"),
    ],
)
@pytest.mark.usefixtures("small_bands")
def test_a_band_that_a_slice_lacks_comes_from_the_others(
    random_weights: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    photo: np.ndarray,
    kind: str,
    lacking: list[int],
    blend: str,
) -> None:
    """As after alignment, a slice may end above the last bands; where all do, nothing is known."""
    values = np.stack([photo[100:400, 100 + n : 160 + n] / np.float32(255) for n in range(3)])
    missing = np.zeros(values.shape, bool)
    missing[lacking, 120:] = True
    stack: Any = values * 200
    if kind == "masked":
        stack = [np.ma.MaskedArray(v.astype(np.uint8), m) for v, m in zip(stack, missing, strict=True)]
    else:
        stack[missing] = np.nan
    assert min(b.first for b in bands_of((300, 60)) if b.first >= 120) < 300, "some band lies below"
    options = FusionParams.arrange({"weights": random_weights["blurnet"], "device": "cpu", "blend": blend})
    parts = fuse(stack, keep_slices=True, **options)
    monkeypatch.setattr(bands, "WHOLE_PIXELS", 10**9)
    whole = fuse(stack, keep_slices=True, **options)
    nowhere = missing.all(0)
    np.testing.assert_array_equal(np.isnan(parts.sigma), nowhere)
    np.testing.assert_array_equal(np.isnan(whole.sigma), nowhere)
    assert parts.sigmas is not None
    np.testing.assert_array_equal(np.isnan(parts.sigmas), missing)
    for name in ("height", "height_error"):
        assert not np.isfinite(getattr(parts, name)[nowhere]).any()
    assert not missing[parts.index, *np.indices(nowhere.shape)][~nowhere].any()
    assert np.isfinite(parts.confidence).all()
    difference = np.abs(parts.image.astype(float) - whole.image)[~nowhere]
    assert difference.mean() < 1
    if kind == "nan":
        np.testing.assert_array_equal(np.isnan(parts.image), nowhere)
