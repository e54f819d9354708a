"""Registries of named choices. Unknown names are refused; other modules and packages can add entries."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Protocol, TypeVar

from defocus_backend.errors import InputError, note


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str:
        """Key in the registry."""


T = TypeVar("T", bound=Named)


class Registry(Mapping[str, T]):
    """Entries by name, in the order of addition; the first is the default.

    Parameters
    ----------
    argument : str
        Name of the option that chooses among the entries, for error messages.
    *entries
        The first entries.
    entry_points : str
        Group of entry points by which installed packages add entries. They are loaded when the entries are listed or an
        unknown name is requested. Entry points that cannot be loaded are left out with a warning.
    fits : callable or None
        Function that decides whether an object from an entry point is valid. By default, it must have the type of the
        first entry.
    files : mapping
        Functions that create an entry from a file. Keys are forms of a name such as ``"onnx:FILE.onnx"``; the prefix
        before the colon selects the function. Such entries are not listed.

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

    def __init__(
        self,
        argument: str,
        *entries: T,
        entry_points: str = "",
        fits: Callable[[Any], bool] | None = None,
        files: Mapping[str, Callable[[str], T]] | None = None,
    ) -> None:
        self.argument = argument
        self._entries: dict[str, T] = {}
        self._group, self._fits = entry_points, fits
        self.hints: tuple[str, ...] = tuple(files or {})
        """Forms of the names of entries from files, such as ``onnx:FILE.onnx``."""
        self._files = {hint.partition(":")[0]: make for hint, make in (files or {}).items()}
        self._lock = threading.RLock()
        for entry in entries:
            self.add(entry)

    def add(self, entry: T) -> T:
        """Add an entry and return it; raise `InputError` if its name is taken."""
        if entry.name in self._entries:
            raise InputError(self.argument, f"{entry.name!r} twice", "each name once")
        self._entries[entry.name] = entry
        return entry

    def remove(self, name: str) -> None:
        """Remove an entry; raise `InputError` if there is none of this name."""
        del self._entries[self[name].name]

    def __getitem__(self, name: str) -> T:
        """Return the entry of this name; raise `InputError` with a list of names if there is none."""
        if name not in self:
            raise InputError(self.argument, repr(name), f"one of {', '.join((*self, *self.hints))}")
        return self._entries[name] if name in self._entries else self._of_file(name)

    def get(self, name: object, default: T | None = None) -> T | None:  # type: ignore[override]
        """Return the entry of this name, or the default."""
        return self[name] if isinstance(name, str) and name in self else default

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        return name in self._entries or self._names_file(name) or name in self._all()

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _names_file(self, name: str) -> bool:
        prefix, _, file = name.partition(":")
        return bool(file) and prefix in self._files

    def _of_file(self, name: str) -> T:
        prefix, _, file = name.partition(":")
        return self._files[prefix](file)

    def _all(self) -> dict[str, T]:
        """All entries, including those of installed packages."""
        with self._lock:
            group, self._group = self._group, ""  # cleared first, so that loading is not repeated recursively
            if group:
                self._load(group)
        return self._entries

    def _load(self, group: str) -> None:
        from importlib.metadata import entry_points

        kind: type[Any] = type(next(iter(self._entries.values()))) if self._entries else object
        for point in entry_points(group=group):
            # Other entries must stay usable, whatever an installed package raises.
            try:
                entry = point.load()
                if not isinstance(entry, kind) or not (self._fits is None or self._fits(entry)):
                    raise InputError(point.value, repr(entry), f"a {kind.__name__} for {group}")
                self.add(entry)
            except Exception as error:
                note(f"{group}: {point.name} of an installed package is left out ({type(error).__name__}: {error})")


class Names(Collection[str]):
    """Names of the entries of registries, including entries that are added later.

    Parameters
    ----------
    *registries
        Registries, in the order in which their names are listed.
    where : callable or None
        Function that selects entries; by default all.
    condition : str
        Text of this condition for entries from files, such as ``"in px"``.
    """

    def __init__(
        self, *registries: Registry[Any], where: Callable[[Any], bool] | None = None, condition: str = ""
    ) -> None:
        self._registries, self._where, self._condition = registries, where, condition

    @property
    def hints(self) -> tuple[str, ...]:
        """Forms of the names of entries from files; these are accepted but not listed."""
        return tuple(f"{hint} {self._condition}".rstrip() for registry in self._registries for hint in registry.hints)

    def __iter__(self) -> Iterator[str]:
        for registry in self._registries:
            yield from (name for name, entry in registry.items() if self._where is None or self._where(entry))

    def __contains__(self, name: object) -> bool:
        found = next((entry for entry in (registry.get(name) for registry in self._registries) if entry), None)
        return found is not None and (self._where is None or self._where(found))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __str__(self) -> str:
        return ", ".join((*self, *self.hints))
