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
    help="Calibration file to write. A plot of the fit, NAME.png, is written beside it.",
)
@params_options(CalibrateFiles)
@show_options
def calibrate_command(files: tuple[Path, ...], out: Path, quiet: bool, as_json: bool, **options: Any) -> None:
    """Calibrate sigma against z with a stack of a flat object that extends to both sides of the focus.

    STACK is one file with the planes, and perhaps channels, or one file per plane, in order. A hyperbola sigma(z) is
    fitted for every channel, together with the tilt and the curvature of the focal surface over the field. The depth of
    field and the effective aperture are printed. With the option `--calibration FILE`, `defocus map`, `qc` and `fuse`
    then compute the distance from focus and its error.
    """
    terminal = Terminal(quiet=quiet, as_json=as_json)
    terminal.end(calibrate_files(files, out, settings_of(CalibrateFiles, options), listener=terminal))
