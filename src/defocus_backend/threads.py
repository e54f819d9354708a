"""How torch's threads wait for each other; to be settled before torch loads, so without importing it."""

from __future__ import annotations

import os

_TURNS = "1000"


def spin_briefly() -> None:
    """Have waiting threads of GNU OpenMP, as in torch's wheels for Linux, look a few microseconds, then sleep.

    Left to themselves they spin, which on cores that other programs use as well takes the time from the very thread
    they wait for: minutes for seconds. Sleeping at once takes half as long again on idle cores. What the user says by
    OMP_WAIT_POLICY or GOMP_SPINCOUNT stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _TURNS)
