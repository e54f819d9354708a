"""A whole batch: every job of a source, worked through in a pool, with a report however it ends."""

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
"""How old the report of a watch may become while stacks are done."""


@dataclass(frozen=True, kw_only=True)
class BatchEnd:
    """How a batch went.

    Attributes
    ----------
    records : mapping of str to Record
        By the name of the stack.
    counts : mapping of str to int
        Stacks by their state.
    page : Path
        The report.
    seconds : float
    ended : str
        "complete", "interrupted" or "stopped".
    error : DefocusError or None
        What stopped it, such as a full disk or a lost cluster.
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
    """Work through all jobs of a source and write the report.

    Parameters
    ----------
    task : callable
        What is done with each job.
    journal : Journal
        Where the records go; it is opened and closed here.
    source : Source
    about : mapping
        What the report says of the batch: operation, version, parameters, left_out.
    retry : int
        How often a stack that failed is tried again.
    watching : bool
        Whether the source waits for further stacks; then the report is also written from time to time.
    listen : callable
        Called with every event.
    around : callable
        ``around(where)`` is entered while the batch works; `where` names the place in words.
    **pool
        See `open_pool`.

    Returns
    -------
    BatchEnd
        Also after Ctrl-C and after what no stack is to blame for.

    Raises
    ------
    InputError, DeviceError, FileError
        If it cannot begin, or the report cannot be written.
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
