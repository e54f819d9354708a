"""Which files a copied script reads by itself."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image

from napari_defocus._layers import Source
from napari_defocus._script import load, script


def lines(path):
    source = Source.of(Image(np.zeros((6, 8)), name="cells"))
    return load("image", Source(**{**vars(source), "path": path}))


@pytest.mark.parametrize(
    ("path", "reader"),
    [("a.tif", "imread"), ("a.OME.TIFF", "imread"), ("a.JPG", "read_picture"), ("a.png", "read_picture")],
)
def test_tiff_and_pictures_are_read(path, reader):
    assert lines(path) == [f"image = {reader}({path!r})"]


@pytest.mark.parametrize("path", ["cells.zarr", "cells.npy", "cells.czi", "cells.nd2", None])
def test_the_others_are_asked_for_as_tiff(path):
    comment, read = lines(path)
    assert "save it as TIFF" in comment
    assert path is None or path in comment
    assert read == "image = imread(next(files))"
    text = script("Title", lines(path))
    assert "files = iter(sys.argv[1:])" in text
    assert "read_picture" not in text
