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
    """How blurred every pixel is, in pixels of Gaussian sigma, 0 to 19.

    For each FILE writes NAME_sigma.tif (float, px) and NAME_sigma.png (coloured, with a colour bar).
    Sharp is 0; NaN pixels stay NaN in the TIFF and are gray in the picture. With a --map-method that has no
    unit (see `defocus methods`) the files are called NAME_blur and hold its own numbers, larger where
    the picture is more blurred.
    """
    terminal = Terminal(quiet=quiet, as_json=as_json)
    terminal.end(map_files(files, settings_of(MapFiles, options), listener=terminal))


@click.command("sharpen", cls=SectionCommand)
@_FILES
@params_options(SharpenFiles)
@show_options
def sharpen_command(files: tuple[Path, ...], quiet: bool, as_json: bool, **options: Any) -> None:
    """Sharpen where a picture is slightly soft; leave what is sharp and what is far out of focus.

    For each FILE writes NAME_sharpened, NAME_gain (the sharpening gain at every pixel, .tif and .png) and,
    unless it was given with --map, NAME_sigma (the defocus map, .tif and .png). The published methods look
    at no map: of them there is NAME_sharpened only.
    """
    terminal = Terminal(quiet=quiet, as_json=as_json)
    terminal.end(sharpen_files(files, settings_of(SharpenFiles, options), listener=terminal))


@click.command("shallow", cls=SectionCommand)
@_FILES
@params_options(ShallowFiles)
@show_options
def shallow_command(files: tuple[Path, ...], quiet: bool, as_json: bool, **options: Any) -> None:
    """Make a shallow depth of field: blur further what is out of focus already.

    For each FILE writes NAME_shallow, NAME_weights (1 where the picture stays sharp, 0 where it is blurred,
    .tif and .png) and, unless it was given with --map, NAME_sigma (the defocus map, .tif and .png).
    --method lens takes a map of any unit, such as a depth, and uses no weights.
    """
    terminal = Terminal(quiet=quiet, as_json=as_json)
    terminal.end(shallow_files(files, settings_of(ShallowFiles, options), listener=terminal))
