"""Develop camera RAW files with rawpy (LibRaw), in the same way for all frames of a stack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from defocus_backend.errors import FileError
from defocus_backend.io.atomic import reason

RAW_SUFFIXES = (
    *(".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mrw", ".nef", ".nrw", ".orf"),
    *(".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srw", ".x3f"),
)
"""Suffixes of camera RAW formats."""

WhiteBalance = tuple[float, float, float, float]


def read_raw(path: Path, white_balance: WhiteBalance | None = None) -> tuple[NDArray[np.uint16], WhiteBalance]:
    """Develop a RAW file into 16-bit sRGB, with settings that do not depend on the pixels of the frame.

    By default, LibRaw brightens each picture until one percent of it is white, and uses the largest value in the
    picture as the sensor's white. The frames of a focal stack would then flicker. Both are disabled here.

    Parameters
    ----------
    path : Path
        File with a suffix in `RAW_SUFFIXES`.
    white_balance : four floats or None
        Multipliers of the sensor's colours. If None, those stored by the camera. For a stack, use those of the first
        frame for all frames.

    Returns
    -------
    array : (H, W, 3) uint16 array
        Upright, with the tone curve of BT.709.
    white_balance : four floats
        The multipliers used.

    Raises
    ------
    FileError
        If it cannot be read, or rawpy is not installed.
    """
    try:
        import rawpy
    except ImportError as error:
        raise FileError(f'{path}: RAW files need the library rawpy; pip install "napari-defocus[raw]"') from error
    try:
        with rawpy.imread(str(path)) as raw:
            used = white_balance or _noted(raw)
            developed = raw.postprocess(
                output_bps=16,
                no_auto_bright=True,
                adjust_maximum_thr=0.0,
                user_wb=list(used),
                output_color=rawpy.ColorSpace.sRGB,
            )
    except Exception as error:
        if not path.is_file():
            raise FileError(f"{path}: cannot be read (No such file or directory)") from error
        raise FileError(
            f"{path}: cannot be read, damaged or not a RAW file that LibRaw supports ({reason(error)})"
        ) from error
    return np.asarray(developed), used


def _noted(raw: Any) -> WhiteBalance:
    """White balance stored by the camera; that of daylight if there is none."""
    found = [float(v) for v in raw.camera_whitebalance]
    if not (len(found) == 4 and all(v > 0 for v in found[:3])):
        found = [float(v) for v in raw.daylight_whitebalance]
    red, green, blue, second_green = found
    return red, green, blue, second_green or green
