"""A window of 1280 x 800 and large letters: nothing is cut off, nothing scrolls sideways, the window stays as wide."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QAbstractButton, QPushButton
from superqt import QCollapsible

WIDGETS = ["Defocus map", "Adaptive sharpening", "Shallow depth of field", "Focus fusion"]
WIDTH, HEIGHT = 1280, 800


@pytest.mark.parametrize("points", [10, 18])
def test_every_button_is_reached_without_scrolling_sideways(make_napari_viewer, qtbot, points):
    from napari.settings import get_settings

    viewer = make_napari_viewer(show=True)
    appearance = get_settings().appearance
    before, appearance.font_size = appearance.font_size, points
    try:
        window = viewer.window._qt_window
        window.resize(WIDTH, HEIGHT)
        name = "a stack whose layer has a name that is rather long"
        viewer.add_image(np.zeros((3, 40, 40)), name=name, axis_labels=("z", "y", "x"))
        for title in WIDGETS:
            _, widget = viewer.window.add_plugin_dock_widget("napari-defocus", title)
            for section in widget.findChildren(QCollapsible):
                section.expand(animate=False)
            qtbot.wait(50)
            assert (window.width(), window.height()) == (WIDTH, HEIGHT), title
            assert widget.scroll_area.horizontalScrollBar().maximum() == 0, title
            assert _cut_off(widget) == [], title
            viewer.window.remove_dock_widget(widget)
            qtbot.wait(10)
    finally:
        appearance.font_size = before


def _cut_off(widget) -> list[str]:
    """Texts of the buttons that reach beyond the widget or are wider than it lets them be."""
    found = []
    for made in widget.findChildren(QAbstractButton):
        if not made.isVisible() or not made.text():
            continue
        outside = made.mapTo(widget, made.rect().topRight()).x() > widget.width()
        text = made.fontMetrics().horizontalAdvance(made.text().replace("&", ""))
        narrow = isinstance(made, QPushButton) and not isinstance(made.parent(), QCollapsible) and text > made.width()
        found += [made.text()] if outside or narrow else []
    return found
