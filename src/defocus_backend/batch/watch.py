"""Watching folders that a microscope fills with stacks."""

from __future__ import annotations

import time
from collections.abc import Callable

from defocus_backend.batch.find import Found
from defocus_backend.batch.job import Job, state
from defocus_backend.errors import FileError

_State = tuple[tuple[str, int, int], ...]


class FolderWatch:
    """A source of jobs that searches the folders repeatedly.

    A stack is complete when neither its list of files nor any of the files has changed for a while. This is detected by
    repeated searches with the clock of this machine. Modification times are not used, because copies may keep old ones
    and the clock of a file server may differ. A stack that changes after it was finished is processed again.

    Parameters
    ----------
    find : callable
        Returns all current stacks.
    order : callable
        Creates the job of a stack.
    settle : float
        Seconds without any change after which a stack is complete.
    until_idle : float or None
        Seconds without any change in any stack after which the watch ends; by default never.
    period : float
        Seconds between two searches.
    clock : callable
        Monotonic clock in seconds.
    """

    def __init__(
        self,
        find: Callable[[], list[Found]],
        order: Callable[[Found], Job],
        *,
        settle: float,
        until_idle: float | None = None,
        period: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find, self._order, self._clock = find, order, clock
        self._settle, self._until_idle, self._period = settle, until_idle, period
        self._seen: dict[str, tuple[_State, float]] = {}
        self._given: dict[str, _State] = {}
        self._looked: float | None = None
        self._last_change = clock()

    @property
    def unsettled(self) -> int:
        """Number of stacks that are still changing."""
        return sum(self._given.get(name) != now for name, (now, _) in self._seen.items())

    def more(self) -> list[Job] | None:
        """Jobs of the stacks that have become complete since the last call."""
        now = self._clock()
        if self._looked is not None and now - self._looked < self._period:
            return []
        self._looked = now
        complete = []
        for found in self._find():
            try:
                current = tuple((str(path), *state(path)) for path in found.files)
            except FileError:
                continue  # changed during the search
            before, since = self._seen.get(found.name, (None, now))
            if current != before:
                self._seen[found.name] = current, now
                self._last_change = now
            elif now - since >= self._settle and self._given.get(found.name) != current:
                self._given[found.name] = current
                complete.append(self._order(found))
        idle = self._until_idle is not None and now - self._last_change >= max(self._until_idle, self._settle)
        return None if idle and not complete else complete
