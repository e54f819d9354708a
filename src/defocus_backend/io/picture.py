"""A picture in memory with its metadata, and functions that all readers share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from defocus_backend.errors import DefocusError, FileError, InputError
from defocus_backend.io.atomic import reason
from defocus_backend.io.formats import FORMATS, TIFF_SUFFIXES, formats_of
from defocus_backend.io.raw import WhiteBalance

_LONGEST = 4096
"""Largest number of characters of a path; no system opens longer ones."""


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """Metadata of a picture file.

    Attributes
    ----------
    resolution : (float, float) or None
        Pixels per unit along x and y.
    unit : str
        Unit of the resolution: ``"inch"``, ``"cm"``, another unit written by ImageJ, or ``""`` if unknown.
    icc : bytes or None
        Colour profile.
    exif : bytes or None
        EXIF block. Its orientation is set to upright, because the pixels are already rotated.
    white_balance : four floats or None
        Multipliers with which a RAW file was developed, to be reused for the other frames of its stack.
    """

    resolution: tuple[float, float] | None = None
    unit: str = ""
    icc: bytes | None = None
    exif: bytes | None = None
    white_balance: WhiteBalance | None = None


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture from a file.

    Attributes
    ----------
    array : (H, W) or (H, W, C) array
        Pixels, upright, in the dtype of the file.
    channel_axis : int or None
        -1 for a picture with colour or alpha, None for a gray one.
    metadata : Metadata
    path : Path
        Path of the file.
    white : int or None
        Largest possible value of a sample, if the samples of the file have fewer bits than those of `array`.
    """

    array: NDArray[Any]
    channel_axis: int | None
    metadata: Metadata
    path: Path
    white: int | None = None

    @property
    def value_range(self) -> tuple[float, float] | None:
        """Black and white of 8-bit arrays whose samples have fewer bits; None for other types."""
        return (0.0, float(self.white)) if self.white is not None and self.array.dtype == np.uint8 else None


def check_suffix(path: Path, what: str = "encode") -> str:
    """The suffix in lower case; raise `FileError` if the format cannot be written or, with ``"read"``, not be read."""
    formats_of(path, FORMATS, what)
    return path.suffix.lower()


def as_path(value: Any, argument: str = "path") -> Path:
    """The value as a path; raise `InputError` if it cannot be one."""
    try:
        path = Path(value)
    except TypeError as error:
        raise InputError(argument, f"{type(value).__name__}", "a path") from error
    if len(str(path)) > _LONGEST:
        raise InputError(argument, f"{str(path)[:60]}... of {len(str(path))} characters", f"at most {_LONGEST}")
    if "\0" in str(path):
        raise InputError(argument, repr(str(path))[:60], "a path without null characters")
    return path


@contextlib.contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Turn exceptions of the system into a `FileError` that names the file."""
    try:
        yield
    except DefocusError:
        raise
    except (OSError, MemoryError, RecursionError, UnicodeError) as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> FileError:
    """A `FileError` with the name of the file and the reason why it cannot be read."""
    if isinstance(error, OSError) and error.strerror:
        return FileError(f"{path}: cannot be read ({error.strerror})")
    if isinstance(error, MemoryError):
        return FileError(f"{path}: cannot be read, not enough memory")
    if isinstance(error, RecursionError):
        return FileError(f"{path}: cannot be read, its parts are nested too deeply")
    kind = "TIFF" if path.suffix.lower() in TIFF_SUFFIXES else path.suffix.lower().lstrip(".").upper()
    # Pillow's message contains the memory address of a buffer.
    why = "unknown contents" if type(error).__name__ == "UnidentifiedImageError" else reason(error)
    return FileError(f"{path}: cannot be read, damaged or not a {kind} file ({why})")


def turn_upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undo the rotations and reflections 2 to 8 of the EXIF and TIFF orientation tag."""
    turns = {
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: a.swapaxes(0, 1)[:, ::-1],
        7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
        8: lambda a: a.swapaxes(0, 1)[::-1],
    }
    return np.ascontiguousarray(turns.get(orientation, lambda a: a)(pixels))
