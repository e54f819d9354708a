"""The command that shows what image files contain: info."""

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
    "--axes",
    metavar="LETTERS",
    section="Axes of one file",
    help="Order of the axes, such as TZCYX, instead of that stated in the file.",
)
@max_pixels_option
@option("--json", "as_json", is_flag=True, section="Run", help="Print one JSON object per line instead.")
def info_command(files: tuple[Path, ...], axes: str | None, as_json: bool) -> None:
    """Show what image files contain: axes, size, type, pixel size, channels, and how `fuse` would read them.

    FILES are pictures, TIFF or OME-TIFF files, OME-Zarr folders, or files in a microscope's format.
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
