"""Which controls of a map can be set: that depends on the network, which weights may bring."""

from __future__ import annotations

from pathlib import Path

import pytest
from napari.components import ViewerModel

import defocus_backend
from napari_defocus._widgets._mapsettings import WeightsBox
from napari_defocus._widgets.defocus import DefocusWidget

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
