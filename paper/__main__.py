"""The command that reproduces the paper's tables and figures: ``python -m paper``, or ``make paper``."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from defocus_backend.cli.app import INTERRUPTED, REFUSED
from defocus_backend.cli.interrupt import stop_on_interrupt
from defocus_backend.cli.options import SectionCommand, option, run_options
from defocus_backend.device import keep_freed_memory, resolve_device
from defocus_backend.errors import Cancelled, DefocusError
from defocus_backend.progress import ProgressCallback
from paper import ITEMS, PAGE, Context, Inputs, reproduce
from paper.inputs import PICTURES


class _Command(SectionCommand):
    """Turns the library's errors into one line and an exit code, as `defocus` does."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except DefocusError as error:
            click.echo(f"paper: {error}", err=True)
            ctx.exit(INTERRUPTED if isinstance(error, Cancelled) else REFUSED)


@click.command("paper", cls=_Command)
@click.argument("items", nargs=-1, type=click.Choice(list(ITEMS)), metavar="[ITEMS]...")
@option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    section="Data",
    help="Folder with photos/train, photos/val and fusion/lytro; the page names missing ones.",
)
@option(
    "--pictures",
    type=click.Choice(PICTURES),
    default="skimage",
    show_default=True,
    section="Data",
    help="Photographs that the figures show: those installed with scikit-image, or those of --data.",
)
@option(
    "--networks",
    type=click.Path(path_type=Path),
    metavar="DIR",
    section="Data",
    help="Folder of the networks trained for Table 2.",
)
@option(
    "--train-minutes",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    metavar="MINUTES",
    section="Data",
    help="Train each of them first for this processor time; earlier runs are resumed.",
)
@option(
    "--train-patches",
    type=click.IntRange(1),
    metavar="COUNT",
    section="Data",
    help="End the training of a network earlier, after so many patches.",
)
@option(
    "--leaderboard",
    type=click.Path(path_type=Path),
    metavar="FILE",
    section="Data",
    help="Scores of other methods on the Lytro pairs, JSON: method, pair, metric.",
)
@option(
    "--only",
    multiple=True,
    type=click.Choice(list(ITEMS)),
    metavar="ITEM",
    help="Make only this item; more names may follow: --only table3 fig7.",
)
@option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("docs/paper"),
    show_default=True,
    metavar="DIR",
    help="Folder for CSV, JSON, pictures and the page; earlier items stay on the page.",
)
@run_options
def main(
    items: tuple[str, ...],
    data: Path | None,
    pictures: str,
    networks: Path | None,
    train_minutes: float,
    train_patches: int | None,
    leaderboard: Path | None,
    only: tuple[str, ...],
    out: Path,
    device: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Reproduce Tables 2 and 3 and Figures 5 to 12, 14 and 15 of Galetto and Deng (2021).

    Each is written as CSV, JSON and pictures, with the printed values beside ours and a list of the inputs that are
    not available. ITEMS are table2, table3, fig5 and so on; all by default. Ctrl-C stops at the next step: finished
    items stay, and the next call resumes networks in training.
    """
    keep_freed_memory()
    inputs = Inputs(
        data=data,
        pictures=pictures,
        networks=networks,
        train_seconds=60 * train_minutes,
        train_patches=train_patches,
        leaderboard=leaderboard,
    )
    started, done = time.perf_counter(), []
    with _progress(quiet) as progress, stop_on_interrupt() as stopped:
        context = Context(inputs=inputs, device=str(resolve_device(device)), progress=progress, cancel=stopped)
        try:
            for item, result, files in reproduce(context, out, (*only, *items)):
                done.append({"item": item.key, "files": [str(f) for f in files], "missing": list(result.missing)})
                if not quiet and not as_json:
                    click.echo(f"{item.key:<8}{len(files)} files")
        except (Cancelled, KeyboardInterrupt) as error:
            kept = ", ".join(str(entry["item"]) for entry in done) or "nothing"
            raise Cancelled(f"interrupted; finished before: {kept}") from error
    if as_json:
        seconds = round(time.perf_counter() - started, 3)
        click.echo(json.dumps({"command": "paper", "items": done, "device": context.device, "seconds": seconds}))
    elif not quiet:
        click.echo(f"read {out / PAGE}")


@contextlib.contextmanager
def _progress(quiet: bool) -> Iterator[ProgressCallback]:
    """Show a progress bar of the current step if stderr is a terminal."""
    from tqdm import tqdm

    with tqdm(disable=True if quiet else None, leave=False, file=sys.stderr, dynamic_ncols=True) as bar:

        def show(done: int, total: int, what: str) -> None:
            bar.total, bar.unit = total, f" {what}"
            bar.n = done
            bar.refresh()

        yield show


if __name__ == "__main__":
    main(prog_name="python -m paper")
