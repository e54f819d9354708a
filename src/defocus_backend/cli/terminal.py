"""Terminal output of a run: progress, decisions, and the list of results."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator

import click

from defocus_backend.cli.interrupt import check_interrupt
from defocus_backend.pipeline.run import Listener, Made
from defocus_backend.progress import ProgressCallback


class Terminal(Listener):
    """Shows the progress and the results of a run on the terminal.

    Parameters
    ----------
    quiet : bool
        Show no progress bar and no list of written files.
    as_json : bool
        Print one JSON object on stdout at the end, and nothing else there.
    """

    def __init__(self, *, quiet: bool, as_json: bool) -> None:
        self.quiet, self.as_json = quiet, as_json

    def tell(self, message: str) -> None:
        """Print a line on stderr."""
        if not self.quiet:
            click.echo(message, err=True)

    @contextlib.contextmanager
    def progress(self, text: str) -> Iterator[ProgressCallback]:
        """Show a progress bar on stderr, if that is a terminal."""
        from tqdm import tqdm

        hidden = True if self.quiet else None  # None: hidden unless stderr is a terminal
        with tqdm(desc=text, disable=hidden, leave=False, file=sys.stderr, dynamic_ncols=True) as bar:

            def show(done: int, total: int, what: str) -> None:
                check_interrupt()
                bar.total, bar.unit = total, f" {what}"
                bar.update(done - bar.n)

            yield show

    def end(self, made: Made) -> None:
        """Print the results."""
        if self.as_json:
            click.echo(json.dumps(made.to_dict()))
        elif not self.quiet:
            width = max((len(output.kind) for output in made.outputs), default=0)
            for output in made.outputs:
                click.echo(f"{output.kind:<{width}}  {output.path}")
            click.echo(f"{made.seconds:.1f} s on {made.device}")
