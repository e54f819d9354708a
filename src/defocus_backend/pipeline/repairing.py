"""Repair of sensor defects in the slices of one run, before frames are aligned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from defocus_backend.pipeline.options import SensorParams
from defocus_backend.pipeline.run import Run

if TYPE_CHECKING:
    from defocus_backend.stacks import SliceSource


def repaired(run: Run, slices: SliceSource, settings: SensorParams) -> SliceSource:
    """Repair the sensor defects of the slices and report their number."""
    if not (settings.repair_pixels or settings.flat_frame):
        return slices
    from defocus_backend.io import read_image
    from defocus_backend.stacks import RepairedStack, repair_stack

    flat = None if settings.flat_frame is None else read_image(settings.flat_frame).array
    found = repair_stack(slices, flat_frame=flat, hot_pixels=settings.repair_pixels)
    spots = found.spots if isinstance(found, RepairedStack) else 0
    if spots:
        run.tell(f"repaired: {spots} hot or dead pixel{'s' if spots > 1 else ''} of the sensor")
    run.facts["repaired_pixels"] = spots
    return found
