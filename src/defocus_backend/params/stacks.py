"""Options of focal stacks: alignment and fusion."""

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
    """Options for comparing the slices of a stack."""

    heading: ClassVar[str] = "Fusion"

    sigma_weight: float = option(
        0.2,
        "Weight of the blur (sigma) relative to fine detail when slices are compared; larger values rely more on the "
        "blur.",
        low=0.0,
        high=10.0,
    )
    noise_floor: float = option(
        8.0,
        "Slices count as equally sharp where their detail energy is below this multiple of the noise energy.",
        above=0.0,
    )
    front: str = option(
        "none",
        "End of the stack that is nearest to the viewer. Where two slices are about equally sharp, the one in front "
        "is used.",
        choices=("none", "first", "last"),
    )
    never_above: float = option(
        5.0,
        "A pixel counts as never in focus if its blur is above this in every slice.",
        unit="px",
        above=0.0,
        heading="Height and coverage",
    )


@dataclass(frozen=True, kw_only=True)
class BlendParams(Params):
    """Options for mixing the slices (paper, eqs 15 and 16).

    In the paper's symbols: `edge_tolerance` is the eps of its guided filter, `least_weight` is delta.
    """

    heading: ClassVar[str] = "Fusion"

    firmness: float = option(
        5.0,
        "How strongly the sharpest slice is preferred, for the blend octaves. High values use it alone; low values "
        "average slices, which reduces noise.",
        above=0.0,
        high=100.0,
    )
    radius: int = option(
        7,
        "Radius of the filter that smooths the borders between slices, for the blend decision. Larger values make "
        "softer borders.",
        unit="px",
        low=1,
        high=256,
    )
    edge_tolerance: float = option(
        1e-3,
        "Contrast that an edge needs to stop that filter, as a variance of pixel values from 0 to 1. Smaller "
        "values preserve weaker edges.",
        above=0.0,
    )
    least_weight: float = option(
        1e-6, "Smallest weight of a slice, for the blends decision and pixels.", above=0.0, high=0.1
    )


@dataclass(frozen=True, kw_only=True)
class FusionParams(InputParams, RunParams):
    """Options of `fuse` and their groups (paper, eqs 13 to 16, with extensions)."""

    heading: ClassVar[str] = "Fusion"

    decision: str = option(
        "combined",
        "How the sharpest slice is chosen: by fine detail and blur together (combined), by blur alone as in the paper "
        "(sigma), or for whole regions, so that most pixels are copied from one slice (region).",
        choices=DECISIONS,
    )
    blend: str = option(
        "octaves",
        "How slices are mixed: each scale of detail separately, which leaves no seams (octaves); by smoothed decision "
        "maps as in the paper (decision); or each pixel from one slice (pixels).",
        choices=BLENDS,
        common=True,
    )
    z: ArrayLike | None = option(
        None,
        "Position of each slice, increasing or decreasing, in any unit. The height has the same unit.",
        kind=object,
        shell=False,
    )
    z_step: float | None = option(
        None,
        "Distance between neighbouring slices, negative if z decreases. Default: z is counted in slices.",
        kind=float,
        common=True,
        heading="Height and coverage",
        metavar="DISTANCE",
    )
    match_exposure: Any = option(
        "auto",
        "Match the brightness of the slices. Aligned frames get one gain per channel, others one gain per frame. "
        "Default: on, except for microscope images (gray TIFFs without a camera's EXIF, 16-bit gray, files with "
        "axes).",
        choices=("auto", True, False),
        common=True,
        heading="Alignment",
    )
    keep_slices: bool = option(
        False,
        "Also return or write the maps of sigma, decision and weight of every slice. Memory grows with the number of "
        "slices.",
        heading="Output",
    )
    map_settings: SliceMapParams = group(SliceMapParams)
    decision_settings: DecisionParams = group(DecisionParams)
    blend_settings: BlendParams = group(BlendParams)


ALIGN_DEGREES = ("x", "y", "scale", "rotation", "shear", "perspective")
"""Degrees of freedom of an alignment. Each can be locked."""

ALIGN_MODELS = {
    "translation": ALIGN_DEGREES[:2],
    "similarity": ALIGN_DEGREES[:4],
    "affine": ALIGN_DEGREES[:5],
    "homography": ALIGN_DEGREES,
}
"""Models of the motion between frames, with their degrees of freedom."""


@dataclass(frozen=True, kw_only=True)
class AlignParams(Params):
    """Options for aligning a focal stack before its slices are compared."""

    heading: ClassVar[str] = "Alignment"

    model: str = option(
        "similarity",
        "Model of the motion between frames. similarity has the shift, scale and rotation that focusing causes.",
        choices=tuple(ALIGN_MODELS),
    )
    lock: str = option("", f"Motions to leave out of the estimate, separated by commas: {', '.join(ALIGN_DEGREES)}.")
    match_exposure: bool = option(True, "Match exposure and white balance of the frames, with one gain per channel.")
    border: str = option(
        "crop",
        "Crop to the area that every frame covers (crop), or keep the size and mark uncovered pixels as missing "
        "(mark).",
        choices=("crop", "mark"),
    )
    interpolation: str = option(
        "cubic",
        "How frames are resampled. lanczos preserves slightly more detail and is slower.",
        choices=("cubic", "lanczos"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.lock, str):
            raise InputError("lock", repr(self.lock), "names separated by commas")
        for name in self.lock.replace(",", " ").split():
            if name not in ALIGN_DEGREES:
                raise InputError("lock", repr(name), "any of " + ", ".join(ALIGN_DEGREES))
