"""Stacks in folders that fill while the microscope runs."""

from __future__ import annotations

import time
from collections.abc import Callable

from defocus_backend.batch.find import Found
from defocus_backend.batch.job import Job, state
from defocus_backend.errors import FileError

_State = tuple[tuple[str, int, int], ...]


class FolderWatch:
    """A source of jobs that asks again and again what is there.

    A stack is complete when neither the set of its files nor any of them has changed for a while. That is
    seen by looking, on this machine's clock: times of change are no help, since copying may keep old ones
    and a file server's clock may differ. A stack that changes after it was done is done again.

    Parameters
    ----------
    find : callable
        Gives all stacks there are now.
    order : callable
        Makes the job of a stack.
    settle : float
        Seconds without any change after which a stack is complete.
    until_idle : float or None
        Seconds without any change in any stack after which the watch is over; by default never.
    period : float
        Seconds between two looks.
    clock : callable
        Seconds that pass evenly.
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
        """How many stacks still change."""
        return sum(self._given.get(name) != now for name, (now, _) in self._seen.items())

    def more(self) -> list[Job] | None:
        """Jobs of the stacks that have become complete since the last look."""
        now = self._clock()
        if self._looked is not None and now - self._looked < self._period:
            return []
        self._looked = now
        complete = []
        for found in self._find():
            try:
                current = tuple((str(path), *state(path)) for path in found.files)
            except FileError:
                continue  # moved on while we looked
            before, since = self._seen.get(found.name, (None, now))
            if current != before:
                self._seen[found.name] = current, now
                self._last_change = now
            elif now - since >= self._settle and self._given.get(found.name) != current:
                self._given[found.name] = current
                complete.append(self._order(found))
        idle = self._until_idle is not None and now - self._last_change >= max(self._until_idle, self._settle)
        return None if idle and not complete else complete
