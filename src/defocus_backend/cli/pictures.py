"""Commands on single pictures: map, sharpen, shallow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from defocus_backend.cli.options import SectionCommand, params_options, settings_of, show_options
from defocus_backend.cli.terminal import Terminal
from defocus_backend.pipeline import MapFiles, ShallowFiles, SharpenFiles, map_files, shallow_files, sharpen_files

_FILES = click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")


@click.command("map", cls=SectionCommand)
@_FILES
@params_options(MapFiles)
@show_options
def map_command(files: tuple[Path, ...], quiet: bool, as_json: bool, **options: Any) -> None:
    """Estimate the blur of every pixel, as a Gaussian sigma of 0 to 19 pixels.

    For each FILE, writes NAME_sigma.tif (float, in px) and NAME_sigma.png (coloured, with a colour bar).
    A sigma of 0 is sharp. NaN pixels stay NaN in the TIFF and are gray in the PNG. With a --map-method that has
    no unit (see `defocus methods`), the files are named NAME_blur and contain values without a unit, which are
    larger where the picture is more blurred.
    """
    terminal = Terminal(quiet=quiet, as_json=as_json)
    terminal.end(map_files(files, settings_of(MapFiles, options), listener=terminal))


@click.command("sharpen", cls=SectionCommand)
@_FILES
@params_options(SharpenFiles)
@show_options
def sharpen_command(files: tuple[Path, ...], quiet: bool, as_json: bool, **options: Any) -> None:
    """Sharpen the slightly soft areas of a picture; leave sharp areas and those far out of focus unchanged.

    For each FILE, writes NAME_sharpened, NAME_gain (the sharpening gain at every pixel, .tif and .png) and
    NAME_sigma (the defocus map, .tif and .png, unless --map is given). The published methods use no map and
    write only NAME_sharpened.
    """
    terminal = Terminal(quiet=quiet, as_json=as_json)
    terminal.end(sharpen_files(files, settings_of(SharpenFiles, options), listener=terminal))


@click.command("shallow", cls=SectionCommand)
@_FILES
@params_options(ShallowFiles)
@show_options
def shallow_command(files: tuple[Path, ...], quiet: bool, as_json: bool, **options: Any) -> None:
    """Make the depth of field shallower: increase the blur of areas that are out of focus.

    For each FILE, writes NAME_shallow, NAME_weights (1 where the picture stays sharp, 0 where it is blurred,
    .tif and .png) and NAME_sigma (the defocus map, .tif and .png, unless --map is given).
    --method lens accepts a map of any unit, such as a depth map, and writes no weights.
    """
    terminal = Terminal(quiet=quiet, as_json=as_json)
    terminal.end(shallow_files(files, settings_of(ShallowFiles, options), listener=terminal))
