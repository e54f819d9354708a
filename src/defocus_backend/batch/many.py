"""Fuse many focal stacks from a script, in this process, in several, or on a dask cluster."""

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
    """Outcome of one stack.

    Attributes
    ----------
    name : str
        Key of the stack in the mapping, or its number.
    fusion : Fusion or None
        The result; None if it failed.
    error : str
        Reason of a failure in one line; empty if the stack was fused.
    details : str
        The traceback of an unexpected error.
    attempts : int
    seconds : float
        Duration of the last attempt, including reading.
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
    """Create a pool of local processes or of a dask cluster.

    With one job, the tasks run in this process with the given number of threads, and `cancel` is checked within tasks.
    Other processes are stopped from outside.

    Raises
    ------
    InputError, DeviceError
        See `ClusterPool`; or if `jobs` is below 1, or above it with a cluster.
    """
    if jobs < 1:
        raise InputError("jobs", repr(jobs), "1 or more")
    if scheduler is not None:
        if jobs > 1:
            raise InputError("jobs", repr(jobs), "1 with a scheduler, whose workers replace local processes")
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
        Each stack is a path, a list of paths (see `open_stack`), or any input of `fuse`, such as an array, a dask array
        or a list of slices. An iterable is consumed as stacks are started.
    jobs : int
        Number of local processes. With more than one, new processes are spawned, so a script must run its work under
        ``if __name__ == "__main__":``.
    scheduler : str, distributed.Client or None
        A running dask cluster, whose workers replace local processes. They must see the files under the same paths.
        Tasks of a lost worker are repeated by another.
    threads : int or None
        Number of computing threads per process; with one job, of this process. By default, the cores are shared between
        processes.
    retry : int
        Number of further attempts at a failed stack.
    progress : callable or None
        Called after every stack with the number of finished stacks. The total is 0 if the iterable has no length.
    cancel : callable or None
        See `defocus_backend.progress`.
    **options
        Options of `fuse`. Stacks in files need no channel axis.

    Yields
    ------
    Outcome
        Outcomes in the order in which stacks are finished.

    Raises
    ------
    InputError, DeviceError, Cancelled
        See `open_pool`. Failures of single stacks are stated in their outcome.
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
