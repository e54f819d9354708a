"""Which controls of a map can be set: that depends on the network, which weights may bring."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel

import defocus_backend
from defocus_backend.methods import MAP_METHODS, Method
from napari_defocus._widgets._mapsettings import WeightsBox
from napari_defocus._widgets.defocus import DefocusWidget
from napari_defocus._widgets.shallow import ShallowWidget
from napari_defocus._widgets.sharpen import SharpenWidget

SHIPPED = Path(defocus_backend.__file__).with_name("weights")


@pytest.fixture
def widget(show_widget):
    return show_widget(DefocusWidget(ViewerModel()))


@pytest.mark.parametrize(
    ("method", "weights", "windows"),
    [
        ("pixelnet", "", False),
        ("pixelnet", "blurnet-clean", True),
        ("pixelnet", str(SHIPPED / "blurnet.safetensors"), True),
        ("blurnet", "", True),
        ("blurnet", "pixelnet", False),
        ("mobilenetv2", str(SHIPPED / "pixelnet.safetensors"), False),
        ("blurnet", "missing.safetensors", True),
        ("entropy", "blurnet", False),
    ],
)
def test_windows_have_a_distance(widget, method, weights, windows):
    settings = widget.settings
    step = settings.main["step"]
    settings.main["map_method"].value = method
    settings.weights.choose(weights)
    assert step.enabled == windows
    settings.weights.choose("")
    settings.main["map_method"].value = "blurnet"
    settings.weights.choose(weights)
    settings.main["map_method"].value = method
    assert step.enabled == windows, "in the other order"


def test_weights_of_preferences_count_too(widget, monkeypatch):
    settings = widget.settings
    settings.weights.choose("pixelnet")
    assert not settings.main["step"].enabled
    monkeypatch.setattr(WeightsBox, "weights", property(lambda _: "blurnet"))
    settings.weights.reset()
    assert settings.main["step"].enabled


def test_a_network_from_a_file_stands_in_the_list_and_in_the_script(show_widget, gray):
    viewer = ViewerModel()
    viewer.add_image(gray, name="cells")
    widget = show_widget(DefocusWidget(viewer))
    widget.settings.choose_network("/nets/mine.onnx")
    assert widget.settings.method == "onnx:/nets/mine.onnx"
    assert "mine.onnx" in widget.settings.main["map_method"].native.currentText()
    assert not widget.settings.weights.isEnabled(), "it has weights of its own"
    assert "map_method='onnx:/nets/mine.onnx'" in widget.recipe().script()
    widget.closed()
    again = show_widget(DefocusWidget(viewer))
    assert again.settings.method == "onnx:/nets/mine.onnx"
    again.reset()
    assert again.settings.method == "pixelnet"


def test_methods_from_outside_are_listed(show_widget):
    mine = Method(name="mine", text="says how blurred", citation="nobody", home=lambda image: image, unit="px")
    MAP_METHODS.add(mine)
    try:
        widget = show_widget(DefocusWidget(ViewerModel()))
        widget.settings.main["map_method"].value = "mine"
        assert widget.settings.method == "mine"
    finally:
        MAP_METHODS.remove("mine")


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (DefocusWidget, {"refine_iterations": 3, "map_method": "blurnet"}),
        (SharpenWidget, {"max_gain": 4.0, "rise_at": 3.0}),
        (ShallowWidget, {"sharp_below": 2.0, "blur": "lens"}),
    ],
)
def test_the_command_line_takes_the_preset_of_every_widget(show_widget, tmp_path, kind, changes):
    from click.testing import CliRunner
    from tifffile import imwrite

    from defocus_backend.cli.app import main

    widget, preset = show_widget(kind(ViewerModel())), tmp_path / "mine.toml"
    assert widget.memory.put(changes) == []
    widget.tools.save_preset(preset)
    saved = tomllib.loads(preset.read_text(encoding="utf-8"))
    assert {name: saved[name.replace("_", "-")] for name in changes} == changes
    imwrite(tmp_path / "one.tif", np.zeros((40, 50), np.uint8))
    order = ["batch", str(tmp_path), "--out", str(tmp_path / "out"), "--config", str(preset), "--dry-run"]
    done = CliRunner().invoke(main, order)
    assert done.exit_code == 0, done.output
    widget.reset()
    widget.tools.open_preset(preset)
    now = widget.memory.values()
    assert {name: now[name] for name in changes} == changes
