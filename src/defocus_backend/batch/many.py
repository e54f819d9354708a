"""Many focal stacks from a script, in this process, in several, or on a dask cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from defocus_backend.arguments import names_bad_arguments
from defocus_backend.batch.engine import Tried, work_through
from defocus_backend.batch.pools import InlinePool, Moved, Pool, ProcessPool, Task, limit_threads
from defocus_backend.errors import Cancelled, InputError
from defocus_backend.progress import CancelCallback, ProgressCallback

if TYPE_CHECKING:
    from defocus_backend.fusion import Fusion


@dataclass(frozen=True)
class Outcome:
    """What became of one stack.

    Attributes
    ----------
    name : str
        Its key in the mapping, or its number.
    fusion : Fusion or None
        The result; None if it failed.
    error : str
        Why it failed, in one line; empty if it did not.
    details : str
        The traceback of an unexpected error.
    attempts : int
    seconds : float
        Of the last attempt, reading included.
    """

    name: str
    fusion: Fusion | None
    error: str = ""
    details: str = ""
    attempts: int = 1
    seconds: float = 0.0


def open_pool(
    task: Task,
    *,
    jobs: int = 1,
    scheduler: Any = None,
    threads: int | None = None,
    tls: Mapping[str, Path] | None = None,
    moved: Callable[[Moved], None] | None = None,
    cancel: CancelCallback | None = None,
) -> Pool:
    """The pool for so many local processes, or of a dask cluster.

    With one job the tasks run in this process, which then computes with so many threads, and which asks `cancel`
    within tasks; other processes are stopped from outside.

    Raises
    ------
    InputError, DeviceError
        See `ClusterPool`; or if `jobs` is below 1, or above it with a cluster.
    """
    if jobs < 1:
        raise InputError("jobs", repr(jobs), "1 or more")
    if scheduler is not None:
        if jobs > 1:
            raise InputError("jobs", repr(jobs), "1 with a scheduler, whose workers take the place of local processes")
        from defocus_backend.batch.cluster import ClusterPool

        return ClusterPool(task, scheduler, threads=threads, tls=tls)
    if jobs > 1:
        return ProcessPool(task, jobs, threads=threads, moved=moved)
    if threads is not None:
        limit_threads(threads)
    return InlinePool(task, moved=moved, cancel=cancel)


@names_bad_arguments
def fuse_many(
    stacks: Mapping[str, Any] | Iterable[Any],
    *,
    jobs: int = 1,
    scheduler: Any = None,
    threads: int | None = None,
    retry: int = 0,
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
    **options: Any,
) -> Iterator[Outcome]:
    """Fuse many stacks; one that fails does not stop the others.

    Parameters
    ----------
    stacks : mapping or iterable
        Each is a path, a list of paths (see `open_stack`), or whatever `fuse` takes: an array, a dask array,
        a list of slices. An iterable is read only as fast as stacks are begun.
    jobs : int
        Local processes. More than one are started anew, so that a script that asks for them must begin its
        work under ``if __name__ == "__main__":``.
    scheduler : str, distributed.Client or None
        A running dask cluster, whose workers take the place of local processes; they must see the files
        under the same paths. What a lost worker held is done by another.
    threads : int or None
        Computing threads of each process, of this one with one job; by default the cores are shared out.
    retry : int
        Further attempts at a stack that failed.
    progress : callable or None
        Called after every stack with how many are done; the total is 0 where an iterable does not tell it.
    cancel : callable or None
        See `defocus_backend.progress`.
    **options
        Those of `fuse`. Stacks in files know their channel axis.

    Yields
    ------
    Outcome
        As the stacks end, not in their order.

    Raises
    ------
    InputError, DeviceError, Cancelled
        See `open_pool`; failures of single stacks are in their outcome.
    """
    named = stacks.items() if isinstance(stacks, Mapping) else ((str(n), stack) for n, stack in enumerate(stacks))
    total = len(stacks) if isinstance(stacks, Mapping | Sequence) else 0
    pool = open_pool(_fuse, jobs=jobs, scheduler=scheduler, threads=threads, cancel=cancel)
    return _outcomes(pool, iter(named), options, total=total, retry=retry, progress=progress, cancel=cancel)


@names_bad_arguments
def _outcomes(
    pool: Pool,
    named: Iterator[tuple[str, Any]],
    options: dict[str, Any],
    *,
    total: int,
    retry: int,
    progress: ProgressCallback | None,
    cancel: CancelCallback | None,
) -> Iterator[Outcome]:
    def more() -> list[tuple[str, Any]] | None:
        following = next(named, None)
        return None if following is None else [following]

    done = 0
    begin: Callable[[str, Any, int], Any] = lambda _key, stack, _attempt: (stack, options)  # noqa: E731
    for tried in work_through(pool, more, begin, retry=retry, cancel=cancel):
        if tried.last:
            done += 1
            if progress is not None:
                progress(done, total, "stacks")
            yield _outcome(tried)
    if cancel is not None and cancel():
        raise Cancelled(f"cancelled after {done} of {total or 'many'} stacks")


def _outcome(tried: Tried[Any]) -> Outcome:
    if tried.failure is not None:
        return Outcome(tried.key, None, tried.failure.text, tried.failure.details, tried.attempt)
    fusion, seconds = tried.value
    return Outcome(tried.key, fusion, attempts=tried.attempt, seconds=seconds)


def _fuse(argument: tuple[Any, dict[str, Any]], progress: ProgressCallback) -> tuple[Fusion, float]:
    from defocus_backend.fusion import fuse
    from defocus_backend.stacks import open_stack

    started = time.perf_counter()
    stack, options = argument
    if _is_files(stack):
        stack = open_stack(stack)
    return fuse(stack, progress=progress, **options), time.perf_counter() - started


def _is_files(stack: Any) -> bool:
    if isinstance(stack, list | tuple):
        return bool(stack) and all(isinstance(path, str | Path) for path in stack)
    return isinstance(stack, str | Path)


__all__ = ["Moved", "Outcome", "fuse_many", "open_pool"]
