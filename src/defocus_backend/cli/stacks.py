"""The command on focal stacks: fuse."""

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
    """Fuse a focal stack into one picture that is sharp wherever any slice is.

    FILES are two or more pictures of one size, one slice each, in the order given; in the order of their numbers if
    they come as a shell lists them. Or a folder with such pictures; or one multi-page TIFF; or one file with times,
    positions and channels (OME-TIFF, OME-Zarr, ImageJ's TIFF, microscopes' formats), of which every stack is fused:
    NAME_fused with all times and channels, NAME_maps with the maps as channels.

    Writes NAME_fused in the format and bit depth of the slices; NAME_index.tif (number of the sharpest slice,
    from 0) with the decision preview NAME_index.png; NAME_sigma (the least sigma, px, .tif and .png). The
    published methods give NAME_fused only and hold all slices in memory.
    """
    terminal = Terminal(quiet=quiet, as_json=as_json)
    terminal.end(fuse_files(files, settings_of(FuseFiles, options), listener=terminal))
