"""The command that says what is in image files: info."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from defocus_backend.cli.options import SectionCommand, max_pixels_option, option
from defocus_backend.pipeline.describe import describe_file


@click.command("info", cls=SectionCommand)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@option(
    "--axes", metavar="LETTERS", section="Axes of one file", help="What the axes are, in place of what the file says."
)
@max_pixels_option
@option("--json", "as_json", is_flag=True, section="Run", help="Print one JSON object a line instead.")
def info_command(files: tuple[Path, ...], axes: str | None, as_json: bool) -> None:
    """What is in image files: axes, size, type, pixel size, channels, and what `fuse` would do.

    FILES are pictures, TIFF, OME-TIFF, OME-Zarr folders or microscopes' formats.
    """
    for path in files:
        for described in describe_file(path, axes=axes):
            found = described.to_dict()
            if as_json:
                click.echo(json.dumps(found))
                continue
            width = max(map(len, found))
            click.echo("\n".join(f"{key:<{width}}  {_plain(value)}" for key, value in found.items() if value) + "\n")


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return (" x " if value and isinstance(value[0], int) else ", ").join(map(str, value))
    return str(value)
