"""Describe the contents of image files, and how fusion would read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from defocus_backend.io import ImageND, open_nd
from defocus_backend.pipeline.axes import describe_plan, is_stack


@dataclass(frozen=True, kw_only=True)
class Description:
    """Description of one image in a file.

    Attributes
    ----------
    file : str
    scene : str
        Number and name of the image, if the file has several; otherwise empty.
    format, axes : str
    shape : tuple of int
    dtype : str
    pixel_size : str
        Pixel size along each axis, with its unit; empty if the file states none.
    channels : tuple of str
        Number, name and colour of each channel that the file describes.
    fuse : str
        The stacks that fusion finds, the channel in which it estimates focus, and the axes of the result.
    """

    file: str
    scene: str
    format: str
    axes: str
    shape: tuple[int, ...]
    dtype: str
    pixel_size: str
    channels: tuple[str, ...]
    fuse: str

    def to_dict(self) -> dict[str, Any]:
        """All attributes as plain values for JSON, with spaces in the names."""
        return {name.replace("_", " "): list(v) if isinstance(v, tuple) else v for name, v in vars(self).items()}


def describe_file(path: str | Path, *, axes: str | None = None) -> Iterator[Description]:
    """Describe each image of a file; in files with axes, no pixels are read.

    Parameters
    ----------
    path : str or Path
        A picture, a TIFF, an OME-Zarr folder or a microscope's file.
    axes : str or None
        Order of the axes, such as ``"TZCYX"``, instead of the order stated in the file.

    Yields
    ------
    Description

    Raises
    ------
    InputError, FileError
    """
    first = open_nd(path, axes=axes)
    for number in range(len(first.scenes)):
        yield _description(first if number == 0 else open_nd(path, scene=number, axes=axes), number)


def _description(image: ImageND, number: int) -> Description:
    known = image.calibration
    channels = [
        " ".join([str(n), *([c.name] if c.name else []), *(["#" + bytes(c.colour).hex()] if c.colour else [])])
        for n, c in enumerate(known.channels)
    ]
    fuse = "no focal stack: there is no axis Z with two or more slices"
    if is_stack(image):
        from defocus_backend.stacks import StackPlan

        fuse = describe_plan(image, StackPlan(image)).split(": ", 1)[1]
    return Description(
        file=str(image.path),
        scene=f"{number} of {len(image.scenes)}, {image.scene}" if len(image.scenes) > 1 else "",
        format=image.format,
        axes=image.axes,
        shape=image.shape,
        dtype=str(image.dtype),
        pixel_size=known.describe() if known.spacing else "",
        channels=tuple(channels),
        fuse=fuse,
    )
