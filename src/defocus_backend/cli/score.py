"""The command that scores a fusion: score."""

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
    help="The all-in-focus picture, where it is known: adds PSNR and SSIM, which follow quality far better.",
)
@option(
    "--metric",
    "names",
    multiple=True,
    type=click.Choice(METRICS),
    section="Scores",
    help="Only this one; may be repeated. By default all that can be computed.",
)
@max_pixels_option
@option("--json", "as_json", is_flag=True, section="Run", help="Print one JSON object.")
def score_command(
    fused: Path, sources: tuple[Path, ...], truth: Path | None, names: tuple[str, ...], as_json: bool
) -> None:
    """Score the fused picture FUSED against the pictures it was made from.

    SOURCEs are two or more pictures, or one multi-page TIFF, of the size of FUSED. Larger is better throughout.
    The fusion metrics are computed on gray and follow true quality loosely. The last line is an audit: blocks of 32 px
    that lost detail against the sharpest source (soft) or have more than any (made up), and pixels out of the range
    of all sources.
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
