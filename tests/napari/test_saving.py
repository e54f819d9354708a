"""Layers into files and back: place, display and what made them; and what napari itself does with our writers."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Surface

from defocus_backend.errors import FileError
from napari_defocus._layers import KEY, made_by
from napari_defocus._saving import get_reader, read_image, read_results, save_results, write_many, write_plain

PLACE = {"scale": (0.5, 0.1, 0.2), "translate": (1, 2, 3), "units": ("um",) * 3, "axis_labels": ("z", "y", "x")}


@pytest.fixture
def layers():
    data = (np.random.default_rng(0).random((3, 20, 24)) * 4000).astype(np.uint16)
    about = {KEY: {"role": "sigma", "arguments": {"step": 8}, "source_id": "a", "automatic": np.zeros((3, 20, 24))}}
    return [
        Image(data, name="a", colormap="magma", contrast_limits=(5, 900), opacity=0.5, **PLACE),
        Image(data.astype(np.float32), name="b", metadata=about, visible=False, **PLACE),
        Image((np.random.default_rng(1).random((20, 24, 3)) * 255).astype(np.uint8), name="c", rgb=True),
        Labels((data > 2000).astype(np.uint8), name="d", **PLACE),
    ]


@pytest.mark.parametrize("zarr", [False, True])
def test_what_is_saved_comes_back(layers, tmp_path, zarr):
    if zarr:
        pytest.importorskip("zarr")
    written = save_results(tmp_path / "mine", layers, zarr=zarr)
    assert all(path.exists() for path in written)
    viewer = ViewerModel()
    for data, meta, kind in read_results(tmp_path / "mine.defocus"):
        getattr(viewer, f"add_{kind}")(data, **meta)
    for old, new in zip(layers, viewer.layers, strict=True):
        assert type(new) is type(old)
        np.testing.assert_array_equal(new.data, old.data)
        for name in ("name", "visible", "opacity", "units", "axis_labels"):
            assert getattr(new, name) == getattr(old, name), name
        for name in ("scale", "translate"):
            np.testing.assert_allclose(getattr(new, name), getattr(old, name))
    assert viewer.layers["a"].colormap.name == "magma"
    assert tuple(viewer.layers["a"].contrast_limits) == (5, 900)
    assert made_by(viewer.layers["b"])["arguments"] == {"step": 8}
    np.testing.assert_array_equal(made_by(viewer.layers["b"])["automatic"], 0)


def test_one_image_keeps_its_pixel_size(layers, tmp_path):
    data, meta, _ = layers[0].as_layer_data_tuple()
    path = tmp_path / "a.ome.tif"
    write_plain(str(path), data, meta)
    assert get_reader(str(path)) is read_image
    ((again, meta, kind),) = read_image(path)
    assert kind == "image"
    np.testing.assert_array_equal(again, data)
    np.testing.assert_allclose(meta["scale"], PLACE["scale"])
    assert meta["axis_labels"] == ("z", "y", "x")
    layer = Image(again, **meta)
    assert [str(u) for u in layer.units] == ["micrometer"] * 3


def test_napari_saves_all_with_a_surface_among_them(layers, tmp_path, readers):  # noqa: ARG001
    vertices = np.array([[0, 0, 0], [0, 0, 4], [0, 4, 0], [1, 4, 4]], np.float32)
    viewer = ViewerModel()
    for layer in [*layers, Surface((vertices, np.array([[0, 1, 2], [1, 3, 2]])), name="e", scale=(2, 1, 1))]:
        viewer.add_layer(layer)
    viewer.layers.save(str(tmp_path / "all.defocus"), plugin="napari-defocus")
    assert (tmp_path / "all.defocus" / "e.ply").is_file()
    later = ViewerModel()
    later.open(tmp_path / "all.defocus", plugin="napari-defocus")
    assert [x.name for x in later.layers] == ["a", "b", "c", "d"], "a mesh is for other programs"


def test_a_surface_is_written_upright_and_seen_from_above(tmp_path):
    vertices = np.array([[0, 0, 0], [0, 0, 4], [0, 4, 0], [3, 4, 4]], np.float32)
    faces = np.array([[0, 1, 2], [1, 3, 2]])
    write_many(str(tmp_path / "s"), [Surface((vertices, faces), name="s", scale=(2, 1, 1)).as_layer_data_tuple()])
    body = (tmp_path / "s.defocus" / "s.ply").read_bytes().partition(b"end_header\n")[2]
    size = (len(body) - 2 * 13) // 4
    points = np.stack([np.frombuffer(body[n * size : n * size + 12], "<f4") for n in range(4)])
    np.testing.assert_allclose(points[3], [4, 0, 6], err_msg="x, y upwards, z in the unit of the layer")
    first = np.frombuffer(body[4 * size + 1 : 4 * size + 13], "<i4")
    a, b, c = points[first]
    assert np.cross(b - a, c - a)[2] > 0, "counter-clockwise from above"


def test_files_that_are_no_results(tmp_path):
    (tmp_path / "x.defocus").mkdir()
    assert get_reader(str(tmp_path / "x.defocus")) is None
    (tmp_path / "x.defocus" / "results.json").write_text("{}")
    with pytest.raises(FileError, match="cannot be read"):
        read_results(tmp_path / "x.defocus")
