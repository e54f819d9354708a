"""Options of operations on one picture: sharpening, shallow depth of field and the focus verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from defocus_backend.errors import InputError
from defocus_backend.options import Params, option


@dataclass(frozen=True, kw_only=True)
class SharpenParams(Params):
    """Options of adaptive unsharp masking (paper, eqs 7 to 10).

    In the paper's symbols: `max_gain` is lambda_max, `low_pass` the sigma of B, `rise_at` 19 beta1, `fall_at` 19 beta2,
    and a width is 19 * 2 ln(9) / alpha. The defaults are those of its Fig. 11 (alpha1 30, alpha2 92), rounded to
    0.01 px.
    """

    heading: ClassVar[str] = "Sharpening"

    max_gain: float = option(
        2.0, "Largest gain; larger values sharpen slightly soft areas more.", low=0.0, high=20.0, common=True
    )
    rise_at: float = option(
        2.85,
        "Blur at which the gain rises through half of its maximum; larger values leave more of the nearly sharp areas "
        "unchanged.",
        unit="px",
        low=0.0,
        high=19.0,
    )
    rise_width: float = option(
        2.78,
        "Range of blur over which the gain rises from 10 % to 90 %; larger values make the rise more gradual.",
        unit="px",
        low=0.1,
        high=200.0,
    )
    fall_at: float = option(
        7.6,
        "Blur at which the gain falls through half of its maximum; larger values also sharpen areas that are far out "
        "of focus.",
        unit="px",
        low=0.0,
        high=19.0,
    )
    fall_width: float = option(
        0.91,
        "Range of blur over which the gain falls from 90 % to 10 %; larger values make the fall more gradual.",
        unit="px",
        low=0.1,
        high=200.0,
    )
    low_pass: float = option(
        2.0,
        "Sigma of the low-pass filter of the unsharp mask; larger values amplify coarser detail.",
        unit="px",
        above=0.0,
        high=50.0,
        common=True,
    )


@dataclass(frozen=True, kw_only=True)
class ShallowParams(Params):
    """Options of shallow depth of field (paper, eqs 11 and 12).

    In the paper's symbols, `sharp_below` and `blur_above` are c0 and c1, `sharp_weight` and `blur_weight` are W0 and
    W1, and `edge_tolerance` is eps.
    """

    heading: ClassVar[str] = "Depth of field"

    sharp_below: float = option(
        1.0, "Pixels with less blur than this stay sharp.", unit="px", low=0.0, high=9.9, common=True
    )
    blur_above: float = option(
        7.0, "Pixels with more blur than this count as background.", unit="px", above=0.0, high=9.99, common=True
    )
    sharp_weight: float = option(
        0.999, "Weight of the sharp picture, 0 to 1, where the blur equals sharp_below.", above=0.5, high=0.999999
    )
    blur_weight: float = option(
        0.001, "Weight of the sharp picture, 0 to 1, where the blur equals blur_above.", above=0.0, high=0.499
    )
    sharpen_gain: float = option(
        0.25,
        "Gain of the sharpening where the picture stays sharp; larger values sharpen more.",
        low=0.0,
        high=20.0,
        common=True,
    )
    blur: str = option(
        "guided",
        "How the background is blurred: by a guided filter that stops at strong edges (guided), or by the disc of a "
        "lens (lens).",
        choices=("guided", "lens"),
        common=True,
    )
    radius: int = option(33, "Radius of the guided filter; larger values blur more.", unit="px", low=1, high=512)
    edge_tolerance: float = option(
        128.0,
        "Contrast that an edge needs to stop the guided filter, as a variance of pixel values from 0 to 255. "
        "Smaller values preserve weaker edges.",
        above=0.0,
    )
    iterations: int = option(5, "Number of passes of the guided filter; more passes blur more.", low=1, high=50)
    lens_radius: float = option(
        12.0, "Radius of the lens disc; larger values blur more.", unit="px", above=0.0, high=200.0
    )
    highlights: float = option(
        2.2,
        "Exponent that converts pixel values to light before the lens blur; larger values make blurred highlights "
        "brighter.",
        low=1.0,
        high=6.0,
    )
    fill_subject: bool = option(
        True,
        "Fill the subject with its surroundings before the background is blurred, so that its colour does not bleed.",
    )


@dataclass(frozen=True, kw_only=True)
class QualityParams(Params):
    """Thresholds of the focus verdict."""

    heading: ClassVar[str] = "Verdict"

    sharp_below: float = option(
        2.0,
        "A picture is in focus if its median sigma is below this. Raise it for oversampled pictures.",
        unit="px",
        above=0.0,
        common=True,
    )
    blurred_above: float = option(
        4.0,
        "A picture is out of focus if even the sharpest tenth of its pixels has a sigma above this. Between the two "
        "thresholds it is soft.",
        unit="px",
        above=0.0,
        common=True,
    )
    confident_above: float = option(
        0.3, "Pixels with a confidence (0 to 1) above this are informative. The others are ignored.", low=0.0, high=1.0
    )
    least_informative: float = option(
        0.01,
        "If the share of informative pixels (0 to 1) is below this, the verdict is: nothing to judge.",
        low=0.0,
        high=1.0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.blurred_above < self.sharp_below:
            raise InputError("blurred_above", f"{self.blurred_above:g}", f"at least sharp_below ({self.sharp_below:g})")
