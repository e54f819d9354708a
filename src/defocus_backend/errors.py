"""What can go wrong, said in one line that names the argument, what was given and what is wanted."""

from __future__ import annotations

import warnings

_MOST_GIVEN = 200
"""Characters that an error shows of what was given."""


class DefocusError(Exception):
    """Base of every error that this library raises on purpose."""


class InputError(DefocusError, ValueError):
    """An argument or an input image that cannot be used.

    Parameters
    ----------
    argument : str
        Name of the argument as the caller wrote it.
    given : str
        What was passed, in words.
    wanted : str
        What would have been accepted.
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
    """A weights file that is missing, damaged, foreign or not the one that its model card describes."""


class FileError(DefocusError, OSError):
    """A file that cannot be read or written."""


class DeviceError(DefocusError, RuntimeError):
    """The compute device is absent or ran out of memory."""


class Cancelled(DefocusError):
    """The caller's `cancel` callback asked to stop; nothing was written."""


def from_system(error: BaseException) -> DefocusError | None:
    """What the system raised, as one of our errors; None for whatever is nobody's fault but ours."""
    if isinstance(error, DefocusError):
        return error
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "not enough memory" in str(error)):
        return DeviceError("memory is too small for this; smaller tiles, fewer --jobs or smaller pictures need less")
    if isinstance(error, RecursionError):
        return FileError("an input is nested too deeply")
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename is not None else ""
        return FileError(f"{place}cannot be used ({error.strerror or error})")
    if isinstance(error, UnicodeError):
        return FileError(f"a name or a text cannot be understood ({error})")
    return None


class DefocusWarning(UserWarning):
    """Something in an input was left out, guessed or changed, in one line that names it."""


def note(message: str) -> None:
    """Warn of what was left out, guessed or changed in an input."""
    warnings.warn(message, DefocusWarning, stacklevel=3)
