"""A whole batch: process every job of a source in a pool, and write a report in any case."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from defocus_backend.batch.engine import Batch, Event, Source
from defocus_backend.batch.journal import Journal, Record
from defocus_backend.batch.many import open_pool
from defocus_backend.batch.pools import Task
from defocus_backend.batch.report import About, count_states, write_report
from defocus_backend.errors import DefocusError

_ENDS = ("stack-done", "stack-failed")
_REPORT_SECONDS = 20
"""Largest age of the report of a watch while stacks are processed, in seconds."""


@dataclass(frozen=True, kw_only=True)
class BatchEnd:
    """Result of a batch.

    Attributes
    ----------
    records : mapping of str to Record
        Records by the name of the stack.
    counts : mapping of str to int
        Number of stacks by their state.
    page : Path
        The report.
    seconds : float
    ended : str
        "complete", "interrupted" or "stopped".
    error : DefocusError or None
        Error that stopped the batch, such as a full disk or a lost cluster.
    """

    records: Mapping[str, Record]
    counts: Mapping[str, int]
    page: Path
    seconds: float
    ended: str
    error: DefocusError | None = None


def run_batch(
    task: Task,
    journal: Journal,
    source: Source,
    about: Mapping[str, Any],
    *,
    retry: int = 0,
    watching: bool = False,
    listen: Callable[[Event], None],
    around: Callable[[str], AbstractContextManager[None]],
    **pool: Any,
) -> BatchEnd:
    """Process all jobs of a source and write the report.

    Parameters
    ----------
    task : callable
        Function that processes each job.
    journal : Journal
        Journal for the records; it is opened and closed here.
    source : Source
    about : mapping
        Facts for the report: operation, version, parameters, left_out.
    retry : int
        Number of further attempts at a failed stack.
    watching : bool
        Whether the source waits for further stacks. The report is then also written at intervals.
    listen : callable
        Called with every event.
    around : callable
        ``around(where)`` is a context manager that is entered while the batch runs; `where` describes the pool.
    **pool
        See `open_pool`.

    Returns
    -------
    BatchEnd
        The result, also after Ctrl-C and after errors that concern all stacks.

    Raises
    ------
    InputError, DeviceError, FileError
        If the batch cannot start, or if the report cannot be written.
    """
    started = reported = time.perf_counter()
    about = {**about, "started": datetime.now(UTC).isoformat(timespec="seconds")}

    def report(ended: str) -> Path:
        nonlocal reported
        reported = time.perf_counter()
        page, _ = write_report(journal, batch.records, About(**about, seconds=reported - started, ended=ended))
        return page

    def hear(event: Event) -> None:
        listen(event)
        if watching and event["event"] in _ENDS and time.perf_counter() - reported > _REPORT_SECONDS:
            report("watching")

    ended, error = "complete", None
    with journal:
        batch = Batch(journal, version=about["version"], retry=retry, listen=hear)
        place = open_pool(task, **pool, moved=batch.moved)
        about["where"] = str(place)
        with around(about["where"]):
            try:
                batch.run(place, source)
            except KeyboardInterrupt:
                ended = "interrupted"
            except DefocusError as caught:
                ended, error = "stopped", caught
        page = report(ended)
    seconds = time.perf_counter() - started
    counts = count_states(batch.records)
    return BatchEnd(records=batch.records, counts=counts, page=page, seconds=seconds, ended=ended, error=error)
