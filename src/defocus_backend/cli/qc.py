"""The command that measures the focus of many pictures: qc."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from defocus_backend.cli.interrupt import check_interrupt
from defocus_backend.cli.options import SectionCommand, option, params_options, settings_of, show_options
from defocus_backend.cli.terminal import Terminal
from defocus_backend.pipeline import MeasureFiles, measure_files
from defocus_backend.progress import ProgressCallback

FAILED = 1
"""Exit code if the command finished but some files could not be read."""


@click.command("qc", cls=SectionCommand)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATHS...")
@option(
    "--out",
    required=True,
    metavar="TABLE",
    type=click.Path(path_type=Path, dir_okay=False),
    common=True,
    help="Table to write, .csv or .parquet. The tables NAME_stacks and NAME_objects and the report NAME.html are "
    "written beside it.",
)
@params_options(MeasureFiles)
@show_options
def qc_command(paths: tuple[Path, ...], out: Path, quiet: bool, as_json: bool, **options: Any) -> None:
    """Measure the focus of many pictures: write a table with verdicts, and a report ordered from worst to best.

    PATHS are pictures, stacks, OME-Zarr stores or folders of them. The table has one row per plane, channel, time
    and position. Each row has the median and the 10th percentile of sigma over the informative pixels, the share in
    focus, the noise, the saturation and a verdict: in focus, soft, out of focus, or nothing to judge (with the
    reason). For stacks, the best plane and its drift over time are added.

    An interrupted run continues with --resume. Exit codes: 0, all measured; 1, some files could not be read;
    2, bad arguments; 130, interrupted.
    """
    settings = settings_of(MeasureFiles, options)
    done = measure_files(paths, out, settings, listener=_Counter(quiet=quiet, as_json=as_json))
    if as_json:
        written = {kind: str(path) for kind, path in done.paths.items()}
        about = {"verdicts": done.verdicts, "before": done.before, "failed": done.failed}
        summary = {"command": "qc", "outputs": written, "parameters": settings.verdict.flat(), **about}
        click.echo(json.dumps({**summary, "seconds": round(done.seconds, 3)}))
    elif not quiet:
        for kind, path in done.paths.items():
            click.echo(f"{kind:<8}  {path}")
        found = ", ".join(f"{n} {verdict}" for verdict, n in sorted(done.verdicts.items()))
        click.echo(f"{found}; {done.seconds:.1f} s")
    for name, why in done.failed:
        click.echo(f"defocus: {name}: {why}" if name not in why else f"defocus: {why}", err=True)
    if done.failed:
        raise click.exceptions.Exit(FAILED)


class _Counter(Terminal):
    """Shows the number of measured pictures; the total may be unknown."""

    @contextlib.contextmanager
    def progress(self, text: str) -> Iterator[ProgressCallback]:
        """Show a progress bar on stderr, if that is a terminal."""
        from tqdm import tqdm

        hidden = True if self.quiet or self.as_json else None
        with tqdm(desc=text, unit=" pictures", disable=hidden, leave=False, file=sys.stderr) as bar:

            def show(done: int, total: int, _what: str) -> None:
                check_interrupt()
                bar.total = total or None
                bar.update(done - bar.n)

            yield show
