"""Tables of named choices that refuse an unknown name, and to which another module can add its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol, TypeVar

from defocus_backend.errors import InputError


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str:
        """Key in the registry."""


T = TypeVar("T", bound=Named)


class Registry(Mapping[str, T]):
    """Entries by name, in the order in which they were added; the first is the default.

    Parameters
    ----------
    argument : str
        Name of the option that chooses among the entries, for error messages.
    *entries
        The first entries.

    Examples
    --------
    >>> from defocus_backend.methods import BLENDS
    >>> list(BLENDS)[:2]
    ['soft', 'decision']
    >>> BLENDS["none"]
    Traceback (most recent call last):
    ...
    defocus_backend.errors.InputError: blend: got 'none'; expected one of soft, decision, pyramid
    """

    def __init__(self, argument: str, *entries: T) -> None:
        self.argument = argument
        self._entries: dict[str, T] = {}
        for entry in entries:
            self.add(entry)

    def add(self, entry: T) -> T:
        """Add an entry and return it; raise `InputError` if its name is taken."""
        if entry.name in self._entries:
            raise InputError(self.argument, f"{entry.name!r} twice", "each name once")
        self._entries[entry.name] = entry
        return entry

    def remove(self, name: str) -> None:
        """Take an entry out; raise `InputError` if there is none of this name."""
        del self._entries[self[name].name]

    def __getitem__(self, name: str) -> T:
        """The entry of this name; raise `InputError`, which lists the names, if there is none."""
        if name not in self:
            raise InputError(self.argument, repr(name), f"one of {', '.join(self)}")
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
