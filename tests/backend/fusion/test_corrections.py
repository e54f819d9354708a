"""Corrections of a decision map: fused anew around them, the rest as it was; as text and back."""

from __future__ import annotations

import numpy as np
import pytest

import defocus_backend as db
from defocus_backend.errors import InputError

OPTIONS = {"blend": "decision", "blend_settings": db.BlendParams(radius=2), "device": "cpu"}


@pytest.fixture
def stack():
    return (np.random.default_rng(0).random((3, 40, 50)) * 255).astype(np.uint8)


@pytest.mark.parametrize("colour", [False, True])
def test_near_a_correction_it_is_the_fusion_by_the_corrected_index(stack, colour):
    slices = np.stack([stack, 255 - stack, stack // 2], -1) if colour else stack
    options = OPTIONS | ({"channel_axis": -1} if colour else {})
    index = np.zeros((40, 50), np.int32)
    index[:, 25:] = 2
    image = db.fuse_by_index(slices, index, **options)
    corrections = np.full(index.shape, -1)
    corrections[18:22, 10:14] = 1
    found = db.fuse_corrected(slices, image, index, corrections, **options)
    wanted = np.where(corrections < 0, index, corrections)
    np.testing.assert_array_equal(found.index, wanted)
    np.testing.assert_array_equal(found.image, db.fuse_by_index(slices, wanted, **options))
    assert (found.image != image).any()


def test_far_from_it_the_image_stays_whatever_it_was(stack):
    index, corrections = np.zeros((40, 50), np.int32), np.full((40, 50), -1)
    corrections[20, 20] = 2
    image = np.full((40, 50), 7, np.uint8)
    found = db.fuse_corrected(stack, image, index, corrections, **OPTIONS).image
    near = db.affected_pixels(corrections >= 0, blend="decision", blend_settings=db.BlendParams(radius=2))
    assert (found[~near] == 7).all()
    assert not (found[near] == 7).all()


def test_without_corrections_nothing_is_read():
    image, index = np.zeros((4, 5), np.uint8), np.zeros((4, 5), int)
    found = db.fuse_corrected(object(), image, index, np.full((4, 5), -1))
    np.testing.assert_array_equal(found.image, image)
    assert not np.shares_memory(found.image, image)


def test_corrections_as_text_and_back():
    corrections = np.full((300, 400), -1)
    corrections[20:40, 100:180] = 250
    text = db.pack_corrections(corrections)
    assert len(text) < 2000
    np.testing.assert_array_equal(db.unpack_corrections(text), corrections)


@pytest.mark.parametrize("text", ["", "3x4", "3x4:!!", "3x4:QUJD", None])
def test_text_that_holds_none(text):
    with pytest.raises(InputError, match="text"):
        db.unpack_corrections(text)


def test_corrections_of_another_shape_are_refused(stack):
    with pytest.raises(InputError, match="corrections"):
        db.fuse_corrected(stack, stack[0], np.zeros((40, 50), int), np.zeros((4, 5), int))
