"""The command for focal stacks: fuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from defocus_backend.cli.options import SectionCommand, params_options, settings_of, show_options
from defocus_backend.cli.terminal import Terminal
from defocus_backend.pipeline import FuseFiles, fuse_files


@click.command("fuse", cls=SectionCommand)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@params_options(FuseFiles)
@show_options
def fuse_command(files: tuple[Path, ...], quiet: bool, as_json: bool, **options: Any) -> None:
    """Fuse a focal stack into one picture that is sharp wherever at least one slice is sharp.

    FILES are two or more pictures of the same size, one per slice, in the order given. Alphabetical lists, as from
    a shell pattern, are sorted by the numbers in the names. FILES can also be a folder of such pictures, a multi-page
    TIFF, or a file with times, positions and channels (OME-TIFF, OME-Zarr, ImageJ TIFF, microscope formats). Every
    stack of such a file is fused: NAME_fused has all times and channels, NAME_maps has the maps as channels.

    Writes NAME_fused in the format and bit depth of the slices, NAME_index.tif (number of the sharpest slice, from 0)
    with a coloured NAME_index.png, and NAME_sigma (the smallest sigma of all slices, in px, .tif and .png). The
    published methods write only NAME_fused and keep all slices in memory.
    """
    terminal = Terminal(quiet=quiet, as_json=as_json)
    terminal.end(fuse_files(files, settings_of(FuseFiles, options), listener=terminal))
