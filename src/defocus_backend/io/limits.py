"""Limits for the size of a picture: the size in a header is compared with the file size and the free memory."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from defocus_backend.errors import FileError, InputError

VARIABLE = "DEFOCUS_MAX_PIXELS"
"""Environment variable with the largest number of pixels to read, which replaces the checks; `--max-pixels` sets it.

An environment variable is also inherited by the processes of a batch.
"""

MOST_PLANES = 10_000_000
"""Largest number of planes of an image. Lists of this length are allocated in several places."""

_UNCHECKED = 2**26
"""Number of bytes of pixels that are always accepted."""

_SHRUNK = 100_000
"""Largest accepted ratio of pixel bytes to file bytes. Deflate reaches 1032 and Zstandard 30,000 on flat pictures;
malicious files that consist only of a header have millions."""


def check_size(path: Path, shape: Sequence[int], dtype: DTypeLike, stored: int | None = None) -> None:
    """Refuse pixels that the file cannot contain or that do not fit in memory, before anything is allocated.

    Parameters
    ----------
    path : Path
        For messages, and for the size of the file.
    shape : sequence of int
        Shape of the array to be read, rows and columns first.
    dtype : dtype
    stored : int or None
        Number of bytes that store these pixels; by default the size of the file.

    Raises
    ------
    FileError
        With the claimed size and a hint how to read the file anyway.
    """
    pixels, size = math.prod(map(int, shape[:2])), math.prod(map(int, shape)) * np.dtype(dtype).itemsize
    claim = f"{path}: claims {shape[1]}x{shape[0]} px, {size / 1e9:.3g} GB"
    most = max_pixels()
    if most is not None:
        if pixels > most:
            raise FileError(f"{claim}; --max-pixels allows {most}")
        return
    if size <= _UNCHECKED:
        return
    advice = f"use --max-pixels {pixels} to read it anyway"
    if stored is None:
        stored = path.stat().st_size
    if size > _SHRUNK * max(stored, 1):
        raise FileError(f"{claim}, but takes only {stored} bytes; {advice}")
    free = free_memory()
    if free is not None and size > free:
        raise FileError(f"{claim}, but {free / 1e9:.3g} GB of memory are free; {advice}")


def max_pixels() -> int | None:
    """Value of the environment variable, or None if it is not set.

    Raises
    ------
    InputError
        If it is not a positive whole number.
    """
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return None
    if not text.isdecimal() or not int(text):
        raise InputError(VARIABLE, repr(text), "a positive whole number of pixels")
    return int(text)


def free_memory() -> int | None:
    """Bytes of memory that are free without swapping; None if unknown."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError, IndexError):
        return None
