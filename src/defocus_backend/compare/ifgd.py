"""Multi-exposure and multi-focus image fusion in the gradient domain (IFGD; Paul, Sevcenco and Agathoklis 2016)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from skimage.color import rgb2ycbcr, ycbcr2rgb

from defocus_backend.arrays import Float64, as_float64_stack
from defocus_backend.compare.equalise import equalised

# Range of luma and centre of chroma in 8-bit YCbCr.
_BLACK, _WHITE, _NEUTRAL = 16.0, 235.0, 128.0


def _forward(image: Float64, axis: int) -> Float64:
    """Forward differences, 0 at the end."""
    last = image.take([-1], axis=axis)
    return np.diff(image, axis=axis, append=last)


def integrated(down: Float64, across: Float64) -> Float64:
    """The image of mean 0 whose forward differences come closest to the ones given, by least squares.

    Parameters
    ----------
    down, across : (H, W) array
        Wanted differences to the next row and the next column; the last row and column do not count.

    Returns
    -------
    (H, W) array
        Solution of the Poisson equation with no flow through the border; the cosine transform makes it exact.
    """
    rows, columns = down.shape
    down, across = down.copy(), across.copy()
    down[-1], across[:, -1] = 0.0, 0.0
    divergence = np.diff(down, axis=0, prepend=0.0) + np.diff(across, axis=1, prepend=0.0)
    spectrum = scipy.fft.dctn(divergence)
    curvature = (2 * np.cos(np.pi * np.arange(rows) / rows) - 2)[:, None] + (
        2 * np.cos(np.pi * np.arange(columns) / columns) - 2
    )
    curvature[0, 0] = 1.0
    spectrum /= curvature
    spectrum[0, 0] = 0.0
    return np.asarray(scipy.fft.idctn(spectrum))


def _into_range(luma: Float64, mean: float) -> Float64:
    """Stretch luma to 16..235 by a power that brings its mean near `mean`; flat luma becomes `mean`."""
    low, span = luma.min(), np.ptp(luma)
    if span < 1e-9:
        return np.full_like(luma, mean)
    unit = (luma - low) / span
    wanted = (mean - _BLACK) / (_WHITE - _BLACK)
    gamma = np.log(np.clip(wanted, 0.02, 0.98)) / np.log(np.clip(unit.mean(), 0.02, 0.98))
    return np.asarray(_BLACK + (_WHITE - _BLACK) * unit**gamma)


def _fused_luma(lumas: Float64, clip_limit: float) -> Float64:
    """Fuse lumas (N, H, W) on 16..235."""
    down, across = _forward(lumas, 1), _forward(lumas, 2)
    choice = (down**2 + across**2).argmax(axis=0)[None]
    mean = float(lumas.mean())
    luma = integrated(np.take_along_axis(down, choice, axis=0)[0], np.take_along_axis(across, choice, axis=0)[0])
    luma = _into_range(luma, mean)
    span = _WHITE - _BLACK
    return _BLACK + span * equalised(np.clip((luma - _BLACK) / span, 0.0, 1.0), clip_limit)


def _fused_chroma(chromas: Float64) -> Float64:
    """Mean of chromas (N, H, W, 2) weighted by their distance from neutral."""
    distance = np.abs(chromas - _NEUTRAL)
    total = distance.sum(axis=0)
    weighted = (distance * (chromas - _NEUTRAL)).sum(axis=0)
    return np.asarray(_NEUTRAL + weighted / np.where(total > 0, total, 1.0))


def ifgd(
    sources: Iterable[Any],
    *,
    clip_limit: float = 0.003,
    channel_axis: int | None = None,
    value_range: tuple[float, float] | None = None,
) -> NDArray[Any]:
    """Fuse the gradients of the luma, the largest at each pixel, and integrate them.

    The integrated luma is stretched to 16..235 by a power and passed through CLAHE; chroma is a mean weighted by
    saturation. The method therefore changes brightness and contrast, and scores low where these should not change.

    The paper integrates by Haar wavelets with a Poisson solver at each level; the cosine transform solves the same
    equation at once. The exponent of the power is chosen by this package, so that the mean luma is approximately
    preserved. Gray images are handled as luma.

    Parameters
    ----------
    sources : iterable of (H, W[, C]) array_like
        Two or more images of one shape and dtype.
    clip_limit : float
        Clip limit of the CLAHE, as in MATLAB's ``adapthisteq``, 0 to 1.
    channel_axis : int, optional
        Axis of the channels within one image; None for gray.
    value_range : (float, float), optional
        Values of black and white, see `arrays.as_float64`.

    Returns
    -------
    (H, W[, C]) ndarray
        In the sources' dtype; integers rounded half up.

    Raises
    ------
    InputError
        If the sources do not fit each other or cannot be read.

    References
    ----------
    .. [1] S. Paul, I. S. Sevcenco, P. Agathoklis, "Multi-exposure and multi-focus image fusion in gradient domain",
       J. Circuits, Systems and Computers 25 (2016).
    """
    picture = as_float64_stack(sources, "sources", at_least=2, channel_axis=channel_axis, value_range=value_range)
    if picture.values.shape[-1] == 1:
        span = _WHITE - _BLACK
        luma = _fused_luma(_BLACK + span * picture.values[..., 0], clip_limit)
        return picture.restore(((luma - _BLACK) / span)[..., None])
    ycc = rgb2ycbcr(picture.values)
    luma = _fused_luma(ycc[..., 0], clip_limit)
    fused = np.concatenate([luma[..., None], _fused_chroma(ycc[..., 1:])], axis=-1)
    return picture.restore(np.clip(ycbcr2rgb(fused), 0.0, 1.0))
