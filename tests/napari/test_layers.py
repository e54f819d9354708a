"""Layers to arrays and back, on bare layers and the viewer's model: no window."""

from __future__ import annotations

import contextlib

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_defocus._layers import (
    KEY,
    LayerSource,
    Result,
    is_image,
    is_map_of,
    position,
    provenance,
    value_at,
)
from napari_defocus._show import prepare_drawing, show, show_stepwise


def placed(shape=(4, 6, 8), **more):
    options = {
        "name": "cells",
        "scale": (2.0, 0.5, 0.25),
        "translate": (10, 20, 30),
        "units": ("um", "um", "um"),
        "axis_labels": ("z", "y", "x"),
        "affine": np.diag([1, 3, 3, 1.0]),
        **more,
    }
    return Image(np.arange(np.prod(shape)).reshape(shape).astype(np.float32), **options)


def test_trailing_axes_keep_their_place():
    layer = placed(shear=(0, 0.1, 0.2))
    spatial = LayerSource.of(layer).spatial([1, 2])
    flat = Image(np.zeros((6, 8)), **spatial)
    np.testing.assert_allclose(flat.scale, (0.5, 0.25))
    np.testing.assert_allclose(flat.translate, (20, 30))
    np.testing.assert_allclose(flat.shear, (0.2,))
    np.testing.assert_allclose(flat.affine.affine_matrix, np.diag([3, 3, 1.0]))
    assert flat.axis_labels == ("y", "x")
    assert [str(u) for u in flat.units] == ["micrometer", "micrometer"]


def test_a_world_point_is_the_same_pixel_in_source_and_result():
    layer = Image(np.zeros((6, 8)), scale=(0.5, 0.25), rotate=30, shear=(0.2,), translate=(1, 2))
    again = Image(np.zeros((6, 8)), **LayerSource.of(layer).spatial())
    for point in ((0, 0), (3.5, 1.25)):
        np.testing.assert_allclose(layer.data_to_world(point), again.data_to_world(point))


def test_multiscale_is_read_at_full_resolution():
    big = np.random.default_rng(0).random((64, 64))
    layer = Image([big, big[::2, ::2]], multiscale=True)
    source = LayerSource.of(layer)
    assert source.shape == (64, 64)
    np.testing.assert_array_equal(source.plane(()), big)


def test_lazy_data_is_computed_plane_by_plane():
    seen = []

    def block(block_info=None):
        seen.append(block_info[None]["chunk-location"])
        return np.full((1, 8, 8), block_info[None]["chunk-location"][0])

    data = da.map_blocks(block, chunks=((1, 1, 1), (8,), (8,)), dtype=float, meta=np.empty((0, 0, 0)))
    source = LayerSource.of(Image(data, contrast_limits=(0, 1)))
    seen.clear()
    assert (source.plane((2,)) == 2).all()
    assert seen == [(2, 0, 0)]


def test_colours_are_no_axis():
    source = LayerSource.of(Image(np.zeros((3, 5, 6, 3), np.uint8), rgb=True))
    assert (source.ndim, source.shape, source.channel_axis) == (3, (3, 5, 6), -1)
    assert source.plane((1,)).shape == (5, 6, 3)
    assert len(list(source.planes())) == 3


def test_the_slice_in_view_and_the_value_under_the_cursor():
    viewer = ViewerModel()
    layer = viewer.add_layer(placed(affine=np.eye(4)))
    viewer.dims.set_point(0, 10 + 2.0 * 3)
    assert position(layer, viewer.dims.point) == (3,)
    assert value_at(layer, layer.data_to_world((1, 2, 3))) == layer.data[1, 2, 3]
    assert value_at(layer, layer.data_to_world((1, 2, 30))) is None


@pytest.mark.parametrize(
    ("collapsed", "axes", "shape"),
    [
        ({0}, (1, 2, 3, 4), (3, 2, 6, 8)),  # in front: left out
        ({0, 1, 2}, (3, 4), (6, 8)),
        ({1}, (0, 1, 2, 3, 4), (5, 1, 2, 6, 8)),  # behind a kept axis: length 1
        ({0, 2}, (1, 2, 3, 4), (3, 1, 6, 8)),
    ],
)
def test_collapsed_axes(collapsed, axes, shape):
    layer = Image(np.zeros((5, 3, 2, 6, 8)), scale=(1, 0.5, 1, 0.1, 0.1))
    layout = LayerSource.of(layer).without(collapsed)
    assert layout.axes == axes
    assert layout.shape == shape


def test_a_collapsed_axis_shows_along_the_whole_source():
    layer = Image(np.zeros((5, 3, 6, 8)), scale=(1, 0.5, 1, 1), translate=(0, 7, 0, 0))
    layout = LayerSource.of(layer).without({1})
    result = Image(np.zeros(layout.shape), **layout.spatial)
    for z in (7.0, 7.5, 8.0):
        assert position(result, (2.0, z, 0, 0)) == (2, 0)


def results(data, **show_options):
    return [Result("sigma", "defocus map", data, LayerSource.of(Image(data)).spatial(), show=show_options)]


def test_second_run_updates_renamed_layers_and_new_layers_are_added_on_request():
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((6, 8)), name="cells")
    source = LayerSource.of(image)
    first = show(viewer, results(np.zeros((6, 8))), provenance(source, "defocus_map", {}))["sigma"]
    first.name, first.opacity = "mine", 0.3
    again = show(viewer, results(np.ones((6, 8))), provenance(source, "defocus_map", {}))["sigma"]
    assert again is first
    assert (first.data == 1).all()
    assert (first.name, first.opacity) == ("mine", 0.3)
    show(viewer, results(np.ones((6, 8))), provenance(source, "defocus_map", {}), new_layers=True)
    assert len(viewer.layers) == 3


def test_a_result_of_other_axes_takes_the_place_and_the_display_of_the_old_one():
    viewer = ViewerModel()
    source = LayerSource.of(viewer.add_image(np.zeros((3, 6, 8)), name="cells"))
    first = show(viewer, results(np.zeros((6, 8))), provenance(source, "defocus_map", {}))["sigma"]
    first.colormap = "magma"
    second = show(viewer, results(np.zeros((3, 6, 8))), provenance(source, "defocus_map", {}))["sigma"]
    assert second.ndim == 3
    assert second.colormap.name == "magma"
    assert len(viewer.layers) == 2


def test_a_second_run_with_more_slices_shows_them_all():
    from napari.utils.colormaps import DirectLabelColormap, label_colormap

    from napari_defocus._fusion_layers import slice_colormap

    viewer = ViewerModel()
    source = LayerSource.of(viewer.add_image(np.zeros((6, 8)), name="cells"))
    data = np.zeros((6, 8), np.uint8)

    def run(slices):
        result = Result("index", "decision map", data, source.spatial(), "labels", {"colormap": slice_colormap(slices)})
        return show(viewer, [result], provenance(source, "fuse", {}))["index"].colormap.color_dict

    assert {0, 1, None} <= set(run(2))
    assert {0, 1, 2, 3, 4, None} <= set(run(5))
    assert viewer.layers["cells decision map"].colormap.background_value == 5, "what the eraser paints"
    assert {0, 1, 2, None} <= set(run(3))
    assert viewer.layers["cells decision map"].colormap.background_value == 3
    layer = viewer.layers["cells decision map"]
    for own in (label_colormap(), DirectLabelColormap(color_dict={None: "red"})):
        layer.colormap = own
        with contextlib.suppress(AttributeError):  # of a cyclic colormap
            run(9)
        assert layer.colormap is own or layer.colormap == own


def test_a_name_that_another_layer_type_has_is_no_obstacle():
    viewer = ViewerModel()
    source = LayerSource.of(viewer.add_image(np.zeros((6, 8)), name="cells"))
    viewer.add_labels(np.zeros((6, 8), int), name="cells defocus map")
    made = show(viewer, results(np.zeros((6, 8))), provenance(source, "defocus_map", {}))["sigma"]
    assert isinstance(made, Image)
    assert len(viewer.layers) == 3


def test_what_can_be_an_input():
    image = Image(np.zeros((6, 8)))
    ours = Image(np.zeros((6, 8)), metadata={KEY: {"role": "sigma", "source_id": str(image.unique_id)}})
    assert is_image(image)
    assert not is_image(ours)
    assert not is_image(Labels(np.zeros((6, 8), int)))
    assert is_map_of(ours, image)
    assert not is_map_of(image, image)
    assert not is_map_of(Image(np.zeros((6, 9))), image)
    assert not is_map_of(ours, None)


def test_a_map_is_offered_for_its_own_image_alone():
    image, channel = Image(np.zeros((6, 8)), name="cells"), Image(np.zeros((6, 8)), name="other channel")
    ours = Image(np.zeros((6, 8)), metadata={KEY: {"role": "sigma", "source_id": str(image.unique_id)}})
    assert is_map_of(ours, image)
    assert not is_map_of(channel, image)
    assert not is_map_of(ours, channel)
    made = {"role": "sharpened", "source_id": str(image.unique_id)}
    assert is_map_of(ours, Image(np.zeros((6, 8)), metadata={KEY: made})), "what was made of the image lies on it"
    read = Image(np.zeros((6, 8)), metadata={KEY: {"role": "sigma", "source_id": "of last week", "source": "cells"}})
    assert is_map_of(read, image, [image, channel])
    assert not is_map_of(read, channel, [image, channel])


def test_a_layer_is_made_hidden_and_seen_in_a_step_of_its_own():
    viewer, source = ViewerModel(), LayerSource.of(placed())
    data, place = np.zeros((6, 8), np.float32), source.spatial((1, 2))
    results = [
        Result("raw", "raw map", data, place, show={"visible": False}),
        Result("sigma", "defocus map", data, place, show={"colorbar": "sigma [px]"}),
    ]
    seen = []
    for shown in show_stepwise(viewer, results, provenance(source, "defocus_map", {})):
        layer = list(shown.values())[-1]
        seen.append((list(shown), layer.visible, layer.colorbar.visible))
    both = ["raw", "sigma"]
    assert seen == [(["raw"], False, False), (both, False, False), (both, False, True), (both, True, True)]


def test_the_dash_patterns_are_drawn_up_once():
    from vispy.visuals.line import dash_atlas

    prepare_drawing()
    before = dash_atlas._make_pattern.cache_info().misses
    dash_atlas.DashAtlas()
    assert dash_atlas._make_pattern.cache_info().misses == before
