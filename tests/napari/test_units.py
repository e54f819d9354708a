"""Units of layers, however pint writes them."""

from __future__ import annotations

import pytest

from napari_defocus._units import short_unit


class _Pint:
    """A unit as pint formats it: release 0.26 begins micrometres with the Greek letter."""

    def __init__(self, symbol: str) -> None:
        self._symbol = symbol

    def __format__(self, spec: str) -> str:
        assert spec == "~P"
        return self._symbol


@pytest.mark.parametrize("unit", ["µm", "\u03bcm", _Pint("µm"), _Pint("\u03bcm")])
def test_micrometres_have_one_spelling(unit: object) -> None:
    assert short_unit(unit) == "\u00b5m"


def test_other_units_stay() -> None:
    assert [short_unit(u) for u in ("mm", _Pint("nm"), "pixel")] == ["mm", "nm", "pixel"]
