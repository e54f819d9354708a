"""Settings of a widget as the options of its command, and back: one file serves both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from defocus_backend.errors import InputError
from defocus_backend.params import AlignParams, FusionParams, MapParams, ShallowParams, SharpenParams

_COMMON = ("device", "weights")
_MODES: dict[str, tuple[str, tuple[str, ...]]] = {
    "fusion": ("fuse", (*FusionParams.names(), "align", *(name for name in AlignParams.names() if name != "model"))),
    "defocus": ("map", tuple(MapParams.names())),
    "sharpen": ("sharpen", tuple(SharpenParams.names())),
    "shallow": ("shallow", (*ShallowParams.names(), "focus")),
}
"""For each widget the mode of `defocus batch`, and the options that it takes."""


def to_preset(key: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Options of `defocus batch` for the settings of a widget; what only the widget has is left out."""
    mode, known = _MODES[key]
    taken = {name: value for name, value in values.items() if name in (*known, *_COMMON)}
    return {"mode": mode, **{name.replace("_", "-"): v for name, v in taken.items() if v not in (None, "")}}


def from_preset(key: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a widget from options of `defocus batch`; raise `InputError` for those of another operation."""
    mode, _ = _MODES[key]
    given = options.get("mode", mode)
    if given != mode:
        raise InputError("preset", f"settings for mode {given!r}", f"those for mode {mode!r}")
    return {name.replace("-", "_"): value for name, value in options.items() if name != "mode"}
