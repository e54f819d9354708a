"""Groups of options: every name once, a flat list of names fills them, and nothing unknown gets in."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

import pytest

import defocus_backend as db
from defocus_backend.errors import InputError
from defocus_backend.options import Params, group, option
from defocus_backend.params import BlendParams, FusionParams, SliceMapParams


def test_fuse_has_a_dozen_options_beside_its_groups() -> None:
    own = set(inspect.signature(db.fuse).parameters) - {"stack"} - set(FusionParams.groups())
    assert len(own) <= 12
    runs = {"channel_axis", "progress", "cancel"}
    assert own - runs == set(FusionParams.describe())
    for name in own - runs:
        assert inspect.signature(db.fuse).parameters[name].default == FusionParams.describe()[name]["default"]


def test_no_two_options_share_a_name() -> None:
    parts = [FusionParams.describe(), *(kind.describe() for kind in FusionParams.groups().values())]
    assert sum(map(len, parts)) == len(FusionParams.names()) == len(set(FusionParams.names()))


def test_a_flat_list_of_options_fills_the_groups_and_comes_back() -> None:
    given = {"blend": "pixels", "refine_radius": 9, "firmness": 20.0}
    made = FusionParams.of(given)
    assert made == FusionParams(
        blend="pixels",
        map_settings=SliceMapParams(refine_radius=9),
        blend_settings=BlendParams(firmness=20.0),
    )
    assert made.flat() == FusionParams().flat() | given
    assert FusionParams(**made.arguments()) == made


def test_an_unknown_name_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(InputError, match=r"refine_radis: got an unknown option; expected refine_radius\?"):
        FusionParams.of({"refine_radis": 3})
    with pytest.raises(InputError, match=r"blend_settings: got .*; expected BlendParams"):
        FusionParams(blend_settings=SliceMapParams())  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class _Inner(Params):
    size: tuple[float, float] | None = option(None, "Two numbers.", kind=float, count=2, low=0)
    mode: object = option("auto", "On, off or auto.", choices=("auto", True, False))


@dataclass(frozen=True, kw_only=True)
class _Outer(Params):
    depth: int | None = option(None, "A number or nothing.", kind=int, low=1)
    inner: _Inner = group(_Inner)


def test_an_option_that_may_be_none_and_one_with_several_values() -> None:
    made = _Outer.of({"depth": None, "size": [1, 2], "mode": True})
    assert made.depth is None
    assert made.inner.size == (1.0, 2.0)
    assert made.inner.mode is True
    for bad in ({"depth": 0}, {"size": (1, -1)}, {"size": (1, 2, 3)}, {"size": 4}, {"mode": 1}, {"mode": "on"}):
        with pytest.raises(InputError) as caught:
            _Outer.of(bad)
        assert caught.value.argument == next(iter(bad))


def test_an_option_of_a_group_from_outside_is_on_the_command_line() -> None:
    """A field is all that it takes: flag, help, unit, range, default and the file of a batch follow from it."""
    import click
    from click.testing import CliRunner

    from defocus_backend.cli.options import SectionCommand, params_options, settings_of

    @click.command(cls=SectionCommand)
    @params_options(_Outer)
    def command(**options: object) -> None:
        click.echo(repr(settings_of(_Outer, options)))

    done = CliRunner().invoke(command, ["--depth", "3", "--size", "1", "2", "--no-mode"])
    assert done.output.strip() == repr(_Outer(depth=3, inner=_Inner(size=(1.0, 2.0), mode=False)))
    assert CliRunner().invoke(command, []).output.strip() == repr(_Outer())
    assert "A number or nothing." in CliRunner().invoke(command, ["--help"]).output
    assert CliRunner().invoke(command, ["--depth", "0"]).exit_code == 2
