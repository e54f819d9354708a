"""What Preferences hold reaches the library and the copied script."""

from __future__ import annotations

from pathlib import Path

import npe2
import pytest
from napari.components import ViewerModel

import napari_defocus
from defocus_backend.params import MapParams
from napari_defocus._preferences import preference
from napari_defocus._widgets.defocus import DefocusWidget
from napari_defocus._widgets.sharpen import SharpenWidget

DEFAULTS = {"device": "auto", "weights": "", "tile": MapParams.tile}


@pytest.fixture
def compute(plugin_settings, npe2pm):  # noqa: ARG001
    """The page, kept in a folder of the test."""
    from napari.settings import get_plugin_settings

    npe2pm.register(npe2.PluginManifest.from_file(Path(napari_defocus.__file__).with_name("napari.yaml")))
    return get_plugin_settings("napari-defocus").compute


def test_defaults_with_and_without_the_page(compute):
    assert {name: preference(name) for name in DEFAULTS} == DEFAULTS
    assert {name: getattr(compute, name) for name in DEFAULTS} == DEFAULTS
    with pytest.raises(ValueError, match="tile"):
        compute.tile = MapParams.describe()["tile"]["low"] - 1


def test_defaults_where_napari_knows_no_page(plugin_settings):  # noqa: ARG001
    assert {name: preference(name) for name in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize("kind", [DefocusWidget, SharpenWidget])
def test_a_map_takes_device_weights_and_tile_from_preferences(compute, gray, library, show_widget, finish, kind):
    viewer = ViewerModel()
    viewer.add_image(gray, name="cells")
    widget = show_widget(kind(viewer))
    compute.device, compute.weights, compute.tile = "cpu", "blurnet", 512
    if kind is SharpenWidget:
        widget.live.setChecked(False)
    finish(widget, None if kind is DefocusWidget else widget.compute_map)
    _, asked = library.calls[-1]
    wanted = {"device": "cpu", "weights": "blurnet", "tile": 512}
    assert {name: asked[name] for name in wanted} == wanted
    if kind is DefocusWidget:
        script = widget.recipe().script()
        assert all(f"{name}={value!r}," in script for name, value in wanted.items())
