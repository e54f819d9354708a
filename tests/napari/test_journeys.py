"""The three journeys of the tutorial through the real window."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_stacks import focal_stack, moved_stack

_PATH = Path(__file__).parents[2] / "docs" / "journeys.py"


@pytest.fixture
def journeys():
    spec = importlib.util.spec_from_file_location("journeys", _PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def new_viewer(make_napari_viewer):
    def make():
        viewer = make_napari_viewer(show=True)
        viewer.window.resize(1280, 800)
        return viewer

    return make


def test_a_stack_is_fused_corrected_saved_and_continued(journeys, new_viewer, tmp_path):
    files = journeys.stack_journey(new_viewer, tmp_path, moved_stack())
    assert all(path.stat().st_size for path in files)
    held = json.loads(files[1].read_text())
    assert {"fused", "index", "height"} <= {entry["made"]["role"] for entry in held["layers"]}


def test_a_photo_is_mapped_sharpened_and_made_shallow(journeys, new_viewer, tmp_path):
    from skimage import data

    photo = data.astronaut()[40:200, 120:300]
    results = journeys.photo_journey(new_viewer, tmp_path, photo)
    held = json.loads(results.read_text())
    assert {"sigma", "sharpened", "shallow"} <= {entry["made"]["role"] for entry in held["layers"]}
    wanted, inner = journeys.camera_tags(), 0x8769
    for role in ("sharpened", "shallow"):
        with Image.open(results.parent / f"portrait_{role}.jpg") as saved:
            assert saved.size == photo.shape[1::-1]
            found = saved.getexif()
        assert {tag: found.get(tag) for tag in (0x010F, 0x0110)} == {0x010F: "A maker", 0x0110: "Model 7"}
        assert {k: found.get_ifd(inner).get(k) for k in wanted.get_ifd(inner)} == wanted.get_ifd(inner)


def test_mistakes_are_told_and_nothing_breaks(journeys, new_viewer):
    said = journeys.mistakes_journey(new_viewer, np.asarray(focal_stack()))
    for words, text in zip(("no stack", "fuse them?", "shape", "no defocus map", ""), said, strict=True):
        assert words in text
