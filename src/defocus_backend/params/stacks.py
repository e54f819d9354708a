"""The options of stacks: alignment and fusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from defocus_backend.errors import InputError
from defocus_backend.methods import BLENDS, DECISIONS
from defocus_backend.options import Params, group, option
from defocus_backend.params.maps import InputParams, RunParams, SliceMapParams

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True, kw_only=True)
class DecisionParams(Params):
    """How the slices of a stack are compared."""

    heading: ClassVar[str] = "Fusion"

    sigma_weight: float = option(
        0.2,
        "How much the blur (sigma) counts against fine detail when slices are compared.",
        low=0.0,
        high=10.0,
    )
    noise_floor: float = option(
        8.0, "Detail energy, in multiples of the noise's own, below which slices count as alike.", above=0.0
    )
    front: str = option(
        "none",
        "End of the stack that is nearest to the viewer. Where two slices are about equally sharp, the one in front is "
        "taken.",
        choices=("none", "first", "last"),
    )
    never_above: float = option(
        5.0,
        "A pixel was never in focus if even its sharpest slice is blurred by more than this.",
        unit="px",
        above=0.0,
        heading="Height and coverage",
    )


@dataclass(frozen=True, kw_only=True)
class BlendParams(Params):
    """How the slices are mixed, by their scores or by the finished decision (paper, eqs 15 and 16).

    In the paper's symbols: `edge_tolerance` is the eps of its guided filter, `least_weight` is delta.
    """

    heading: ClassVar[str] = "Fusion"

    firmness: float = option(
        5.0,
        "How firmly the sharpest slice is preferred: high takes it alone, low averages noise away.",
        above=0.0,
        high=100.0,
    )
    radius: int = option(
        7,
        "Radius of the filter that smooths the borders between slices, only for the blend decision.",
        unit="px",
        low=1,
        high=256,
    )
    edge_tolerance: float = option(
        1e-3, "How strong an edge must be to stop that filter. For values from 0 to 1.", above=0.0
    )
    least_weight: float = option(
        1e-6, "Least weight of a slice, for the blends decision and pixels.", above=0.0, high=0.1
    )


@dataclass(frozen=True, kw_only=True)
class FusionParams(InputParams, RunParams):
    """Multi-focus fusion (paper, eqs 13 to 16, and past them): the options of `fuse` and their groups."""

    heading: ClassVar[str] = "Fusion"

    decision: str = option(
        "combined",
        "How the sharpest slice is found: by fine detail and blur together (combined), by blur alone as in the paper "
        "(sigma), or for whole regions, so that the picture is made of the slices' own pixels (region).",
        choices=DECISIONS,
    )
    blend: str = option(
        "octaves",
        "How slices are mixed: fine and coarse detail apart, which leaves no seams (octaves); by smoothed decision "
        "maps as in the paper (decision); or every pixel from one slice (pixels).",
        choices=BLENDS,
        common=True,
    )
    fast: bool = option(
        False,
        "Estimate the blur on a coarser grid, of 4 px at least. Detail is still compared pixel by pixel.",
        common=True,
    )
    z: ArrayLike | None = option(
        None,
        "Position of each slice, rising or falling, in any unit; the unit of the height.",
        kind=object,
        shell=False,
    )
    z_step: float | None = option(
        None,
        "Distance from one slice to the next, negative if z falls; by default z is counted in slices.",
        kind=float,
        common=True,
        heading="Height and coverage",
        metavar="DISTANCE",
    )
    match_exposure: Any = option(
        "auto",
        "Match the brightness of the slices. Aligned frames get a gain per channel, others a gain each. By default not "
        "for a microscope's slices: gray TIFFs without a camera's EXIF, 16-bit gray, a file with axes.",
        choices=("auto", True, False),
        common=True,
        heading="Alignment",
    )
    keep_slices: bool = option(
        False,
        "Also give sigma, decision and weight of every slice; takes memory in proportion to their number.",
        heading="Output",
    )
    map_settings: SliceMapParams = group(SliceMapParams)
    decision_settings: DecisionParams = group(DecisionParams)
    blend_settings: BlendParams = group(BlendParams)


ALIGN_DEGREES = ("x", "y", "scale", "rotation", "shear", "perspective")
"""Degrees of freedom of an alignment, each of which can be locked."""

ALIGN_MODELS = {
    "translation": ALIGN_DEGREES[:2],
    "similarity": ALIGN_DEGREES[:4],
    "affine": ALIGN_DEGREES[:5],
    "homography": ALIGN_DEGREES,
}
"""Models of motion between frames with their degrees of freedom."""


@dataclass(frozen=True, kw_only=True)
class AlignParams(Params):
    """Alignment of a focal stack, before anything compares its slices."""

    heading: ClassVar[str] = "Alignment"

    model: str = option(
        "similarity",
        "Motion between frames; similarity has the shift, scale and rotation that focusing causes.",
        choices=tuple(ALIGN_MODELS),
    )
    lock: str = option("", f"Motions that are not estimated, separated by commas: {', '.join(ALIGN_DEGREES)}.")
    match_exposure: bool = option(True, "Match exposure and white balance of the frames, a gain per channel.")
    border: str = option(
        "crop",
        "Crop to what every frame covers (crop), or mark as missing what a frame does not cover (mark).",
        choices=("crop", "mark"),
    )
    interpolation: str = option(
        "cubic",
        "How frames are resampled; lanczos keeps slightly more detail and is slower.",
        choices=("cubic", "lanczos"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.lock, str):
            raise InputError("lock", repr(self.lock), "names with commas between")
        for name in self.lock.replace(",", " ").split():
            if name not in ALIGN_DEGREES:
                raise InputError("lock", repr(name), "any of " + ", ".join(ALIGN_DEGREES))
