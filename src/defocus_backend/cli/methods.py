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
    "map": "defocus map --map-method (and of the other commands, where it gives pixels)",
    "sharpen": "defocus sharpen --method",
    "shallow": "defocus shallow --method",
    "fuse": "defocus fuse --method",
}
"""How the methods of every operation are named on the command line."""


@click.command("methods", cls=SectionCommand)
@option("--json", "as_json", is_flag=True, section="Run", help="Print one JSON object.")
def methods_command(as_json: bool) -> None:
    """List every method with what it does, its unit and who described it; the default of each operation is first."""
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
