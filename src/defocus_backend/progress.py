"""Progress and cancellation as plain callbacks, so that the library does not depend on a user interface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from defocus_backend.errors import Cancelled

ProgressCallback = Callable[[int, int, str], None]
"""Called as ``progress(done, total, what)``; `what` is the unit of the counts (tiles, slices).

If it has an attribute `preview` (a `PreviewCallback`), `fuse` calls it after each slice of the first pass.
"""

CancelCallback = Callable[[], bool]
"""Called between units of work; it returns True to stop with `Cancelled`."""


PreviewCallback = Callable[[Callable[[], NDArray[Any]]], None]
"""Called as ``preview(image)``; the callback must call ``image()`` at once to get the fused image so far.

The image has half the size, or less if large slices are fused in bands; it then grows from the top and is 0 below. If
there are several channels, it shows the one in which focus is estimated.
"""


@dataclass(frozen=True)
class Share:
    """A progress callback for one of several equal parts of a job.

    Attributes
    ----------
    progress : callable
        Progress callback of the job.
    preview : callable or None
        Preview callback of this part.
    number, count : int
        Number of this part, and number of all parts.
    """

    progress: ProgressCallback
    preview: PreviewCallback | None = None
    number: int = 0
    count: int = 1

    def __call__(self, done: int, total: int, what: str) -> None:
        """Report progress to the callback of the job."""
        self.progress(self.number * total + done, self.count * total, what)


class Reporter:
    """Counts the units of a job, reports progress to the caller, and stops on request.

    Parameters
    ----------
    total : int
        Number of units in the job.
    what : str
        Name of the unit, such as ``"tiles"`` or ``"slices"``.
    progress, cancel : callable or None
        Callbacks of the caller.
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
        """Count finished units, report them, and check whether to stop."""
        self.done += units
        if self._progress is not None:
            self._progress(self.done, self.total, self.what)
        self.check()
