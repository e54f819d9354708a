"""Everything that the manifest promises is there, opens quickly, fits the screen and does not load torch."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import npe2
import pytest
import qtpy
from napari.components import ViewerModel
from qtpy.compat import isalive
from qtpy.QtCore import QCoreApplication, QEvent
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QListWidget,
    QTableWidget,
    QWidget,
)

import napari_defocus
from defocus_backend.params import MapParams
from napari_defocus._widgets._base import OperationWidget

MANIFEST = Path(napari_defocus.__file__).with_name("napari.yaml")
WIDGETS = ("Defocus map", "Adaptive sharpening", "Shallow depth of field", "Focus fusion")
SCREEN = 900


@pytest.fixture(scope="module")
def manifest():
    return npe2.PluginManifest.from_file(MANIFEST)


def test_the_binding_asked_for_runs_and_it_alone():
    # Both may be installed: an import of the other one would go unnoticed, and two of them in one process crash.
    assert os.environ["QT_API"] == qtpy.API
    loaded = {name for name in ("PyQt5", "PyQt6", "PySide2", "PySide6") if name in sys.modules}
    assert loaded == {qtpy.API_NAME}


def test_manifest_is_valid_and_every_command_can_be_imported(manifest):
    manifest.validate_imports()
    assert [w.display_name for w in manifest.contributions.widgets] == list(WIDGETS)
    assert len(manifest.contributions.sample_data) == 3


def test_every_widget_says_what_the_common_part_leaves_to_it(manifest):
    places = {command.id: command.python_name for command in manifest.contributions.commands}
    for widget in manifest.contributions.widgets:
        module, name = places[widget.command].split(":")
        made = getattr(import_module(module), name)
        assert issubclass(made, OperationWidget)
        left = [name for name in dir(made) if getattr(getattr(made, name), "__isabstractmethod__", False)]
        assert left == [], widget.display_name


def test_preferences_hold_device_weights_and_the_librarys_tile(manifest):
    about = manifest.contributions.configurations["compute"].properties
    assert set(about) == {"device", "weights", "tile"}
    wanted = MapParams.describe()["tile"]
    assert (about["tile"].default, about["tile"].minimum, about["tile"].maximum) == (
        wanted["default"],
        wanted["low"],
        wanted["high"],
    )


def test_the_manifest_at_the_top_is_the_one_in_the_package():
    top = Path(__file__).parents[2] / "napari.yaml"
    assert top.resolve() == MANIFEST.resolve()


def test_icons_are_shipped(manifest):
    icons = [manifest.icon, *(c.icon for c in manifest.contributions.commands if c.icon)]
    assert len(icons) == 5
    for icon in icons:
        assert (MANIFEST.parent / "icons" / icon.split(":")[1]).is_file()


def test_opening_every_widget_does_not_import_torch():
    code = (
        "import importlib, sys\n"
        "from napari.components import ViewerModel\n"
        "from qtpy.QtWidgets import QApplication\n"
        "app = QApplication([])\n"
        "viewer = ViewerModel()\n"
        "viewer.add_image(__import__('numpy').zeros((3, 40, 40)))\n"
        "for module, name in dict(defocus='DefocusWidget', sharpen='SharpenWidget', shallow='ShallowWidget',\n"
        "                         fusion='FusionWidget').items():\n"
        "    getattr(importlib.import_module('napari_defocus._widgets.' + module), name)(viewer).show()\n"
        "    app.processEvents()\n"
        "assert 'torch' not in sys.modules\n"
        "print('fine')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False)
    assert done.stdout.strip() == "fine", done.stderr


@pytest.mark.parametrize("name", WIDGETS)
def test_every_widget_opens_fits_the_screen_and_explains_its_controls(make_napari_viewer, name):
    viewer = make_napari_viewer()
    dock, widget = viewer.window.add_plugin_dock_widget("napari-defocus", name)
    assert "There is no" in widget.status.text()
    assert not widget.run_button.isEnabled()
    assert widget.minimumSizeHint().height() <= SCREEN
    assert widget.sizeHint().height() <= SCREEN
    kinds = (QAbstractButton, QAbstractSlider, QAbstractSpinBox, QComboBox, QListWidget, QTableWidget)
    silent = [
        control
        for kind in kinds  # PySide6 takes one at a time
        for control in widget.findChildren(kind)
        if not control.toolTip()
        # Parts of other controls, scroll bars and the headings that fold a section.
        and not isinstance(control.parent(), kinds)
        and type(control).__name__ not in ("QScrollBar", "QTableCornerButton")
        and type(control.parent()).__name__ not in ("QCollapsible", "QTableWidget", "SliderLabel")
        and not (control.parent() is not None and control.parent().toolTip())
    ]
    assert [(type(c).__name__, getattr(c, "text", str)()) for c in silent] == []
    del dock


@pytest.mark.parametrize("name", ["defocus:Defocus", "sharpen:Sharpen", "shallow:Shallow", "fusion:Fusion"])
def test_a_deleted_widget_leaves_no_other_to_the_garbage_collector(qtbot, name):
    """Python's collector runs in any thread, and a widget that is deleted there takes the program down."""
    module, kind = name.split(":")
    gc.collect()
    widget = getattr(import_module(f"napari_defocus._widgets.{module}"), f"{kind}Widget")(ViewerModel())
    widget.show()
    qtbot.wait(10)
    widget.deleteLater()
    QCoreApplication.sendPostedEvents(widget, QEvent.Type.DeferredDelete)
    assert not isalive(widget)
    del widget
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        left = [type(found).__name__ for found in gc.garbage if isinstance(found, QWidget) and isalive(found)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert left == []


@pytest.mark.parametrize("key", ["photo", "focal_stack", "z_stack"])
def test_samples_open(make_napari_viewer, key, monkeypatch):
    from skimage import data

    small = {
        "astronaut": data.astronaut()[:64, :64],
        "coffee": data.coffee()[:64, :64],
        "gravel": data.gravel()[:64, :64],
    }
    for name, picture in small.items():
        monkeypatch.setattr(data, name, lambda picture=picture: picture)
    viewer = make_napari_viewer()
    layers = viewer.open_sample("napari-defocus", key)
    if key == "z_stack":
        height, stack = layers
        assert [str(u) for u in stack.units] == ["micrometer"] * 3
        assert stack.data.dtype == "uint16"
        assert height.data.shape == stack.data.shape[1:]
        assert height.data.max() <= stack.scale[0] * (stack.data.shape[0] - 1)
    else:
        assert layers[0].rgb
