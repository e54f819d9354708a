"""Output of a batch: a progress bar and lines of text, or JSON lines for programs."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from defocus_backend.batch.engine import Event
from defocus_backend.batch.job import Job
from defocus_backend.batch.journal import Record


class Show:
    """Receives the events of a batch and shows them.

    Parameters
    ----------
    quiet : bool
        Show only what failed.
    as_json : bool
        Print one JSON object per line on stdout, and nothing else there.
    """

    def __init__(self, *, quiet: bool, as_json: bool) -> None:
        self._quiet, self._json = quiet, as_json
        self._bar: Any = None
        self._inner: dict[str, str] = {}

    def plan(self, jobs: Sequence[tuple[Job, str]], left_out: Sequence[tuple[str, str]]) -> None:
        """List the jobs with their state, and the files that belong to no job."""
        for job, state in jobs:
            told = {"stack": job.name, "state": state, "files": [str(p) for p in job.files], "bytes": job.size}
            if self._json:
                self._print_json({"event": "stack-planned", **told})
            else:
                first, last = job.files[0], job.files[-1].name
                files = f"{first} ... {last} ({len(job.files)} files)" if len(job.files) > 1 else str(first)
                _echo(f"{job.name}: {state}; {files}, {job.size / 1e6:.1f} MB")
        for path, why in left_out:
            if self._json:
                self._print_json({"event": "file-left-out", "path": path, "why": why})
            else:
                _echo(f"left out: {path} ({why})")
        if not self._json:
            _echo(f"{len(jobs)} to look at, {len(left_out)} files left out; nothing was written")

    @contextlib.contextmanager
    def running(self, total: int | None, out: Path, where: str) -> Iterator[None]:
        """Show a progress bar while the batch works; `total` is None for a batch without an end."""
        from tqdm import tqdm

        if self._json:
            self._print_json({"event": "batch-started", "stacks": total, "out": str(out), "where": where})
        hidden = True if self._quiet or self._json else None  # None: hidden unless stderr is a terminal
        options = {"disable": hidden, "leave": False, "file": sys.stderr, "dynamic_ncols": True}
        with tqdm(desc="batch", total=total, unit=" stacks", **options) as self._bar:
            yield
        self._bar = None

    def event(self, event: Event) -> None:
        """Show one event."""
        if self._json:
            self._print_json(event)
            return
        kind, name = event["event"], event["stack"]
        if kind == "stack-progress":
            self._inner[name] = f"{name} {event['done']}/{event['total']} {event['unit']}"
        elif kind == "stack-done":
            self._say(f"done    {name}  {event['seconds']:.1f} s")
            for text in event["warnings"] or ():
                self._say(f"        {text}", err=True)
        elif kind == "stack-kept":
            self._say(f"before  {name}")
        elif kind == "stack-retried":
            self._say(f"again   {name}: {event['error']}", err=True)
        elif kind == "stack-failed":
            self._say(f"failed  {name}: {event['error']}", err=True)
        if kind in ("stack-done", "stack-kept", "stack-failed"):
            self._inner.pop(name, None)
            self._bar.update()
        self._bar.set_postfix_str(", ".join(list(self._inner.values())[:3]))

    def _say(self, text: str, *, err: bool = False) -> None:
        if err or not self._quiet:
            with self._bar.external_write_mode(file=sys.stderr if err else sys.stdout):
                _echo(text, err=err)

    def end(
        self, counts: Mapping[str, int], records: Mapping[str, Record], page: Path, seconds: float, ended: str
    ) -> None:
        """Print a summary."""
        if self._json:
            about = {"seconds": round(seconds, 3), "report": str(page), "ended": ended}
            failed = [name for name, record in records.items() if record["state"] == "failed"]
            self._print_json({"event": "batch-ended", **counts, "stacks_failed": failed, **about})
        elif not self._quiet:
            parts = [f"{counts['done']} done"]
            parts += [f"{counts['kept']} done before"] if counts["kept"] else []
            parts += [f"{counts['failed']} failed"] if counts["failed"] else []
            parts += [f"{ended}; --resume does the rest"] if ended != "complete" else []
            _echo(f"{', '.join(parts)} in {seconds:.1f} s; {page}")

    def _print_json(self, event: Event) -> None:
        _echo(json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **event}))
        sys.stdout.flush()


def _echo(text: str, *, err: bool = False) -> None:
    """Print a line. Characters that the stream cannot encode are replaced."""
    encoding = getattr(sys.stderr if err else sys.stdout, "encoding", None) or "utf-8"
    click.echo(text.encode(encoding, "replace").decode(encoding), err=err)
