"""Height maps, shaded pictures, meshes and coverage reports of a fused stack."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from defocus_backend.errors import InputError
from defocus_backend.io import Calibration, Picture, encode_image
from defocus_backend.io.mesh import encode_mesh, height_mesh
from defocus_backend.pipeline.options import ReliefParams
from defocus_backend.pipeline.run import Run
from defocus_backend.render import Scale, draw_shaded

if TYPE_CHECKING:
    from defocus_backend.fusion import Fusion
    from defocus_backend.stacks import SliceSource

_COLOURS = "viridis"


@dataclass(frozen=True)
class ReliefPlan:
    """Requested height results of one stack, with its known lengths.

    Attributes
    ----------
    asked : ReliefParams
    z_step : float or None
        Distance between neighbouring slices; None if z is counted in slices.
    z_unit : str or None
    pixel_size : float or None
        Size of a pixel in the unit of z.
    """

    asked: ReliefParams
    z_step: float | None
    z_unit: str | None
    pixel_size: float | None

    @classmethod
    def of(cls, asked: ReliefParams, z_step: float | None) -> ReliefPlan:
        """Create the plan from the options."""
        return cls(asked, z_step, asked.z_unit, asked.pixel_size)

    @property
    def folders(self) -> list[Path]:
        """Folders of results other than the common one."""
        return [] if self.asked.mesh is None else [self.asked.mesh.parent]

    @property
    def unit(self) -> str:
        """Unit of the height."""
        return self.z_unit or ("slices" if self.z_step is None else "z units")

    def positions(self, slices: SliceSource, count: int) -> dict[str, Any]:
        """Arguments of `fuse` that give the remaining slices their positions in the whole stack of `count` slices."""
        from defocus_backend.fusion.positions import z_positions

        return {"z": z_positions(None, self.z_step, count)[list(slices.order)], "z_step": None}

    def within(self, known: Calibration) -> ReliefPlan:
        """Complete the plan by the z step, its unit and the pixel size stated in a file."""
        step = known.spacing.get("Z")
        if self.z_step is not None or step is None:
            return self
        unit = known.units.get("Z")
        size = known.spacing.get("X") if known.units.get("X") == unit else None
        return replace(self, z_step=step, z_unit=unit, pixel_size=self.pixel_size or size)

    def refuse(
        self, where: str, wanted: str = "this option only with the method defocus and the slices of one stack"
    ) -> None:
        """Raise `InputError` if a result was requested that is not available there."""
        for name in ("height", "shaded", "mesh", "coverage", "cull"):
            if getattr(self.asked, name):
                raise InputError(name, f"this option {where}", wanted)


def without_idle_slices(
    run: Run, stack: SliceSource, count: int, result: Fusion, chosen: ReliefPlan, fuse: Callable[..., Fusion]
) -> Fusion:
    """Fuse again without the slices that add nothing; the index still refers to the slices of the whole stack."""
    from defocus_backend.fusion.coverage import coverage

    idle = coverage(result, len(stack), z_step=chosen.z_step).idle
    kept = [n for n in range(len(stack)) if n not in idle]
    run.facts["culled"] = [stack.order[n] for n in idle]
    if not idle or len(kept) < 2:
        return result
    left = stack.select(kept)
    again = fuse(left, **chosen.positions(left, count))
    return replace(again, index=np.asarray(kept, dtype=np.int32)[again.index])


def write_relief(run: Run, stem: Path, result: Fusion, count: int, chosen: ReliefPlan, *, like: Picture | None) -> None:
    """Add the requested height results to the files of a run.

    Parameters
    ----------
    run : Run
    stem : Path
        Folder and first part of the file names.
    result : Fusion
        Result for one stack.
    count : int
        Number of slices of the stack.
    chosen : Relief
    like : Picture or None
        The first slice, which gives the resolution of the written files.
    """
    known = np.isfinite(result.height)
    if not known.any() and (chosen.asked.shaded or chosen.asked.mesh):
        raise InputError("mesh" if chosen.asked.mesh else "shaded", "a stack with nothing in focus", "a known height")
    ends = [0.0, (count - 1) * (chosen.z_step or 1.0)]
    low, high = (min(ends), max(ends)) if count > 1 else (0.0, 1.0)
    scale = Scale(low=low, high=high, label=f"height / {chosen.unit}", colormap=_COLOURS)
    if chosen.asked.height:
        run.add_map("height", stem, result.height, scale, like=like)
        run.add_map("height_error", stem, result.height_error, None, like=like)
    if chosen.asked.shaded:
        run.add("shaded", stem.with_name(f"{stem.name}_shaded.png"), draw_shaded(result.height, scale))
    if chosen.asked.mesh is not None:
        mesh = height_mesh(
            result.height,
            result.image,
            step=chosen.asked.mesh_step,
            pixel_size=chosen.pixel_size,
            exaggeration=chosen.asked.exaggerate,
        )
        for path, data in encode_mesh(chosen.asked.mesh, mesh, result.image).items():
            run.add("mesh" if path == chosen.asked.mesh else "mesh part", path, data)
    if chosen.asked.coverage:
        _write_coverage(run, stem, result, count, chosen)


def _write_coverage(run: Run, stem: Path, result: Fusion, count: int, chosen: ReliefPlan) -> None:
    from defocus_backend.fusion.coverage import coverage
    from defocus_backend.fusion.positions import z_positions
    from defocus_backend.fusion.tilt import best_slice, plane_tilt

    found = coverage(result, count, z_step=chosen.z_step)
    report = {"unit": chosen.unit, **found.to_dict(), "tilt": None, "best_slice": None}
    own = np.where(result.inferred, np.nan, result.height)
    if np.isfinite(own).sum() > 2:
        report["tilt"] = asdict(plane_tilt(own, error=result.height_error, pixel_size=chosen.pixel_size))
        report["best_slice"] = best_slice(own, z=z_positions(None, chosen.z_step, count))
    run.add("coverage", stem.with_name(f"{stem.name}_coverage.json"), (json.dumps(report, indent=1) + "\n").encode())
    run.add("never in focus", stem.with_name(f"{stem.name}_never.png"), encode_image(result.never_in_focus, ".png"))
    run.facts["coverage"] = report
    run.tell(found.report(chosen.unit))
