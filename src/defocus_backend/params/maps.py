"""How a picture is read and where it is computed, and the options of defocus maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from defocus_backend.methods import DEFAULT_NETWORK, MAP_NAMES, PIXEL_MAP_NAMES
from defocus_backend.options import Params, option

if TYPE_CHECKING:
    from pathlib import Path

    import torch

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
