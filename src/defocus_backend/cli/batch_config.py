"""Options of a batch: its own, those of the repeated command, and a file that sets both."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any

import click

from defocus_backend.cli.options import SectionCommand
from defocus_backend.errors import FileError, InputError
from defocus_backend.io.atomic import reason
from defocus_backend.pipeline.step import OPERATIONS

_SET_BY_BATCH = {"name", "out", "quiet", "as_json", "map"}
"""Options of those commands that the batch sets itself, or that make sense only for a single picture."""

_MODE, FIRST = "defocus_batch_mode", next(iter(OPERATIONS))


def command_of(operation: str) -> click.Command:
    """The command of an operation."""
    from defocus_backend.cli.app import main

    command = main.get_command(click.Context(main), operation)
    assert command is not None
    return command


class BatchCommand(SectionCommand):
    """A command that has its own options, followed by those of the command that ``--mode`` names."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        own = super().get_params(ctx)
        taken = {parameter.name for parameter in own} | _SET_BY_BATCH
        repeated = command_of(ctx.meta.get(_MODE, FIRST)).params
        inherited = [p for p in repeated if isinstance(p, click.Option) and p.name not in taken]
        last = [p for p in own if p.name in ("help", "help_all")]
        return [*(p for p in own if p not in last), *inherited, *last]

    def is_common(self, param: click.Parameter) -> bool:
        return super().is_common(param) and param in (*self.params, *super().get_params(click.Context(self)))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        mode, config = self._look_ahead(args)
        settings = {} if config is None else _read(config)
        ctx.meta[_MODE] = mode or settings.get("mode", FIRST)
        if ctx.meta[_MODE] not in OPERATIONS:
            raise InputError("mode", repr(ctx.meta[_MODE]), "one of " + ", ".join(OPERATIONS))
        if config is not None:
            ctx.default_map = self._defaults(ctx, config, settings)
        return super().parse_args(ctx, args)

    def _look_ahead(self, args: list[str]) -> tuple[str | None, Path | None]:
        """Mode and configuration file, on which all other options depend."""
        known = [p for p in self.params if p.name in ("mode", "config")]
        tolerant = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
        first = click.Command("batch", params=known, context_settings=tolerant)
        with first.make_context("batch", list(args), resilient_parsing=True) as found:
            given = found.get_parameter_source("mode") is click.core.ParameterSource.COMMANDLINE
            return found.params["mode"] if given else None, found.params["config"]

    def _defaults(self, ctx: click.Context, config: Path, settings: dict[str, Any]) -> dict[str, Any]:
        """Settings of the file by parameter. Names are those of the options, with dashes or underscores."""
        by_flag: dict[str, click.Parameter] = {}
        for parameter in self.get_params(ctx):
            if isinstance(parameter, click.Option) and parameter.name not in ("config", "help"):
                by_flag |= {flag.removeprefix("--").replace("-", "_"): parameter for flag in parameter.opts}
        defaults: dict[str, Any] = {}
        for key, value in settings.items():
            name = key.replace("-", "_")
            if name not in by_flag:
                close = difflib.get_close_matches(name, by_flag, 1)
                hint = f"; did you mean {close[0].replace('_', '-')}?" if close else ""
                mode = ctx.meta[_MODE]
                raise InputError(str(config), f"{key}", f"options of `defocus batch --mode {mode}`{hint}")
            parameter = by_flag[name]
            assert parameter.name is not None
            defaults[parameter.name] = _as_given(parameter, key, value, config)
        return defaults


def _read(config: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(config.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"{config}: cannot be read ({reason(error)})") from error
    except (ValueError, RecursionError) as error:
        raise FileError(f"{config}: cannot be read, no TOML ({reason(error)})") from error


def _as_given(parameter: click.Parameter, key: str, value: Any, config: Path) -> Any:
    """Return a setting as text for click; refuse values that click would silently convert."""
    flag = isinstance(parameter, click.Option) and parameter.is_flag
    if flag != isinstance(value, bool):
        raise InputError(f"{config}: {key}", _short(value), "true or false" if flag else "a value, not true or false")
    if isinstance(value, dict) or isinstance(value, list) != (parameter.nargs != 1 or parameter.multiple):
        count = f"a list of {parameter.nargs}" if parameter.nargs > 1 else "a single value"
        raise InputError(f"{config}: {key}", _short(value), "a list" if parameter.multiple else count)
    for one in value if isinstance(value, list) else [value]:
        if not isinstance(one, _kind(parameter)) or (isinstance(one, bool) and not flag):
            raise InputError(f"{config}: {key}", _short(one), _WORDS[_kind(parameter)])
    return value


def _kind(parameter: click.Parameter) -> type | tuple[type, ...]:
    """Type that a setting must have in the file."""
    if isinstance(parameter.type, click.types.IntParamType):
        return int
    if isinstance(parameter.type, click.types.FloatParamType):
        return (int, float)
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return bool
    return (int, float, str) if isinstance(parameter.type, click.Choice) else str


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # whole numbers of thousands of digits
        text = type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."


_WORDS: dict[type | tuple[type, ...], str] = {
    int: "a whole number",
    (int, float): "a number",
    bool: "true or false",
    str: "a text in quotes",
    (int, float, str): "one of the option's choices",
}
