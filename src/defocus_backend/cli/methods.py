"""The command that lists every method: methods."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import click

from defocus_backend.cli.options import SectionCommand, option
from defocus_backend.methods import Method, methods_of

_WIDTH = 110
_UNITS = {"px": "sigma in px", "relative": "no unit"}


_TITLES = {
    "map": "defocus map --map-method (in the other commands too, if the unit is px)",
    "sharpen": "defocus sharpen --method",
    "shallow": "defocus shallow --method",
    "fuse": "defocus fuse --method",
}
"""Command and option that select the methods of each operation."""


@click.command("methods", cls=SectionCommand)
@option("--json", "as_json", is_flag=True, section="Run", help="Print one JSON object.")
def methods_command(as_json: bool) -> None:
    """List every method with a description, its unit and its citation. The first of each operation is the default."""
    if as_json:
        listed = {operation: [_entry(m) for m in methods_of(operation)] for operation in _TITLES}
        click.echo(json.dumps({"command": "methods", "methods": listed}))
        return
    for operation, title in _TITLES.items():
        click.echo(title)
        for line in _lines(methods_of(operation)):
            click.echo(line)
        click.echo()


def _entry(method: Method) -> dict[str, Any]:
    return {name: value for name, value in asdict(method).items() if name != "home"}


def _lines(found: Iterable[Method]) -> list[str]:
    lines = []
    for method in found:
        unit = f" ({_UNITS[method.unit]})" if method.unit else ""
        text = f"{method.name:<20}{method.text}{unit}. {method.citation}"
        lines += textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent=" " * 22)
    return lines
