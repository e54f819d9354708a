"""What is in image files, and what fusion would do with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from defocus_backend.io import ImageND, open_nd
from defocus_backend.pipeline.axes import describe_plan, is_stack


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a file says of one of its images.

    Attributes
    ----------
    file : str
    scene : str
        Number and name of the image in a file that holds several; else empty.
    format, axes : str
    shape : tuple of int
    dtype : str
    pixel_size : str
        Along each axis that has one, with its unit; empty if the file gives none.
    channels : tuple of str
        Number, name and colour of each that the file describes.
    fuse : str
        Which stacks fusion finds in it, by which channel it judges and what it gives.
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
        """All of it as plain values by what they are called, for JSON."""
        return {name.replace("_", " "): list(v) if isinstance(v, tuple) else v for name, v in vars(self).items()}


def describe_file(path: str | Path, *, axes: str | None = None) -> Iterator[Description]:
    """Say what is in an image file, one image after another; no pixels are read of files with axes.

    Parameters
    ----------
    path : str or Path
        A picture, a TIFF, an OME-Zarr folder or a microscope's file.
    axes : str or None
        What the axes are, in place of what the file says.

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
    fuse = "no axis Z with two or more slices: no focal stack"
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
