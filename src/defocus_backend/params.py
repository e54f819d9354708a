"""The options of every operation, in one place for library, command line, widgets and batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from defocus_backend.errors import InputError
from defocus_backend.methods import BLENDS, DECISIONS, DEFAULT_NETWORK, MAP_NAMES, PIXEL_MAP_NAMES
from defocus_backend.options import Params, group, option

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from numpy.typing import ArrayLike

PRECISIONS = ("auto", "float32", "bfloat16")
"""Number formats in which networks can compute."""


@dataclass(frozen=True, kw_only=True)
class InputParams(Params):
    """How the values of an input are read."""

    value_range: tuple[float, float] | None = option(
        None,
        "Values that count as black and white. By default the whole range of 8-bit files, 0 to 1 for floats within "
        "it, else the 0.1 and 99.9 percentiles.",
        kind=float,
        count=2,
        heading="Input",
        metavar="LOW HIGH",
    )


@dataclass(frozen=True, kw_only=True)
class RunParams(Params):
    """Where a run computes."""

    device: str | torch.device = option(
        "auto",
        "Where to compute: auto, cpu, cuda, cuda:N or mps.",
        kind=object,
        heading="Run",
        metavar="NAME",
    )


@dataclass(frozen=True, kw_only=True)
class MapParams(Params):
    """Classification by a sliding window and refinement by the weighted guided filter (paper, section 3)."""

    heading: ClassVar[str] = "Defocus map"

    map_method: str = option(
        DEFAULT_NETWORK,
        "Network that estimates the blur, or a published method without a network.",
        choices=MAP_NAMES,
        common=True,
    )
    step: int = option(
        8,
        "Distance between neighbouring windows of 32x32 px, for networks that look at windows. Smaller is finer and "
        "slower.",
        unit="px",
        choices=(4, 8, 16, 32),
    )
    refine: bool = option(
        True, "Make the map follow the edges of the picture, by the weighted guided filter.", common=True
    )
    refine_radius: int = option(
        4, "Radius of the filter that refines the map; 16 in the paper.", unit="px", low=1, high=512
    )
    refine_edge_tolerance: float = option(
        0.005,
        "How strong an edge must be to stop that filter; small keeps weak edges. For values from 0 to 1.",
        above=0.0,
    )
    refine_iterations: int = option(1, "How often that filter is repeated; 7 times in the paper.", low=1, high=50)
    refine_subsample: int = option(
        4,
        "Grid on which that filter is computed; 1 is exact, 4 is fast.",
        unit="px",
        low=1,
        high=16,
    )
    confidence_weighted: bool = option(
        True, "Where the picture is flat, dark or saturated, take the blur from confident places nearby."
    )
    precision: str = option(
        "auto",
        "Number format in which a network that judges every pixel computes. Auto takes bfloat16 where the processor or "
        "GPU has units for it, which is faster and changes sigma by about 0.01 px, and float32 elsewhere.",
        choices=PRECISIONS,
    )
    weights: str | Path | None = option(
        None,
        "Other weights: a name from `defocus models`, or a .safetensors file from `defocus train`. Their network takes "
        "the place of map_method.",
        kind=object,
        metavar="NAME|FILE",
    )
    tile: int = option(
        1152,
        "Side of the tiles in which a network reads a large image, rounded down to what its strides allow. Smaller "
        "needs less memory, larger is faster; the map is the same.",
        unit="px",
        low=256,
        high=8192,
    )


PAPER_REFINEMENT: Mapping[str, Any] = {
    "refine_radius": 16,
    "refine_edge_tolerance": 0.005,
    "refine_iterations": 7,
    "refine_subsample": 1,
}
"""The refining filter as the paper has it, section 3.2: without the grid."""


@dataclass(frozen=True, kw_only=True)
class SigmaParams(MapParams):
    """A defocus map that has to be in pixels, as all that sharpens, blurs or fuses by it needs."""

    map_method: str = option(
        DEFAULT_NETWORK,
        "Network that estimates the blur, or a published method that gives it in pixels.",
        choices=PIXEL_MAP_NAMES,
        common=True,
    )


@dataclass(frozen=True, kw_only=True)
class SliceMapParams(SigmaParams):
    """The defocus map of one slice of a stack, judged on pooled pixels.

    Between slices the finest detail decides, so that the map has to be right in the large only. The paper's refinement
    (radius 16, 7 iterations) smooths thin things out of the decision (docs/results.md).
    """

    pooling: int = option(
        2,
        "Average squares of at least this many pixels a side before the blur of a slice is estimated; more where noise "
        "hides finer detail.",
        unit="px",
        choices=(1, 2, 4),
    )
    refine: bool = option(False, "Make the map follow the edges of the picture, by the weighted guided filter.")


@dataclass(frozen=True, kw_only=True)
class SharpenParams(Params):
    """Adaptive unsharp masking (paper, eqs 7 to 10).

    In the paper's symbols: `max_gain` is lambda_max, `low_pass` the sigma of B, `rise_at` 19 beta1, `fall_at` 19 beta2,
    and a width is 19 * 2 ln(9) / alpha. The defaults are those of its Fig. 11 (alpha1 30, alpha2 92), rounded to
    0.01 px.
    """

    heading: ClassVar[str] = "Sharpening"

    max_gain: float = option(
        2.0, "Largest gain; more sharpens slightly soft places more.", low=0.0, high=20.0, common=True
    )
    rise_at: float = option(
        2.85,
        "Blur at which half of the gain is reached; larger spares more of what is nearly sharp.",
        unit="px",
        low=0.0,
        high=19.0,
    )
    rise_width: float = option(
        2.78,
        "Range of blur over which the gain rises from a tenth to nine tenths; larger is more gradual.",
        unit="px",
        low=0.1,
        high=200.0,
    )
    fall_at: float = option(
        7.6,
        "Blur at which half of the gain is left; larger also sharpens what is far out of focus.",
        unit="px",
        low=0.0,
        high=19.0,
    )
    fall_width: float = option(
        0.91,
        "Range of blur over which the gain falls from nine tenths to a tenth; larger is more gradual.",
        unit="px",
        low=0.1,
        high=200.0,
    )
    low_pass: float = option(
        2.0, "Coarseness of the detail that is amplified, as sigma.", unit="px", above=0.0, high=50.0, common=True
    )


@dataclass(frozen=True, kw_only=True)
class ShallowParams(Params):
    """Shallow depth of field (paper, eqs 11 and 12): c0, c1, W0 and W1 are the first four, eps is `edge_tolerance`."""

    heading: ClassVar[str] = "Depth of field"

    sharp_below: float = option(1.0, "Blur up to which a pixel stays sharp.", unit="px", low=0.0, high=9.9, common=True)
    blur_above: float = option(
        7.0, "Blur from which a pixel counts as background.", unit="px", above=0.0, high=9.99, common=True
    )
    sharp_weight: float = option(
        0.999, "Share of the sharp picture where the blur is sharp_below.", above=0.5, high=0.999999
    )
    blur_weight: float = option(
        0.001, "Share of the sharp picture where the blur is blur_above.", above=0.0, high=0.499
    )
    sharpen_gain: float = option(0.25, "How much the sharp part is sharpened.", low=0.0, high=20.0, common=True)
    blur: str = option(
        "guided",
        "How the background is blurred: within strong edges (guided), or by the disc of a lens (lens).",
        choices=("guided", "lens"),
        common=True,
    )
    radius: int = option(33, "Radius of the guided filter; more blurs more.", unit="px", low=1, high=512)
    edge_tolerance: float = option(
        128.0, "How strong an edge must be to stop that filter, for values from 0 to 255.", above=0.0
    )
    iterations: int = option(5, "How often that filter is repeated; more blurs more.", low=1, high=50)
    lens_radius: float = option(12.0, "Radius of the lens disc; more blurs more.", unit="px", above=0.0, high=200.0)
    highlights: float = option(
        2.2,
        "Exponent of the tone curve that is undone before the lens blurs; larger keeps points of light brighter.",
        low=1.0,
        high=6.0,
    )
    fill_subject: bool = option(
        True, "Fill the subject from its surroundings before blurring, so that no colour bleeds."
    )


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


@dataclass(frozen=True, kw_only=True)
class QualityParams(Params):
    """What counts as in focus, and what as worth judging."""

    heading: ClassVar[str] = "Verdict"

    sharp_below: float = option(
        2.0,
        "Median sigma below which a picture is in focus; raise it for oversampled pictures.",
        unit="px",
        above=0.0,
        common=True,
    )
    blurred_above: float = option(
        4.0,
        "A picture is out of focus if even its sharpest tenth has a larger sigma; between the two it is soft.",
        unit="px",
        above=0.0,
        common=True,
    )
    confident_above: float = option(
        0.3, "Confidence, 0 to 1, above which a pixel is informative and counts.", low=0.0, high=1.0
    )
    least_informative: float = option(
        0.01, "Share of informative pixels, 0 to 1, below which there is nothing to judge.", low=0.0, high=1.0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.blurred_above < self.sharp_below:
            raise InputError("blurred_above", f"{self.blurred_above:g}", f"at least sharp_below ({self.sharp_below:g})")


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
