"""Brightness of the slices of a stack against each other: a lamp that flickers, a camera that sets its own exposure.

Defocus moves light between pixels but loses none, so the means of wide windows hardly depend on it: their ratios say
how much brighter one slice is than another. Optical sections do lose light, each by what lies in it: they stay as they
are, unless a match is asked for.
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
"""Longest side in cells of the small slices that are compared."""
_WIDE = 4.0
"""Sigma in cells of the windows whose means are compared: a sixteenth of the picture, far wider than any defocus."""
_SATURATED = 0.97
"""Value above which a cell may be clipped; in the unit range."""
_DARK = 0.02
"""Value below which a ratio depends on the black level."""
_LEAST_SHARE = 0.1
"""Share of the cells that must be usable."""
_NOTICEABLE = 0.01
"""Logarithm of a gain below which a slice counts as equally bright."""
_SCATTER, _MOST_SCATTER = 0.25, 0.1
"""Most scatter of the logarithms of the ratios at which they are a gain: relative to it, and at all."""
LARGEST_GAIN = 4.0
"""Gains beyond it, or below its reciprocal, are not corrected: such a slice is another picture."""


MatchExposure = bool | Literal["auto"]
"""Whether brightness is matched; "auto" decides by `is_photograph`."""


class MatchedStack(ChangedStack):
    """The slices of a stack divided by gains, so that all are equally bright.

    Each keeps its dtype; the values that count as 0 and 1 are those of the original stack. Alpha is left alone.

    Parameters
    ----------
    slices : SliceSource
    gains : (N,) array_like
        How much brighter every slice is than wanted.
    """

    def __init__(self, slices: SliceSource, gains: ArrayLike) -> None:
        self.gains = checked_gains(gains, len(slices))
        super().__init__(slices)

    def _read(self, number: int, rows: slice) -> NDArray[Any]:
        gain = self.gains[number]
        values = self._slices.part(number, rows)
        return values if gain == 1 or self.dtype == np.bool_ else self._divided(values, float(gain))


def is_photograph(slices: SliceSource) -> bool:
    """Whether slices count as photographs: 8 bits or colour. Other values may be measured ones."""
    return slices.dtype == np.uint8 or slices.colours > 1


def match_brightness(
    slices: SliceSource, match_exposure: MatchExposure, cancel: CancelCallback | None = None
) -> tuple[SliceSource, NDArray[np.float64] | None]:
    """The slices at equal brightness, and the gains they were divided by; see `fuse` for `match_exposure`.

    The stack is read once more for it. It comes back as it is where nothing is to be matched, and the gains are None
    where that was not looked at. With "auto" optical sections are not matched, see `defocus_backend.fusion.sections`.
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
    """Gains in words."""
    found = np.asarray(gains, dtype=np.float64)
    changed = int((found != 1).sum())
    if not changed:
        return "brightness: all slices are equally bright"
    return f"brightness: {changed} of {found.size} slices matched, gains {found.min():.2f} to {found.max():.2f}"


def slice_gains(slices: Iterable[Image]) -> NDArray[np.float64]:
    """How much brighter every slice is than the one of median brightness.

    Parameters
    ----------
    slices : iterable of Image
        All slices in order, read once; they need not be aligned.

    Returns
    -------
    (N,) float64 array
        Gains; exactly 1 where a slice is equally bright, or where no common gain explains the difference.
    """
    small = [_small(image) for image in slices]
    if len(small) < 2:
        return np.ones(len(small))
    means = [float(values[known > 0].mean()) if (known > 0).any() else 0.0 for values, known in small]
    reference = int(np.argsort(means)[len(means) // 2])
    return np.array([_gain(*small[reference], *other) for other in small])


def checked_gains(gains: ArrayLike, count: int) -> NDArray[np.float64]:
    """Gains that a caller gives; raise `InputError` unless they are one positive number for each slice."""
    found = np.asarray(gains, dtype=np.float64)
    if found.shape != (count,) or not (np.isfinite(found) & (found > 0)).all():
        raise InputError("gains", f"{found.tolist()!r:.60}", f"{count} positive numbers, one for each slice")
    return found


def _small(image: Image) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cell means of a gray slice, and the share of usable pixels of each cell."""
    side = max(1, -(-max(image.shape) // _SIDE))
    # No light is the value 0, not the darkest value of the stack, which may count as 0.
    black = image.low / (image.high - image.low) if image.high > image.low else 0.0
    gray = image.gray + black
    top = image.pixels.amax(0)
    usable = (top < _SATURATED) if image.valid is None else (top < _SATURATED) & image.valid
    cells = cell_mean(torch.stack([gray, usable.to(gray)]), side).cpu().numpy().astype(np.float64)
    return cells[0], cells[1]


def _gain(
    reference: NDArray[np.float64], known: NDArray[np.float64], other: NDArray[np.float64], also: NDArray[np.float64]
) -> float:
    """Median ratio of the windows' means that both slices have unclipped; 1 if there is none, or no common one."""
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
