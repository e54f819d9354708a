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
