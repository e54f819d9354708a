"""The command that lists every method: methods."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import click

from defocus_backend import methods
from defocus_backend.cli.options import SectionCommand, option
from defocus_backend.methods import Method

_WIDTH = 110
_UNITS = {"px": "sigma in px", "relative": "no unit"}


def _tables() -> dict[str, tuple[str, list[Method]]]:
    """For every operation: how its methods are named on the command line, and the methods, the default first."""
    own = methods.OWN_METHODS
    return {
        "map": (
            "defocus map --map-method (and of the other commands, where it gives pixels)",
            [*methods.NETWORK_METHODS.values(), *methods.MAP_METHODS.values()],
        ),
        "sharpen": ("defocus sharpen --method", [own["sharpen"], *methods.SHARPEN_METHODS.values()]),
        "shallow": ("defocus shallow --method", [own["shallow"], *methods.SHALLOW_METHODS.values()]),
        "fuse": ("defocus fuse --method", [own["fuse"], *methods.FUSION_METHODS.values()]),
    }


@click.command("methods", cls=SectionCommand)
@option("--json", "as_json", is_flag=True, section="Run", help="Print one JSON object.")
def methods_command(as_json: bool) -> None:
    """List every method with what it does, its unit and who described it; the default of each operation is first."""
    tables = _tables()
    if as_json:
        listed = {operation: [_entry(m) for m in found] for operation, (_, found) in tables.items()}
        click.echo(json.dumps({"command": "methods", "methods": listed}))
        return
    for title, found in tables.values():
        click.echo(title)
        for line in _lines(found):
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
