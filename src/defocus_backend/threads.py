"""How torch's threads wait for each other; to be settled before torch loads, so without importing it."""

from __future__ import annotations

import os
import sys

_TURNS = "1000"


def spin_briefly() -> None:
    """Have waiting threads of GNU OpenMP, as in torch's wheels for Linux, look a few microseconds, then sleep.

    Left to themselves they spin, which on cores that other programs use as well takes the time from the very thread
    they wait for: minutes for seconds. Sleeping at once takes half as long again on idle cores. What the user says by
    OMP_WAIT_POLICY or GOMP_SPINCOUNT stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _TURNS)


def survive_fork() -> None:
    """Let processes that are forked from this one compute with one thread.

    The threads of torch, OpenCV and OpenMP do not exist in a forked child, which would wait for them for ever. With
    one thread none is asked for. Processes that are spawned have threads of their own.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_compute_alone)


def _compute_alone() -> None:
    torch, cv2 = sys.modules.get("torch"), sys.modules.get("cv2")
    if torch is not None:
        torch.set_num_threads(1)
    if cv2 is not None:
        cv2.setNumThreads(0)
