"""Every default is valid, every bound refuses, and every field tells an interface what it needs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import defocus_backend
from defocus_backend.errors import InputError
from defocus_backend.methods import DEFAULT_NETWORK, NETWORK_METHODS
from defocus_backend.options import Params
from defocus_backend.params import (
    AlignParams,
    BlendParams,
    DecisionParams,
    FusionParams,
    MapParams,
    QualityParams,
    ShallowParams,
    SharpenParams,
    SigmaParams,
    SliceMapParams,
)

GROUPS = (
    *(MapParams, SigmaParams, SliceMapParams, SharpenParams, ShallowParams, FusionParams, DecisionParams),
    *(BlendParams, AlignParams, QualityParams),
)


@pytest.mark.parametrize("group", GROUPS)
def test_defaults_are_valid_and_described(group: type[Params]) -> None:
    group()
    for name, about in group.describe().items():
        assert about["help"].endswith("."), name


@pytest.mark.parametrize("group", GROUPS)
def test_values_outside_their_range_are_refused_by_name(group: type[Params]) -> None:
    for name, about in group.describe().items():
        if about["kind"] is object:
            continue  # checked where it is used
        bad: list[object] = ["nonsense", float("nan")] + ([] if about["default"] is None else [None])
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
    found = MapParams(
        refine_radius=np.int64(3),
        refine_edge_tolerance=np.float32(0.25),
        refine_iterations=2.0,
        step=8.0,
        refine=np.bool_(False),
        map_method=np.str_("lbp"),
    )
    kinds = [
        type(getattr(found, n))
        for n in ("refine_radius", "refine_edge_tolerance", "refine_iterations", "step", "refine", "map_method")
    ]
    assert kinds == [int, float, int, int, bool, str]
    assert found == MapParams(
        refine_radius=3, refine_edge_tolerance=0.25, refine_iterations=2, step=8, refine=False, map_method="lbp"
    )
    for bad in ({"refine_radius": np.float64(2.5)}, {"refine_radius": np.bool_(True)}, {"step": np.array([8])}):
        with pytest.raises(InputError, match=next(iter(bad))):
            MapParams(**bad)


def test_a_step_between_the_offered_ones_is_refused() -> None:
    with pytest.raises(InputError, match="one of 4, 8, 16, 32"):
        MapParams(step=12)


def test_the_default_network_is_stated_once() -> None:
    """`methods.DEFAULT_NETWORK` is the default of every map and of nothing else that could differ from it."""
    assert {group().map_method for group in (MapParams, SigmaParams, SliceMapParams)} == {DEFAULT_NETWORK}
    assert DEFAULT_NETWORK in NETWORK_METHODS
    source = Path(defocus_backend.__file__).parents[1]
    stated = [
        path.name
        for path in source.rglob("*.py")
        if re.search(rf'(default|method|network)\w*[^\n]*= ?"{DEFAULT_NETWORK}"', path.read_text(), re.IGNORECASE)
    ]
    assert stated == ["methods.py"]
