"""The command that scores a fused picture: score."""

from __future__ import annotations

import json
from pathlib import Path

import click

from defocus_backend.cli.options import SectionCommand, max_pixels_option, option
from defocus_backend.pipeline.score import METRICS, score_files

_DIGITS = 5


@click.command("score", cls=SectionCommand)
@click.argument("fused", type=click.Path(path_type=Path), metavar="FUSED")
@click.argument("sources", nargs=-1, type=click.Path(path_type=Path), metavar="SOURCE...")
@option(
    "--truth",
    type=click.Path(path_type=Path),
    metavar="FILE",
    section="Scores",
    help="The true all-in-focus picture, if known. Adds PSNR and SSIM, which measure quality far better.",
)
@option(
    "--metric",
    "names",
    multiple=True,
    type=click.Choice(METRICS),
    section="Scores",
    help="Compute only this metric; can be repeated. Default: all metrics that can be computed.",
)
@max_pixels_option
@option("--json", "as_json", is_flag=True, section="Run", help="Print one JSON object.")
def score_command(
    fused: Path, sources: tuple[Path, ...], truth: Path | None, names: tuple[str, ...], as_json: bool
) -> None:
    """Score the fused picture FUSED against the pictures it was made from.

    SOURCEs are two or more pictures, or one multi-page TIFF, of the size of FUSED. Larger scores are better. The
    fusion metrics are computed on gray pictures and follow the true quality only loosely. The last line is an audit. It
    counts blocks of 32 px with less detail than the sharpest source (soft) or with more than any source (made up), and
    pixels outside the range of all sources.
    """
    found = score_files(fused, sources, truth=truth, names=names)
    if as_json:
        click.echo(json.dumps(found.to_dict()))
        return
    for name, value in found.scores.items():
        unit = " dB" if name == "PSNR" else ""
        click.echo(f"{name:<10}{value:.{_DIGITS}f}{unit}")
    if found.audit is not None:
        click.echo(found.audit.report())
