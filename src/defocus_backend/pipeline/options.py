"""The options of what goes from files to files, beside those of the operation itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from defocus_backend.errors import InputError
from defocus_backend.io.formats import FORMATS, MESH_FORMATS, MESH_SUFFIXES, ND_FORMATS, Endings
from defocus_backend.methods import FUSION_METHODS, OWN_METHODS, SHALLOW_METHODS, SHARPEN_METHODS, Method
from defocus_backend.options import Params, group, option
from defocus_backend.params import (
    ALIGN_MODELS,
    AlignParams,
    FusionParams,
    InputParams,
    MapParams,
    RunParams,
    ShallowParams,
    SharpenParams,
    SigmaParams,
)
from defocus_backend.registry import Names, Registry

PICTURE_FORMATS = Endings(FORMATS)
STACK_FORMATS = Endings(FORMATS, ND_FORMATS)
_ALIGN = AlignParams.describe()


@dataclass(frozen=True, kw_only=True)
class OutputParams(Params):
    """Where results go and how maps look."""

    out: Path | None = option(
        None,
        "Folder for the results, made if absent. By default they go beside the first input file.",
        kind=Path,
        metavar="DIR",
        common=True,
        heading="Output",
    )
    colours: tuple[float, float] = option(
        (0.0, 19.0),
        "Sigma in px at the ends of the colour bar.",
        kind=float,
        count=2,
        metavar="LOW HIGH",
        heading="Output",
    )


def _format(choices: Endings, more: str = "") -> str:
    text = "Format of the resulting picture. The format of the input keeps its bit depth." + more
    made: str = option("same", text, choices=choices, heading="Output", common=True)
    return made


def _method(operation: str, published: Registry[Method]) -> str:
    own = OWN_METHODS[operation]
    text = f"Which method is used. {own.name}: {own.text}. The others are published methods with the settings of their "
    choices = _WithOwn(own.name, published)
    made: str = option(own.name, text + "papers; `defocus methods` lists them.", choices=choices, heading="Method")
    return made


class _WithOwn(Names):
    """Our own method, then the published ones."""

    def __init__(self, own: str, published: Registry[Method]) -> None:
        super().__init__(published)
        self._own = own

    def __iter__(self) -> Iterator[str]:
        yield self._own
        yield from super().__iter__()

    def __len__(self) -> int:
        return 1 + super().__len__()


@dataclass(frozen=True, kw_only=True)
class DistanceParams(Params):
    """The distance from focus, by a calibration in a file."""

    heading: ClassVar[str] = "Distance from focus"

    calibration: Path | None = option(
        None,
        "File made by `defocus calibrate`. Also writes the distance from focus, NAME_defocus, and its error.",
        kind=Path,
        metavar="FILE.json",
        common=True,
    )
    channel: str | None = option(
        None,
        "Channel of the calibration file, by name or number; by default the first, or that in which the focus of a "
        "file with channels is judged.",
        kind=str,
        metavar="NAME",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.calibration is None and self.channel is not None:
            raise InputError("channel", self.channel, "it together with calibration")


@dataclass(frozen=True, kw_only=True)
class MapFiles(InputParams, OutputParams, RunParams):
    """Options of `map_files`."""

    heading: ClassVar[str] = "Output"

    raw: bool = option(False, "Also write the map before refinement, NAME_raw.", common=True)
    guide: bool = option(False, "Also write the smoothed image that guides the refinement, NAME_guide.tif.")
    confidence: bool = option(False, "Also write how reliable the map is, 0 to 1, NAME_confidence.", common=True)
    threshold: float | None = option(
        None,
        "Also write NAME_in_focus.png: white where sigma is below this, black elsewhere.",
        kind=float,
        unit="px",
        above=0.0,
        common=True,
    )
    distance: DistanceParams = group(DistanceParams)
    maps: MapParams = group(MapParams)


_MAP_FILE = "Use this map, written by `defocus map`, instead of estimating one."


@dataclass(frozen=True, kw_only=True)
class SharpenFiles(InputParams, OutputParams, RunParams):
    """Options of `sharpen_files`."""

    method: str = _method("sharpen", SHARPEN_METHODS)
    sharpening: SharpenParams = group(SharpenParams)
    map: Path | None = option(None, _MAP_FILE, kind=Path, metavar="FILE.tif", heading="Defocus map", common=True)
    maps: SigmaParams = group(SigmaParams)
    format: str = _format(PICTURE_FORMATS)


@dataclass(frozen=True, kw_only=True)
class LensParams(Params):
    """A lens blur that follows a map of any unit."""

    heading: ClassVar[str] = "Only with --method lens"

    reach: float | None = option(
        None,
        "Difference from the focus, in units of the map, at which the disc has its full radius; larger blurs less. By "
        "default the largest in the map.",
        kind=float,
        above=0.0,
        metavar="VALUE",
    )
    nearest: str = option(
        "low",
        "Which values of the map are near the camera: low for depth and defocus, high for disparity.",
        choices=("low", "high"),
    )


@dataclass(frozen=True, kw_only=True)
class ShallowFiles(InputParams, OutputParams, RunParams):
    """Options of `shallow_files`."""

    method: str = _method("shallow", SHALLOW_METHODS)
    depth_of_field: ShallowParams = group(ShallowParams)
    focus: float | None = option(
        None,
        "Sigma that counts as in focus, 0 by default; larger focuses on a plane that is blurred in the photograph. "
        "With the method lens: a value of the map, by default the nearest.",
        kind=float,
        unit="px",
        heading="Depth of field",
        common=True,
    )
    lens: LensParams = group(LensParams)
    map: Path | None = option(None, _MAP_FILE, kind=Path, metavar="FILE.tif", heading="Defocus map", common=True)
    maps: SigmaParams = group(SigmaParams)
    format: str = _format(PICTURE_FORMATS)


@dataclass(frozen=True, kw_only=True)
class AxesParams(Params):
    """What a file's axes are, and which part of it is fused."""

    heading: ClassVar[str] = "Axes of one file"

    axes: str | None = option(
        None,
        "Order of the file's axes, if the file does not state it or states it wrongly: P (position), T, C, Z, Y, X, S "
        "(colour sample), such as TZCYX. `defocus info` shows what the file states.",
        kind=str,
        metavar="LETTERS",
    )
    focus_channels: tuple[str, ...] = option(
        (),
        "Channel in which focus is estimated for all channels; can be repeated, with weights. By default the one with "
        "the most fine detail above its noise.",
        kind=str,
        count=0,
        metavar="NAME|NUMBER[:WEIGHT]",
        common=True,
    )
    times: str | None = option(None, "Time points to fuse, such as 0,2-5; by default all.", kind=str, metavar="LIST")
    positions: str | None = option(
        None, "Positions to fuse, one result each, such as 0,2-5; by default all.", kind=str, metavar="LIST"
    )
    scene: str | None = option(
        None, "One of several images in the file; by default all, one result each.", kind=str, metavar="NAME|NUMBER"
    )


@dataclass(frozen=True, kw_only=True)
class AlignFiles(Params):
    """Whether and how the frames of a stack are aligned, and what is written of it."""

    heading: ClassVar[str] = "Alignment"

    align: str = option(
        "auto",
        "Whether frames are aligned, and by which motion. auto: slices in one file are not aligned. Single pictures "
        "are all compared at a small size. If the corners of a frame are displaced by over 0.5 px, all are aligned by "
        f"a {AlignParams.model}. Gray TIFFs without a camera's EXIF count as a microscope's and need more evidence. "
        "The decision is printed.",
        choices=("auto", "off", *ALIGN_MODELS),
        common=True,
    )
    lock: str = option("", _ALIGN["lock"]["help"], metavar="NAMES")
    border: str = option(AlignParams.border, _ALIGN["border"]["help"], choices=_ALIGN["border"]["choices"])
    interpolation: str = option(
        AlignParams.interpolation, _ALIGN["interpolation"]["help"], choices=_ALIGN["interpolation"]["choices"]
    )
    transforms: Path | None = option(
        None, "Also write transforms, gains and quality of the alignment as JSON.", kind=Path, metavar="FILE"
    )
    apply_transforms: Path | None = option(
        None,
        "Align by a file that the option transforms wrote in another run, instead of estimating the motion.",
        kind=Path,
        metavar="FILE",
    )
    export_aligned: Path | None = option(
        None, "Also write every aligned frame, NAME_aligned, into this folder.", kind=Path, metavar="DIR"
    )
    keep_all: bool = option(
        False,
        "Also fuse frames that do not belong to the stack: of another scene, black, overexposed, bumped, or not "
        "alignable. By default they are named and left out.",
    )


@dataclass(frozen=True, kw_only=True)
class SensorParams(Params):
    """Defects of the sensor, repaired before frames are aligned."""

    heading: ClassVar[str] = "Sensor"

    repair_pixels: bool = option(
        True,
        "Replace hot and dead pixels, which differ from all their neighbours in every slice, by their surroundings. "
        "Their number is printed.",
    )
    flat_frame: Path | None = option(
        None,
        "Picture of an evenly lit surface, out of focus, through the same lens. Slices are divided by it, which "
        "removes dust and shading.",
        kind=Path,
        metavar="FILE",
    )


@dataclass(frozen=True, kw_only=True)
class ReliefParams(Params):
    """What is written of the height, and of what the stack holds and misses."""

    heading: ClassVar[str] = "Height and coverage"

    z_unit: str | None = option(None, "Unit of z_step, such as um; only for labels.", kind=str, metavar="UNIT")
    pixel_size: float | None = option(
        None, "Size of a pixel in the unit of z, for mesh and tilt.", kind=float, above=0.0, metavar="SIZE"
    )
    height: bool = option(
        False,
        "Also write the height between the slices, NAME_height (float TIFF, PNG), and its standard error, "
        "NAME_height_error.tif; NaN where nothing is in focus.",
        common=True,
    )
    shaded: bool = option(False, "Also draw the height as a lit landscape, NAME_shaded.png.")
    mesh: Path | None = option(
        None,
        "Also write the height as a mesh: .ply with colours, or .obj with material and texture. It has holes where "
        "nothing was in focus.",
        kind=Path,
        metavar="FILE",
        common=True,
    )
    mesh_step: int | None = option(
        None,
        "Grid step of the mesh; by default the smallest that gives at most 500,000 vertices.",
        kind=int,
        unit="px",
        low=1,
    )
    exaggerate: float | None = option(
        None,
        "Factor by which the mesh is stretched in height. By default 1 with a pixel size, else the relief "
        "is a quarter as high as the picture is wide.",
        kind=float,
        above=0.0,
        metavar="FACTOR",
    )
    coverage: bool = option(
        False,
        "Also write a report on the stack: NAME_coverage.json with the share of every slice, missing or unused ones, "
        "tilt and the best single slice; NAME_never.png, white where nothing is sharp.",
        common=True,
    )
    cull: bool = option(
        False, "Fuse once more without the slices that add nothing; takes twice the time if there are any."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mesh is not None and not any(one.fits(self.mesh) for one in MESH_FORMATS.values()):
            raise InputError("mesh", str(self.mesh), f"a file name ending in one of {MESH_SUFFIXES}")
        for name in ("mesh_step", "exaggerate"):
            if self.mesh is None and getattr(self, name) is not None:
                raise InputError(name, f"{getattr(self, name):g}", "it together with mesh")
        if self.pixel_size is not None and self.mesh is None and not self.coverage:
            raise InputError("pixel_size", f"{self.pixel_size:g}", "it together with mesh or coverage")

    @property
    def any(self) -> bool:
        """Whether any file is asked for."""
        return bool(self.height or self.shaded or self.mesh or self.coverage)


@dataclass(frozen=True, kw_only=True)
class FuseFiles(OutputParams):
    """Options of `fuse_files`."""

    heading: ClassVar[str] = "Output"

    method: str = _method("fuse", FUSION_METHODS)
    fusion: FusionParams = group(FusionParams)
    axis: AxesParams = group(AxesParams)
    alignment: AlignFiles = group(AlignFiles)
    sensor: SensorParams = group(SensorParams)
    relief: ReliefParams = group(ReliefParams)
    distance: DistanceParams = group(DistanceParams)
    name: str | None = option(
        None,
        "Start of the results' names; by default what the names of the files have in common.",
        kind=str,
        metavar="NAME",
    )
    format: str = _format(STACK_FORMATS, " Files with axes become OME-TIFF or OME-Zarr.")
    confidence: bool = option(False, "Also write how reliable NAME_sigma is, 0 to 1, NAME_confidence.")
    audit: bool = option(
        False,
        "Also compare the picture with the sharpest slice: prints what detail was lost or made up, writes NAME_audit.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        step = self.fusion.z_step
        if step is not None and not (math.isfinite(step) and step):
            raise InputError("z_step", repr(step), "a finite distance other than 0")
        if self.fusion.z is not None:
            raise InputError("z", "positions", "z_step with files")
        if self.relief.z_unit is not None and step is None:
            raise InputError("z_unit", self.relief.z_unit, "it together with z_step")
        if self.relief.cull and self.fusion.keep_slices:
            raise InputError("keep_slices", "it with cull", "one of them: culled slices have no maps")
