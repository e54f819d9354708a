"""The settings of a widget by name: remembered between openings of the dock and sessions, and saved as presets."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from qtpy.QtWidgets import QCheckBox, QLineEdit

from napari_defocus import _settings
from napari_defocus._widgets._form import Form

Get = Callable[[], Any]
Set = Callable[[Any], object]


class Memory:
    """Knows how to read and set every control that is remembered.

    Parameters
    ----------
    key : str
        Name of the widget's settings.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._known: dict[str, tuple[Get, Set]] = {}

    def add(self, name: str, control: Any) -> None:
        """Remember a control of Qt or of this plugin."""
        if isinstance(control, Form):
            for field in control.names:
                self.add_value(field if not name else f"{name}_{field}", *control.access(field))
        elif isinstance(control, QCheckBox):
            self.add_value(name, control.isChecked, control.setChecked)
        elif isinstance(control, QLineEdit):
            self.add_value(name, control.text, control.setText)
        elif callable(control.value):
            self.add_value(name, control.value, control.setValue)
        else:
            self.add_value(name, lambda: control.value, lambda value: setattr(control, "value", value))

    def add_value(self, name: str, get: Get, put: Set) -> None:
        """Remember what two functions read and set."""
        self._known[name] = (get, put)

    def values(self) -> dict[str, Any]:
        """All settings by name."""
        return {name: get() for name, (get, _) in self._known.items()}

    def put(self, values: dict[str, Any]) -> list[str]:
        """Set what is known of these; returns the names that are not, or whose values do not fit."""
        left = []
        for name, value in values.items():
            if name not in self._known:
                left.append(name)
                continue
            try:
                self._known[name][1](value)
            except (TypeError, ValueError):
                left.append(name)
        return left

    def save(self) -> None:
        """Keep the settings for the next time."""
        # The controls may be gone already when the window closes.
        with contextlib.suppress(RuntimeError):
            _settings.save(self._key, self.values())

    def restore(self) -> None:
        """Take the settings of the last time."""
        self.put(_settings.load(self._key))
