"""Every default is valid, every bound refuses, and every field tells an interface what it needs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import defocus_backend
from defocus_backend.errors import InputError
from defocus_backend.methods import DEFAULT_NETWORK, NETWORK_METHODS
from defocus_backend.params import (
    AlignParams,
    DefocusParams,
    FusionParams,
    Params,
    ShallowParams,
    SharpenParams,
    SigmaParams,
    SliceMapParams,
    TileParams,
)

GROUPS = (DefocusParams, TileParams, SliceMapParams, SharpenParams, ShallowParams, FusionParams, AlignParams)


@pytest.mark.parametrize("group", GROUPS)
def test_defaults_are_valid_and_described(group: type[Params]) -> None:
    group()
    for name, about in group.describe().items():
        assert about["help"].endswith("."), name


@pytest.mark.parametrize("group", GROUPS)
def test_values_outside_their_range_are_refused_by_name(group: type[Params]) -> None:
    for name, about in group.describe().items():
        bad: list[object] = ["nonsense", None, float("nan")]
        if about["low"] is not None:
            bad.append(about["low"] - 1)
        if about["above"] is not None:
            bad.append(about["above"])
        if about["high"] is not None:
            bad.append(about["high"] + 1)
        for value in bad:
            with pytest.raises(InputError) as caught:
                group(**{name: value})
            assert caught.value.argument == name


def test_numbers_of_numpy_and_whole_floats_become_plain_ones() -> None:
    found = DefocusParams(
        radius=np.int64(3),
        eps=np.float32(0.25),
        iterations=2.0,
        step=8.0,
        refine=np.bool_(False),
        method=np.str_("lbp"),
    )
    kinds = [type(getattr(found, n)) for n in ("radius", "eps", "iterations", "step", "refine", "method")]
    assert kinds == [int, float, int, int, bool, str]
    assert found == DefocusParams(radius=3, eps=0.25, iterations=2, step=8, refine=False, method="lbp")
    for bad in ({"radius": np.float64(2.5)}, {"radius": np.bool_(True)}, {"step": np.array([8])}):
        with pytest.raises(InputError, match=next(iter(bad))):
            DefocusParams(**bad)


def test_a_step_between_the_offered_ones_is_refused() -> None:
    with pytest.raises(InputError, match="one of 4, 8, 16, 32"):
        DefocusParams(step=12)


def test_the_default_network_is_stated_once() -> None:
    """`methods.DEFAULT_NETWORK` is the default of every map and of nothing else that could differ from it."""
    assert {group().method for group in (DefocusParams, SigmaParams, SliceMapParams)} == {DEFAULT_NETWORK}
    assert DEFAULT_NETWORK in NETWORK_METHODS
    source = Path(defocus_backend.__file__).parents[1]
    stated = [
        path.name
        for path in source.rglob("*.py")
        if re.search(rf'(default|method|network)\w*[^\n]*= ?"{DEFAULT_NETWORK}"', path.read_text(), re.IGNORECASE)
    ]
    assert stated == ["methods.py"]
