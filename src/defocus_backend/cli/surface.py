"""The command that measures a height map and shows it from other sides: surface."""

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
    """Measure a height map as a surface, and show it through any lens and from any side.

    HEIGHT.tif is what `defocus fuse --height` wrote. Prints the roughness Sa, Sq, Sz, Ssk and Sku after ISO 25178 in
    its unit.
    """
    terminal = Terminal(quiet=quiet, as_json=as_json)
    terminal.end(surface_files(height_file, settings_of(SurfaceFiles, options), listener=terminal))
