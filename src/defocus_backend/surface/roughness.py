"""Height parameters of the texture of a surface (ISO 25178-2)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from defocus_backend.errors import InputError
from defocus_backend.surface.form import Form, check_height, level_height

_GAUSSIAN = math.sqrt(math.log(2) / math.pi) / math.sqrt(2 * math.pi)
"""Ratio of the standard deviation of the Gaussian filter of ISO 16610-61 to its nesting index (50 % cutoff
wavelength)."""


@dataclass(frozen=True)
class Roughness:
    """Height parameters of a surface.

    Attributes
    ----------
    sa : float
        Arithmetic mean height: mean distance from the mean surface.
    sq : float
        Root mean square height.
    sp, sv, sz : float
        Highest peak, deepest pit (a positive depth) and their sum, the maximum height.
    ssk, sku : float
        Skewness (negative with pits, positive with peaks) and kurtosis (3 for a normal distribution) of the heights;
        NaN for a flat surface.
    known : float
        Share of known pixels, 0 to 1.

    All but the last three are in the unit of the height.
    """

    sa: float
    sq: float
    sp: float
    sv: float
    sz: float
    ssk: float
    sku: float
    known: float


def roughness(
    height: ArrayLike,
    *,
    form: Form = "plane",
    s_filter: float | None = None,
    l_filter: float | None = None,
    pixel_size: float = 1.0,
) -> Roughness:
    """Compute the roughness of a surface (ISO 25178-2).

    The steps are those of the standard, in order: the S-filter removes structures smaller than its nesting index, the
    F-operation removes the form, and the L-filter removes structures larger than its nesting index.

    Parameters
    ----------
    height : (H, W) array_like
        Height map; NaN is ignored.
    form : {"none", "mean", "plane", "quadric"}
        See `level_height`.
    s_filter, l_filter : float or None
        Nesting indices: wavelengths at which the Gaussian filter of ISO 16610-61 transmits 50 %, in the unit of
        `pixel_size`. With None, the filter is not applied.
    pixel_size : float
        Distance between neighbouring pixels.

    Returns
    -------
    Roughness

    Raises
    ------
    InputError

    References
    ----------
    ISO 25178-2, "Surface texture: Areal, part 2: Terms, definitions and surface texture parameters".
    """
    values = texture(height, form=form, s_filter=s_filter, l_filter=l_filter, pixel_size=pixel_size)
    known = values[np.isfinite(values)]
    # The parameters are relative to the mean surface, and the mean need not be zero after the filters.
    known = known - known.mean()
    sq = float(np.sqrt(np.mean(known**2)))
    peak, pit = float(known.max()), float(-known.min())
    normal = known / sq if sq > 0 else np.full_like(known, np.nan)
    return Roughness(
        sa=float(np.abs(known).mean()),
        sq=sq,
        sp=peak,
        sv=pit,
        sz=peak + pit,
        ssk=float(np.mean(normal**3)),
        sku=float(np.mean(normal**4)),
        known=known.size / values.size,
    )


def texture(
    height: ArrayLike,
    *,
    form: Form = "plane",
    s_filter: float | None = None,
    l_filter: float | None = None,
    pixel_size: float = 1.0,
) -> NDArray[np.float64]:
    """The filtered surface (H, W) from which `roughness` computes its parameters; see there."""
    for name, value in (("s_filter", s_filter), ("l_filter", l_filter), ("pixel_size", pixel_size)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise InputError(name, repr(value), "a finite length above 0")
    if s_filter is not None and l_filter is not None and s_filter >= l_filter:
        raise InputError("s_filter", f"{s_filter:g}", f"less than l_filter ({l_filter:g})")
    values = check_height(height)
    if s_filter is not None:
        values = _smooth(values, s_filter / pixel_size)
    values = level_height(values, form)
    if l_filter is not None:
        values = values - _smooth(values, l_filter / pixel_size)
    return values


def _smooth(values: NDArray[np.float64], wavelength: float) -> NDArray[np.float64]:
    """Gaussian filter over the known pixels, normalised at borders and gaps."""
    known = np.isfinite(values)
    sigma = _GAUSSIAN * wavelength
    total = ndimage.gaussian_filter(np.where(known, values, 0.0), sigma, mode="constant")
    weight = ndimage.gaussian_filter(known.astype(np.float64), sigma, mode="constant")
    return np.where(known, total / np.maximum(weight, 1e-12), np.nan)
