"""The options of what is done to one picture: sharpening, shallow depth of field, and the verdict on its focus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from defocus_backend.errors import InputError
from defocus_backend.options import Params, option


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
