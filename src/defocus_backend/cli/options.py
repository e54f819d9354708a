"""Options made from the parameter dataclasses, so that library and command line never drift apart."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from defocus_backend.errors import InputError
from defocus_backend.io.limits import VARIABLE as MAX_PIXELS
from defocus_backend.methods import OWN_METHODS, PIXEL_MAP_NAMES, Method
from defocus_backend.options import Params
from defocus_backend.params import MapParams, SigmaParams, SliceMapParams

F = TypeVar("F", bound=Callable[..., Any])
P = TypeVar("P", bound=Params)

MAP_SECTION = "Defocus map"
METHOD_SECTION = "Method"
OUTPUT_SECTION = "Output"


class SectionOption(click.Option):
    """An option that the help lists under a heading."""

    def __init__(self, *args: Any, section: str = OUTPUT_SECTION, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


class SectionCommand(click.Command):
    """A command whose help lists its options under headings, in the order of their first option."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                sections.setdefault(getattr(param, "section", "Run"), []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


class _OneOf(click.Choice):
    """A choice among values of any type."""

    def __init__(self, values: tuple[Any, ...]) -> None:
        self._values = {str(v): v for v in values}
        super().__init__(list(self._values))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return self._values[str(super().convert(str(value), param, ctx))]


class _MethodName(click.Choice):
    """A method of an operation; tells where the method of its defocus map belongs."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in PIXEL_MAP_NAMES:
            self.fail(f"{value!r} is a method of the defocus map: name it with --map-method", param, ctx)
        return super().convert(value, param, ctx)


def method_option(operation: str, published: Mapping[str, Method]) -> Callable[[F], F]:
    """`--method` of an operation: ours, which is the default, or a published one."""
    own = OWN_METHODS[operation]
    return option(
        "--method",
        type=_MethodName([own.name, *published]),
        default=own.name,
        show_default=True,
        section=METHOD_SECTION,
        help=f"How to {operation}. {own.name}: {own.text}. The others are published methods with the settings of "
        "their papers, see `defocus methods`.",
    )


def refuse_settings(
    method: str, operation: str, *, sections: tuple[str, ...], but: tuple[str, ...] = (), only: str = ""
) -> None:
    """Refuse options that say how one method works when another was chosen.

    Parameters
    ----------
    method, operation : str
        What was chosen for what.
    sections : tuple of str
        Headings of the options.
    but : tuple of str
        Names of options under them that the chosen method has too.
    only : str
        The method whose options they are; ours if empty.

    Raises
    ------
    InputError
        That names the first such option on the command line.
    """
    owner = only or OWN_METHODS[operation].name
    refuse_given(f"with --method {method}", f"it only with --method {owner}", sections=sections, but=but)


def refuse_given(
    where: str, wanted: str, *, sections: tuple[str, ...], also: tuple[str, ...] = (), but: tuple[str, ...] = ()
) -> None:
    """Refuse options that the user has set where they would be ignored.

    Parameters
    ----------
    where, wanted : str
        For the message: "with --align off", "it only with --align".
    sections : tuple of str
        Headings of the options.
    also : tuple of str
        Names of options under other headings.
    but : tuple of str
        Names of options under these headings that count there too.

    Raises
    ------
    InputError
        That names the first such option on the command line.
    """
    context = click.get_current_context()
    for param in context.command.params:
        name = param.name or ""
        given = context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        ignored = name in also or (getattr(param, "section", "") in sections and name not in but)
        if given and ignored:
            off = param.secondary_opts and context.params.get(name) is False
            raise InputError((param.secondary_opts if off else param.opts)[0], f"it {where}", wanted)


def option(*names: str, section: str = OUTPUT_SECTION, **attributes: Any) -> Callable[[F], F]:
    """`click.option` under a heading of the help."""
    return click.option(*names, cls=SectionOption, section=section, **attributes)


def params_options(group: type[Params], section: str = "", but: Collection[str] = ()) -> Callable[[F], F]:
    """Add an option for every field of a group, with its help, unit, range and default.

    Parameters
    ----------
    group : type
        The dataclass.
    section : str
        Heading in the help; by default that of the group.
    but : collection of str
        Fields that the command offers otherwise, or not at all.
    """

    def decorate(function: F) -> F:
        for field, shown in reversed(group.describe().items()):
            if field not in but:
                function = _field_option(field, shown, section or group.heading)(function)
        return function

    return decorate


def _field_option(name: str, shown: Mapping[str, Any], section: str) -> Callable[[F], F]:
    flag, default = "--" + name.replace("_", "-"), shown["default"]
    common: dict[str, Any] = {"section": section, "help": shown["help"], "show_default": True}
    if isinstance(default, bool):
        off = f"--no-{flag.removeprefix('--')}"
        return option(f"{flag}/{off}", name, default=default, **common)
    if shown["unit"] and not shown["choices"]:
        common["metavar"] = shown["unit"].upper()
    if shown["choices"]:
        kind: click.ParamType = _OneOf(shown["choices"])
        common["help"] = shown["help"].rstrip(".") + (f", in {shown['unit']}." if shown["unit"] else ".")
        default = str(default)
    elif isinstance(default, int):
        kind = click.IntRange(shown["low"], shown["high"])
    elif isinstance(default, float):
        least = shown["low"] if shown["above"] is None else shown["above"]
        kind = click.FloatRange(least, shown["high"], min_open=shown["above"] is not None)
    else:
        kind = click.STRING
    return option(flag, name, type=kind, default=default, **common)


def take(group: type[P], options: dict[str, Any]) -> P:
    """Take the options of a group, and of the groups within it, out of the parsed ones."""
    return group.of({name: options.pop(name) for name in group.names() if name in options})


def map_options(function: F) -> F:
    """Options of the defocus map, and the value range."""
    return params_options(MapParams, but=("weights",))(_weights_and_range(function))


def sigma_map_options(function: F) -> F:
    """The same for what needs a map in pixels."""
    return params_options(SigmaParams, but=("weights",))(_weights_and_range(function))


def slice_map_options(function: F) -> F:
    """The same with the defaults of the maps of a stack's slices."""
    return params_options(SliceMapParams, but=("weights",))(_weights_and_range(function))


def _weights_and_range(function: F) -> F:
    function = option(
        "--value-range",
        "value_range",
        nargs=2,
        type=float,
        metavar="LOW HIGH",
        section="Input",
        help="Values that count as black and white; by default the whole range of 8-bit files, 0 to 1 for "
        "floats within it, else the 0.1 and 99.9 percentiles.",
    )(function)
    return option(
        "--weights",
        metavar="NAME|FILE",
        section=MAP_SECTION,
        help="Other weights: a name from `defocus models` or a .safetensors file from `defocus train`; their "
        "network takes the place of --map-method.",
    )(function)


def _set_max_pixels(context: click.Context, _param: click.Parameter, value: int | None) -> None:
    """Hand the number on to all that reads, in other processes too, until the command ends."""
    if value is None:
        return
    before = os.environ.get(MAX_PIXELS)
    os.environ[MAX_PIXELS] = str(value)

    def restore() -> None:
        os.environ.pop(MAX_PIXELS, None)
        if before is not None:
            os.environ[MAX_PIXELS] = before

    context.call_on_close(restore)


max_pixels_option = option(
    "--max-pixels",
    type=click.IntRange(1),
    metavar="N",
    section="Input",
    expose_value=False,
    callback=_set_max_pixels,
    help="Read pictures of up to N pixels, whatever their size in the file or in memory, and no larger ones. By "
    "default those are refused that claim more than the file can hold or the free memory can take.",
)
"""How large pictures may be."""


def run_options(function: F) -> F:
    """Options that every computing command has: device, JSON summary, quiet, the largest picture."""
    for decorate in (
        max_pixels_option,
        option("--quiet", is_flag=True, section="Run", help="No progress bar and no list of what was written."),
        option("--json", "as_json", is_flag=True, section="Run", help="Print one JSON object on stdout instead."),
        option(
            "--device",
            default="auto",
            show_default=True,
            metavar="NAME",
            section="Run",
            help="auto, cpu, cuda, cuda:N or mps.",
        ),
    ):
        function = decorate(function)
    return function


def output_options(function: F) -> F:
    """Options that say where results go and how they look."""
    function = option(
        "--colours",
        "colours",
        nargs=2,
        type=float,
        default=(0.0, 19.0),
        show_default=True,
        metavar="LOW HIGH",
        help="Sigma in px at the ends of the colour bar.",
    )(function)
    return option(
        "--out",
        metavar="DIR",
        type=click.Path(path_type=Path, file_okay=True),
        help="Folder for the results, made if absent; by default they go beside the (first) input file.",
    )(function)


def picture_format_option(function: F) -> F:
    """The format of resulting pictures."""
    return option(
        "--format",
        "suffix",
        type=click.Choice(["same", "png", "jpg", "tif"]),
        default="same",
        show_default=True,
        help="Format of the resulting picture; the same as that of the input keeps its bit depth.",
    )(function)
