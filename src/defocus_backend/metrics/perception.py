"""QCB: how much of the visible contrast of the sources is preserved (Chen and Blum)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import scipy.fft
from scipy import ndimage

from defocus_backend.errors import InputError
from defocus_backend.metrics.gray import Gray, gray_case

Normalisation = Literal["byte", "unit"]

# Contrast sensitivity of the eye as a difference of Gaussians in the frequency plane (f0, f1, share of the second),
# with an image seen at 30 pixels a degree.
_F0, _F1, _SHARE = 15.3870, 1.3456, 0.7622
_PIXELS_PER_DEGREE = 30.0
# Peli's local contrast: centre and surround of sigma 2 and 4, cut at 15 pixels.
_CENTRE, _SURROUND, _REACH = 2.0, 4.0, 15
# Contrast masking C^3 / (C^2 + Z).
_Z = 1e-4


def _stretched(image: Gray, normalisation: Normalisation) -> Gray:
    """Stretch an image to 0..255 (rounded) or to 0..1 (not rounded); a constant image becomes 0."""
    low, high = image.min(), image.max()
    if high == low:
        return np.zeros_like(image)
    unit = (image - low) / (high - low)
    return np.asarray(np.floor(unit * 255 + 0.5) if normalisation == "byte" else unit)


def _seen(image: Gray) -> Gray:
    """Filter by the contrast sensitivity of the eye (the image wraps round), (H, W) to (H, W)."""
    rows, columns = image.shape
    degrees = 2.0 / _PIXELS_PER_DEGREE
    v = scipy.fft.fftfreq(rows)[:, None] * (rows * degrees)
    u = scipy.fft.rfftfreq(columns)[None, :] * (columns * degrees)
    squared = u * u + v * v
    sensitivity = np.exp(-squared / _F0**2) - _SHARE * np.exp(-squared / _F1**2)
    return np.asarray(scipy.fft.irfft2(scipy.fft.rfft2(image) * sensitivity, s=image.shape))


def _blurred(image: Gray, sigma: float) -> Gray:
    offsets = np.arange(-_REACH, _REACH + 1)
    kernel = np.exp(-(offsets**2) / (2 * sigma**2)) / (np.sqrt(2 * np.pi) * sigma)
    rows = ndimage.correlate1d(image, kernel, axis=0, mode="constant")
    return np.asarray(ndimage.correlate1d(rows, kernel, axis=1, mode="constant"))


def _masked_contrast(image: Gray) -> Gray:
    """Local contrast of the filtered image after masking, (H, W), 0 where there is neither light nor contrast."""
    centre, surround = _blurred(image, _CENTRE), _blurred(image, _SURROUND)
    dark = surround == 0
    contrast = np.where(dark, 0.0, np.abs(centre / np.where(dark, 1.0, surround) - 1.0))
    squared = contrast * contrast
    return np.asarray(contrast * squared / (squared + _Z))


def qcb(
    fused: Any,
    sources: Iterable[Any],
    *,
    normalisation: Normalisation = "byte",
    channel_axis: int | None = None,
    value_range: tuple[float, float] | None = None,
) -> float:
    """Chen and Blum's fusion quality QCB, after a model of human contrast perception.

    Every image is stretched to its full range, filtered by the contrast sensitivity of the eye and turned into masked
    local contrast C. A source is preserved to the degree min(C, C_fused) / max(C, C_fused), and its weight is C^2 over
    the sum of all sources' C^2; the map is averaged. The weights need no change for more than two sources. Where no
    image has any contrast the quality is 1.

    Parameters
    ----------
    fused, sources, channel_axis, value_range
        See `metrics.evaluate`; colour is scored on gray.
    normalisation : {"byte", "unit"}
        How an image is stretched first: to 0..255 and rounded, as in the public code, or to 0..1 without rounding. The
        figures published for Lytro pair 03 are those of "unit".

    Returns
    -------
    float
        0 to 1.

    Raises
    ------
    InputError
        If the images do not fit each other, cannot be read, or `normalisation` is neither of the two.

    References
    ----------
    .. [1] Y. Chen and R. S. Blum, "A new automated quality assessment algorithm for image fusion", Image and Vision
       Computing 27 (2009).
    """
    if normalisation not in ("byte", "unit"):
        raise InputError("normalisation", repr(normalisation), "'byte' or 'unit'")
    image, stack = gray_case(fused, sources, channel_axis=channel_axis, value_range=value_range)
    own = _masked_contrast(_seen(_stretched(image, normalisation)))
    kept, weight = np.zeros_like(image), np.zeros_like(image)
    plain = np.zeros_like(image)
    for source in stack:
        contrast = _masked_contrast(_seen(_stretched(source, normalisation)))
        larger = np.maximum(contrast, own)
        none = larger == 0
        ratio = np.where(none, 1.0, np.minimum(contrast, own) / np.where(none, 1.0, larger))
        square = contrast * contrast
        kept += square * ratio
        weight += square
        plain += ratio / len(stack)
    flat = weight == 0
    return float(np.mean(np.where(flat, plain, kept / np.where(flat, 1.0, weight))))


def qcb_unit(
    fused: Any,
    sources: Iterable[Any],
    *,
    channel_axis: int | None = None,
    value_range: tuple[float, float] | None = None,
) -> float:
    """`qcb` with ``normalisation="unit"``: the variant that gives the published figures.

    Parameters
    ----------
    fused, sources, channel_axis, value_range
        See `metrics.evaluate`; colour is scored on gray.

    Returns
    -------
    float
        0 to 1.

    Raises
    ------
    InputError
        If the images do not fit each other or cannot be read.
    """
    return qcb(fused, sources, normalisation="unit", channel_axis=channel_axis, value_range=value_range)
