"""The command that runs the main operations on sample photographs: demo."""

from __future__ import annotations

from pathlib import Path

import click

from defocus_backend.cli.options import SectionCommand, option, params_options, run_options
from defocus_backend.cli.terminal import Terminal
from defocus_backend.params import SigmaParams
from defocus_backend.pipeline.demo import make_demo


@click.command("demo", cls=SectionCommand)
@option(
    "--out",
    type=click.Path(path_type=Path),
    default="demo-output",
    show_default=True,
    metavar="DIR",
    help="Folder for the results, created if missing.",
)
@params_options(SigmaParams, only=("map_method", "weights"))
@run_options
def demo_command(out: Path, map_method: str, weights: str | None, device: str, quiet: bool, as_json: bool) -> None:
    """Map, sharpen, blur and fuse photographs that come with scikit-image. Nothing is downloaded.

    The first picture is a portrait of a cat with a shallow depth of field: its blur is mapped, it is sharpened, and
    its depth of field is made shallower. The second is a motorcycle: a lens model renders a focal stack from a sharp
    photograph and its measured depth; the stack is fused and compared with the sharp photograph. All results are
    written to the folder, with an overview in contact-sheet.png. A table of run times is printed.
    """
    terminal = Terminal(quiet=quiet, as_json=as_json)
    made = make_demo(out, SigmaParams(map_method=map_method, weights=weights), device=device, listener=terminal)
    if as_json:
        terminal.end(made)
    elif not quiet:
        click.echo(f"{len(made.outputs)} files in {out}; look at {out / 'contact-sheet.png'}\n")
        for time in made.facts["times"]:
            click.echo(f"{time['step']:<34}{time['size']:>14}{time['seconds']:>9.2f} s")
        for name, value in made.facts["psnr_db"].items():
            click.echo(f"{'PSNR to the sharp photograph:':<30}{name:>18}{value:>9.2f} dB")
