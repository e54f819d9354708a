"""Results of a focus measurement for a picture and the objects in it."""

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
        Value of the object in the label image.
    pixels : int
        Area of the object.
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
        In focus if the median sigma is below `QualityParams.sharp_below`; out of focus if even the 10th percentile is
        above `QualityParams.blurred_above`; otherwise soft.
    reason : str
        Reason why there is nothing to judge; otherwise empty.
    sigma_median, sigma_p10 : float
        Median and 10th percentile of sigma over the informative pixels, in pixels; NaN if there are none.
    in_focus : float
        Share of the informative pixels with a sigma below `sharp_below`, 0 to 1; NaN if there are none.
    informative : float
        Share of the valid pixels that have structure above the noise, are not saturated and have a confident estimate.
    noise : float
        Standard deviation of the noise, in units of the pixel values.
    saturated : float
        Share of the pixels at the end of the value range.
    power_slope, laplacian_variance : float
        Focus measures of other programs, see `quality.classic`; the second is for gray values from 0 to 255.
    blocks : (ceil(H / 64), ceil(W / 64)) float32 array
        Median sigma of each block of 64 x 64 pixels; NaN for uninformative blocks.
    scatter : float
        Robust standard deviation of sigma from the median of its block, over the informative pixels, in pixels; NaN if
        there are none.
    objects : tuple of ObjectQuality
        One per label, in increasing order.
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
