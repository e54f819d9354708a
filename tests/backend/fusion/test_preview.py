"""The image so far, while a fusion runs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage import data

import defocus_backend as db
from defocus_backend.filters.octave import halve


class Watch:
    """A progress callback that keeps every preview."""

    def __init__(self) -> None:
        self.images: list[np.ndarray] = []

    def __call__(self, done: int, total: int, what: str) -> None:
        """Nothing is counted."""

    def preview(self, image) -> None:
        self.images.append(image())


@pytest.fixture
def stack() -> np.ndarray:
    """Three slices of gravel, each sharp in a strip of its own."""
    sharp = data.gravel()[:64, :96].astype(float)
    blurred, columns = gaussian_filter(sharp, 3), np.arange(96)[None] // 32
    return np.stack([np.where(columns == n, sharp, blurred) for n in range(3)]).round().astype(np.uint8)


def test_it_grows_to_the_result_and_changes_nothing(stack):
    watch = Watch()
    found = db.fuse(stack, progress=watch)
    assert [image.shape for image in watch.images] == [(32, 48)] * 3
    np.testing.assert_array_equal(found.image, db.fuse(stack).image)

    def half(image):
        import torch

        return halve(torch.from_numpy(image.astype(np.float32))[None])[0].numpy()

    errors = [np.abs(image - half(found.image)).mean() for image in watch.images]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1.0, "after the last slice it is the result, at half the size"
    np.testing.assert_allclose(watch.images[0], half(stack[0]), atol=1)


@pytest.mark.parametrize("options", [{"blend": "pixels"}, {"decision": "region"}])
def test_a_fusion_in_two_passes_shows_its_first(stack, options):
    watch = Watch()
    db.fuse(np.stack([stack] * 3, -1), channel_axis=-1, progress=watch, **options)
    assert [image.shape for image in watch.images] == [(32, 48, 3)] * 3


def test_large_slices_grow_from_the_top(stack, monkeypatch):
    from defocus_backend.fusion import bands

    monkeypatch.setattr(bands, "WHOLE_PIXELS", 1000)
    monkeypatch.setattr(bands, "BAND_PIXELS", 1000)
    monkeypatch.setattr(bands, "SHOWN_SIDE", 24)
    tall = np.concatenate([stack] * 10, axis=1)
    watch = Watch()
    found = db.fuse(tall, progress=watch)
    first, last = watch.images[0], watch.images[-1]
    assert first.shape == last.shape
    assert max(last.shape) <= 24
    seen = np.nonzero(first.any(1))[0]
    assert 0 < seen[-1] < len(first) - 1, "only the first band is there"
    step = 2 * np.ceil(640 / 2 / 24)
    smooth = gaussian_filter(found.image.astype(float), 1)
    rows, columns = ((np.arange(n) * step).astype(int) for n in last.shape)
    alike = np.corrcoef(last.ravel(), smooth[np.ix_(rows, columns)].ravel())[0, 1]
    assert alike > 0.8, "the last is the whole image, in few pixels"


def test_of_channels_the_judged_one_is_shown_and_of_positions_each(stack):
    watch = Watch()
    image = np.stack([np.stack([stack, 255 - stack], 1)] * 2)
    db.fuse_nd(image, axes="TZCYX", focus_channels=0, progress=watch)
    assert len(watch.images) == 2 * 3
    np.testing.assert_allclose(watch.images[2], watch.images[5])
    assert abs(watch.images[2].mean() - stack.mean()) < 5, "channel 0, not its negative"
