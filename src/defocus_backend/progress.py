"""Progress and cancellation as plain callbacks, so that no user interface leaks into the library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from defocus_backend.errors import Cancelled

ProgressCallback = Callable[[int, int, str], None]
"""Called as ``progress(done, total, what)`` with counts in the unit that `what` names (tiles, slices).

If it has an attribute `preview`, a `PreviewCallback`, `fuse` calls that after each slice of its first pass.
"""

CancelCallback = Callable[[], bool]
"""Asked between units of work; return True to stop with `Cancelled`."""


PreviewCallback = Callable[[Callable[[], NDArray[Any]]], None]
"""Called as ``preview(image)``; ``image()`` is the fused image so far, to be called at once.

It has half the size, or less where large slices are fused in bands; there it grows from the top, and is 0 below. Of
several channels it is the one on which focus is judged.
"""


@dataclass(frozen=True)
class Share:
    """A progress callback that counts as one of several equal parts of a job.

    Attributes
    ----------
    progress : callable
        That of the job.
    preview : callable or None
        Takes the previews of this part.
    number, count : int
        Of this part, and of all.
    """

    progress: ProgressCallback
    preview: PreviewCallback | None = None
    number: int = 0
    count: int = 1

    def __call__(self, done: int, total: int, what: str) -> None:
        """Report to the callback of the job."""
        self.progress(self.number * total + done, self.count * total, what)


class Reporter:
    """Counts the units of one job, reports each to the caller and stops where the caller asks for it.

    Parameters
    ----------
    total : int
        Number of units in the job.
    what : str
        The unit, for display: ``"tiles"``, ``"slices"``.
    progress, cancel : callable or None
        The caller's callbacks.
    """

    def __init__(
        self,
        total: int,
        what: str,
        progress: ProgressCallback | None = None,
        cancel: CancelCallback | None = None,
    ) -> None:
        self.total = total
        self.what = what
        self.done = 0
        self._progress = progress
        self._cancel = cancel

    def check(self) -> None:
        """Raise `Cancelled` if the caller wants to stop."""
        if self._cancel is not None and self._cancel():
            raise Cancelled(f"cancelled after {self.done} of {self.total} {self.what}")

    def advance(self, units: int = 1) -> None:
        """Count finished units, report them, then look whether to stop."""
        self.done += units
        if self._progress is not None:
            self._progress(self.done, self.total, self.what)
        self.check()
