"""The height of a fused stack on the command line: maps, shaded picture, mesh, and what the stack misses."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import numpy as np

from defocus_backend.cli.options import option
from defocus_backend.cli.run import Run
from defocus_backend.errors import InputError
from defocus_backend.io import Calibration, Picture, encode_image
from defocus_backend.io.mesh import MESH_SUFFIXES, encode_mesh, height_mesh
from defocus_backend.params import DecisionParams
from defocus_backend.render import Scale, draw_shaded

if TYPE_CHECKING:
    from defocus_backend.fusion import Fusion
    from defocus_backend.stacks import SliceSource

F = TypeVar("F", bound=Callable[..., Any])

_SECTION = "Height and coverage"
_COLOURS = "viridis"


@dataclass(frozen=True)
class ReliefOptions:
    """What the command line asks of the height and of the coverage."""

    z_step: float | None
    z_unit: str | None
    pixel_size: float | None
    never_above: float | None
    height: bool
    shaded: bool
    mesh: Path | None
    mesh_step: int | None
    exaggerate: float | None
    coverage: bool
    cull: bool

    @classmethod
    def take(cls, options: dict[str, Any]) -> ReliefOptions:
        """Take them out of the parsed options; raise `InputError` for a mesh of an unknown format."""
        found = cls(**{name: options.pop(name) for name in cls.__dataclass_fields__})
        if found.mesh is not None and found.mesh.suffix.lower() not in MESH_SUFFIXES:
            raise InputError("--mesh", str(found.mesh), f"a file name ending in {' or '.join(MESH_SUFFIXES)}")
        if found.z_step is not None and not (math.isfinite(found.z_step) and found.z_step):
            raise InputError("--z-step", repr(found.z_step), "a finite distance other than 0")
        if found.z_unit is not None and found.z_step is None:
            raise InputError("--z-unit", found.z_unit, "it together with --z-step")
        for name in ("mesh_step", "exaggerate"):
            if found.mesh is None and getattr(found, name) is not None:
                raise InputError(f"--{name.replace('_', '-')}", f"{getattr(found, name):g}", "it together with --mesh")
        if found.pixel_size is not None and found.mesh is None and not found.coverage:
            raise InputError("--pixel-size", f"{found.pixel_size:g}", "it together with --mesh or --coverage")
        return found

    @property
    def folders(self) -> list[Path]:
        """Folders that results go to beside the common one."""
        return [] if self.mesh is None else [self.mesh.parent]

    @property
    def unit(self) -> str:
        """Unit of the height."""
        return self.z_unit or ("slices" if self.z_step is None else "z units")

    def fuse_options(self) -> dict[str, Any]:
        """Arguments of `fuse`."""
        said = {"z_step": self.z_step, "never_above": self.never_above}
        return {name: value for name, value in said.items() if value is not None}

    def positions(self, slices: SliceSource, count: int) -> dict[str, Any]:
        """Arguments of `fuse` that place what is left of a stack of `count` slices as in the whole."""
        from defocus_backend.fusion.positions import z_positions

        return {"z": z_positions(None, self.z_step, count)[list(slices.order)], "z_step": None}

    def within(self, known: Calibration) -> ReliefOptions:
        """The same with the z step, its unit and the pixel size that a file tells, where they were not given."""
        step = known.spacing.get("Z")
        if self.z_step is not None or step is None:
            return self
        unit = known.units.get("Z")
        size = known.spacing.get("X") if known.units.get("X") == unit else None
        return replace(self, z_step=step, z_unit=unit, pixel_size=self.pixel_size or size)

    @property
    def any(self) -> bool:
        """Whether any file is asked for."""
        return bool(self.height or self.shaded or self.mesh or self.coverage)

    def refuse(self, where: str, *, settings: bool = False) -> None:
        """Raise `InputError` if anything was asked for that cannot be had there, with `settings` or merely set."""
        results = ("height", "shaded", "mesh", "coverage", "cull")
        for name in (*results, *(self.__dataclass_fields__ if settings else ())):
            if getattr(self, name):
                flag = f"--{name.replace('_', '-')}"
                raise InputError(flag, f"it {where}", "it with our own method and the slices of one stack")


def relief_options(function: F) -> F:
    """Options of the height, its mesh and the coverage."""
    positive = click.FloatRange(0, min_open=True)
    for decorate in (
        option(
            "--cull",
            is_flag=True,
            section=_SECTION,
            help="Fuse once more without the slices that add nothing; takes twice the time if there are any.",
        ),
        option(
            "--coverage",
            is_flag=True,
            section=_SECTION,
            help="Also write what the stack holds and misses: NAME_coverage.json with the share of every slice, "
            "missing and idle slices, tilt and best single slice; NAME_never.png, white where nothing is sharp.",
        ),
        option(
            "--exaggerate",
            type=positive,
            metavar="FACTOR",
            section=_SECTION,
            help="Factor on the height of the mesh; 1 with --pixel-size, otherwise such that the relief is a "
            "quarter as high as the picture is wide.",
        ),
        option(
            "--mesh-step",
            type=click.IntRange(1),
            metavar="PX",
            section=_SECTION,
            help="Grid step of the mesh; by default the smallest that gives at most 500,000 vertices.",
        ),
        option(
            "--mesh",
            type=click.Path(path_type=Path),
            metavar="FILE",
            section=_SECTION,
            help="Also write the height as a mesh: .ply with colours, or .obj with material and texture. What was "
            "never in focus is left open.",
        ),
        option(
            "--shaded", is_flag=True, section=_SECTION, help="Also draw the height as a lit landscape, NAME_shaded.png."
        ),
        option(
            "--height",
            is_flag=True,
            section=_SECTION,
            help="Also write the height between the slices, NAME_height (float TIFF, PNG), and its standard error, "
            "NAME_height_error.tif; NaN where nothing is in focus.",
        ),
        option(
            "--never-above",
            type=positive,
            metavar="PX",
            section=_SECTION,
            help=f"Least sigma above which a pixel was never in focus.  [default: {DecisionParams.never_above}]",
        ),
        option(
            "--pixel-size",
            type=positive,
            metavar="SIZE",
            section=_SECTION,
            help="Size of a pixel in the unit of z, for mesh and tilt.",
        ),
        option("--z-unit", metavar="UNIT", section=_SECTION, help="Unit of --z-step, such as um; only for labels."),
        option(
            "--z-step",
            type=float,
            metavar="DISTANCE",
            section=_SECTION,
            help="Distance from one slice to the next, negative if z falls; by default z is counted in slices.",
        ),
    ):
        function = decorate(function)
    return function


def without_idle_slices(
    run: Run, stack: SliceSource, count: int, result: Fusion, chosen: ReliefOptions, fuse: Callable[..., Fusion]
) -> Fusion:
    """Fuse again without the slices that add nothing; the index still counts all of `stack`, of `count` slices once."""
    from defocus_backend.fusion.coverage import coverage

    idle = coverage(result, len(stack), z_step=chosen.z_step).idle
    kept = [n for n in range(len(stack)) if n not in idle]
    run.facts["culled"] = [stack.order[n] for n in idle]
    if not idle or len(kept) < 2:
        return result
    left = stack.select(kept)
    again = fuse(left, **chosen.positions(left, count))
    return replace(again, index=np.asarray(kept, dtype=np.int32)[again.index])


def write_relief(
    run: Run, stem: Path, result: Fusion, count: int, chosen: ReliefOptions, *, like: Picture | None
) -> None:
    """Add what was asked for to the files of a run.

    Parameters
    ----------
    run : Run
    stem : Path
        Folder and first part of the names.
    result : Fusion
        Of one stack.
    count : int
        Number of its slices.
    chosen : ReliefOptions
    like : Picture or None
        The first slice, for the resolution.
    """
    known = np.isfinite(result.height)
    if not known.any() and (chosen.shaded or chosen.mesh):
        raise InputError("--mesh" if chosen.mesh else "--shaded", "a stack with nothing in focus", "a known height")
    ends = [0.0, (count - 1) * (chosen.z_step or 1.0)]
    low, high = (min(ends), max(ends)) if count > 1 else (0.0, 1.0)
    scale = Scale(low=low, high=high, label=f"height / {chosen.unit}", colormap=_COLOURS)
    if chosen.height:
        run.add_map("height", stem, result.height, scale, like=like)
        run.add_map("height_error", stem, result.height_error, None, like=like)
    if chosen.shaded:
        run.add("shaded", stem.with_name(f"{stem.name}_shaded.png"), draw_shaded(result.height, scale))
    if chosen.mesh is not None:
        mesh = height_mesh(
            result.height,
            result.image,
            step=chosen.mesh_step,
            pixel_size=chosen.pixel_size,
            exaggeration=chosen.exaggerate,
        )
        for path, data in encode_mesh(chosen.mesh, mesh, result.image).items():
            run.add("mesh" if path == chosen.mesh else "mesh part", path, data)
    if chosen.coverage:
        _write_coverage(run, stem, result, count, chosen)


def _write_coverage(run: Run, stem: Path, result: Fusion, count: int, chosen: ReliefOptions) -> None:
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
