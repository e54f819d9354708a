"""The command that scores a fusion: score."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import click
import numpy as np

from defocus_backend.cli.options import SectionCommand, max_pixels_option, option
from defocus_backend.errors import InputError

_NAMES = ("QG", "QP", "QY", "QCB", "QCB_unit", "QFMI", "QW", "MI", "QMI", "PSNR", "SSIM")
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
    type=click.Choice(_NAMES),
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
    from defocus_backend import metrics
    from defocus_backend.io import read_image
    from defocus_backend.stacks import open_stack

    started = time.perf_counter()
    picture = read_image(fused)
    if not sources:
        raise InputError("SOURCE", "nothing", "two or more pictures, or one multi-page TIFF")
    stack = open_stack(sources)
    reference = None if truth is None else read_image(truth).array
    for argument, other in (("SOURCE", stack.first.array), ("--truth", reference)):
        if other is not None and (other.dtype.kind == "f") != (picture.array.dtype.kind == "f"):
            given, wanted = (f"{values.dtype} values" for values in (other, picture.array))
            raise InputError(argument, given, f"{wanted} as in {fused.name}, so that white is the same")
    scores = metrics.evaluate(
        picture.array,
        [np.asarray(one) for one in stack],
        reference=reference,
        names=names or None,
        channel_axis=picture.channel_axis,
    )
    found = None
    if not names and stack.colours == (1 if picture.channel_axis is None else 3):
        from defocus_backend.fusion.audit import audit

        found = audit(picture.array, stack, channel_axis=picture.channel_axis)
    if as_json:
        # Equal pictures have a PSNR that JSON cannot hold.
        plain = {name: value if math.isfinite(value) else None for name, value in scores.items()}
        files = {"fused": str(fused), "sources": [str(p) for p in sources], "truth": str(truth) if truth else None}
        shares = None if found is None else found.to_dict()
        spent = round(time.perf_counter() - started, 3)
        click.echo(json.dumps({"command": "score", **files, "scores": plain, "audit": shares, "seconds": spent}))
        return
    for name, value in scores.items():
        unit = " dB" if name == "PSNR" else ""
        click.echo(f"{name:<10}{value:.{_DIGITS}f}{unit}")
    if found is not None:
        click.echo(found.report())
