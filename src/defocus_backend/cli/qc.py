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
"""Exit code if the command went to its end but some files could not be read."""


@click.command("qc", cls=SectionCommand)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATHS...")
@option(
    "--out",
    required=True,
    metavar="TABLE",
    type=click.Path(path_type=Path, dir_okay=False),
    common=True,
    help="Table to write, .csv or .parquet; NAME_stacks and NAME_objects lie beside it, and NAME.html, the report.",
)
@params_options(MeasureFiles)
@show_options
def qc_command(paths: tuple[Path, ...], out: Path, quiet: bool, as_json: bool, **options: Any) -> None:
    """Measure the focus of many pictures: a table, a verdict for each, and a report from worst to best.

    PATHS are pictures, stacks, OME-Zarr stores or folders of them. The table has a row for each plane, channel, time
    and position: median and tenth percentile of sigma over the informative pixels, share in focus, noise, saturation
    and a verdict: in focus, soft, out of focus, or nothing to judge with the reason. Stacks get their best plane and
    its drift over time.

    A run that was interrupted goes on with --resume. Exit codes: 0, all measured; 1, some files could not be read;
    2, refused; 130, interrupted.
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
    """Counts pictures, whose number may not be known."""

    @contextlib.contextmanager
    def progress(self, text: str) -> Iterator[ProgressCallback]:
        """A progress bar on stderr, where that is a terminal."""
        from tqdm import tqdm

        hidden = True if self.quiet or self.as_json else None
        with tqdm(desc=text, unit=" pictures", disable=hidden, leave=False, file=sys.stderr) as bar:

            def show(done: int, total: int, _what: str) -> None:
                check_interrupt()
                bar.total = total or None
                bar.update(done - bar.n)

            yield show
