"""The command that says what is in image files: info."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from defocus_backend.cli.options import SectionCommand, max_pixels_option, option
from defocus_backend.io import ImageND, open_nd
from defocus_backend.pipeline.axes import describe_plan, is_stack


@click.command("info", cls=SectionCommand)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@option(
    "--axes", metavar="LETTERS", section="Axes of one file", help="What the axes are, in place of what the file says."
)
@max_pixels_option
@option("--json", "as_json", is_flag=True, section="Run", help="Print one JSON object a line instead.")
def info_command(files: tuple[Path, ...], axes: str | None, as_json: bool) -> None:
    """What is in image files: axes, size, type, pixel size, channels, and what `fuse` would do.

    FILES are pictures, TIFF, OME-TIFF, OME-Zarr folders or microscopes' formats.
    """
    for path in files:
        first = open_nd(path, axes=axes)
        for number in range(len(first.scenes)):
            image = first if number == 0 else open_nd(path, scene=number, axes=axes)
            found = _information(image, number)
            if as_json:
                click.echo(json.dumps(found))
                continue
            width = max(map(len, found))
            click.echo("\n".join(f"{key:<{width}}  {_plain(value)}" for key, value in found.items() if value) + "\n")


def _information(image: ImageND, number: int) -> dict[str, Any]:
    known = image.calibration
    channels = [
        " ".join([str(n), *([c.name] if c.name else []), *(["#" + bytes(c.colour).hex()] if c.colour else [])])
        for n, c in enumerate(known.channels)
    ]
    if is_stack(image):
        from defocus_backend.stacks import StackPlan

        fusion = describe_plan(image, StackPlan(image)).split(": ", 1)[1]
    else:
        fusion = "no axis Z with two or more slices: no focal stack"
    return {
        "file": str(image.path),
        "scene": f"{number} of {len(image.scenes)}, {image.scene}" if len(image.scenes) > 1 else "",
        "format": image.format,
        "axes": image.axes,
        "shape": list(image.shape),
        "dtype": str(image.dtype),
        "pixel size": known.describe() if known.spacing else "",
        "channels": channels,
        "fuse": fusion,
    }


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return (" x " if value and isinstance(value[0], int) else ", ").join(map(str, value))
    return str(value)
