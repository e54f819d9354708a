"""Tasks on a running dask cluster, one per stack."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from defocus_backend.batch.pools import Ended, Failure, Task, call, limit_threads
from defocus_backend.errors import DeviceError, InputError

_CONNECT_SECONDS = 10
_TLS_OPTIONS = "--tls-ca-file, --tls-cert and --tls-key"
_ALONE = threading.Lock()
"""Only one stack at a time per worker process, because torch's threads would compete and memory would add up."""


class ClusterPool:
    """Runs tasks on the workers of a dask cluster; tasks of a lost worker are repeated by another.

    Parameters
    ----------
    task : callable
        A function of a module that the workers can import.
    scheduler : str or distributed.Client
        Address such as ``"tcp://node1:8786"``, or a connected client.
    threads : int or None
        Number of computing threads per task; by default the setting of the worker's environment.
    tls : mapping of str to Path
        Files for an encrypted connection: ``ca_file``, ``cert`` and ``key``. If empty, the connection is not encrypted,
        and anybody on the network can read it and use it to run code.

    Raises
    ------
    InputError
        If dask.distributed is not installed or the address is invalid.
    DeviceError
        If no scheduler answers at the address.
    """

    def __init__(
        self, task: Task, scheduler: Any, *, threads: int | None = None, tls: Mapping[str, Path] | None = None
    ) -> None:
        try:
            import distributed
        except ImportError:
            needed = 'dask.distributed (pip install "napari-defocus[distributed]")'
            raise InputError("scheduler", repr(scheduler), f"{needed}, which is not installed") from None
        self._task, self._threads = task, threads
        self._own = not isinstance(scheduler, distributed.Client)
        self._client: Any = scheduler
        if self._own:
            if isinstance(scheduler, str) and scheduler.startswith("tls://") and not tls:
                raise InputError("scheduler", f"{scheduler} without certificates", _TLS_OPTIONS)
            security = _security(tls) if tls else None
            try:
                # Not the global default client, so that dask arrays of the calling script are not computed on the
                # cluster.
                self._client = distributed.Client(
                    scheduler, timeout=_CONNECT_SECONDS, set_as_default=False, security=security
                )
            except (OSError, TimeoutError) as error:
                raise DeviceError(f"scheduler: no dask scheduler answers at {scheduler}") from error
            except ValueError as error:
                raise InputError("scheduler", repr(scheduler), "an address such as tcp://host:8786") from error
        self._futures: dict[Any, str] = {}

    def __str__(self) -> str:
        return f"{self._workers()} workers of {self._client.scheduler.address}"

    def _workers(self) -> int:
        return len(self._client.scheduler_info(n_workers=-1)["workers"])

    def free(self) -> int:
        # Two tasks per worker, so that none is idle; the remaining tasks stay here, where they can be cancelled.
        return max(1, 2 * self._workers()) - len(self._futures)

    def submit(self, key: str, argument: Any) -> None:
        future = self._client.submit(_on_worker, self._task, _Sealed(argument), self._threads, pure=False)
        self._futures[future] = key

    def ended(self, timeout: float) -> Iterator[Ended]:
        from distributed import wait

        if self._client.status != "running":
            raise DeviceError("scheduler: the connection to the cluster was lost; use --resume to continue")
        with contextlib.suppress(TimeoutError), self._client.as_current():
            wait(list(self._futures), timeout=timeout, return_when="FIRST_COMPLETED")
        for future in [f for f in self._futures if f.done()]:
            key = self._futures.pop(future)
            if future.status == "finished":
                yield Ended(key, *future.result())
            elif future.status == "cancelled":
                yield Ended(key, failure=Failure("the cluster cancelled it"))
            else:
                yield Ended(key, failure=Failure(f"all its workers were lost ({future.exception()})"))
            future.release()

    def close(self) -> None:
        with contextlib.suppress(Exception):  # the cluster may already be closed
            self._client.cancel(list(self._futures), force=True)
        self._futures.clear()
        if self._own:
            self._client.close()


def _security(tls: Mapping[str, Path]) -> Any:
    """Security settings from the files, which have the same names as in `dask scheduler` and `dask worker`."""
    from distributed.security import Security

    missing = [f"--tls-{name.replace('_', '-')}" for name in ("ca_file", "cert", "key") if name not in tls]
    if missing:
        raise InputError("scheduler", f"TLS without {', '.join(missing)}", _TLS_OPTIONS)
    for name, path in tls.items():
        if not path.is_file():
            raise InputError(f"--tls-{name.replace('_', '-')}", str(path), "a file in PEM format")
    return Security(
        require_encryption=True,
        tls_ca_file=str(tls["ca_file"]),
        tls_client_cert=str(tls["cert"]),
        tls_client_key=str(tls["key"]),
    )


class _Sealed:
    """Wrapper of an argument; it prevents dask from computing arrays before the task reads them slice by slice."""

    def __init__(self, content: Any) -> None:
        self.content = content


def _on_worker(task: Task, sealed: _Sealed, threads: int | None) -> tuple[Any, Failure | None]:
    import dask

    with _ALONE:
        if threads is not None:
            limit_threads(threads)
        # Arrays are computed within the task, because a task that waits for other tasks could wait for ever.
        with dask.config.set(scheduler="synchronous"):
            return call(task, sealed.content, lambda *_: None)
