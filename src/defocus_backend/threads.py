"""Waiting behaviour of torch's threads. It must be set before torch is loaded, so this module does not import it."""

from __future__ import annotations

import os
import sys

_TURNS = "1000"


def spin_briefly() -> None:
    """Make waiting threads of GNU OpenMP (torch on Linux) spin for a few microseconds, then sleep.

    By default, they spin. On cores that other programs also use, this takes time from the thread they wait for, and
    seconds can become minutes. Sleeping at once takes 50 % longer on idle cores. If OMP_WAIT_POLICY or GOMP_SPINCOUNT
    is set, nothing is changed.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _TURNS)


def survive_fork() -> None:
    """Make processes that are forked from this one compute with a single thread.

    The threads of torch, OpenCV and OpenMP do not exist in a forked child, which would wait for them for ever. With a
    single thread, none is needed. Spawned processes are not affected.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_compute_alone)


def _compute_alone() -> None:
    torch, cv2 = sys.modules.get("torch"), sys.modules.get("cv2")
    if torch is not None:
        torch.set_num_threads(1)
    if cv2 is not None:
        cv2.setNumThreads(0)
