"""Run independent pieces of one metric side by side; NumPy and SciPy release the interpreter while they compute."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# More threads than this compete for memory bandwidth rather than help.
_MOST = 8


def cores() -> int:
    """Number of cores that this process may use, 1 to 8."""
    try:
        available = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        available = os.cpu_count() or 1
    return max(1, min(_MOST, available))


def each(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Apply `function` to every item in threads, results in the items' order; the first error is raised."""
    threads = min(cores(), len(items))
    if threads < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, items))
