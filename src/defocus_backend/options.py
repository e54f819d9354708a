"""Groups of options. Each option has one name, help text, unit, range and default for all interfaces.

A group is a frozen dataclass whose fields are created by `option`; fields created by `group` are inner groups. The
library, the command line, the widgets and batch files all use the same fields. The names of all options in a group,
including its inner groups, are unique, so that a flat mapping of names defines them all.
"""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

import numpy as np

from defocus_backend.errors import InputError


def option(
    default: Any,
    text: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: Collection[Any] = (),
    kind: type | None = None,
    count: int = 1,
    common: bool = False,
    heading: str = "",
    metavar: str = "",
    shell: bool = True,
) -> Any:
    """Create a dataclass field with the information that interfaces show.

    Parameters
    ----------
    default : object
        Default value; it also sets the type unless `kind` is given. If the default is None, None is allowed.
    text : str
        Help text of one or two sentences.
    unit : str
    low, high : float or None
        Inclusive range.
    above : float or None
        Exclusive lower bound.
    choices : collection
        Allowed values, if they are limited.
    kind : type or None
        bool, int, float, str or `pathlib.Path`; `object` if the value is checked where it is used.
    count : int
        Number of values: more than 1 for a tuple of this length, 0 for a tuple of any length.
    common : bool
        Whether the option is used often; `defocus COMMAND --help` only shows such options.
    heading : str
        Heading in the help; by default that of the group.
    metavar : str
        Placeholder of the value in the help.
    shell : bool
        Whether the value can be written as text, on the command line or in a file.
    """
    kind = kind or type(default)
    shown: dict[str, Any] = {"help": text, "unit": unit, "low": low, "high": high, "above": above, "choices": choices}
    shown |= {"kind": kind, "count": count, "common": common, "heading": heading, "metavar": metavar, "shell": shell}
    return field(default=default, metadata=shown)


def group(kind: type[Params]) -> Any:
    """Create a field for an inner group, by default with the default values of the group."""
    return field(default_factory=kind, metadata={"group": kind})


@dataclass(frozen=True, kw_only=True)
class Params:
    """Base of all groups. It checks every option against its declared type and range; NumPy numbers are accepted."""

    heading: ClassVar[str] = ""
    """Heading above the options of the group."""

    def __post_init__(self) -> None:
        for f in fields(self):
            value, kind = getattr(self, f.name), f.metadata.get("group")
            if kind is None:
                object.__setattr__(self, f.name, _checked(f.name, value, f.default, f.metadata))
            elif not isinstance(value, kind):
                raise InputError(f.name, repr(value), f"{kind.__name__}(...)")

    @classmethod
    def describe(cls, *, whole: bool = False) -> dict[str, Mapping[str, Any]]:
        """Default, help, unit, range, choices, kind and count of every option; with `whole`, also of inner groups."""
        found: dict[str, Mapping[str, Any]] = {
            f.name: {"default": f.default, **f.metadata, "heading": f.metadata["heading"] or cls.heading}
            for f in fields(cls)
            if "group" not in f.metadata
        }
        for inner in cls.groups().values() if whole else ():
            found |= inner.describe(whole=True)
        return found

    @classmethod
    def groups(cls) -> dict[str, type[Params]]:
        """The inner groups, by field."""
        return {f.name: f.metadata["group"] for f in fields(cls) if "group" in f.metadata}

    @classmethod
    def names(cls) -> list[str]:
        """Names of all options, including those of inner groups."""
        return list(cls.describe(whole=True))

    @classmethod
    def arrange(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of this class for a flat mapping of options; each option is put into its group.

        Raises
        ------
        InputError
            For an unknown name, or for an invalid value.
        """
        unknown = [name for name in options if name not in cls.names()]
        if unknown:
            raise unknown_option(unknown[0], cls.names())
        own = {name: value for name, value in options.items() if name in cls.describe()}
        for name, inner in cls.groups().items():
            given = {n: v for n, v in options.items() if n in inner.names()}
            if given:
                own[name] = inner.of(given)
        return own

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """Create the group from a flat mapping of options, see `arrange`."""
        return cls(**cls.arrange(options))

    def arguments(self) -> dict[str, Any]:
        """Arguments of this group: options by name, and the inner groups."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def flat(self) -> dict[str, Any]:
        """All options by name, including those of inner groups."""
        found = {name: getattr(self, name) for name in self.describe()}
        for name in self.groups():
            found |= getattr(self, name).flat()
        return found


def unknown_option(name: str, known: Collection[str]) -> InputError:
    """Error for an unknown option, with the most similar known name."""
    close = difflib.get_close_matches(name, known, 1)
    return InputError(name, "an unknown option", f"{close[0]}?" if close else f"one of {', '.join(known)}")


def _checked(name: str, value: Any, default: Any, about: Mapping[str, Any]) -> Any:
    """Convert a value to the type of its field; raise `InputError` if it is invalid or out of range."""
    if (value is None and default is None) or about["kind"] is object:
        return value
    count = about["count"]
    if count == 1:
        return _checked_one(name, value, about)
    if isinstance(value, np.ndarray):
        value = value.tolist()  # an array without axes is a single value
    if isinstance(value, str) or not isinstance(value, Collection) or (count and len(value) != count):
        raise InputError(name, repr(value), f"{count or 'any number of'} values")
    return tuple(_checked_one(name, one, about) for one in value)


def _checked_one(name: str, value: Any, about: Mapping[str, Any]) -> Any:
    choices, kind = about["choices"], about["kind"]
    if choices:
        if isinstance(value, str) and value in choices:
            return str(value)
        found = [c for c in choices if np.isscalar(value) and isinstance(c, bool) == _is_bool(value) and c == value]
        if not found:
            wanted = ", ".join(map(str, choices)) if isinstance(choices, tuple | list) else str(choices)
            raise InputError(name, repr(value), f"one of {wanted}")
        return found[0]
    if kind is bool:
        if not _is_bool(value):
            raise InputError(name, repr(value), "True or False")
        return bool(value)
    if kind not in (int, float):
        if not isinstance(value, str if kind is str else str | os.PathLike):
            raise InputError(name, repr(value), "a text" if kind is str else "a file name")
        return kind(value)
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool) and math.isfinite(value)
    if not number or (kind is int and int(value) != value):
        raise InputError(name, repr(value), "a whole number" if kind is int else "a finite number")
    low, high, above = about["low"], about["high"], about["above"]
    if low is not None and value < low:
        raise InputError(name, repr(value), f"at least {low}")
    if above is not None and value <= above:
        raise InputError(name, repr(value), f"more than {above}")
    if high is not None and value > high:
        raise InputError(name, repr(value), f"at most {high}")
    return kind(value)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool | np.bool_)
