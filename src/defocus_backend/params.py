"""Defaults, units and ranges of every operation, in one place for library, command line and widgets.

Each class is a frozen dataclass; its fields carry what an interface needs to show them. Values are
checked on construction.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from defocus_backend.errors import InputError
from defocus_backend.methods import BLENDS, DECISIONS, DEFAULT_NETWORK, MAP_NAMES, PIXEL_MAP_NAMES

PRECISIONS = ("auto", "float32", "bfloat16")
"""Number formats in which networks can compute."""

NEVER_ABOVE = 5.0
"""Least sigma in px above which a pixel was never in focus, by default."""


def _option(
    default: Any,
    text: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: Collection[Any] = (),
) -> Any:
    """A field with what an interface shows: help, unit, inclusive range or exclusive lower bound, choices."""
    shown = {"help": text, "unit": unit, "low": low, "high": high, "above": above, "choices": choices}
    return field(default=default, metadata=shown)


@dataclass(frozen=True, kw_only=True)
class Params:
    """Base of all parameter groups: checks every field against its declared range, numbers of numpy among them."""

    def __post_init__(self) -> None:
        for f in fields(self):
            object.__setattr__(self, f.name, _checked(f.name, getattr(self, f.name), f.metadata, type(f.default)))

    @classmethod
    def describe(cls) -> dict[str, Mapping[str, Any]]:
        """For every field: its default, help, unit, range and choices."""
        return {f.name: {"default": f.default, **f.metadata} for f in fields(cls)}


def _checked(name: str, value: Any, metadata: Mapping[str, Any], kind: type) -> Any:
    """The value as its field's type; raise `InputError` unless it is one and lies in the field's range."""
    choices = metadata["choices"]
    if choices:
        if isinstance(value, bool) or not np.isscalar(value) or value not in choices:
            raise InputError(name, repr(value), "one of " + ", ".join(map(str, choices)))
        return kind(value)
    if kind is bool:
        if not isinstance(value, bool | np.bool_):
            raise InputError(name, repr(value), "True or False")
        return bool(value)
    if kind not in (int, float):
        return value
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool) and math.isfinite(value)
    if not number or (kind is int and int(value) != value):
        raise InputError(name, repr(value), "a whole number" if kind is int else "a finite number")
    low, high, above = metadata["low"], metadata["high"], metadata["above"]
    if low is not None and value < low:
        raise InputError(name, repr(value), f"at least {low}")
    if above is not None and value <= above:
        raise InputError(name, repr(value), f"more than {above}")
    if high is not None and value > high:
        raise InputError(name, repr(value), f"at most {high}")
    return kind(value)


@dataclass(frozen=True, kw_only=True)
class DefocusParams(Params):
    """Classification by a sliding window and refinement by the weighted guided filter (paper, section 3)."""

    method: str = _option(
        DEFAULT_NETWORK,
        "Network that judges the blur, or a published method without one.",
        choices=MAP_NAMES,
    )
    step: int = _option(8, "Distance between neighbouring 32x32 windows.", unit="px", choices=(4, 8, 16, 32))
    refine: bool = _option(True, "Refine the map with the iterated weighted guided filter.")
    radius: int = _option(4, "Radius of the refining filter; 16 in the paper.", unit="px", low=1, high=512)
    eps: float = _option(0.005, "Regularisation of the refining filter, on the unit range.", above=0.0)
    iterations: int = _option(1, "Iterations of guide smoothing and refinement; 7 in the paper.", low=1, high=50)
    subsample: int = _option(
        4,
        "Grid on which the filter's coefficients are computed; 1 is exact, 4 is fast.",
        unit="px",
        low=1,
        high=16,
    )
    confidence_weighted: bool = _option(
        True, "Let confident windows decide where others cannot tell (flat, dark, saturated)."
    )
    precision: str = _option(
        "auto",
        "Number format in which a network that judges every pixel computes. Auto takes bfloat16 where the processor or "
        "GPU has units for it, which is faster and changes sigma by about 0.01 px, and float32 elsewhere.",
        choices=PRECISIONS,
    )


PAPER_REFINEMENT: Mapping[str, Any] = {"radius": 16, "eps": 0.005, "iterations": 7, "subsample": 1}
"""The refining filter as the paper has it, section 3.2: without the grid."""


@dataclass(frozen=True, kw_only=True)
class TileParams(Params):
    """How much of a large image a network reads at once; no map depends on it."""

    tile: int = _option(
        1152,
        "Side of the tiles in which a network reads a large image, rounded down to what its strides allow; smaller "
        "needs less memory, larger is faster.",
        unit="px",
        low=256,
        high=8192,
    )


@dataclass(frozen=True, kw_only=True)
class SigmaParams(DefocusParams):
    """A defocus map that has to be in pixels, as all that sharpens, blurs or fuses by it needs."""

    method: str = _option(
        DEFAULT_NETWORK,
        "Network that judges the blur, or a published method that gives pixels.",
        choices=PIXEL_MAP_NAMES,
    )


@dataclass(frozen=True, kw_only=True)
class SliceMapParams(SigmaParams):
    """The defocus map of one slice of a stack, judged on pooled pixels.

    Between slices the finest detail decides, so that the map has to be right in the large only. The paper's refinement
    (radius 16, 7 iterations) smooths thin things out of the decision (docs/results.md).
    """

    pooling: int = _option(
        2, "Side of the squares of pixels that are averaged before they are judged.", unit="px", choices=(1, 2, 4)
    )
    refine: bool = _option(False, "Refine the map with the iterated weighted guided filter.")


@dataclass(frozen=True, kw_only=True)
class SharpenParams(Params):
    """Adaptive unsharp masking (paper, eqs 7 to 10); betas on the map divided by 19."""

    max_gain: float = _option(2.0, "Largest sharpening gain, lambda_max of eq 8.", low=0.0, high=20.0)
    alpha1: float = _option(30.0, "Slope at which the gain rises with blur, eq 9.", above=0.0, high=500.0)
    beta1: float = _option(0.15, "Blur / 19 px at which the gain has risen to half, eq 9.", low=0.0, high=1.0)
    alpha2: float = _option(92.0, "Slope at which the gain falls with blur, eq 10.", above=0.0, high=500.0)
    beta2: float = _option(0.4, "Blur / 19 px at which the gain has fallen to half, eq 10.", low=0.0, high=1.0)
    low_pass: float = _option(2.0, "Sigma of the Gaussian low pass B of eq 7.", unit="px", above=0.0, high=50.0)


@dataclass(frozen=True, kw_only=True)
class ShallowParams(Params):
    """Shallow depth of field (paper, eqs 11 and 12)."""

    sharp_below: float = _option(1.0, "Blur up to which a pixel stays sharp, c0.", unit="px", low=0.0, high=9.9)
    blur_above: float = _option(7.0, "Blur from which a pixel is fully blurred, c1.", unit="px", above=0.0, high=9.99)
    sharp_weight: float = _option(0.999, "Weight of the sharp image at c0, W0.", above=0.5, high=0.999999)
    blur_weight: float = _option(0.001, "Weight of the sharp image at c1, W1.", above=0.0, high=0.499)
    sharpen_gain: float = _option(0.25, "Unsharp-mask gain of the sharp part.", low=0.0, high=20.0)
    blur: str = _option(
        "guided",
        "How the background is blurred: iterated guided filter or lens disc.",
        choices=("guided", "lens"),
    )
    radius: int = _option(33, "Radius of the guided filter.", unit="px", low=1, high=512)
    eps: float = _option(128.0, "Regularisation of the guided filter, on the 0..255 scale.", above=0.0)
    iterations: int = _option(5, "Iterations of the guided filter.", low=1, high=50)
    lens_radius: float = _option(12.0, "Radius of the lens disc.", unit="px", above=0.0, high=200.0)
    highlights: float = _option(
        2.2,
        "Exponent of the tone curve undone before the lens disc; larger keeps highlights brighter.",
        low=1.0,
        high=6.0,
    )
    fill_subject: bool = _option(True, "Paint the subject over before blurring, so that its colour does not bleed.")


@dataclass(frozen=True, kw_only=True)
class FusionParams(Params):
    """Multi-focus fusion (paper, eqs 13 to 16, and past them)."""

    decision: str = _option(
        "combined",
        "What decides between slices: sigma with the finest detail; sigma alone as in the paper; or whole regions, "
        "for pictures made of the slices' own pixels.",
        choices=DECISIONS,
    )
    sigma_weight: float = _option(
        0.2,
        "Weight of sigma, of its square over 4 px, against the logarithm of the detail's energy.",
        low=0.0,
        high=10.0,
    )
    noise_floor: float = _option(
        15.0, "Detail energy, in multiples of the noise's own, below which slices count as alike.", above=0.0
    )
    blend: str = _option(
        "octaves",
        "How slices are mixed: octave by octave, which leaves no seams or mottling; by decision maps under a guided "
        "filter, as in the paper; or every pixel from one slice.",
        choices=BLENDS,
    )
    firmness: float = _option(
        5.0,
        "Slope of the soft weights: high takes the best slice alone, low averages noise away.",
        above=0.0,
        high=100.0,
    )
    front: str = _option(
        "none",
        "End of the stack nearest to the viewer; of two nearly equal peaks of focus the one in front is taken.",
        choices=("none", "first", "last"),
    )
    fast: bool = _option(False, "Judge sigma on a coarser grid, 4 px at least; details still count pixel by pixel.")
    radius: int = _option(7, "Radius of the guided filter on the decision maps, eq 15.", unit="px", low=1, high=256)
    eps: float = _option(1e-3, "Regularisation of that filter, on the unit range.", above=0.0)
    delta: float = _option(1e-6, "Floor added to every weight, eq 16.", above=0.0, high=0.1)


@dataclass(frozen=True, kw_only=True)
class QualityParams(Params):
    """What counts as in focus, and what as worth judging."""

    sharp_below: float = _option(
        2.0, "Median sigma below which a picture is in focus; raise it for oversampled pictures.", unit="px", above=0.0
    )
    blurred_above: float = _option(
        4.0,
        "A picture is out of focus if even its sharpest tenth has a larger sigma; between the two it is soft.",
        unit="px",
        above=0.0,
    )
    confident_above: float = _option(
        0.3, "Confidence, 0 to 1, above which a pixel is informative and counts.", low=0.0, high=1.0
    )
    least_informative: float = _option(
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

    model: str = _option(
        "similarity",
        "Motion between frames; similarity has the shift, scale and rotation that focusing causes.",
        choices=tuple(ALIGN_MODELS),
    )
    lock: str = _option("", f"Degrees of freedom held fixed, with commas between: {', '.join(ALIGN_DEGREES)}.")
    match_exposure: bool = _option(True, "Match exposure and white balance of the frames, a gain per channel.")
    border: str = _option(
        "crop",
        "Crop to the area that every frame covers, or mark what a frame does not cover as missing.",
        choices=("crop", "mark"),
    )
    interpolation: str = _option(
        "cubic",
        "Kernel by which frames are resampled, once; lanczos is finer and slower.",
        choices=("cubic", "lanczos"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.lock, str):
            raise InputError("lock", repr(self.lock), "names with commas between")
        for name in self.lock.replace(",", " ").split():
            if name not in ALIGN_DEGREES:
                raise InputError("lock", repr(name), "any of " + ", ".join(ALIGN_DEGREES))
