"""Defects of the sensor in the commands on focal stacks: the options, and the repair before frames are aligned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from defocus_backend.cli.options import option, refuse_given

if TYPE_CHECKING:
    from defocus_backend.cli.run import Run
    from defocus_backend.stacks import SliceSource

F = TypeVar("F", bound=Callable[..., Any])

REPAIR_SECTION = "Sensor"


def repair_options(function: F) -> F:
    """Options of the repair."""
    for decorate in (
        option(
            "--flat-frame",
            type=click.Path(path_type=Path),
            metavar="FILE",
            section=REPAIR_SECTION,
            help="Picture of an evenly lit surface, out of focus, through the same lens. Slices are divided by it, "
            "which removes dust and shading.",
        ),
        option(
            "--repair-pixels/--keep-pixels",
            "repair_pixels",
            default=True,
            show_default=True,
            section=REPAIR_SECTION,
            help="Replace hot and dead pixels by their surroundings: those that differ from all their neighbours in "
            "every slice. Their number is printed.",
        ),
    ):
        function = decorate(function)
    return function


@dataclass(frozen=True)
class RepairOptions:
    """What the options of `repair_options` ask for."""

    pixels: bool
    flat_frame: Path | None

    @classmethod
    def take(cls, options: dict[str, Any]) -> RepairOptions:
        """Take the options out of the parsed ones."""
        return cls(options.pop("repair_pixels"), options.pop("flat_frame"))

    def refuse(self, reason: str) -> None:
        """Raise `InputError` if they were given where there is no repair."""
        refuse_given(reason, "it only with single pictures as slices", sections=(REPAIR_SECTION,))

    def apply(self, run: Run, slices: SliceSource) -> SliceSource:
        """The slices without the defects of the sensor; says how many."""
        if not (self.pixels or self.flat_frame):
            return slices
        from defocus_backend.io import read_image
        from defocus_backend.stacks import RepairedStack, repair_stack

        flat = None if self.flat_frame is None else read_image(self.flat_frame).array
        repaired = repair_stack(slices, flat_frame=flat, hot_pixels=self.pixels)
        spots = repaired.spots if isinstance(repaired, RepairedStack) else 0
        if spots:
            run.tell(f"repaired: {spots} hot or dead pixel{'s' if spots > 1 else ''} of the sensor")
        run.facts["repaired_pixels"] = spots
        return repaired
