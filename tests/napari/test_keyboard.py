"""Without a mouse: the Tab key goes through every control that is seen, each has a name, and Run is among them."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QWidget
from superqt import QCollapsible

from napari_defocus._layers import KEY, identity
from napari_defocus._widgets.defocus import DefocusWidget
from napari_defocus._widgets.fusion import FusionWidget
from napari_defocus._widgets.shallow import ShallowWidget
from napari_defocus._widgets.sharpen import SharpenWidget

WIDGETS = [DefocusWidget, SharpenWidget, ShallowWidget, FusionWidget]


@pytest.fixture
def viewer(gray):
    """A picture with its map, and a stack."""
    made = ViewerModel()
    made.add_image(np.stack([gray, gray, gray]), name="stack", axis_labels=("z", "y", "x"))
    picture = made.add_image(gray, name="picture")
    about = {KEY: {"role": "sigma", "source_id": identity(picture)}}
    made.add_image(np.full(gray.shape, 3, np.float32), name="map", metadata=about)
    made.layers.selection.active = picture
    return made


def _walk(widget: QWidget, start: QWidget, key=Qt.Key.Key_Tab) -> list[QWidget]:
    """What has the focus after each press of a key, until it leaves the widget or comes round."""
    start.setFocus()
    seen: list[QWidget] = []
    now = widget.window().focusWidget()
    while now is not None and widget.isAncestorOf(now) and now not in seen:
        seen.append(now)
        QTest.keyClick(now, key)
        now = widget.window().focusWidget()
    return seen


def _name(control: QWidget) -> str:
    """What a screen reader says: the accessible name, else the text of a button."""
    text = control.text() if isinstance(control, QAbstractButton) else ""
    return control.accessibleName() or text


@pytest.mark.parametrize("kind", WIDGETS)
def test_tab_goes_through_all_that_is_seen_and_names_it(viewer, show_widget, kind):
    widget = show_widget(kind(viewer))
    first = widget.image if hasattr(widget, "image") else widget.box.kind
    seen = _walk(widget, first)
    assert all(x.isVisible() and x.isEnabled() for x in seen), "nothing that is folded or disabled"
    assert [type(x).__name__ for x in seen if not _name(x)] == []
    body = [x for x in seen if widget.scroll_area.isAncestorOf(x)]
    assert seen[: len(body)] == body, "the controls first"
    assert seen[len(body) : len(body) + 2] == [widget.new_layers, widget.run_button]
    assert seen[-1] is widget.tools.presets
    assert _walk(widget, widget.tools.presets, Qt.Key.Key_Backtab)[: len(seen)] == seen[::-1]


@pytest.mark.parametrize("kind", WIDGETS)
def test_a_section_is_unfolded_by_a_key_and_then_takes_the_tab_key(viewer, show_widget, kind):
    widget = show_widget(kind(viewer))
    for folded in widget.findChildren(QCollapsible):
        heading = folded.toggleButton()
        inside = [x for x in _walk(widget, heading) if folded.content().isAncestorOf(x)]
        if not folded.isExpanded():
            assert inside == []
            QTest.keyClick(heading, Qt.Key.Key_Space)
        found = [x for x in _walk(widget, heading) if folded.content().isAncestorOf(x)]
        could = [x for x in folded.content().findChildren(QWidget) if _could(x)]
        assert set(found) == set(could)
        assert [type(x).__name__ for x in found if not _name(x)] == []


def _could(control: QWidget) -> bool:
    tab = control.focusPolicy() & Qt.FocusPolicy.TabFocus
    return bool(tab) and control.isVisible() and control.isEnabled() and control.focusProxy() is None


def test_run_by_a_key(viewer, show_widget, library, qtbot):
    widget = show_widget(DefocusWidget(viewer))
    QTest.keyClick(widget.run_button, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: widget.current_run is None and bool(library.calls), timeout=30_000)
    assert "sigma" in widget.made_layers


def test_the_ends_of_a_range_by_keys(viewer, show_widget, qtbot):
    widget = show_widget(ShallowWidget(viewer))
    low, high = (x for x in _walk(widget, widget.image) if "[px]" in _name(x) and "SliderLabel" in type(x).__name__)
    assert (_name(low), _name(high)) == ("sharp below [px]", "blurred above [px]")
    before = widget.ends
    QTest.keyClick(low, Qt.Key.Key_Up)
    assert widget.ends["sharp_below"] > before["sharp_below"]
    QTest.keyClick(high, Qt.Key.Key_Down)
    assert widget.ends["blur_above"] < before["blur_above"]
    qtbot.waitUntil(lambda: not widget._drawing.busy and not widget._preview.busy, timeout=60_000)


def test_errors_name_the_controls_and_stay(viewer, show_widget, monkeypatch):
    monkeypatch.setattr("napari_defocus._widgets._base.tell", lambda *_: None)
    widget = show_widget(FusionWidget(viewer))
    widget.box.slices.setText("0-99")
    widget.run()
    assert "number 3" in widget.status.text()
    viewer.add_points([[1, 1]])
    assert "number 3" in widget.status.text()
    words = widget.words_for()
    for name, control in (("firmness", widget.details), ("noise_floor", widget.details)):
        assert words[name] in control[name].label
    assert import_module("napari_defocus._worker").advice(_error("firmness"), words).startswith("“prefer one slice”")


def _error(name: str):
    from defocus_backend.errors import InputError

    return InputError(name, "-1", "at least 0.1")
