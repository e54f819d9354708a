"""Processing of jobs in a pool: repeat failed ones, move finished results into place, and report events."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar

from defocus_backend.batch.job import Job
from defocus_backend.batch.journal import Journal, Record, Room
from defocus_backend.batch.pools import Failure, Moved, Pool
from defocus_backend.errors import DefocusError

T = TypeVar("T")
Event = dict[str, Any]

_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Tried(Generic[T]):
    """Result of one attempt at a piece of work."""

    key: str
    item: T
    attempt: int
    value: Any
    failure: Failure | None
    last: bool


def work_through(
    pool: Pool,
    more: Callable[[], Iterable[tuple[str, T]] | None],
    begin: Callable[[str, T, int], Any],
    *,
    finish: Callable[[str, T, Any], Any] = lambda _key, _item, value: value,
    retry: int = 0,
    cancel: Callable[[], bool] | None = None,
) -> Iterator[Tried[T]]:
    """Run all pieces of work in a pool; failed ones are repeated after the others.

    Parameters
    ----------
    pool : Pool
        Pool that runs the tasks; it is closed at the end, also after an error.
    more : callable
        Returns further pieces (key, item); called while the pool has room. An empty result means that there are none
        yet, None that there will be no more. If a key is returned again while it is running, it has to wait.
    begin : callable
        ``begin(key, item, attempt)`` returns the argument of the task.
    finish : callable
        ``finish(key, item, value)`` converts the value of the task to that of the attempt; it may fail.
    retry : int
        Number of further attempts at failed work.
    cancel : callable or None
        Called regularly; it returns True to stop.

    Yields
    ------
    Tried
        Every attempt, when it ends.
    """
    queue: deque[tuple[str, T, int]] = deque()
    running: dict[str, tuple[T, int]] = {}
    over = False
    try:
        while cancel is None or not cancel():
            if not over and len(queue) < pool.free():
                pieces = more()
                over = pieces is None
                queue += [(key, item, 1) for key, item in pieces or ()]
            for _ in range(len(queue)):
                key, item, attempt = queue.popleft()
                if key in running or pool.free() <= 0:
                    queue.append((key, item, attempt))
                    continue
                running[key] = item, attempt
                pool.submit(key, begin(key, item, attempt))
            if not running:
                if over:
                    return
                time.sleep(_POLL_SECONDS)
                continue
            for ended in pool.ended(_POLL_SECONDS):
                item, attempt = running.pop(ended.key)
                value, failure = ended.value, ended.failure
                if failure is None:
                    try:
                        value = finish(ended.key, item, value)
                    except DefocusError as error:
                        failure = Failure(str(error))
                last = failure is None or attempt > retry
                if not last:
                    queue.append((ended.key, item, attempt + 1))
                yield Tried(ended.key, item, attempt, value, failure, last)
    finally:
        pool.close()


@dataclass(frozen=True)
class Order:
    """Argument of a worker: the job, and the working folder for its results."""

    job: Job
    room: Room


@dataclass(frozen=True)
class _Wanted:
    job: Job
    fingerprint: str


class Source(Protocol):
    """Source of jobs."""

    def more(self) -> list[Job] | None:
        """Return new jobs since the last call; None if there will be no more."""


class JobList:
    """Source of jobs that are all known at the start."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs: list[Job] | None = list(jobs)

    def more(self) -> list[Job] | None:
        jobs, self._jobs = self._jobs, None
        return jobs


class Batch:
    """Runs jobs whose results are written to files, each job once.

    Attributes
    ----------
    records : dict
        Record of every processed job by its name; ``state`` is "done", "kept" (done by an earlier batch) or "failed".

    Parameters
    ----------
    journal : Journal
        An open journal.
    version : str
        Version of the program, which is part of the fingerprint of every job.
    retry : int
        Number of further attempts at a failed job.
    listen : callable
        Called with every event, a dictionary whose ``event`` is ``"stack-started"``, ``"stack-progress"``,
        ``"stack-done"``, ``"stack-kept"``, ``"stack-retried"`` or ``"stack-failed"``.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        version: str,
        retry: int = 0,
        listen: Callable[[Event], None] = lambda _event: None,
    ) -> None:
        self.records: dict[str, Record] = {}
        self._journal, self._version, self._retry, self._listen = journal, version, retry, listen
        self._orders: dict[str, Order] = {}

    def moved(self, moved: Moved) -> None:
        """Forward progress within a job; called by the pool."""
        self._listen(
            {
                "event": "stack-progress",
                "stack": moved.key,
                "done": moved.done,
                "total": moved.total,
                "unit": moved.what,
            }
        )

    def run(self, pool: Pool, source: Source, *, cancel: Callable[[], bool] | None = None) -> None:
        """Process all jobs of a source.

        The task of the pool is called with an `Order`. It writes its files to ``order.room.results`` and returns a
        dictionary with ``outputs`` (a list of ``{"kind", "path"}`` with paths relative to that folder) and further
        entries of the record.
        """
        steps = work_through(
            pool,
            lambda: self._wanted(source.more()),
            self._begin,
            finish=self._finish,
            retry=self._retry,
            cancel=cancel,
        )
        for tried in steps:
            self._ended(tried)

    def _wanted(self, jobs: list[Job] | None) -> list[tuple[str, _Wanted]] | None:
        if jobs is None:
            return None
        wanted = []
        for job in jobs:
            try:
                self._journal.check_target(job.name)
                fingerprint = job.fingerprint(self._version)
            except DefocusError as error:
                self._failed(Tried(job.name, _Wanted(job, ""), 0, None, Failure(str(error)), last=True))
                continue
            kept = self._journal.finished(job.name, fingerprint)
            if kept is None:
                wanted.append((job.name, _Wanted(job, fingerprint)))
            else:
                self.records[job.name] = {**kept, "state": "kept"}
                self._listen({"event": "stack-kept", "stack": job.name, "outputs": kept["outputs"]})
        return wanted

    def _begin(self, name: str, wanted: _Wanted, attempt: int) -> Order:
        self._listen({"event": "stack-started", "stack": name, "files": len(wanted.job.files), "attempt": attempt})
        self._orders[name] = Order(wanted.job, self._journal.new_room())
        return self._orders[name]

    def _finish(self, name: str, wanted: _Wanted, summary: Record) -> Record:
        outputs = [{**output, "path": f"{name}/{output['path']}"} for output in summary["outputs"]]
        record = {**_about(wanted), "state": "done", **summary, "outputs": outputs}
        return self._journal.commit(self._orders[name].room, record)

    def _ended(self, tried: Tried[_Wanted]) -> None:
        order = self._orders.pop(tried.key)
        if tried.failure is not None:
            self._journal.discard(order.room)
            self._failed(tried)
            return
        self.records[tried.key] = {**tried.value, "attempts": tried.attempt}
        told = {key: tried.value.get(key) for key in ("seconds", "outputs", "warnings")}
        self._listen({"event": "stack-done", "stack": tried.key, "attempt": tried.attempt, **told})

    def _failed(self, tried: Tried[_Wanted]) -> None:
        assert tried.failure is not None
        told = {"stack": tried.key, "attempt": tried.attempt, "error": tried.failure.text}
        if not tried.last:
            self._listen({"event": "stack-retried", **told})
            return
        found = {"error": tried.failure.text, "details": tried.failure.details}
        record = {**_about(tried.item), "state": "failed", "attempts": tried.attempt, **found}
        self._journal.note(record)
        self.records[tried.key] = record
        self._listen({"event": "stack-failed", **told})


def _about(wanted: _Wanted) -> Record:
    job = wanted.job
    try:
        size = job.size
    except DefocusError:
        size = 0
    return {
        "name": job.name,
        "fingerprint": wanted.fingerprint,
        "operation": job.operation,
        "inputs": [str(path) for path in job.files],
        "bytes": size,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
