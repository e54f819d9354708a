"""The classical focus measures on a window around each pixel: entropy, standard deviation, variance of the Laplacian.

All three are relative: they have no unit, are larger where the image is more blurred, and can be compared only
between images of similar content. The sign of each measure is changed so that larger means more blurred.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from defocus_backend.arrays import Float64, as_bytes
from defocus_backend.compare.checks import check_gray, check_whole


def entropy_map(gray: ArrayLike, *, window: int = 16) -> Float64:
    """Minus the entropy of the gray values in a window around each pixel; relative.

    Parameters
    ----------
    gray : (H, W) array_like
        Gray values 0..255; floats are rounded to whole values.
    window : int
        Side of the square window in pixels; it ends at the border of the picture.

    Returns
    -------
    (H, W) float64 array
        In bits, -8 to 0; larger means more blurred.

    Raises
    ------
    InputError
        If an argument cannot be used.

    References
    ----------
    F. J. Galetto, G. Deng, "Single image deep defocus estimation and its applications", 2021, Fig. 7.
    """
    from skimage.filters import rank

    side = check_whole("window", window, at_least=1)
    values = as_bytes(check_gray(gray))
    return np.asarray(-rank.entropy(values, np.ones((side, side), dtype=np.uint8)).astype(np.float64))


def deviation_map(gray: ArrayLike, *, window: int = 16) -> Float64:
    """Minus the standard deviation of the gray values in a window around each pixel; relative.

    Parameters
    ----------
    gray : (H, W) array_like
        Gray values 0..255.
    window : int
        Side of the square window in pixels; the picture is mirrored beyond its border.

    Returns
    -------
    (H, W) float64 array
        In gray values, -127.5 to 0; larger means more blurred.

    Raises
    ------
    InputError
        If an argument cannot be used.

    References
    ----------
    F. J. Galetto, G. Deng, "Single image deep defocus estimation and its applications", 2021, Fig. 7.
    """
    side = check_whole("window", window, at_least=1)
    return -np.sqrt(window_variance(check_gray(gray), side))


def laplacian_variance_map(gray: ArrayLike, *, window: int = 16) -> Float64:
    """Minus the variance of the 4-neighbour Laplacian in a window around each pixel; relative.

    Parameters
    ----------
    gray : (H, W) array_like
        Gray values 0..255.
    window : int
        Side of the square window in pixels; the picture is mirrored beyond its border.

    Returns
    -------
    (H, W) float64 array
        In squared gray values, 0 or less; larger means more blurred.

    Raises
    ------
    InputError
        If an argument cannot be used.

    References
    ----------
    J. L. Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000.
    """
    from scipy import ndimage

    side = check_whole("window", window, at_least=1)
    return -window_variance(ndimage.laplace(check_gray(gray)), side)


def window_variance(values: Float64, side: int) -> Float64:
    """Population variance over the window of each pixel; centred first so that squares do not cancel."""
    from scipy import ndimage

    centred = values - values.mean()
    mean = ndimage.uniform_filter(centred, side)
    return np.asarray(np.maximum(ndimage.uniform_filter(centred**2, side) - mean**2, 0))
