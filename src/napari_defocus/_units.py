"""Units of napari's layers, which are those of pint or text."""

from __future__ import annotations

from typing import Any


def short_unit(unit: Any) -> str:
    """Symbol of a unit: "µm" with the micro sign, also where pint (0.26) writes the Greek letter."""
    return (unit if isinstance(unit, str) else f"{unit:~P}").replace("\u03bc", "µ")
