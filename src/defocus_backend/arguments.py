"""Error handling of the public functions: name arguments of a wrong type, and convert errors of the system.

A function checks the values that matter to it. Unforeseen values, such as an object instead of a path, cause an
exception in NumPy or in the standard library. Such an exception is traced here to the argument whose type is not the
declared one. An exception with arguments of the right types is a bug of this library and is raised unchanged.
"""

from __future__ import annotations

import functools
import inspect
import numbers
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np

from defocus_backend.errors import DefocusError, InputError, from_system

P = ParamSpec("P")
R = TypeVar("R")

_Test = Callable[[Any], bool]


def _is_array(value: Any) -> bool:
    """Whether a value is an array of real numbers, or can be converted to one."""
    try:
        dtype = value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype
        return bool(np.dtype(dtype).kind in "biuf")
    except Exception:  # the conversion of an object can raise any exception
        return False


def _is_number(value: Any) -> bool:
    real = isinstance(value, numbers.Real | np.number) and not isinstance(value, bool | complex | np.complexfloating)
    return real and abs(value) <= sys.float_info.max  # neither NaN nor out of the range of a float


_KINDS: dict[str, tuple[_Test, str]] = {
    "None": (lambda value: value is None, "None"),
    "bool": (lambda value: isinstance(value, bool | np.bool_), "True or False"),
    "int": (lambda value: _is_number(value) and value == int(value), "a whole number"),
    "float": (_is_number, "a finite number"),
    "str": (lambda value: isinstance(value, str), "a text"),
    "slice": (lambda value: isinstance(value, slice), "a slice"),
    "Path": (lambda value: isinstance(value, os.PathLike), "a path"),
    "ArrayLike": (_is_array, "an array of numbers"),
    "NDArray": (lambda value: isinstance(value, np.ndarray) and _is_array(value), "an array of numbers"),
    "Callable": (callable, "a function"),
    "ProgressCallback": (callable, "a function of done, total and what"),
    "CancelCallback": (callable, "a function without arguments"),
    "Reader": (callable, "a function of number and rows"),
    "Sequence": (
        lambda value: isinstance(value, Sequence | np.ndarray) and not isinstance(value, str | memoryview),
        "a sequence",
    ),
    "Iterable": (
        lambda value: isinstance(value, Iterable) and not isinstance(value, str | bytes | memoryview),
        "several of them",
    ),
    "Mapping": (lambda value: isinstance(value, Mapping), "a mapping"),
    "tuple": (lambda value: isinstance(value, tuple | list), "a tuple"),
}
"""Check and description of each declared type."""


def names_bad_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Wrap a function so that failures due to wrong argument types or the system become errors of this library.

    Raises
    ------
    InputError
        Instead of any exception that is caused by a value of a wrong type.
    FileError, DeviceError
        Instead of exceptions of the system; see `defocus_backend.errors.from_system`.
    """
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def generated(*args: Any, **options: Any) -> Iterator[Any]:
            try:
                yield from function(*args, **options)
            except Exception as error:
                _raise_named(function, args, options, error)

        return cast("Callable[P, R]", generated)

    @functools.wraps(function)
    def named(*args: P.args, **options: P.kwargs) -> R:
        try:
            return function(*args, **options)
        except Exception as error:
            _raise_named(function, args, options, error)
            raise

    return named


def _raise_named(function: Callable[..., Any], args: Any, options: Any, error: Exception) -> None:
    """Raise an error that explains the exception, or the exception itself if there is none."""
    if isinstance(error, DefocusError):
        raise error
    ours = _explained(function, args, options) or from_system(error)
    if ours is None:
        raise error
    raise ours from error


def _explained(function: Callable[..., Any], args: Any, options: Any) -> InputError | None:
    """Error for the first argument whose value is not of its declared type."""
    try:
        given = inspect.signature(function).bind(*args, **options).arguments
    except TypeError:
        return None  # an argument is missing or unknown, which Python itself reports
    for name, value in given.items():
        declared = function.__annotations__.get(name)
        if not isinstance(declared, str) or declared == "Any":
            continue
        kinds = _split(declared, " | ")
        if not any(_fits(value, kind, function) for kind in kinds):
            wanted = " or ".join(_KINDS[k][1] if k in _KINDS else f"a {k}" for k in (_base(kind) for kind in kinds))
            return InputError(name, _shown(value), wanted)
    return None


def _fits(value: Any, kind: str, function: Callable[..., Any]) -> bool:
    """Whether a value is of a declared type; True for types that only the function itself can check."""
    base = _base(kind)
    if base in _KINDS:
        if not _KINDS[base][0](value):
            return False
        inner = _split(kind[len(base) + 1 : -1], ", ") if kind != base else []
        if base in ("Sequence", "Iterable") and isinstance(value, np.ndarray):
            of = set(_split(inner[0], " | ")) if inner else set()
            kinds = "biuf" if of and of <= {"int", "float"} else "OU" if of and of <= {"str", "Path"} else "biufOU"
            return value.ndim > 0 and value.dtype.kind in kinds
        if base in ("Sequence", "Iterable") and isinstance(value, Sequence):
            return all(any(_fits(v, one, function) for one in _split(inner[0], " | ")) for v in value)
        if base == "tuple" and "..." not in inner:
            return len(value) == len(inner) and all(_fits(v, k, function) for v, k in zip(value, inner, strict=True))
        return True
    declared = _resolved(base, function)
    try:
        return isinstance(value, declared) if isinstance(declared, type) else True
    except TypeError:  # a protocol that only type checkers can check
        return True


def _resolved(name: str, function: Callable[..., Any]) -> Any:
    """Object of a name in the function's module, also if only type checkers import it."""
    first, *rest = name.split(".")
    found = getattr(function, "__globals__", {}).get(first)
    if found is None:
        found = sys.modules.get({"nn": "torch.nn"}.get(first, first)) or getattr(
            sys.modules["defocus_backend"], first, None
        )
    for part in rest:
        found = getattr(found, part, None)
    return found


def _base(kind: str) -> str:
    return kind.partition("[")[0]


def _split(text: str, separator: str) -> list[str]:
    """Parts of a type between separators outside brackets."""
    parts, depth, start = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter == "[") - (letter == "]")
        if not depth and text.startswith(separator, at):
            parts.append(text[start:at])
            start = at + len(separator)
    return [*parts, text[start:]]


def _shown(value: Any) -> str:
    """Short description of a value."""
    if isinstance(value, str | bytes | int | float | complex | tuple | list | None):
        return repr(value)
    shape = f" of shape {value.shape}" if isinstance(value, np.ndarray) else ""
    return f"{type(value).__name__}{shape}"
