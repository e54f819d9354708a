"""Options of operations from files to files: the options of the operation and of its input and output files."""

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
    """Options for the results folder and the colours of maps."""

    out: Path | None = option(
        None,
        "Folder for the results, created if missing. Default: the folder of the first input file.",
        kind=Path,
        metavar="DIR",
        common=True,
        heading="Output",
    )
    colours: tuple[float, float] = option(
        (0.0, 19.0),
        "Sigma at the ends of the colour bar, in px.",
        kind=float,
        count=2,
        metavar="LOW HIGH",
        heading="Output",
    )


def _format(choices: Endings, more: str = "") -> str:
    text = "File format of the resulting picture. same: the format of the input, with its bit depth." + more
    made: str = option("same", text, choices=choices, heading="Output", common=True)
    return made


def _method(operation: str, published: Registry[Method]) -> str:
    own = OWN_METHODS[operation]
    text = f"Method to use. {own.name}: {own.text}. The others are published methods with the settings of their "
    choices = _WithOwn(own.name, published)
    made: str = option(own.name, text + "papers; `defocus methods` lists them.", choices=choices, heading="Method")
    return made


class _WithOwn(Names):
    """Names of this package's method and of the published ones, in this order."""

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
    """Options for the distance from focus, computed with a calibration file."""

    heading: ClassVar[str] = "Distance from focus"

    calibration: Path | None = option(
        None,
        "Calibration file from `defocus calibrate`. With it, the distance from focus, NAME_defocus, and its error are "
        "also written.",
        kind=Path,
        metavar="FILE.json",
        common=True,
    )
    channel: str | None = option(
        None,
        "Channel of the calibration file, by name or number. Default: the first; for a file with channels, the "
        "channel in which focus is estimated.",
        kind=str,
        metavar="NAME",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.calibration is None and self.channel is not None:
            raise InputError("channel", self.channel, "this option only together with calibration")


@dataclass(frozen=True, kw_only=True)
class MapFiles(InputParams, OutputParams, RunParams):
    """Options of `map_files`."""

    heading: ClassVar[str] = "Output"

    raw: bool = option(False, "Also write the map before refinement, NAME_raw.", common=True)
    guide: bool = option(False, "Also write the smoothed image that guides the refinement, NAME_guide.tif.")
    confidence: bool = option(False, "Also write the confidence of the map, 0 to 1, NAME_confidence.", common=True)
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


_MAP_FILE = "Use this map, written by `defocus map`, instead of estimating it."


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
    """Options of a lens blur that follows a map in any unit."""

    heading: ClassVar[str] = "Only with --method lens"

    reach: float | None = option(
        None,
        "Difference from the focus at which the lens disc has its full radius, in the unit of the map. Larger values "
        "blur less. Default: the largest difference in the map.",
        kind=float,
        above=0.0,
        metavar="VALUE",
    )
    nearest: str = option(
        "low",
        "Values of the map that are near the camera: low for depth and defocus, high for disparity.",
        choices=("low", "high"),
    )


@dataclass(frozen=True, kw_only=True)
class ShallowFiles(InputParams, OutputParams, RunParams):
    """Options of `shallow_files`."""

    method: str = _method("shallow", SHALLOW_METHODS)
    depth_of_field: ShallowParams = group(ShallowParams)
    focus: float | None = option(
        None,
        "Sigma that is kept sharp. Default: 0. A larger value moves the focus to parts that have this blur in the "
        "photograph. With the method lens: a value of the map; default: the nearest value.",
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
    """Options for the axes of a file and for the part of it that is fused."""

    heading: ClassVar[str] = "Axes of one file"

    axes: str | None = option(
        None,
        "Order of the file's axes, such as TZCYX, if the file does not state it or states it wrongly. Letters: P "
        "(position), T (time), C (channel), Z, Y, X, S (colour sample). `defocus info` shows the stated order.",
        kind=str,
        metavar="LETTERS",
    )
    focus_channels: tuple[str, ...] = option(
        (),
        "Channel in which focus is estimated for all channels. Can be repeated, with weights. Default: the channel "
        "with the most fine detail above its noise.",
        kind=str,
        count=0,
        metavar="NAME|NUMBER[:WEIGHT]",
        common=True,
    )
    times: str | None = option(None, "Time points to fuse, such as 0,2-5. Default: all.", kind=str, metavar="LIST")
    positions: str | None = option(
        None, "Positions to fuse, such as 0,2-5. Each gives one result. Default: all.", kind=str, metavar="LIST"
    )
    scene: str | None = option(
        None,
        "Image to fuse in a file with several images. Default: all; each gives one result.",
        kind=str,
        metavar="NAME|NUMBER",
    )


@dataclass(frozen=True, kw_only=True)
class AlignFiles(Params):
    """Options for aligning the frames of a stack, and for the files that describe the alignment."""

    heading: ClassVar[str] = "Alignment"

    align: str = option(
        "auto",
        "Alignment of the frames: off, a motion model, or auto. auto never aligns slices of one file. Separate "
        "pictures are compared at a small size; if the corners of a frame have moved by more than 0.5 px, all frames "
        f"are aligned with the model {AlignParams.model}. Gray TIFFs without a camera's EXIF are treated as microscope "
        "images and need stronger evidence. The decision is printed.",
        choices=("auto", "off", *ALIGN_MODELS),
        common=True,
    )
    lock: str = option("", _ALIGN["lock"]["help"], metavar="NAMES")
    border: str = option(AlignParams.border, _ALIGN["border"]["help"], choices=_ALIGN["border"]["choices"])
    interpolation: str = option(
        AlignParams.interpolation, _ALIGN["interpolation"]["help"], choices=_ALIGN["interpolation"]["choices"]
    )
    transforms: Path | None = option(
        None,
        "Also write the transforms, gains and quality of the alignment to this JSON file.",
        kind=Path,
        metavar="FILE",
    )
    apply_transforms: Path | None = option(
        None,
        "Apply the alignment in this file, written by the option transforms in another run, instead of estimating it.",
        kind=Path,
        metavar="FILE",
    )
    export_aligned: Path | None = option(
        None, "Also write every aligned frame, NAME_aligned, to this folder.", kind=Path, metavar="DIR"
    )
    keep_all: bool = option(
        False,
        "Also fuse frames that do not fit the stack: those of another scene, black, overexposed, displaced by a bump, "
        "or impossible to align. By default they are listed and left out.",
    )


@dataclass(frozen=True, kw_only=True)
class SensorParams(Params):
    """Options for repairing sensor defects, before frames are aligned."""

    heading: ClassVar[str] = "Sensor"

    repair_pixels: bool = option(
        True,
        "Replace hot and dead pixels by values from their surroundings. Such pixels differ from all their neighbours "
        "in every slice. Their number is printed.",
    )
    flat_frame: Path | None = option(
        None,
        "Picture of an evenly lit surface, out of focus, taken with the same lens. Slices are divided by it, which "
        "removes dust and shading.",
        kind=Path,
        metavar="FILE",
    )


@dataclass(frozen=True, kw_only=True)
class ReliefParams(Params):
    """Options for the height map and for the report on the coverage of the stack."""

    heading: ClassVar[str] = "Height and coverage"

    z_unit: str | None = option(
        None, "Unit of z_step, such as um. It is only used for labels.", kind=str, metavar="UNIT"
    )
    pixel_size: float | None = option(
        None, "Size of a pixel in the unit of z, for the mesh and the tilt.", kind=float, above=0.0, metavar="SIZE"
    )
    height: bool = option(
        False,
        "Also write the height map, NAME_height (float TIFF, PNG), and its standard error, NAME_height_error.tif. "
        "Heights are interpolated between slices, and NaN where no slice is in focus.",
        common=True,
    )
    shaded: bool = option(False, "Also write a shaded relief of the height, NAME_shaded.png.")
    mesh: Path | None = option(
        None,
        "Also write the height as a mesh: .ply with colours, or .obj with material and texture. The mesh has holes "
        "where no slice is in focus.",
        kind=Path,
        metavar="FILE",
        common=True,
    )
    mesh_step: int | None = option(
        None,
        "Grid spacing of the mesh. Default: the smallest that gives at most 500,000 vertices.",
        kind=int,
        unit="px",
        low=1,
    )
    exaggerate: float | None = option(
        None,
        "Factor by which the mesh is stretched in height. Default: 1 if the pixel size is known; otherwise the mesh "
        "is a quarter as high as the picture is wide.",
        kind=float,
        above=0.0,
        metavar="FACTOR",
    )
    coverage: bool = option(
        False,
        "Also write a report on the stack. NAME_coverage.json has the share of every slice, missing and unused "
        "slices, the tilt and the best single slice. NAME_never.png is white where no slice is sharp.",
        common=True,
    )
    cull: bool = option(
        False, "Fuse again without the slices that add nothing. This takes twice the time if there are any."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mesh is not None and not any(one.fits(self.mesh) for one in MESH_FORMATS.values()):
            raise InputError("mesh", str(self.mesh), f"a file name ending in one of {MESH_SUFFIXES}")
        for name in ("mesh_step", "exaggerate"):
            if self.mesh is None and getattr(self, name) is not None:
                raise InputError(name, f"{getattr(self, name):g}", "this option only together with mesh")
        if self.pixel_size is not None and self.mesh is None and not self.coverage:
            raise InputError("pixel_size", f"{self.pixel_size:g}", "this option only together with mesh or coverage")

    @property
    def any(self) -> bool:
        """Whether any output file is requested."""
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
        "First part of the names of the results. Default: the common part of the input names.",
        kind=str,
        metavar="NAME",
    )
    format: str = _format(STACK_FORMATS, " The result of a file with axes is OME-TIFF or OME-Zarr.")
    confidence: bool = option(False, "Also write the confidence of NAME_sigma, 0 to 1, NAME_confidence.")
    audit: bool = option(
        False,
        "Also compare the detail of the picture with that of the sharpest slice. Prints how much detail was lost or "
        "made up, and writes NAME_audit.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        step = self.fusion.z_step
        if step is not None and not (math.isfinite(step) and step):
            raise InputError("z_step", repr(step), "a finite distance other than 0")
        if self.fusion.z is not None:
            raise InputError("z", "positions", "z_step with files")
        if self.relief.z_unit is not None and step is None:
            raise InputError("z_unit", self.relief.z_unit, "this option only together with z_step")
        if self.relief.cull and self.fusion.keep_slices:
            raise InputError(
                "keep_slices", "this option with cull", "only one of them, because culled slices have no maps"
            )
