"""Options for reading pictures, for the compute device and for defocus maps."""

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
    """Options for reading pixel values."""

    value_range: tuple[float, float] | None = option(
        None,
        "Pixel values that count as black and white. Default: the full range for 8-bit files, 0 to 1 for floats "
        "within that range, and the 0.1 and 99.9 percentiles for all others.",
        kind=float,
        count=2,
        heading="Input",
        metavar="LOW HIGH",
    )


@dataclass(frozen=True, kw_only=True)
class RunParams(Params):
    """Option for the compute device."""

    device: str | torch.device = option(
        "auto",
        "Compute device: auto, cpu, cuda, cuda:N or mps.",
        kind=object,
        heading="Run",
        metavar="NAME",
    )


@dataclass(frozen=True, kw_only=True)
class MapParams(Params):
    """Options of a defocus map: how the blur is estimated and how the map is refined (paper, section 3)."""

    heading: ClassVar[str] = "Defocus map"

    map_method: str = option(
        DEFAULT_NETWORK,
        "Network that estimates the blur, or a published method without a network.",
        choices=MAP_NAMES,
        common=True,
    )
    step: int = option(
        8,
        "Distance between the windows of 32x32 px that a window network classifies. Smaller values give a finer map "
        "and take longer.",
        unit="px",
        choices=(4, 8, 16, 32),
    )
    refine: bool = option(
        True, "Align the edges of the map with those of the picture, by the weighted guided filter.", common=True
    )
    refine_radius: int = option(
        4,
        "Radius of the refinement filter; larger values smooth the map more. The paper uses 16.",
        unit="px",
        low=1,
        high=512,
    )
    refine_edge_tolerance: float = option(
        0.005,
        "Contrast that an edge needs to stop the refinement filter, as a variance of pixel values from 0 to 1. "
        "Smaller values preserve weaker edges.",
        above=0.0,
    )
    refine_iterations: int = option(
        1,
        "Number of passes of the refinement filter; more passes smooth the map more. The paper uses 7.",
        low=1,
        high=50,
    )
    refine_subsample: int = option(
        4,
        "Grid spacing at which the refinement filter is computed; 1 is exact, 4 is fast.",
        unit="px",
        low=1,
        high=16,
    )
    confidence_weighted: bool = option(
        True, "In flat, dark or saturated areas, fill in the blur from nearby pixels with high confidence."
    )
    precision: str = option(
        "auto",
        "Number format of per-pixel networks. bfloat16 is faster where the processor or GPU supports it, and changes "
        "sigma by about 0.01 px. auto uses bfloat16 on such hardware and float32 elsewhere.",
        choices=PRECISIONS,
    )
    weights: str | Path | None = option(
        None,
        "Weights to use instead of the default: a name from `defocus models`, or a .safetensors file from `defocus "
        "train`. Their network replaces map_method.",
        kind=object,
        metavar="NAME|FILE",
    )
    tile: int = option(
        1152,
        "Side of the tiles into which a large image is split for a network, rounded down to a multiple of its stride. "
        "Smaller tiles need less memory, larger tiles are faster; the map is the same.",
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
"""Settings of the refinement filter in the paper (section 3.2), computed at every pixel."""


@dataclass(frozen=True, kw_only=True)
class SigmaParams(MapParams):
    """Options of a defocus map in pixels, which sharpening, shallow depth of field and fusion need."""

    map_method: str = option(
        DEFAULT_NETWORK,
        "Network that estimates the blur, or a published method that returns it in pixels.",
        choices=PIXEL_MAP_NAMES,
        common=True,
    )


@dataclass(frozen=True, kw_only=True)
class SliceMapParams(SigmaParams):
    """Options of the defocus map of one slice of a stack, estimated on pooled pixels.

    Fusion compares fine detail directly, so the map only has to be right at a coarse scale. The paper's refinement
    (radius 16, 7 iterations) removes thin objects from the decision (docs/results.md).
    """

    pooling: int = option(
        2,
        "Side of the pixel squares that are averaged before the blur of a slice is estimated. Noisy slices use larger "
        "squares. 4 is faster, but finds less of what is never in focus. Detail is still compared at every pixel.",
        unit="px",
        choices=(1, 2, 4),
    )
    refine: bool = option(False, "Align the edges of the map with those of the picture, by the weighted guided filter.")
