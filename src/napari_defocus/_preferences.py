"""What the user set under Preferences > Defocus, and the weights there are; torch is not imported for it."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from defocus_backend.params import MapParams

_DEFAULTS = {"device": "auto", "weights": "", "tile": MapParams.tile}


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
    return {name: str(card.get("description", "")) for name, card in _cards().items()}


def network_of(weights: str) -> str:
    """Name of the network that weights are for, shipped ones or a file; empty where nothing says it."""
    card = _cards().get(weights)
    if card is not None:
        return str(card.get("network", ""))
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, framework="np") as stored:
            return str((stored.metadata() or {}).get("network", ""))
    except (SafetensorError, OSError):
        return ""


@cache
def _cards() -> dict[str, dict[str, Any]]:
    folder = resources.files("defocus_backend") / "weights"
    if not folder.is_dir():
        return {}
    paths = sorted((path for path in folder.iterdir() if path.name.endswith(".json")), key=lambda path: path.name)
    cards = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return {str(card["name"]): card for card in cards}
