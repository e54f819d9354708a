"""A lamp that flickers: the widget fuses as `fuse` does, and corrections, script and a later session know the gains."""

from __future__ import annotations

import numpy as np
from napari.components import ViewerModel
from qtpy.QtGui import QGuiApplication
from tifffile import imread, imwrite

import defocus_backend as db


def _flickering():
    """Three slices of 8 bits under a lamp of 1, .8 and 1.2, each sharp in a strip of its own."""
    from scipy.ndimage import gaussian_filter
    from skimage import data

    sharp = data.gravel()[:64, :96] * 0.6 + 20
    blurred, columns = gaussian_filter(sharp, 2), np.arange(96)[None] // 32
    lamp = (1, 0.8, 1.2)
    return np.stack([np.where(columns == n, sharp, blurred) * lamp[n] for n in range(3)]).round().astype(np.uint8)


def test_slices_are_matched_as_in_the_library(opened, finish, settled, tmp_path, monkeypatch, show_widget):
    from napari_defocus._widgets.fusion import FusionWidget

    path, stack = tmp_path / "cells.tif", _flickering()
    imwrite(path, stack, photometric="minisblack")
    viewer, open_widget = opened
    (image,) = viewer.open(path)
    image.axis_labels = ("z", "y", "x")
    widget = open_widget()
    made = finish(widget)
    wanted = db.fuse(stack, z=[0, 1, 2])
    assert wanted.gains.max() > 1.1, "there is something to match"
    np.testing.assert_array_equal(made["fused"].data, wanted.image)
    assert "Brightness: 2 of 3 slices matched" in widget.notice.text()

    made["index"].visible = True
    made["index"].paint((30, 10), 2)
    settled(widget)
    labels = np.asarray(made["index"].data).astype(np.int32)
    painted = np.where(labels != wanted.index, labels, -1)
    assert (painted == 2).any()
    corrected = db.fuse_corrected(stack, wanted.image, wanted.index, painted, gains=wanted.gains).image
    np.testing.assert_array_equal(made["fused"].data, corrected)

    widget.copy_script()
    monkeypatch.chdir(tmp_path)
    exec(compile(QGuiApplication.clipboard().text(), "script", "exec"), {})
    np.testing.assert_array_equal(imread(tmp_path / "fused.tif"), corrected)

    widget.tools.save_to(tmp_path / "mine")
    later = ViewerModel()
    later.open(path)[0].axis_labels = ("z", "y", "x")
    later.open(tmp_path / "mine.defocus", plugin="napari-defocus")
    again = show_widget(FusionWidget(later))
    np.testing.assert_allclose(again.repainter.stack.gains, wanted.gains)
    again.retouch.automatic()
    settled(again)
    np.testing.assert_array_equal(later.layers["cells fused"].data, wanted.image)
