"""Decode the pixels of a TIFF page into gray or RGB, with alpha last, black at 0, and upright."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from defocus_backend.errors import FileError, note
from defocus_backend.io.picture import turn_upright

if TYPE_CHECKING:
    from tifffile import TiffPage

_ASSOCIATED, _UNASSOCIATED = 1, 2
"""Kinds of an extra sample that is alpha; for the first kind, colours are premultiplied by alpha."""


class PageKind(NamedTuple):
    """Properties that all pages of a stack share."""

    height: int
    width: int
    channels: int
    dtype: str
    white: int | None

    def __str__(self) -> str:
        channels = {1: "gray", 2: "gray+alpha", 3: "RGB", 4: "RGBA"}[self.channels]
        bits = f" of {self.white.bit_length()} bits" if self.white is not None else ""
        return f"{self.width}x{self.height} px {channels} {self.dtype}{bits}"


def page_kind(path: Path, page: TiffPage) -> PageKind:
    """Size, channels and type of a page's pixels, from its tags; raise `FileError` if it is not a picture."""
    _check(path, page)
    height, width = page.imagelength, page.imagewidth
    if int(page.tags.valueof("Orientation", 1)) >= 5:
        height, width = width, height
    dtype = np.dtype(page.dtype or np.uint8)
    if _is_palette(page):
        return PageKind(height, width, 3, "uint8" if dtype.itemsize == 1 else "uint16", None)
    colours, alpha, _ = _samples(path, page)
    return PageKind(height, width, colours + (alpha is not None), str(dtype.newbyteorder("=")), white_value(page))


def white_value(page: TiffPage) -> int | None:
    """Largest value of a sample, if a sample has fewer bits than the dtype of its array."""
    dtype, bits = np.dtype(page.dtype or np.uint8), page.bitspersample
    if dtype.kind != "u" or _is_palette(page) or not 0 < bits < 8 * dtype.itemsize:
        return None
    return int(2**bits - 1)


def page_pixels(path: Path, page: TiffPage, values: NDArray[Any], *, literal: bool = False) -> NDArray[Any]:
    """The pixels of one page as (H, W) or (H, W, C).

    Parameters
    ----------
    path : Path
        For messages.
    page : tifffile.TiffPage
    values : array
        As tifffile decodes the page.
    literal : bool
        Whether tifffile wrote the file from an array. It then labels bool arrays as white at 0, but False means black.

    Raises
    ------
    FileError
        If the page holds something other than gray or RGB.
    """
    import tifffile

    _check(path, page)
    photometric = page.photometric
    if page.axes == "SYX":
        values = np.moveaxis(values, 0, -1)
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if _is_palette(page):
        colours = np.moveaxis(np.asarray(page.colormap), 0, -1)[values]
        values = (colours >> 8).astype(np.uint8) if values.dtype == np.uint8 else colours
    else:
        values = _without_extra(path, page, values)
        if photometric == tifffile.PHOTOMETRIC.MINISWHITE and not (literal and values.dtype == np.bool_):
            values = _black_at_zero(path, page, values)
        elif photometric == tifffile.PHOTOMETRIC.YCBCR and page.compression == tifffile.COMPRESSION.NONE:
            values = _rgb_of_ycbcr(path, page, values)
    return turn_upright(values, int(page.tags.valueof("Orientation", 1)))


def _check(path: Path, page: TiffPage) -> None:
    import tifffile

    known = tifffile.PHOTOMETRIC
    if page.photometric not in (known.MINISBLACK, known.MINISWHITE, known.RGB, known.YCBCR, known.PALETTE):
        name = getattr(page.photometric, "name", page.photometric)
        raise FileError(f"{path}: holds {name} colours; expected gray or RGB")
    if page.axes not in ("YX", "YXS", "SYX"):
        raise FileError(f"{path}: holds pages with the axes {page.axes}; expected flat gray or RGB pages")
    if page.dtype is not None and np.dtype(page.dtype).kind not in "buif":
        raise FileError(f"{path}: holds {page.dtype} values; expected whole numbers or floats")
    if not page.imagelength or not page.imagewidth:
        raise FileError(f"{path}: holds a page of {page.imagewidth}x{page.imagelength} px; expected pixels")


def _is_palette(page: TiffPage) -> bool:
    import tifffile

    return page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None


def _samples(path: Path, page: TiffPage) -> tuple[int, int | None, int]:
    """Number of colour samples, index of alpha, and number of other samples."""
    import tifffile

    count = page.samplesperpixel
    extra = tuple(int(kind) for kind in page.extrasamples)[:count]
    alphas = [count - len(extra) + n for n, kind in enumerate(extra) if kind in (_ASSOCIATED, _UNASSOCIATED)]
    colour = page.photometric in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR)
    if not extra and count in (2, 4) and (count == 4) == colour:
        alphas = [count - 1]  # many programs omit the tag that marks alpha
    if not colour and count - len(alphas) == 3:
        colour = True  # three gray samples per pixel are treated as RGB
    colours = 3 if colour else 1
    rest = count - colours - len(alphas)
    if rest < 0 or (not colour and rest > 1):
        raise FileError(f"{path}: holds {count} channels; expected gray or RGB")
    return colours, alphas[0] if alphas else None, rest + max(0, len(alphas) - 1)


def _without_extra(path: Path, page: TiffPage, values: NDArray[Any]) -> NDArray[Any]:
    """Colours and alpha without premultiplication; other samples are left out."""
    if values.ndim == 2:
        return values
    colours, alpha, dropped = _samples(path, page)
    if dropped:
        note(f"{path}: {dropped} of {values.shape[-1]} channels are neither colour nor alpha, and are left out")
    kept = values[..., :colours]
    if alpha is not None:
        coverage = values[..., alpha : alpha + 1]
        extra = page.extrasamples[alpha - page.samplesperpixel :] if page.extrasamples else (_UNASSOCIATED,)
        if int(extra[0]) == _ASSOCIATED:
            kept = _divided(kept, coverage, white_value(page))
        kept = np.concatenate([kept, coverage], axis=-1)
    return kept[..., 0] if kept.shape[-1] == 1 else kept


def _divided(colours: NDArray[Any], alpha: NDArray[Any], white: int | None) -> NDArray[Any]:
    """Colours with the premultiplication by alpha undone."""
    if colours.dtype.kind not in "uf":
        return colours
    full = float(white or (np.iinfo(colours.dtype).max if colours.dtype.kind == "u" else 1.0))
    share = np.maximum(alpha.astype(np.float64) / full, 1e-12)
    before = np.where(alpha > 0, colours / share, 0)
    return (np.rint(before.clip(0, full)) if colours.dtype.kind == "u" else before).astype(colours.dtype)


def _black_at_zero(path: Path, page: TiffPage, values: NDArray[Any]) -> NDArray[Any]:
    """Inverted gray values of a page whose white is 0."""
    colours = values[..., :1] if values.ndim == 3 else values  # alpha is not inverted
    if values.dtype == np.bool_ or values.dtype.kind == "i":
        turned = ~colours
    elif values.dtype.kind == "u":
        turned = np.asarray((white_value(page) or np.iinfo(values.dtype).max) - colours)
    else:
        largest = page.tags.valueof("SMaxSampleValue") or page.tags.valueof("MaxSampleValue")
        most = float(np.max(largest)) if largest is not None else 1.0
        if not (np.nanmin(colours) >= 0 and np.nanmax(colours) <= most):
            raise FileError(f"{path}: contains floats with white at 0, but does not state the value of black")
        turned = (np.float64(most) - colours).astype(values.dtype)
    turned = turned.astype(values.dtype, copy=False)
    return np.concatenate([turned, values[..., 1:]], axis=-1) if values.ndim == 3 else turned


def _rgb_of_ycbcr(path: Path, page: TiffPage, values: NDArray[Any]) -> NDArray[Any]:
    """RGB from uncompressed luma and chroma; for JPEG and similar, the decoder has converted them already."""
    if values.dtype != np.uint8:
        raise FileError(f"{path}: holds YCbCr colours of {values.dtype}; expected uint8")
    weights = page.tags.valueof("YCbCrCoefficients") or (299, 1000, 587, 1000, 114, 1000)  # TIFF 6.0, section 21
    red, green, blue = (float(weights[n]) / float(weights[n + 1]) for n in (0, 2, 4))
    luma, cb, cr = (values[..., n].astype(np.float64) - (0, 128, 128)[n] for n in range(3))
    r, b = luma + cr * (2 - 2 * red), luma + cb * (2 - 2 * blue)
    g = (luma - red * r - blue * b) / green
    rgb = np.rint(np.stack([r, g, b], axis=-1)).clip(0, 255).astype(np.uint8)
    return np.concatenate([rgb, values[..., 3:]], axis=-1)
