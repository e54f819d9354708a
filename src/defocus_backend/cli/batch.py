"""The command that runs another command on many stacks or pictures: batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from defocus_backend.batch.engine import JobList, Source
from defocus_backend.batch.find import Finder, Found
from defocus_backend.batch.job import Job
from defocus_backend.batch.journal import Journal, Record, find_finished, read_records
from defocus_backend.batch.watch import FolderWatch
from defocus_backend.batch.whole import run_batch
from defocus_backend.cli.batch_config import BatchCommand
from defocus_backend.cli.batch_show import Show
from defocus_backend.cli.interrupt import end_as_interrupt
from defocus_backend.cli.options import option, params_options
from defocus_backend.errors import InputError
from defocus_backend.pipeline.step import INTO_RESULTS, OPERATIONS, run_step
from defocus_backend.pipeline.work import FindParams, WorkParams

FAILED = 1
"""Exit code if the batch finished but some stacks failed."""

_STACKS, _RUN = "Stacks", "Run"
_TLS = ("ca_file", "cert", "key")


@click.command("batch", cls=BatchCommand)
@click.argument("roots", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR...")
@option(
    "--mode",
    common=True,
    type=click.Choice(list(OPERATIONS)),
    default="fuse",
    show_default=True,
    section=_STACKS,
    help="Command to run: `fuse` on every stack, or `map`, `sharpen` or `shallow` on every single picture. The options "
    "of that command are accepted too; --mode NAME --help lists them.",
)
@option(
    "--config",
    common=True,
    metavar="FILE.toml",
    type=click.Path(path_type=Path),
    section=_STACKS,
    help="Read options from this TOML file, with one `name = value` per line and the names below without dashes. "
    "Options on the command line take precedence.",
)
@params_options(FindParams)
@option(
    "--out",
    common=True,
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder for the results, created if missing. It gets one folder per stack, report.html and report.json.",
)
@option("--dry-run", is_flag=True, common=True, section=_RUN, help="List the planned work and write nothing.")
@params_options(WorkParams)
@option(
    "--watch",
    common=True,
    is_flag=True,
    section=_RUN,
    help="Keep looking for new stacks until Ctrl-C. Implies --resume. A stack that changes later is processed again.",
)
@option(
    "--settle",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    section=_RUN,
    help="With --watch, a stack counts as complete when none of its files has changed for this long.",
)
@option(
    "--until-idle",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    section=_RUN,
    help="With --watch, stop when nothing has changed for this long.",
)
@option(
    "--tls-ca-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    section=_RUN,
    help="File of the cluster's certificate authority, in PEM format, for --scheduler tls://...",
)
@option(
    "--tls-cert",
    metavar="FILE",
    type=click.Path(path_type=Path),
    section=_RUN,
    help="Certificate with which this client identifies itself to the cluster.",
)
@option("--tls-key", metavar="FILE", type=click.Path(path_type=Path), section=_RUN, help="Private key of --tls-cert.")
@option("--quiet", is_flag=True, section=_RUN, help="Show no progress bar and no list of results.")
@option("--json", "as_json", is_flag=True, section=_RUN, help="Print one JSON object per event on stdout instead.")
def batch_command(roots: tuple[Path, ...], mode: str, out: Path, dry_run: bool, **options: Any) -> None:
    """Fuse many focal stacks with the same options, and write a report.

    A stack is a folder, DIR or below it, with two or more pictures of one file type, ordered by the numbers in their
    names. A multi-page TIFF is a stack too. Each stack gets a folder in --out with the files that `defocus fuse` writes
    and a record of the run, batch.json.

    The results of a stack appear all at once when it is finished. If the run is killed, the same command with --resume
    continues where it stopped. A stack that fails does not stop the others.

    Exit codes: 0, all done; 1, some stacks failed; 2, bad arguments; 130, interrupted.
    """
    own = {name: options.pop(name) for name in (p.name for p in batch_command.params) if name in options}
    _refuse_ignored(own)
    show = Show(quiet=own["quiet"], as_json=own["as_json"])
    finder = Finder(roots, pattern=own["pattern"], group_by=own["group_by"], skip=[out], singles=mode != "fuse")
    _refuse_paths(options)
    parameters = {name: value for name, value in options.items() if value is not None}
    order: Callable[[Found], Job] = lambda stack: Job(stack.name, stack.files, mode, parameters)  # noqa: E731
    found, left = finder.scan()
    left_out = [(str(item.path), item.why) for item in left]
    if not found and not own["watch"]:
        what = "no stack" if mode == "fuse" else "no picture"
        raise InputError("DIR", f"{what} in {', '.join(map(str, roots))}", "folders with two or more pictures each")
    resume = own["resume"] or own["watch"]
    if dry_run:
        records = read_records(out)
        show.plan([(job, _state(out, records, job, resume)) for job in map(order, found)], left_out)
        return
    source: Source = JobList(map(order, found))
    if own["watch"]:
        find: Callable[[], list[Found]] = lambda: finder.scan()[0]  # noqa: E731
        source = FolderWatch(find, order, settle=own["settle"], until_idle=own["until_idle"])
    about: dict[str, Any] = {"operation": mode, "version": _version(), "parameters": parameters, "left_out": left_out}
    _run(show, Journal(out, resume=resume), source, None if own["watch"] else len(found), about, own)


def _run(
    show: Show, journal: Journal, source: Source, total: int | None, about: dict[str, Any], own: dict[str, Any]
) -> None:
    """Process all jobs of the source, show the progress, and end with the exit code."""
    pool = {
        "jobs": own["jobs"] or 1,
        "scheduler": own["scheduler"],
        "threads": own["threads"],
        "tls": {name: own[f"tls_{name}"] for name in _TLS if own[f"tls_{name}"] is not None},
    }
    with end_as_interrupt():
        done = run_batch(
            run_step,
            journal,
            source,
            about,
            retry=own["retry"],
            watching=own["watch"],
            listen=show.event,
            around=lambda where: show.running(total, journal.out, where),
            **pool,
        )
    show.end(done.counts, done.records, done.page, done.seconds, done.ended)
    if done.error is not None:
        raise done.error
    if done.ended == "interrupted" and not own["watch"]:
        raise click.exceptions.Exit(130)
    if done.counts["failed"]:
        raise click.exceptions.Exit(FAILED)


def _refuse_ignored(own: dict[str, Any]) -> None:
    """Raise `InputError` for options that would have no effect."""
    if own["scheduler"] is not None and (own["jobs"] or 1) > 1:
        raise InputError(
            "--jobs", str(own["jobs"]), "this option only without --scheduler, whose workers replace local processes"
        )
    for name in _TLS:
        if own[f"tls_{name}"] is not None and own["scheduler"] is None:
            raise InputError(
                f"--tls-{name.replace('_', '-')}", str(own[f"tls_{name}"]), "this option only with --scheduler"
            )
    context = click.get_current_context()
    for name, flag in {"settle": "--settle", "until_idle": "--until-idle"}.items():
        # A file with the options may serve batches with and without --watch.
        if not own["watch"] and context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise InputError(flag, f"{own[name]:g}", "this option only with --watch")


def _refuse_paths(options: dict[str, Any]) -> None:
    """Raise `InputError` for output files outside the results folder of a stack."""
    for name in INTO_RESULTS:
        path = options.get(name)
        if path is not None and (path.is_absolute() or ".." in path.parts):
            raise InputError(name, str(path), "a relative path, which is placed in the results folder of each stack")


def _state(out: Path, records: dict[str, Record], job: Job, resume: bool) -> str:
    """State of a job in a dry run."""
    done = find_finished(out, job.name, job.fingerprint(_version()))
    if done is not None:
        return "done before" if resume else "to do again"
    return "to do" if job.name not in records else f"to do ({records[job.name]['state']} before)"


def _version() -> str:
    from importlib.metadata import version

    return version("napari-defocus")
