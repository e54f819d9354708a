"""Fusion of large planes in bands of rows, so that memory depends neither on the number of slices nor on their size."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from defocus_backend.device import give_back_freed_memory
from defocus_backend.fusion.brightness import match_brightness
from defocus_backend.fusion.engine import fuse_slices
from defocus_backend.fusion.noise import estimate_noise
from defocus_backend.fusion.phase import contrast_reversal
from defocus_backend.fusion.result import Fusion
from defocus_backend.fusion.settings import FusionSettings
from defocus_backend.progress import CancelCallback, PreviewCallback, ProgressCallback, Share
from defocus_backend.stacks import SliceSource

WHOLE_PIXELS = 6_000_000
"""Largest plane that is fused at once, in pixels; a fusion needs about 150 bytes per pixel."""
BAND_PIXELS = 5_400_000
"""Number of pixels of a band with its halo. The rest of 3 GB then has room for the results of 20 megapixels."""
_HALO = 96
"""Number of rows that are read on either side of a band. No filter of the fusion reaches further, and the network
hardly."""
SHOWN_SIDE = 1200
"""Largest side of the preview image, in pixels."""
_FADE = 32
"""Number of rows on either side of a seam over which the fused image fades from one band to the next."""


@dataclass(frozen=True)
class Band:
    """A band: rows `start` .. `stop` - 1 of a plane, computed from rows `first` .. `last` - 1."""

    start: int
    stop: int
    first: int
    last: int

    @property
    def inner(self) -> slice:
        """Position of the band's rows within the rows that are read."""
        return slice(self.start - self.first, self.stop - self.first)

    @classmethod
    def all(cls, shape: tuple[int, int]) -> Band:
        """The whole plane (H, W)."""
        return cls(0, shape[0], 0, shape[0])


def bands_of(shape: tuple[int, int]) -> list[Band]:
    """Bands of equal height that cover a plane (H, W); a single band for a plane that is not large."""
    height, width = shape
    if height * width <= WHOLE_PIXELS:
        return [Band.all(shape)]
    # On very wide planes, the halo must not be larger than the band.
    rows = max(BAND_PIXELS // width - 2 * _HALO, 2 * _HALO)
    count = -(-height // rows)
    edges = [round(n * height / count) for n in range(count + 1)]
    return [Band(a, b, max(0, a - _HALO), min(height, b + _HALO)) for a, b in itertools.pairwise(edges)]


def fuse_in_bands(
    slices: SliceSource,
    settings: FusionSettings,
    *,
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
) -> Fusion:
    """Fuse one stack, in bands if its planes are large; parameters as in `fuse_slices`.

    The value range, the gains, the noise and a reversal of contrast are determined once for the whole stack. All slices
    are read again for every band. Maps are cut at the seams; the fused image fades over them.
    """

    def fuse_band(rows: SliceSource, report: ProgressCallback | None) -> Fusion:
        return fuse_slices(rows, settings, noise, reversal=reversal, progress=report, cancel=cancel)

    slices, gains = match_brightness(slices, settings.match_exposure, cancel)
    samples = list(slices.sample())
    noise, place = estimate_noise(samples), contrast_reversal([image.gray for image in samples])
    # The samples are evenly spaced and include both ends.
    reversal = None if place is None else place * (len(slices) - 1) / (len(samples) - 1)
    del samples
    # A decision that needs the whole plane is not computed in bands.
    whole = settings.decider.settle is not None
    bands = [Band.all(slices.plane_shape)] if whole else bands_of(slices.plane_shape)
    return replace(band_by_band(fuse_band, slices, bands, progress), gains=gains)


def band_by_band(
    fuse: Callable[[SliceSource, ProgressCallback | None], Fusion],
    slices: SliceSource,
    bands: Sequence[Band],
    progress: ProgressCallback | None = None,
) -> Fusion:
    """Apply a fusion function to the rows of each band and merge the results; with one band, apply it to the stack."""
    if len(bands) == 1:
        return fuse(slices, progress)
    result: Fusion | None = None
    preview: PreviewCallback | None = getattr(progress, "preview", None)
    grown = None if preview is None else _Grown(preview, slices)
    for number, band in enumerate(bands):
        shown = None if grown is None else partial(grown.show, band)
        share = None if progress is None else Share(progress, shown, number, len(bands))
        part = fuse(slices.rows(band.first, band.last), share)
        result = _merge(result, part, band, slices.plane_shape[0], slices.row_axis)
        del part
        give_back_freed_memory()
    assert result is not None
    return result


class _Grown:
    """Preview of the whole image from the finished bands and the current one; 0 below it.

    Its longer side is at most `SHOWN_SIDE`, whatever the size of the slices.
    """

    def __init__(self, preview: PreviewCallback, slices: SliceSource) -> None:
        self._preview, self._axis = preview, slices.row_axis
        self._step = 2 * max(1, math.ceil(max(slices.plane_shape) / 2 / SHOWN_SIDE))
        self._height = -(-slices.plane_shape[0] // self._step)
        self._whole: NDArray[Any] | None = None

    def show(self, band: Band, image: Callable[[], NDArray[Any]]) -> None:
        """Show a preview of one band."""
        self._preview(partial(self._put, band, image))

    def _put(self, band: Band, image: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        part = np.moveaxis(image(), self._axis, 0)  # half the size of the band
        top, end = (-(-n // self._step) for n in (band.start, band.stop))
        rows = (np.arange(top, end) * self._step - band.first) // 2
        columns = slice(None, None, self._step // 2)
        chosen = part[np.clip(rows, 0, len(part) - 1)]
        chosen = chosen[:, columns] if self._axis == 0 else chosen[:, :, columns]
        if self._whole is None:
            self._whole = np.zeros((self._height, *chosen.shape[1:]), chosen.dtype)
        self._whole[top:end] = chosen
        return np.moveaxis(self._whole, 0, self._axis).copy()


def _merge(whole: Fusion | None, part: Fusion, band: Band, height: int, image_axis: int) -> Fusion:
    """Copy the result of one band into the arrays of the whole; the first band creates them."""
    merged: dict[str, NDArray[Any]] = {}
    known = {} if whole is None else whole.arrays()
    for name, value in part.arrays().items():
        if name == "signal":
            before = known[name] * band.start if whole is not None else 0.0
            merged[name] = (before + value * (band.stop - band.start)) / band.stop
            continue
        axis = image_axis if name == "image" else value.ndim - 2
        if whole is None:
            known[name] = np.empty((*value.shape[:axis], height, *value.shape[axis + 1 :]), value.dtype)
        fade = _FADE if name == "image" and value.dtype != np.bool_ else 0
        _put(np.moveaxis(known[name], axis, 0), np.moveaxis(value, axis, 0), band, fade)
        merged[name] = known[name]
    sections = part.sections or (whole is not None and whole.sections)
    return Fusion(**merged, sections=sections, reversal=part.reversal)


def _put(whole: NDArray[Any], part: NDArray[Any], band: Band, fade: int) -> None:
    """Copy a band's rows, and with `fade` also the rows below it, over which the next band then fades."""
    fade_in = fade if band.start else 0
    top, last = band.start + fade_in, min(band.last, band.stop + fade)
    whole[top:last] = part[top - band.first : last - band.first]
    if not fade_in:
        return
    rows = slice(band.start - fade, top)
    fresh = part[rows.start - band.first : rows.stop - band.first]
    ramp = (np.arange(2 * fade, dtype=np.float64) + 0.5) / (2 * fade)
    ramp = ramp.reshape(-1, *(1,) * (fresh.ndim - 1))
    mixed = whole[rows] * (1 - ramp) + fresh * ramp
    whole[rows] = np.rint(mixed) if np.issubdtype(whole.dtype, np.integer) else mixed
