"""How large a picture may be: what a header claims is compared with the file and the memory before it is believed."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from defocus_backend.errors import FileError, InputError

VARIABLE = "DEFOCUS_MAX_PIXELS"
"""Environment variable with the largest number of pixels to read, in place of the checks; `--max-pixels` sets it.

A variable, so that the processes of a batch have it too.
"""

MOST_PLANES = 10_000_000
"""Planes that one image may have; a list of them is allocated in several places."""

_UNCHECKED = 2**26
"""Bytes of pixels that are read whatever the file says."""

_SHRUNK = 100_000
"""Times by which a file may be smaller than its pixels. Deflate reaches 1032 and Zstandard 30,000 on flat pictures;
bombs that are nothing but a header have millions."""


def check_size(path: Path, shape: Sequence[int], dtype: DTypeLike, stored: int | None = None) -> None:
    """Refuse pixels that a file cannot hold or the memory cannot take, before anything is allocated.

    Parameters
    ----------
    path : Path
        For messages, and for the size of the file.
    shape : sequence of int
        Of the array that is about to be read, rows and columns first.
    dtype : dtype
    stored : int or None
        Bytes that hold these pixels; by default those of the file.

    Raises
    ------
    FileError
        With the size that is claimed, and how to read it all the same.
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
    advice = f"--max-pixels {pixels} reads it all the same"
    if stored is None:
        stored = path.stat().st_size
    if size > _SHRUNK * max(stored, 1):
        raise FileError(f"{claim}, but takes only {stored} bytes; {advice}")
    free = free_memory()
    if free is not None and size > free:
        raise FileError(f"{claim}, but {free / 1e9:.3g} GB of memory are free; {advice}")


def max_pixels() -> int | None:
    """The number that the environment variable sets, or None.

    Raises
    ------
    InputError
        If it is no positive whole number.
    """
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return None
    if not text.isdecimal() or not int(text):
        raise InputError(VARIABLE, repr(text), "a positive whole number of pixels")
    return int(text)


def free_memory() -> int | None:
    """Bytes of memory that can be had without swapping; None where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError, IndexError):
        return None
