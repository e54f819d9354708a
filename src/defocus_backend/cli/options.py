"""Options of commands, made from the library's option groups so that both always agree."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from defocus_backend.errors import InputError
from defocus_backend.io.limits import VARIABLE as MAX_PIXELS
from defocus_backend.methods import PIXEL_MAP_NAMES
from defocus_backend.options import Params
from defocus_backend.params import RunParams

F = TypeVar("F", bound=Callable[..., Any])
P = TypeVar("P", bound=Params)

OUTPUT_SECTION = "Output"
_LAST = ("Output", "Run")
"""Headings that come last in the help."""
_ALL, _MANY = "defocus_help_all", 15
"""Key of the context for "show all options", and the number of options up to which all are always shown."""


class SectionOption(click.Option):
    """An option that is listed under a heading in the help.

    Parameters
    ----------
    section : str
        The heading.
    common : bool
        Whether the short help shows it.
    """

    def __init__(
        self, *args: Any, section: str = OUTPUT_SECTION, common: bool = False, as_written: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.section, self.common, self._as_written = section, common, as_written

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The flag and its help; for a switch that is off by default, only the flag that turns it on."""
        record = super().get_help_record(ctx)
        if record is None or self._as_written or not self.is_flag or self.get_default(ctx):
            return record
        return self.opts[0], record[1].replace(f"  [default: no-{self.opts[0].removeprefix('--')}]", "")


class SectionCommand(click.Command):
    """A command whose help lists options under headings and shows the most used ones first.

    An `InputError` of the library names an option; the command replaces the name by the option's flag.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except InputError as error:
            for param in self.get_params(ctx):
                if param.name == error.argument and isinstance(param, click.Option):
                    off = param.secondary_opts and ctx.params.get(param.name) is False
                    flag = (param.secondary_opts if off else param.opts)[0]
                    raise InputError(flag, error.given, error.wanted) from error
            raise

    def is_common(self, param: click.Parameter) -> bool:
        """Whether the short help shows an option."""
        return getattr(param, "common", True)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        found = super().get_params(ctx)
        if len(found) > _MANY and any(getattr(param, "common", False) for param in found):
            found.append(_HELP_ALL)
        return found

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        params = self.get_params(ctx)
        short = _HELP_ALL in params and not ctx.meta.get(_ALL)
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in params:
            record = param.get_help_record(ctx)
            shown = not short or self.is_common(param)
            if record is not None and isinstance(param, click.Option) and shown:
                sections.setdefault(getattr(param, "section", "Run"), []).append(record)
        for title in sorted(sections, key=lambda title: _LAST.index(title) if title in _LAST else -1):
            with formatter.section(title):
                formatter.write_dl(sections[title])


def _show_all(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        ctx.meta[_ALL] = True
        click.echo(ctx.get_help(), color=ctx.color)
        ctx.exit()


_HELP_ALL = click.Option(
    ["--help-all"],
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_all,
    help="Show all options and exit.",
)


class _OneOf(click.Choice):
    """A choice among values of any type, with a hint if the value is a method of `--map-method`."""

    def __init__(self, name: str, values: Collection[Any]) -> None:
        self._name, self._values = name, {str(v): v for v in values}
        self._hints: tuple[str, ...] = getattr(values, "hints", ())
        super().__init__(list(self._values))

    def get_metavar(self, *args: Any, **kwargs: Any) -> str | None:
        """The choices, including the form of choices that are files."""
        text = super().get_metavar(*args, **kwargs)
        return text and "|".join((text[:-1], *self._hints)) + text[-1]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if self._name == "method" and value in PIXEL_MAP_NAMES and value not in self._values:
            self.fail(f"{value!r} is a method of the defocus map; choose it with --map-method", param, ctx)
        text = str(value)
        if any(text.startswith(hint.partition(":")[0] + ":") for hint in self._hints):
            return text  # the library reads the file and reports its errors
        return self._values[str(super().convert(text, param, ctx))]


def option(*names: str, section: str = OUTPUT_SECTION, **attributes: Any) -> Callable[[F], F]:
    """Create a `click.option` that the help lists under a heading."""
    return click.option(*names, cls=SectionOption, section=section, **attributes)


def params_options(group: type[Params], *, but: Collection[str] = (), only: Collection[str] = ()) -> Callable[[F], F]:
    """Add an option for every field of a group, with its help, unit, range and default.

    Parameters
    ----------
    group : type
        The dataclass. The options of its inner groups are added too.
    but, only : collection of str
        Names of options to leave out, or the only ones to add.
    """

    def decorate(function: F) -> F:
        for name, about in reversed(group.describe(whole=True).items()):
            if about["shell"] and name not in but and (not only or name in only):
                function = _field_option(name, about)(function)
        return function

    return decorate


def _field_option(name: str, about: Mapping[str, Any]) -> Callable[[F], F]:
    flag, default, choices = "--" + name.replace("_", "-"), about["default"], about["choices"]
    common: dict[str, Any] = {"section": about["heading"], "help": about["help"], "common": about["common"]}
    switch = f"{flag}/--no-{flag.removeprefix('--')}"
    if any(choice is True for choice in choices):  # on, off or "auto"; the value 1 is not a switch
        return option(switch, name, default=None, **common)
    if about["kind"] is bool:
        return option(switch, name, default=default, show_default=True, as_written=default, **common)
    common |= {"show_default": default not in (None, "", ()), "default": None if default is None else default}
    if about["count"] != 1:
        common |= {"multiple": True} if about["count"] == 0 else {"nargs": about["count"]}
    if choices:
        if about["unit"]:
            common["help"] = f"{about['help']} In {about['unit']}."
        if default is not None:
            common["default"] = str(default)
        return option(flag, name, type=_OneOf(name, choices), **common)
    if about["metavar"] or about["unit"]:
        common["metavar"] = about["metavar"] or about["unit"].upper()
    return option(flag, name, type=_type_of(about), **common)


def _type_of(about: Mapping[str, Any]) -> click.ParamType:
    """Click type of an option without choices."""
    kind, low, high = about["kind"], about["low"], about["high"]
    if kind is int:
        return click.IntRange(low, high)
    if kind is float:
        open_ = about["above"] is not None
        if low is None and high is None and not open_:
            return click.FLOAT
        return click.FloatRange(about["above"] if open_ else low, high, min_open=open_)
    return click.Path(path_type=Path) if kind is Path else click.STRING


def refuse_given(where: str, wanted: str, *, sections: tuple[str, ...], but: tuple[str, ...] = ()) -> None:
    """Raise `InputError` for the first option under these headings that was given but would be ignored."""
    context = click.get_current_context()
    for param in context.command.params:
        name, section = param.name or "", getattr(param, "section", "")
        given = context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        if given and section in sections and name not in but:
            raise InputError(param.opts[0], f"this option {where}", wanted)


def settings_of(group: type[P], options: Mapping[str, Any]) -> P:
    """Create a group and its inner groups from the parsed options; options that are None keep their defaults."""
    return group.of({name: value for name, value in options.items() if value is not None})


def _set_max_pixels(context: click.Context, _param: click.Parameter, value: int | None) -> None:
    """Apply the limit to all readers, in other processes too, until the command ends."""
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
    help="Read pictures of up to N pixels and refuse larger ones. By default, a picture is refused if it states more "
    "pixels than its file can contain or the free memory can hold.",
)
"""Option for the largest size of a picture."""


def show_options(function: F) -> F:
    """Add the options of every computing command: JSON summary, quiet, the largest picture."""
    for decorate in (
        max_pixels_option,
        option("--quiet", is_flag=True, section="Run", help="Show no progress bar and no list of written files."),
        option("--json", "as_json", is_flag=True, section="Run", help="Print one JSON object on stdout instead."),
    ):
        function = decorate(function)
    return function


def run_options(function: F) -> F:
    """Add the options of `show_options` and the device."""
    return params_options(RunParams)(show_options(function))
