"""The command that measures a height map and renders views of it: surface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from defocus_backend.cli.options import SectionCommand, params_options, settings_of, show_options
from defocus_backend.cli.terminal import Terminal
from defocus_backend.pipeline import SurfaceFiles, surface_files


@click.command("surface", cls=SectionCommand)
@click.argument("height_file", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="HEIGHT.tif")
@params_options(SurfaceFiles)
@show_options
def surface_command(height_file: Path, quiet: bool, as_json: bool, **options: Any) -> None:
    """Measure the roughness of a height map, and render refocused and stereo views of it.

    HEIGHT.tif is a height map written by `defocus fuse --height`. Prints the roughness parameters Sa, Sq, Sz, Ssk and
    Sku of ISO 25178; lengths have the unit of the height.
    """
    terminal = Terminal(quiet=quiet, as_json=as_json)
    terminal.end(surface_files(height_file, settings_of(SurfaceFiles, options), listener=terminal))
