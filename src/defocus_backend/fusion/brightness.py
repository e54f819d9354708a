"""Brightness matching of the slices of a stack, for a flickering lamp or automatic exposure.

Defocus spreads light but loses none, so the means over wide windows hardly depend on it. Their ratios give the relative
brightness of two slices. The brightness of optical sections depends on the structures in each section, so they are only
matched on request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from defocus_backend.arrays import Image
from defocus_backend.errors import InputError
from defocus_backend.filters import cell_mean
from defocus_backend.fusion.sections import LightPerSlice
from defocus_backend.progress import CancelCallback, Reporter
from defocus_backend.stacks import ChangedStack, SliceSource

_SIDE = 64
"""Longest side of the compared small slices, in cells."""
_WIDE = 4.0
"""Sigma of the windows whose means are compared, in cells: a sixteenth of the picture, much wider than any defocus."""
_SATURATED = 0.97
"""A cell above this value (unit range) may be clipped."""
_DARK = 0.02
"""Below this value (unit range), a ratio depends on the black level."""
_LEAST_SHARE = 0.1
"""Smallest share of usable cells."""
_NOTICEABLE = 0.01
"""A slice counts as equally bright if the logarithm of its gain is below this."""
_SCATTER, _MOST_SCATTER = 0.25, 0.1
"""Largest scatter of the logarithms of the ratios that a common gain may have: relative to the gain, and absolute."""
LARGEST_GAIN = 4.0
"""Gains above this, or below its reciprocal, are not corrected, because the slice then shows something else."""


MatchExposure = bool | Literal["auto"]
"""Whether brightness is matched; "auto" decides with `is_photograph`."""


class MatchedStack(ChangedStack):
    """A stack whose slices are divided by gains, so that all are equally bright.

    The dtype and the value range are those of the original stack. Alpha is not changed.

    Parameters
    ----------
    slices : SliceSource
    gains : (N,) array_like
        Brightness of each slice relative to the wanted brightness.
    """

    def __init__(self, slices: SliceSource, gains: ArrayLike) -> None:
        self.gains = checked_gains(gains, len(slices))
        super().__init__(slices)

    def _read(self, number: int, rows: slice) -> NDArray[Any]:
        gain = self.gains[number]
        values = self._slices.part(number, rows)
        return values if gain == 1 or self.dtype == np.bool_ else self._divided(values, float(gain))


def is_photograph(slices: SliceSource) -> bool:
    """Whether slices count as photographs: 8 bits or colour. Other values may be measurements."""
    return slices.dtype == np.uint8 or slices.colours > 1


def match_brightness(
    slices: SliceSource, match_exposure: MatchExposure, cancel: CancelCallback | None = None
) -> tuple[SliceSource, NDArray[np.float64] | None]:
    """Match the brightness of the slices and return them with their gains; see `fuse` for `match_exposure`.

    The stack is read once for this. It is returned unchanged if there is nothing to match. The gains are None if
    brightness was not compared. With "auto", optical sections are not matched, see `defocus_backend.fusion.sections`.
    """
    from defocus_backend.align.stack import AlignedStack

    if match_exposure not in (True, False, "auto"):
        raise InputError("match_exposure", repr(match_exposure), 'True, False or "auto"')
    matched_before = isinstance(slices, AlignedStack | MatchedStack)
    wanted = is_photograph(slices) and not matched_before if match_exposure == "auto" else match_exposure
    if not wanted or len(slices) < 2:
        return slices, None
    reporter = Reporter(len(slices), "slices", None, cancel)
    light = LightPerSlice()

    def each() -> Iterator[Image]:
        for image in slices.images():
            reporter.advance()
            light.add(image.gray)
            yield image

    with torch.inference_mode():
        gains = slice_gains(each())
    if match_exposure == "auto" and light.sections:
        gains = np.ones(len(slices))
    return (slices, gains) if (gains == 1).all() else (MatchedStack(slices, gains), gains)


def describe_gains(gains: ArrayLike) -> str:
    """Describe gains in one line."""
    found = np.asarray(gains, dtype=np.float64)
    changed = int((found != 1).sum())
    if not changed:
        return "brightness: all slices are equally bright"
    return f"brightness: {changed} of {found.size} slices matched, gains {found.min():.2f} to {found.max():.2f}"


def slice_gains(slices: Iterable[Image]) -> NDArray[np.float64]:
    """Brightness of every slice relative to the slice of median brightness.

    Parameters
    ----------
    slices : iterable of Image
        All slices in order, read once; alignment is not required.

    Returns
    -------
    (N,) float64 array
        Gains; exactly 1 if a slice is equally bright, or if no common gain explains the difference.
    """
    small = [_small(image) for image in slices]
    if len(small) < 2:
        return np.ones(len(small))
    means = [float(values[known > 0].mean()) if (known > 0).any() else 0.0 for values, known in small]
    reference = int(np.argsort(means)[len(means) // 2])
    return np.array([_gain(*small[reference], *other) for other in small])


def checked_gains(gains: ArrayLike, count: int) -> NDArray[np.float64]:
    """Check gains of a caller; raise `InputError` unless they are one positive number per slice."""
    found = np.asarray(gains, dtype=np.float64)
    if found.shape != (count,) or not (np.isfinite(found) & (found > 0)).all():
        raise InputError("gains", f"{found.tolist()!r:.60}", f"{count} positive numbers, one for each slice")
    return found


def _small(image: Image) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cell means of a gray slice, and the share of usable pixels in each cell."""
    side = max(1, -(-max(image.shape) // _SIDE))
    # Zero light is the value 0, and not the lower end of the value range.
    black = image.low / (image.high - image.low) if image.high > image.low else 0.0
    gray = image.gray + black
    top = image.pixels.amax(0)
    usable = (top < _SATURATED) if image.valid is None else (top < _SATURATED) & image.valid
    cells = cell_mean(torch.stack([gray, usable.to(gray)]), side).cpu().numpy().astype(np.float64)
    return cells[0], cells[1]


def _gain(
    reference: NDArray[np.float64], known: NDArray[np.float64], other: NDArray[np.float64], also: NDArray[np.float64]
) -> float:
    """Median ratio of the window means that are unclipped in both slices; 1 if there are none or they disagree."""
    weight = np.where((known > 0.99) & (also > 0.99), 1.0, 0.0)
    if weight.mean() < _LEAST_SHARE:
        return 1.0
    planes = (reference * weight, other * weight, weight)
    a, b, share = (ndimage.gaussian_filter(plane, _WIDE, mode="constant") for plane in planes)
    there = (weight > 0) & (share > 0.2)
    a, b = a[there] / share[there], b[there] / share[there]
    bright = (a > _DARK) & (b > _DARK)
    if not bright.any() or bright.mean() < _LEAST_SHARE:
        return 1.0
    ratio = np.log(b[bright] / a[bright])
    gain = float(np.median(ratio))
    scatter = float(np.median(np.abs(ratio - gain)))
    common = scatter <= min(_SCATTER * abs(gain), _MOST_SCATTER)
    return float(np.exp(gain)) if common and _NOTICEABLE <= abs(gain) <= np.log(LARGEST_GAIN) else 1.0
