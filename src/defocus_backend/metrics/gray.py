"""Input of the fusion metrics: a fused gray image and a stack of gray sources, float64 on 0..255."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from defocus_backend.arrays import as_float64, float_white, gray_float64
from defocus_backend.errors import InputError

Gray = npt.NDArray[np.float64]

# A local variance is a difference of two sums near 255^2: below this share of the second moment it is round-off.
FLAT = 1e-12


def gray_case(
    fused: Any,
    sources: Iterable[Any],
    *,
    channel_axis: int | None = None,
    value_range: tuple[float, float] | None = None,
    at_least: int = 1,
) -> tuple[Gray, Gray]:
    """Return the fused image and its sources as gray arrays of one shape.

    Parameters
    ----------
    fused : (H, W[, C]) array_like
        The result of the fusion.
    sources : iterable of (H, W[, C]) array_like
        The images that were fused; an array ``(N, H, W[, C])`` is one such iterable. N is 2 or more.
    channel_axis : int, optional
        Axis of the channels within one image.
    value_range : (float, float), optional
        See `arrays.as_float64`; all float images have one default range.
    at_least : int
        Smallest number of rows and of columns that the metric can use.

    Returns
    -------
    fused : (H, W) ndarray of float64
    sources : (N, H, W) ndarray of float64

    Raises
    ------
    InputError
        If there are fewer than two sources, shapes differ, an image is smaller than `at_least`, or an image cannot
        be read as gray.
    """
    given = list(sources)
    white = float_white([fused, *given])

    def gray(image: Any, argument: str) -> Gray:
        return gray_float64(
            as_float64(image, argument, channel_axis=channel_axis, value_range=value_range, white=white)
        )

    first = gray(fused, "fused")
    if min(first.shape) < at_least:
        raise InputError("fused", f"shape {first.shape}", f"at least {at_least} rows and columns")
    stack = [gray(source, f"sources[{n}]") for n, source in enumerate(given)]
    if len(stack) < 2:
        raise InputError("sources", f"{len(stack)} image(s)", "2 or more images")
    for n, source in enumerate(stack):
        if source.shape != first.shape:
            raise InputError(f"sources[{n}]", f"shape {source.shape}", f"{first.shape}, as the fused image")
    return first, np.stack(stack)
