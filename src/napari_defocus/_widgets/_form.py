"""Controls made from the fields of a parameter dataclass: default, help, unit, range and choices."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from magicgui.widgets import CheckBox, ComboBox, Container, FloatSpinBox, SpinBox, Widget, create_widget
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QFormLayout, QLabel, QWidget

from defocus_backend.methods import MAP_METHODS, NETWORK_METHODS
from defocus_backend.options import Params

_TOP = 1_000_000
_LABELS = {
    "blend": "blend slices",
    "blur": "kind of blur",
    "blur_weight": "sharp share at the right handle",
    "confidence_weighted": "confident places decide",
    "decision": "choose slices by",
    "fall_at": "gain falls at",
    "fall_width": "width of the fall",
    "fill_subject": "no colour bleeding",
    "firmness": "prefer one slice",
    "front": "nearest to the viewer",
    "highlights": "bright highlights",
    "iterations": "repetitions",
    "map_method": "method",
    "lens_radius": "lens radius",
    "low_pass": "size of the details",
    "match_exposure": "match exposure",
    "max_gain": "largest gain",
    "noise_floor": "ignore noise below",
    "pooling": "average pixels",
    "precision": "number format",
    "radius": "filter radius",
    "refine_edge_tolerance": "edge tolerance",
    "refine_iterations": "repetitions",
    "refine_radius": "filter radius",
    "refine_subsample": "filter grid",
    "rise_at": "gain rises at",
    "rise_width": "width of the rise",
    "sharp_weight": "sharp share at the left handle",
    "sharpen_gain": "sharpen the subject",
    "sigma_weight": "weight of the blur",
    "step": "window distance",
}
"""Names for people who have not read the paper; all others are the fields' own."""


def label_of(name: str, unit: str = "") -> str:
    """What a field is called in the widgets, with its unit."""
    return _LABELS.get(name, name.replace("_", " ")) + (f" [{unit}]" if unit else "")


class Form(Container[Widget]):
    """The controls of some options of a group, or of the groups within it.

    Parameters
    ----------
    params : type
        The dataclass.
    names : iterable of str or None
        Its fields to show, in this order; None for all.
    """

    def __init__(self, params: type[Params], names: Iterable[str] | None = None) -> None:
        described = params.describe(whole=True)
        self._params = params
        self._names = list(described if names is None else names)
        self._defaults = {name: described[name]["default"] for name in self._names}
        super().__init__(widgets=[_control(name, described[name]) for name in self._names], labels=False)
        tidy(self)

    def panel(self, label_width: int) -> QWidget:
        """The controls in labelled rows, the labels of all panels of one width."""
        panel = QWidget()
        rows = QFormLayout(panel)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for widget in self:
            if isinstance(widget, CheckBox):
                rows.addRow(widget.native)
                continue
            label = QLabel(widget.label)
            label.setToolTip(widget.tooltip)
            label.setMinimumWidth(label_width)
            label.setWordWrap(True)
            label.setBuddy(widget.native)
            widget.native.setAccessibleName(widget.label)
            rows.addRow(label, widget.native)
        # The container itself is not shown. Without a parent it would be left to Python's garbage collector, which runs
        # in any thread, and no widget may be deleted outside the main one.
        self.native.setParent(panel)
        self.native.hide()
        return panel

    def values(self) -> dict[str, Any]:
        """Arguments for the library."""
        return {name: self[name].value for name in self._names}

    @property
    def names(self) -> list[str]:
        """Names under which the values are handed to the library."""
        return list(self._names)

    def words(self) -> dict[str, str]:
        """What the library calls an argument, and what its control is called, without the unit."""
        return {name: label_of(name) for name in self._names}

    def access(self, name: str) -> tuple[Callable[[], Any], Callable[[Any], None]]:
        """Functions that read and set the control of one of `names`."""
        control = self[name]

        def put(value: Any) -> None:
            control.value = value

        return lambda: control.value, put

    def check(self) -> None:
        """Raise `InputError` where a value does not suit the library."""
        self._params.of(self.values())

    def reset(self) -> None:
        """Put every control back to its default; `changed` is emitted once for each that differs."""
        for name, default in self._defaults.items():
            if self[name].value != default:
                self[name].value = default


def tidy(container: Container[Any]) -> None:
    """Keep controls narrow enough for a dock, and the wheel from changing what is scrolled past."""
    for widget in container:
        native = widget.native
        native.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        native.setMinimumWidth(80)
        native.installEventFilter(_WheelGuard(native))


class _WheelGuard(QObject):
    """Leaves the wheel to the scroll area unless the control has the focus."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # Qt's name
        if event.type() == QEvent.Type.Wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return False


def _control(name: str, about: Mapping[str, Any]) -> Widget:
    default, unit = about["default"], about["unit"]
    tip = tooltip(about)
    label = label_of(name, unit)
    if about["choices"]:
        texts = {choice: _choice_text(choice) for choice in about["choices"]}
        choices = [(text, choice) for choice, (text, _) in texts.items()]
        combo = ComboBox(name=name, label=label, tooltip=tip, choices=choices, value=default)
        for row, (_, meaning) in enumerate(texts.values()):
            combo.native.setItemData(row, meaning or None, Qt.ItemDataRole.ToolTipRole)
        return combo
    if isinstance(default, bool):
        return CheckBox(name=name, label="", text=label, tooltip=tip, value=default)
    low = about["low"] if about["low"] is not None else about["above"]
    if isinstance(default, int):
        most = int(about["high"] or _TOP)
        box: Widget = SpinBox(name=name, label=label, tooltip=tip, value=default, min=int(low or 0), max=most, step=1)
    elif isinstance(default, float):
        decimals = _decimals(default, about["high"])
        least = (low or 0.0) + (10.0**-decimals if about["above"] is not None else 0.0)
        high = float(_TOP if about["high"] is None else about["high"])
        step = 10 ** math.floor(math.log10(max(abs(default), 10.0**-decimals)))
        if 0.5 < default < 1:
            step = 10.0**-decimals if default > 0.99 else 0.05
        box = FloatSpinBox(name=name, label=label, tooltip=tip, value=default, min=least, max=high, step=step)
        box.native.setDecimals(decimals)
        box.value = default
    else:
        return create_widget(value=default, name=name, label=label, options={"tooltip": tip})
    return box


def _choice_text(choice: Any) -> tuple[str, str]:
    """What a list shows for a choice, and its tooltip: methods say what they do and whether they give pixels."""
    method = NETWORK_METHODS.get(choice) or MAP_METHODS.get(choice)
    if method is None:
        return str(choice), ""
    text = choice if method.unit == "px" else f"{choice} (relative)"
    meaning = "Gives sigma in pixels." if method.unit == "px" else "Without a unit: larger is more blurred, no more."
    return text, f"{method.text[0].upper()}{method.text[1:]}. {meaning}\n{method.citation}"


def _decimals(default: float, high: float | None) -> int:
    """Digits enough for the default and a tenth of it, and for a bound just below one."""
    digits = 2 if default == 0 else max(2, 1 - math.floor(math.log10(abs(default))))
    if high is not None and 0.999 < high < 1:
        digits = max(digits, 4)
    return digits


def tooltip(about: Mapping[str, Any]) -> str:
    """Help, unit, range and default in one tooltip."""
    parts = []
    if about["unit"]:
        parts.append(f"Unit: {about['unit']}.")
    elif not about["choices"] and not isinstance(about["default"], bool):
        parts.append("No unit.")
    low, high, above = about["low"], about["high"], about["above"]
    bounds = [f"at least {low:g}"] if low is not None else [f"more than {above:g}"] if above is not None else []
    bounds += [f"at most {high:g}"] if high is not None else []
    if bounds:
        parts.append("Range: " + ", ".join(bounds) + ".")
    parts.append(f"Default: {about['default']}.")
    return about["help"] + "\n" + " ".join(parts)
