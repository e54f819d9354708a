"""The command that calibrates sigma against z: calibrate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from defocus_backend.cli.options import SectionCommand, option, params_options, settings_of, show_options
from defocus_backend.cli.terminal import Terminal
from defocus_backend.pipeline import CalibrateFiles, calibrate_files


@click.command("calibrate", cls=SectionCommand)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True), metavar="STACK...")
@option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.json",
    help="Calibration to write; NAME.png beside it shows the fit.",
)
@params_options(CalibrateFiles)
@show_options
def calibrate_command(files: tuple[Path, ...], out: Path, quiet: bool, as_json: bool, **options: Any) -> None:
    """Calibrate sigma against z on a stack of something flat that spans the focus on both sides.

    STACK is one file with the planes, and perhaps channels, or one file a plane, in order. Fits a hyperbola to
    sigma(z) for every channel, with the tilt and the bowl of the focal surface over the field, and reports the depth of
    field and the effective aperture. The option `--calibration FILE` of `defocus map`, `qc` and `fuse` then gives the
    distance from focus with its error.
    """
    terminal = Terminal(quiet=quiet, as_json=as_json)
    terminal.end(calibrate_files(files, out, settings_of(CalibrateFiles, options), listener=terminal))
