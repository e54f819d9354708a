"""The parts of an item: tables, pictures, and notes on differences from the paper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from defocus_backend.errors import Cancelled
from defocus_backend.progress import CancelCallback, ProgressCallback
from paper.inputs import Inputs

Cell = str | int | float | None


@dataclass(frozen=True, kw_only=True)
class Table:
    """Numbers, one row a case.

    Attributes
    ----------
    name : str
        Of its file, without ``.csv``.
    caption : str
    columns : tuple of str
    rows : tuple of tuples
        One cell for each column; None where there is no value.
    """

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A picture: the name of its file without ``.png``, its caption, and the PNG data."""

    name: str
    caption: str
    png: bytes


@dataclass(frozen=True, kw_only=True)
class ItemResult:
    """Result of one item: a table or figure of the paper.

    Attributes
    ----------
    used : tuple of str
        Inputs that were used.
    missing : tuple of str
        Inputs of the paper that are not available, each with its replacement.
    notes : tuple of str
        Where the result differs from the printed one, and why.
    """

    tables: tuple[Table, ...] = ()
    pictures: tuple[Figure, ...] = ()
    used: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Context:
    """Inputs, device and callbacks of an item.

    Attributes
    ----------
    inputs : Inputs
        Data at hand.
    device : str
    progress, cancel : callable or None
        See `defocus_backend.progress`.
    """

    inputs: Inputs
    device: str = "cpu"
    progress: ProgressCallback | None = None
    cancel: CancelCallback | None = None

    def check(self) -> None:
        """Raise `Cancelled` if the caller wants to stop."""
        if self.cancel is not None and self.cancel():
            raise Cancelled("cancelled; the items finished before stay")


@dataclass(frozen=True, kw_only=True)
class Item:
    """A table or figure of the paper.

    Attributes
    ----------
    key : str
        Name on the command line.
    title : str
        As in the paper.
    make : callable
        ``(Context) -> ItemResult``.
    paper : str
        What the paper shows there, with its settings.
    """

    key: str
    title: str
    paper: str
    make: Callable[[Context], ItemResult] = field(repr=False)
