"""Pools that run tasks: in this process, or in independent local processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from defocus_backend.errors import Cancelled, DefocusError
from defocus_backend.progress import CancelCallback, ProgressCallback
from defocus_backend.threads import spin_briefly

Task = Callable[[Any, ProgressCallback], Any]
"""Function ``task(argument, progress)`` of a module, so that other processes can import it by name."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")


@dataclass(frozen=True)
class Failure:
    """An error as text, because exceptions of other libraries may not be picklable.

    Attributes
    ----------
    text : str
        One line for the user.
    details : str
        The traceback of an unexpected error; empty for a `DefocusError`.
    """

    text: str
    details: str = ""


@dataclass(frozen=True)
class Ended:
    """Result of a task: its value, or its failure."""

    key: str
    value: Any = None
    failure: Failure | None = None


@dataclass(frozen=True)
class Moved:
    """Progress within a task, as in `defocus_backend.progress`."""

    key: str
    done: int
    total: int
    what: str


class Pool(Protocol):
    """Interface of a pool that runs tasks."""

    def __str__(self) -> str:
        """Description of the pool."""

    def free(self) -> int:
        """Number of tasks that can be submitted now."""

    def submit(self, key: str, argument: Any) -> None:
        """Start a task, or queue it."""

    def ended(self, timeout: float) -> Iterator[Ended]:
        """Iterate over finished tasks; wait for the first one for at most about `timeout` seconds."""

    def close(self) -> None:
        """Stop all running tasks."""


def call(task: Task, argument: Any, progress: ProgressCallback) -> tuple[Any, Failure | None]:
    """Call a task and convert its exceptions to text."""
    try:
        return task(argument, progress), None
    except Cancelled:  # not a failure of the task
        raise
    except DefocusError as error:
        return None, Failure(" ".join(str(error).split()))
    except Exception as error:  # an error of one stack must not stop the others
        text = " ".join(str(error).split())
        return None, Failure(
            f"{type(error).__name__}: {text}" if text else type(error).__name__, traceback.format_exc()
        )


class InlinePool:
    """One task at a time in this process.

    Parameters
    ----------
    task : callable
    moved : callable or None
        Called with progress within tasks.
    cancel : callable or None
        Called at every progress report; if it returns True, `ended` raises `Cancelled`.
    """

    def __init__(
        self, task: Task, *, moved: Callable[[Moved], None] | None = None, cancel: CancelCallback | None = None
    ) -> None:
        self._task, self._moved, self._cancel = task, moved, cancel
        self._waiting: deque[tuple[str, Any]] = deque()

    def __str__(self) -> str:
        return "this process"

    def free(self) -> int:
        return 1 - len(self._waiting)

    def submit(self, key: str, argument: Any) -> None:
        self._waiting.append((key, argument))

    def ended(self, timeout: float) -> Iterator[Ended]:  # noqa: ARG002
        if self._waiting:
            key, argument = self._waiting.popleft()

            def progress(done: int, total: int, what: str) -> None:
                if self._cancel is not None and self._cancel():
                    raise Cancelled(f"cancelled after {done} of {total} {what} of {key}")
                if self._moved is not None:
                    self._moved(Moved(key, done, total, what))

            yield Ended(key, *call(self._task, argument, progress))

    def close(self) -> None:
        self._waiting.clear()


class ProcessPool:
    """Local processes with separate pipes. If a process is killed, only its task fails, and the process is replaced.

    Parameters
    ----------
    task : callable
        A function of a module.
    processes : int
        Number of processes.
    threads : int or None
        Number of computing threads per process. By default OMP_NUM_THREADS, or the cores are shared between processes.
    moved : callable or None
        Called with progress within tasks.
    """

    def __init__(
        self, task: Task, processes: int, *, threads: int | None = None, moved: Callable[[Moved], None] | None = None
    ) -> None:
        self._task, self._moved = task, moved
        self._threads = threads or share_of_cores(processes)
        # Processes are not forked, because torch's threads do not survive it and the lock of the results would be
        # inherited.
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker | None] = [None] * processes
        self._unsent: list[Ended] = []

    def __str__(self) -> str:
        return f"{len(self._workers)} processes of {self._threads} thread{'s' if self._threads > 1 else ''}"

    def free(self) -> int:
        return sum(worker is None or worker.key is None for worker in self._workers)

    def submit(self, key: str, argument: Any) -> None:
        slot = next(n for n, worker in enumerate(self._workers) if worker is None or worker.key is None)
        worker = self._workers[slot]
        if worker is None or not worker.process.is_alive():
            worker = self._workers[slot] = self._start()
        worker.key = key
        try:
            worker.pipe.send(argument)
        except OSError:
            pass  # the process has just died; `ended` will detect it
        except Exception as error:  # pickling of the argument can raise any exception
            worker.key = None
            self._unsent.append(Ended(key, failure=Failure(f"cannot be sent to another process ({error})")))

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(self._task, theirs, self._threads), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def ended(self, timeout: float) -> Iterator[Ended]:
        if self._unsent:
            yield self._unsent.pop()
            return
        busy = {worker.pipe: worker for worker in self._workers if worker is not None and worker.key is not None}
        for pipe in wait(list(busy), timeout):
            assert isinstance(pipe, Connection)
            worker = busy[pipe]
            assert worker.key is not None
            try:
                kind, *content = pipe.recv()
            except (EOFError, OSError):
                worker.process.join()
                key, worker.key = worker.key, None
                self._workers[self._workers.index(worker)] = None
                yield Ended(key, failure=Failure(_death(worker.process.exitcode)))
                continue
            if kind == "moved":
                if self._moved is not None:
                    self._moved(Moved(worker.key, *content))
            else:
                key, worker.key = worker.key, None
                yield Ended(key, *content)

    def close(self) -> None:
        workers = [worker for worker in self._workers if worker is not None]
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.process.join()
            worker.pipe.close()
        self._workers = [None] * len(self._workers)


@dataclass(eq=False)
class _Worker:
    process: BaseProcess
    pipe: Connection
    key: str | None = None


def _work(task: Task, pipe: Connection, threads: int) -> None:
    """Main loop of a worker process. It ends together with its parent, so that no results appear after a kill."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the parent handles it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    limit_threads(threads)
    last = [0.0]

    def progress(done: int, total: int, what: str) -> None:
        now = time.monotonic()
        if now - last[0] > 0.2 or done == total:
            last[0] = now
            pipe.send(("moved", done, total, what))

    while True:
        try:
            argument = pipe.recv()
        except (EOFError, OSError):
            return
        value, failure = call(task, argument, progress)
        try:
            pipe.send(("ended", value, failure))
        except Exception as error:  # a value that cannot be pickled
            pipe.send(("ended", None, Failure(f"result cannot be sent back ({error})")))


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def limit_threads(threads: int) -> None:
    """Limit the threads of torch, OpenCV and linear algebra in this process."""
    for name in THREAD_VARIABLES:
        os.environ[name] = str(threads)
    spin_briefly()
    if "torch" in sys.modules:  # otherwise it will read the variables when it is loaded
        import torch

        torch.set_num_threads(threads)


def share_of_cores(processes: int) -> int:
    """Number of threads per process: OMP_NUM_THREADS, or the cores divided by the processes, at least one."""
    told = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if told.isdigit() and int(told) > 0:
        return int(told)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // processes)


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        hint = "; possibly out of memory: use fewer --jobs" if name == "SIGKILL" else ""
        return f"its process was killed ({name}{hint})"
    return f"its process ended (exit code {code})"
