"""Three ways through the plugin as a user goes them, by the controls of the real window alone.

The tests walk them, and `make screenshots` takes the tutorial's pictures on the way. Nothing here calls a method that
only the plugin's own code knows: buttons are clicked by their text, lists are chosen from by what they show, strokes
and clicks are events of the mouse on the canvas.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QApplication, QCheckBox, QComboBox, QFileDialog, QLabel, QWidget

PLUGIN = "napari-defocus"
Look = Callable[[Any, str], None]
"""Called with the viewer and a name where a picture is worth taking."""


class User:
    """Somebody at the window: finds controls by what they say.

    Parameters
    ----------
    viewer : napari.Viewer
    patience : float
        Seconds that a run may take.
    """

    def __init__(self, viewer: Any, patience: float = 300.0) -> None:
        self.viewer, self._patience = viewer, patience
        self.widget: QWidget = QWidget()

    def open_widget(self, name: str) -> None:
        """Open a widget of the plugin from the menu."""
        _, self.widget = self.viewer.window.add_plugin_dock_widget(PLUGIN, name)
        self.wait(lambda: self.widget.isVisible())

    def close_widget(self) -> None:
        """Close its dock."""
        self.viewer.window.remove_dock_widget(self.widget)
        self.wait_a_moment()

    def wait(self, until: Callable[[], bool]) -> None:
        """Handle events until something holds."""
        end = time.monotonic() + self._patience
        while not until():
            if time.monotonic() > end:
                raise TimeoutError(f"still waiting; the widget says: {self.texts()}")
            QApplication.processEvents()
            time.sleep(0.005)

    def wait_a_moment(self, seconds: float = 0.2) -> None:
        """Handle events for some time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.005)

    def button(self, text: str) -> QAbstractButton:
        """The button with a text."""
        found = [b for b in self.widget.findChildren(QAbstractButton) if b.text().lstrip("▶▼ ") == text]
        if len(found) != 1:
            raise LookupError(f"{len(found)} buttons say {text!r}")
        return found[0]

    def click(self, text: str) -> None:
        """Click a button or tick a box."""
        button = self.button(text)
        if not button.isEnabled():
            raise LookupError(f"{text!r} cannot be clicked; the widget says: {self.texts()}")
        if isinstance(button, QCheckBox):
            button.click()
        else:
            QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        self.wait_a_moment(0.05)

    def choose(self, label: str, text: str) -> None:
        """Choose from the list that a label names."""
        (box,) = (b for b in self.widget.findChildren(QComboBox) if b.accessibleName() == label)
        row = next(i for i in range(box.count()) if text in box.itemText(i))
        box.setCurrentIndex(row)
        box.activated.emit(row)
        self.wait_a_moment(0.05)

    def texts(self) -> str:
        """All that the widget says in labels."""
        return " | ".join(x.text() for x in self.widget.findChildren(QLabel) if x.isVisible() and x.text())

    def run(self) -> None:
        """Press *Run* and wait for the end."""
        self.click("Run")
        self.finish()

    def finish(self) -> None:
        """Wait until *Cancel* cannot be pressed any more."""
        self.wait(lambda: not self.button("Cancel").isEnabled())
        self.wait_a_moment(0.5)

    def save_as(self, text: str, path: Path) -> None:
        """Press a button that asks for a file, and name one."""
        with mock.patch.object(QFileDialog, "getSaveFileName", return_value=(str(path), "")):
            self.click(text)

    def on_canvas(self, layer: Any, row: float, column: float) -> QPoint:
        """Where a pixel of a layer is on the canvas."""
        canvas = self.viewer.window._qt_viewer.canvas
        world = layer.data_to_world((*(0,) * (layer.ndim - 2), row, column))[-2:]
        camera = self.viewer.scene.camera
        height, width = canvas.native.height(), canvas.native.width()
        y = (world[0] - camera.center[-2]) * camera.zoom + height / 2
        x = (world[1] - camera.center[-1]) * camera.zoom + width / 2
        return QPoint(round(x), round(y))

    def click_at(self, layer: Any, row: float, column: float) -> None:
        """Click on a pixel."""
        native = self.viewer.window._qt_viewer.canvas.native
        QTest.mouseClick(native, Qt.MouseButton.LeftButton, pos=self.on_canvas(layer, row, column))
        self.wait_a_moment(0.3)

    def stroke(self, layer: Any, points: list[tuple[float, float]]) -> None:
        """Draw a stroke through pixels."""
        native = self.viewer.window._qt_viewer.canvas.native
        places = [self.on_canvas(layer, *point) for point in points]
        QTest.mouseMove(native, places[0])
        QTest.mousePress(native, Qt.MouseButton.LeftButton, pos=places[0])
        for place in places[1:]:
            QTest.mouseMove(native, place)
            self.wait_a_moment(0.05)
        QTest.mouseRelease(native, Qt.MouseButton.LeftButton, pos=places[-1])
        self.wait_a_moment(0.6)


def no_look(viewer: Any, name: str) -> None:
    """Take no picture."""


def stack_journey(new_viewer: Callable[[], Any], folder: Path, stack: np.ndarray, look: Look = no_look) -> list[Path]:
    """A stack without names of axes: fuse it aligned, correct it, save, restart, continue, export the mesh."""
    from tifffile import imwrite

    path = folder / "mystack.tif"
    imwrite(path, stack, photometric="rgb" if stack.shape[-1] == 3 else "minisblack")
    viewer = new_viewer()
    user = User(viewer)
    viewer.open(path, rgb=stack.shape[-1] == 3)
    user.open_widget("Focus fusion")
    look(viewer, "fusion-newcomer")
    if not user.button("Run").isEnabled():
        user.choose("z axis", "axis")
    user.choose("alignment", "automatic")
    user.run()
    look(viewer, "alignment")
    fused = viewer.layers["mystack fused"]
    labels = viewer.layers["mystack decision map"]
    before = np.array(fused.data)
    viewer.dims.set_point(0, 0)
    user.click("Retouch")
    user.wait_a_moment(1.0)
    height, width = labels.data.shape[-2:]
    automatic = np.array(labels.data)
    user.stroke(labels, [(height * 0.7, width * x) for x in (0.5, 0.6, 0.7, 0.75)])
    user.wait(lambda: (np.asarray(fused.data) != before).any() or (labels.data == automatic).all())
    user.wait_a_moment(0.5)
    look(viewer, "retouch")
    if (labels.data == automatic).all():
        raise AssertionError("the stroke painted nothing")
    painted = np.array(labels.data)
    user.click("Undo")
    user.wait_a_moment(0.5)
    if (labels.data != automatic).any():
        raise AssertionError("one undo took back only a part of the stroke")
    user.click("Redo")
    user.wait_a_moment(0.8)
    user.click("Retouch")
    user.save_as("Save results ...", folder / "mystack.defocus")
    user.close_widget()
    viewer.close()

    viewer = new_viewer()
    user = User(viewer)
    viewer.open(folder / "mystack.defocus", plugin=PLUGIN)
    user.open_widget("Focus fusion")
    if "mystack" not in user.texts():
        raise AssertionError("nothing says which stack is missing")
    user.click("Open it and continue")
    user.wait_a_moment(0.5)
    labels = viewer.layers["mystack decision map"]
    if (labels.data != painted).any():
        raise AssertionError("the corrections are lost")
    user.click("Automatic again")
    user.wait_a_moment(1.0)
    user.wait(lambda: bool((np.asarray(viewer.layers["mystack fused"].data) == before).all()))
    mesh = folder / "height.ply"
    user.save_as("Export mesh ...", mesh)
    user.click("Show as surface")
    user.wait_a_moment(0.5)
    look(viewer, "surface-again")
    user.click("Back to 2-D")
    user.close_widget()
    viewer.close()
    return [path, folder / "mystack.defocus" / "results.json", mesh]


def camera_tags() -> Any:
    """What a camera writes into a photo: its maker and model, when and with what aperture it was taken."""
    from PIL.Image import Exif

    tags = Exif()
    tags[0x010F], tags[0x0110], tags[0x0132] = "A maker", "Model 7", "2024:05:06 07:08:09"
    tags.get_ifd(0x8769).update({0x829D: 2.8, 0x9003: "2024:05:06 07:08:09", 0x920A: 85.0})
    return tags


def photo_journey(new_viewer: Callable[[], Any], folder: Path, photo: np.ndarray, look: Look = no_look) -> Path:
    """A photo: map it, sharpen it, make its depth of field shallow by a click, save it with its EXIF."""
    from PIL import Image

    path = folder / "portrait.jpg"
    Image.fromarray(photo).save(path, quality=95, exif=camera_tags())
    viewer = new_viewer()
    user = User(viewer)
    viewer.open(path)
    user.open_widget("Defocus map")
    look(viewer, "defocus-newcomer")
    user.run()
    user.click("Show what is sharp, below [px]")
    user.wait_a_moment(1.0)
    user.wait(lambda: "portrait in focus" in viewer.layers)
    look(viewer, "in-focus")
    user.click("Show what is sharp, below [px]")
    user.close_widget()
    user.open_widget("Adaptive sharpening")
    user.choose("image", "portrait")
    look(viewer, "sharpen-newcomer")
    user.run()
    user.click("Before / after")
    look(viewer, "before")
    user.click("Before / after")
    look(viewer, "after")
    user.click("Split view")
    user.wait(lambda: "before" in viewer.layers)
    look(viewer, "split")
    user.click("Split view")
    user.close_widget()
    user.open_widget("Shallow depth of field")
    user.choose("image", "portrait")
    look(viewer, "shallow-newcomer")
    user.click("Click in the image to focus")
    height, width = photo.shape[:2]
    user.click_at(viewer.layers["portrait"], height * 0.6, width * 0.45)
    if "sigma =" not in user.texts():
        raise AssertionError(f"the click chose no focus: {user.texts()}")
    user.run()
    user.save_as("Save results ...", folder / "portrait.defocus")
    user.close_widget()
    viewer.close()
    return folder / "portrait.defocus" / "results.json"


def mistakes_journey(new_viewer: Callable[[], Any], stack: np.ndarray) -> list[str]:
    """Wrong inputs of every kind: what the widgets say, and that none of them runs or raises."""
    viewer = new_viewer()
    user, said = User(viewer), []
    user.open_widget("Focus fusion")
    said.append(user.texts())
    for number, picture in enumerate(stack[:3]):
        viewer.add_image(picture[: 20 + 10 * number], name=f"shot {number}")
    said.append(user.texts())
    user.click("Fuse these images")
    user.click("Run")
    said.append(user.texts())
    user.close_widget()
    viewer.layers.clear()
    viewer.add_image(stack[0], name="one channel")
    viewer.add_image(stack[1], name="another")
    user.open_widget("Adaptive sharpening")
    said.append(user.texts())
    if user.button("Run").isEnabled():
        raise AssertionError("one channel would be sharpened by another")
    user.close_widget()
    viewer.layers.clear()
    viewer.add_image(np.full((30, 40), np.nan, np.float32), name="nothing")
    user.open_widget("Defocus map")
    user.run()
    said.append(user.texts())
    user.close_widget()
    viewer.close()
    return said
