"""One description of a run: what its script reads, and that the run makes the same calls."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Image

from napari_defocus._layers import LayerSource
from napari_defocus._recipe import EACH, Call, Part, Recipe
from napari_defocus._view import View


def script(path, data=None, key=()):
    source = LayerSource.of(Image(np.zeros((6, 8)) if data is None else data, name="cells"))
    view = View(replace(source, path=path), key)
    return Recipe("Title", {"image": view}, (), {}).script().splitlines()


@pytest.mark.parametrize(
    ("path", "reader"),
    [("a.tif", "imread"), ("a.OME.TIFF", "imread"), ("a.JPG", "read_picture"), ("a.png", "read_picture")],
)
def test_tiff_and_pictures_are_read(path, reader):
    assert f"image = {reader}({path!r})" in script(path)


@pytest.mark.parametrize("path", ["cells.zarr", "cells.npy", "cells.czi", "cells.nd2", None])
def test_the_others_are_asked_for_as_tiff(path):
    lines = script(path)
    comment = next(line for line in lines if line.startswith("# "))
    assert "save it as TIFF" in comment
    assert path is None or path in comment
    assert "image = imread(next(files))" in lines
    assert "files = iter(sys.argv[1:])" in lines
    assert not any("read_picture" in line for line in lines)


@pytest.mark.parametrize("key", [(1,), (slice(None), 2), ((2, 0), 1, slice(1, 4)), (1, (2, 0))])
def test_a_part_is_the_same_in_the_run_and_in_the_script(key):
    data = np.arange(3 * 4 * 6 * 8).reshape(3, 4, 6, 8)
    values = {"image": data}
    for line in script("a.tif", data, key):
        if line.startswith("image = image["):
            exec(line, values)
    view = View(LayerSource.of(Image(data)), key)
    np.testing.assert_array_equal(view, values["image"])
    assert view.shape == values["image"].shape


def test_a_run_over_all_images_and_its_script_are_the_same(tmp_path, monkeypatch):
    from tifffile import imread, imwrite

    data = (np.random.default_rng(0).random((3, 20, 24)) * 255).astype(np.uint8)
    sigma = np.linspace(0, 8, 24, dtype=np.float32)[None].repeat(20, 0)
    for name, values in {"image": data, "sigma": sigma}.items():
        imwrite(tmp_path / f"{name}.tif", values, photometric="minisblack")
    sources = {n: LayerSource.of(Image(v)) for n, v in {"image": data, "sigma": sigma}.items()}
    views = {n: View(replace(s, path=str(tmp_path / f"{n}.tif"))) for n, s in sources.items()}
    call = Call(
        "result",
        "sharpen",
        (Part("image", index=(EACH,)), Part("sigma")),
        {"max_gain": 3.0, "value_range": Part("value_range")},
    )
    saved = {"sharpened": Part("result", "image"), "gain_map": Part("result", "gain")}
    recipe = Recipe("Sharpen", views, (call,), saved, loop=1, shares_range=True)
    reports = []
    made = recipe.run(lambda *report: reports.append(report), lambda: False)
    assert [done for done, _, _ in reports][-1] == 3
    monkeypatch.chdir(tmp_path)
    exec(compile(recipe.script(), "script", "exec"), {})
    for name, values in made.items():
        np.testing.assert_array_equal(imread(tmp_path / f"{name}.tif"), values)
