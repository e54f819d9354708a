"""Tables of named choices that refuse an unknown name, and to which another module can add its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Protocol, TypeVar

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
    ['octaves', 'decision']
    >>> BLENDS["none"]
    Traceback (most recent call last):
    ...
    defocus_backend.errors.InputError: blend: got 'none'; expected one of octaves, decision, pixels
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

    def get(self, name: object, default: T | None = None) -> T | None:  # type: ignore[override]
        """The entry of this name, or the default."""
        return self[name] if isinstance(name, str) and name in self else default

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class Names(Collection[str]):
    """Names of the entries of registries, which include entries that are added later.

    Parameters
    ----------
    *registries
        In the order of their names.
    where : callable or None
        Which entries count; all by default.
    """

    def __init__(self, *registries: Registry[Any], where: Callable[[Any], bool] | None = None) -> None:
        self._registries, self._where = registries, where

    def __iter__(self) -> Iterator[str]:
        for registry in self._registries:
            yield from (name for name, entry in registry.items() if self._where is None or self._where(entry))

    def __contains__(self, name: object) -> bool:
        return any(name == known for known in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)
