"""Errors and warnings of this library. Each message is one line."""

from __future__ import annotations

import warnings

_MOST_GIVEN = 200
"""Largest number of characters of a given value in a message."""


class DefocusError(Exception):
    """Base of every error that this library raises on purpose."""


class InputError(DefocusError, ValueError):
    """An argument or an input image is not usable.

    Parameters
    ----------
    argument : str
        Name of the argument, as used by the caller.
    given : str
        Description of the passed value.
    wanted : str
        Description of the accepted values.
    """

    def __init__(self, argument: str, given: str, wanted: str) -> None:
        argument, given, wanted = (" ".join(str(text).split()) for text in (argument, given, wanted))
        if len(given) > _MOST_GIVEN:
            given = f"{given[:_MOST_GIVEN]}..."
        super().__init__(f"{argument}: got {given}; expected {wanted}")
        self.argument = argument
        self.given = given
        self.wanted = wanted


class WeightsError(DefocusError):
    """A weights file is missing, damaged, of another program, or does not match its model card."""


class FileError(DefocusError, OSError):
    """A file cannot be read or written."""


class DeviceError(DefocusError, RuntimeError):
    """The compute device is missing or ran out of memory."""


class Cancelled(DefocusError):
    """The caller's `cancel` callback asked to stop; nothing was written."""


def from_system(error: BaseException) -> DefocusError | None:
    """Convert an exception of the system to an error of this library; None if it is a bug of this library."""
    if isinstance(error, DefocusError):
        return error
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "not enough memory" in str(error)):
        return DeviceError("not enough memory; use smaller tiles, fewer --jobs or smaller pictures")
    if isinstance(error, RecursionError):
        return FileError("an input is nested too deeply")
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename is not None else ""
        return FileError(f"{place}cannot be used ({error.strerror or error})")
    if isinstance(error, UnicodeError):
        return FileError(f"a name or a text cannot be decoded ({error})")
    return None


class DefocusWarning(UserWarning):
    """A part of an input was left out, guessed or changed."""


def note(message: str) -> None:
    """Warn that a part of an input was left out, guessed or changed."""
    warnings.warn(message, DefocusWarning, stacklevel=3)
