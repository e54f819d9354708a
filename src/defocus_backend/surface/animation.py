"""Write frames as an animated GIF or an MP4."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from defocus_backend.errors import FileError, InputError
from defocus_backend.io import WholeFiles
from defocus_backend.io.atomic import reason

SUFFIXES = (".gif", ".mp4")
"""Suffixes of animation files."""


def check_animation(path: Path, argument: str = "path") -> None:
    """Raise `InputError` unless an animation of this suffix can be written here."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(argument, str(path), f"a file name ending in {' or '.join(SUFFIXES)}")
    if path.suffix.lower() == ".mp4":
        try:
            import cv2  # noqa: F401
        except ImportError as error:
            raise InputError(
                argument, str(path), 'OpenCV for MP4 (pip install "napari-defocus[align]"), or a .gif'
            ) from error


def write_animation(path: str | Path, frames: Iterable[NDArray[np.uint8]], *, fps: float = 15.0) -> None:
    """Write an animation that repeats endlessly (GIF) or plays once (MP4).

    Parameters
    ----------
    path : str or Path
        Target, ``.gif``, or ``.mp4`` if OpenCV is installed.
    frames : iterable of (H, W) or (H, W, 3) uint8 arrays
        Frames in order; for MP4, only one is in memory at a time.
    fps : float
        Frames per second.

    Raises
    ------
    InputError, FileError
    """
    path = Path(path)
    check_animation(path)
    if not 0 < fps <= 100:
        raise InputError("fps", repr(fps), "more than 0, at most 100")
    with WholeFiles() as files:
        # Encoders need the suffix, which the hidden name lacks.
        part = files.stage(path)
        staged = part.with_name(part.name + path.suffix.lower())
        try:
            (_write_gif if path.suffix.lower() == ".gif" else _write_mp4)(staged, frames, fps)
            staged.replace(part)
        except OSError as error:
            raise FileError(f"{path}: cannot be written ({reason(error)})") from error
        finally:
            staged.unlink(missing_ok=True)


def _write_gif(path: Path, frames: Iterable[NDArray[np.uint8]], fps: float) -> None:
    from PIL import Image

    pictures = [Image.fromarray(frame) for frame in frames]
    if not pictures:
        raise InputError("frames", "none", "at least one")
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=round(1000 / fps), loop=0)


def _write_mp4(path: Path, frames: Iterable[NDArray[np.uint8]], fps: float) -> None:
    import cv2

    writer: Any = None
    try:
        for frame in frames:
            colour = frame if frame.ndim == 3 else np.repeat(frame[..., None], 3, axis=2)
            # The format needs even side lengths.
            even = np.ascontiguousarray(colour[: colour.shape[0] // 2 * 2, : colour.shape[1] // 2 * 2, ::-1])
            if writer is None:
                size = (even.shape[1], even.shape[0])
                writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
                if not writer.isOpened():
                    raise FileError(f"{path}: this OpenCV cannot write MP4; choose a .gif")
            writer.write(even)
    finally:
        if writer is not None:
            writer.release()
    if writer is None:
        raise InputError("frames", "none", "at least one")
