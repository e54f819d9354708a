"""Settings of a widget as the options of its command, and back: one file serves both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from defocus_backend.errors import InputError
from defocus_backend.params import (
    AlignParams,
    DefocusParams,
    FusionParams,
    ShallowParams,
    SharpenParams,
    SliceMapParams,
)

_REFINE = {"radius": "refine_radius", "eps": "refine_eps", "iterations": "refine_iterations"}
_COMMON = ("device", "weights")
_MODES: dict[str, tuple[str, tuple[str, ...], dict[str, str]]] = {
    "fusion": (
        "fuse",
        (
            *FusionParams.describe(),
            *(name for name in SliceMapParams.describe() if name not in ("radius", "eps")),
            *("refine_radius", "refine_eps", "align", "never_above"),
            *(name for name in AlignParams.describe() if name != "model"),
        ),
        {"method": "map_method", "iterations": "refine_iterations", "match_exposure": "exposure"},
    ),
    "defocus": ("map", tuple(DefocusParams.describe()), _REFINE),
    "sharpen": ("sharpen", tuple(SharpenParams.describe()), {}),
    "shallow": ("shallow", (*ShallowParams.describe(), "focus"), {}),
}
"""For each widget the mode of `defocus batch`, what it takes, and options whose names differ from the library's."""


def to_preset(key: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Options of `defocus batch` for the settings of a widget; what only the widget has is left out."""
    mode, known, renamed = _MODES[key]
    taken = {name: value for name, value in values.items() if name in (*known, *_COMMON)}
    return {"mode": mode, **{renamed.get(n, n).replace("_", "-"): v for n, v in taken.items() if v not in (None, "")}}


def from_preset(key: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a widget from options of `defocus batch`; raise `InputError` for those of another operation."""
    mode, _, renamed = _MODES[key]
    given = options.get("mode", mode)
    if given != mode:
        raise InputError("preset", f"settings for mode {given!r}", f"those for mode {mode!r}")
    back = {option: name for name, option in renamed.items()}
    plain = {name.replace("-", "_"): value for name, value in options.items() if name != "mode"}
    return {back.get(name, name): value for name, value in plain.items()}
