"""What is said of the focus of a picture, and of each object in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from defocus_backend.quality.structure import Blocks

Verdict = Literal["in focus", "soft", "out of focus", "nothing to judge"]


@dataclass(frozen=True, kw_only=True)
class ObjectQuality:
    """Focus of one object of a label image; see `FocusQuality` for the attributes.

    Attributes
    ----------
    label : int
        Its value in the label image.
    pixels : int
        Its area.
    """

    label: int
    pixels: int
    verdict: Verdict
    sigma_median: float
    sigma_p10: float
    in_focus: float
    informative: float


@dataclass(frozen=True, kw_only=True)
class FocusQuality:
    """Focus of one picture.

    Attributes
    ----------
    verdict : {"in focus", "soft", "out of focus", "nothing to judge"}
        In focus if the median sigma is below `QualityParams.sharp_below`, out of focus if even the tenth percentile
        is above `QualityParams.blurred_above`, soft between.
    reason : str
        Why there is nothing to judge; empty otherwise.
    sigma_median, sigma_p10 : float
        Median and tenth percentile of sigma over the informative pixels, in pixels; NaN if there are none.
    in_focus : float
        Share of the informative pixels with a sigma below `sharp_below`, 0 to 1; NaN if there are none.
    informative : float
        Share of the valid pixels that hold structure beyond noise, are not saturated and have a confident estimate.
    noise : float
        Standard deviation of the noise, in values of the picture.
    saturated : float
        Share of the pixels at the end of the range.
    power_slope, laplacian_variance : float
        Measures of other programs, see `quality.classic`; the latter on gray values 0 to 255.
    blocks : (ceil(H / 64), ceil(W / 64)) float32 array
        Median sigma of each block of 64 x 64 pixels, NaN where it is not informative.
    scatter : float
        Robust standard deviation of the informative pixels about the median of their block, in pixels; NaN if there
        are none.
    objects : tuple of ObjectQuality
        One for each label, in rising order.
    """

    verdict: Verdict
    reason: str
    sigma_median: float
    sigma_p10: float
    in_focus: float
    informative: float
    noise: float
    saturated: float
    power_slope: float
    laplacian_variance: float
    blocks: Blocks = field(repr=False)
    scatter: float = float("nan")
    objects: tuple[ObjectQuality, ...] = field(default=(), repr=False)
