"""What can go wrong, said in one line that names the argument, what was given and what is wanted."""

from __future__ import annotations


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
