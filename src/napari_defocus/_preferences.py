"""What the user set under Preferences > Defocus, and the weights there are; torch is not imported for it."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from defocus_backend.params import TileParams

_DEFAULTS = {"device": "auto", "weights": "", "tile": TileParams.tile}


def preference(name: str) -> Any:
    """Value of one entry of the Preferences page; its default where napari has no plugin settings."""
    try:
        from napari.settings import get_plugin_settings

        value = getattr(get_plugin_settings("napari-defocus").compute, name)
    except (ImportError, KeyError, AttributeError):
        return _DEFAULTS[name]
    return getattr(value, "value", value)


def shipped_weights() -> dict[str, str]:
    """Names of the weights in the package and what each is, read from their model cards."""
    found: dict[str, str] = {}
    folder = resources.files("defocus_backend") / "weights"
    if not folder.is_dir():
        return found
    for card in sorted(folder.iterdir(), key=lambda path: path.name):
        if card.name.endswith(".json"):
            about = json.loads(card.read_text(encoding="utf-8"))
            found[str(about["name"])] = str(about.get("description", ""))
    return found
