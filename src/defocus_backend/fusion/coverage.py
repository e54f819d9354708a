"""Coverage of a focal stack: what is in focus, and where slices are missing. This needs an absolute sigma."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from defocus_backend.arguments import names_bad_arguments
from defocus_backend.errors import InputError
from defocus_backend.filters import CellGrid, box_mean, cell_mean
from defocus_backend.fusion.positions import z_positions
from defocus_backend.fusion.strips import spread_cells

if TYPE_CHECKING:
    from defocus_backend.fusion.result import Fusion

_TELLS = 0.2
"""Smallest confidence at which the smallest sigma is informative."""
_AROUND = 4
"""Radius over which the smallest sigma is averaged before it is compared with the threshold, px."""
_FAINT = 0.01
_IDLE = 0.001
"""A slice is useful if it is the sharpest at this share of the informative pixels."""
_NOTABLE = 0.005
"""Smallest share of the picture for which a gap is reported."""
_SOFTER = 0.75
"""A slice is missing between two slices if the smallest sigma between them is larger than at the slices by this, px."""
_FEW = 50
"""Smallest number of pixels for a median."""
_MAJORITY = 12
"""Radius of the neighbourhood whose majority decides where nothing is sharp, px."""


def never_in_focus(sigma: Tensor, confidence: Tensor, above: float, *, subsample: int = 1) -> Tensor:
    """Mask of pixels that are not sharp in any slice.

    Parameters
    ----------
    sigma, confidence : (H, W) tensors
        Smallest sigma of all slices in px, infinite where no slice is valid, and its confidence.
    above : float
        A pixel is not sharp if its smallest sigma is above this, px.
    subsample : int
        Side of the cells of the maps, in pixels.

    Returns
    -------
    (H, W) bool tensor
        False where the map is uninformative (flat, dark, saturated), because these pixels may be in focus.
    """
    seen = sigma.isfinite()
    weight = torch.where(seen, confidence.clamp_min(_FAINT), 0)
    radius = max(1, round(_AROUND / subsample))
    total = box_mean(weight, radius).clamp_min(_FAINT / 10)
    around = box_mean(torch.where(seen, sigma, 0) * weight, radius) / total
    return seen & (around > above) & (total > _TELLS)


def never_in_focus_again(
    mask: NDArray[np.bool_], sigma: NDArray[np.float32], confidence: NDArray[np.float32], before: float, above: float
) -> NDArray[np.bool_]:
    """Mask of pixels that are not sharp in any slice, for another threshold than the one of a fusion.

    A lower threshold only adds to the mask and a higher one only removes from it. Pixels that the fusion left out at
    its threshold, because the object itself is soft there, stay out.

    Parameters
    ----------
    mask, sigma, confidence : (H, W) arrays
        `Fusion.never_in_focus`, `Fusion.sigma` and `Fusion.confidence`.
    before : float
        Threshold of the fusion, px.
    above : float
        New threshold, px.

    Returns
    -------
    (H, W) bool array
    """
    own = np.asarray(mask, dtype=bool)
    if above == before:
        return own.copy()
    values, weight = torch.from_numpy(sigma), torch.from_numpy(confidence)
    blurred: NDArray[np.bool_] = never_in_focus(values, weight, above).numpy()
    if above > before:
        return np.asarray(own & blurred)
    left_out: NDArray[np.bool_] = never_in_focus(values, weight, before).numpy() & ~own
    return np.asarray(own | (blurred & ~left_out))


@dataclass(frozen=True)
class Gap:
    """A position along z where a slice is missing.

    Attributes
    ----------
    z : float
        Approximate position, in the unit of z.
    before, after : int or None
        Numbers of the slices on either side; None before the first or after the last slice.
    share : float
        Share of the picture that the missing slice would bring into focus, 0 to 1.
    """

    z: float
    before: int | None
    after: int | None
    share: float


@dataclass(frozen=True)
class Coverage:
    """Coverage of a focal stack.

    Attributes
    ----------
    z : tuple of float
        Position of every slice.
    shares : tuple of float
        Share of the informative pixels that are sharpest in each slice. The shares add up to 1, or are all 0.
    never : float
        Share of the picture that is not sharp in any slice.
    untold : float
        Share of the picture that is uninformative (flat, dark, saturated).
    gaps : tuple of Gap
        Missing slices: before the first, between two, or after the last slice.
    idle : tuple of int
        Slices that add nothing.
    trim : (int, int)
        First and last slice to keep: the useful slices and one more on either side.
    noise_only : tuple of int
        Slices that contain only noise.
    sections : bool
        Whether the slices are optical sections, see `Fusion`.
    reversal : float or None
        Position at which the contrast of transparent objects reverses, see `Fusion`.
    """

    z: tuple[float, ...]
    shares: tuple[float, ...]
    never: float
    untold: float
    gaps: tuple[Gap, ...]
    idle: tuple[int, ...]
    trim: tuple[int, int]
    noise_only: tuple[int, ...] = ()
    sections: bool = False
    reversal: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """All attributes as plain values, for JSON."""
        plain = asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in plain.items()}

    def report(self, unit: str = "slices") -> str:
        """Report of the coverage as lines of text."""
        lines = [f"never in focus: {self.never:.1%} of the picture; uninformative: {self.untold:.1%}"]
        for gap in self.gaps:
            if gap.before is None:
                where = f"before the first slice, below z = {gap.z:.4g} {unit}"
            elif gap.after is None:
                where = f"after the last slice, beyond z = {gap.z:.4g} {unit}"
            else:
                where = f"between slices {gap.before} and {gap.after}, about z = {gap.z:.4g} {unit}"
            lines.append(f"a slice is missing {where}, for {gap.share:.1%} of the picture")
        lines += _remarks(self.noise_only, self.sections, self.reversal, len(self.z))
        if self.idle:
            lines.append(f"slices that add nothing: {', '.join(map(str, self.idle))}")
        first, last = self.trim
        if (first, last) != (0, len(self.z) - 1):
            lines.append(
                f"slices {first} to {last} would be enough (z =  {self.z[first]:.4g} to {self.z[last]:.4g} {unit})"
            )
        lines += [
            f"slice {n}, z = {z:.4g} {unit}: {share:.1%}"
            for n, (z, share) in enumerate(zip(self.z, self.shares, strict=True))
        ]
        return "\n".join(lines)


def remarks(fusion: Fusion) -> list[str]:
    """Remarks for the user on the slices of a single stack: only noise, optical sections, reversal of contrast."""
    count = 0 if fusion.signal is None else len(fusion.signal)
    return _remarks(fusion.noise_only, fusion.sections, fusion.reversal, count)


def _remarks(noise_only: tuple[int, ...], sections: bool, reversal: float | None, count: int) -> list[str]:
    lines = []
    if noise_only:
        which = "all slices" if len(noise_only) == count else f"slices {_runs(noise_only)}"
        lines.append(f"nothing to judge in {which}: no detail above the noise")
    if sections:
        lines.append(
            "optical sections (confocal or light sheet): a pixel can show several depths; the height is that of the "
            "strongest detail, and unknown where there is none; each channel is fused by its own detail"
        )
    if reversal is not None:
        lines.append(
            f"transparent objects in brightfield: their contrast reverses near slice {reversal:.1f}, which is taken as "
            "their focus, because they show more detail out of focus; sigma is unreliable for them"
        )
    return lines


def _runs(numbers: tuple[int, ...]) -> str:
    """Numbers as text, with ranges: "0 to 3, 7"."""
    groups: list[list[int]] = []
    for n in numbers:
        if groups and n == groups[-1][-1] + 1:
            groups[-1].append(n)
        else:
            groups.append([n])
    return ", ".join(f"{g[0]} to {g[-1]}" if len(g) > 1 else str(g[0]) for g in groups)


@names_bad_arguments
def coverage(
    fusion: Fusion, slices: int | None = None, *, z: ArrayLike | None = None, z_step: float | None = None
) -> Coverage:
    """Find useful, unused and missing slices of a fused stack.

    Parameters
    ----------
    fusion : Fusion
        Result of `fuse` for a single stack.
    slices : int or None
        Number of slices; not needed with `z`.
    z, z_step : (N,) array_like, float or None
        Positions, as passed to `fuse`.

    Returns
    -------
    Coverage

    Raises
    ------
    InputError
        If the positions do not match the fusion.
    """
    if slices is None:
        if z is None:
            raise InputError("slices", "None", "the number of slices, or their positions z")
        slices = len(np.atleast_1d(np.asarray(z)))
    positions = z_positions(z, z_step, slices)
    index = fusion.index
    if index.ndim != 2:
        raise InputError("fusion", f"maps of shape {index.shape}", "the fusion of a single stack (H, W)")
    if int(index.max()) >= slices:
        raise InputError("slices", repr(slices), f"at least {int(index.max()) + 1}, the slices that were fused")
    seen = np.isfinite(fusion.sigma)
    never = fusion.never_in_focus & seen
    told = seen & ~never & ~fusion.inferred
    counts = np.bincount(index[told], minlength=slices).astype(np.float64)
    shares = counts / max(1.0, counts.sum())
    useful = np.flatnonzero(shares >= _IDLE)
    trim = (max(0, int(useful[0]) - 1), min(slices - 1, int(useful[-1]) + 1)) if useful.size else (0, slices - 1)
    whole = max(1, int(seen.sum()))
    return Coverage(
        z=tuple(float(v) for v in positions),
        shares=tuple(float(v) for v in shares),
        never=float(never.sum() / whole),
        untold=float((fusion.inferred & seen).sum() / whole),
        gaps=_gaps(fusion, positions, never, told, whole),
        idle=tuple(int(n) for n in np.flatnonzero(shares < _IDLE)) if useful.size else (),
        trim=trim,
        noise_only=fusion.noise_only,
        sections=fusion.sections,
        reversal=fusion.reversal,
    )


def _gaps(
    fusion: Fusion,
    z: NDArray[np.float64],
    never: NDArray[np.bool_],
    told: NDArray[np.bool_],
    whole: int,
) -> tuple[Gap, ...]:
    """Missing slices, in the order of the slices."""
    last = len(z) - 1
    lost = np.bincount(fusion.index[never], minlength=len(z)) / whole
    # Pixels that are sharpest in the first or last slice, but not sharp, are in focus beyond this slice.
    found = [Gap(float(z[0]), None, 0, float(lost[0]))] if lost[0] >= _NOTABLE else []
    # Heights in units of slices: whole numbers are slices, halves are midway between slices.
    order = np.argsort(z)
    place = np.interp(np.where(told, fusion.height, z[0]), z[order], order.astype(np.float64))
    below = np.clip(np.floor(place), 0, max(0, last - 1)).astype(np.intp)
    part = place - below
    middle = told & (part > 0.25) & (part < 0.75)
    ends = told & ~middle
    # Not sharp although there are slices on both sides: the surface is between slices, most likely in the wider
    # interval.
    beyond, widths = np.zeros(last), np.abs(np.diff(z))
    for m in range(1, last):
        wider = np.array([m - 1, m])[np.isclose(widths[m - 1 : m + 1], widths[m - 1 : m + 1].max())]
        beyond[wider] += lost[m] / len(wider)
    for n in range(last):
        between, beside = fusion.sigma[middle & (below == n)], fusion.sigma[ends & (below == n)]
        share = between.size / whole
        coarse = between.size >= _FEW and beside.size >= _FEW and np.median(between) - np.median(beside) > _SOFTER
        share = (share if coarse else 0.0) + beyond[n]
        if share >= _NOTABLE:
            found.append(Gap(float(z[n] + z[n + 1]) / 2, n, n + 1, float(share)))
    if last and lost[last] >= _NOTABLE:
        found.append(Gap(float(z[last]), last, None, float(lost[last])))
    return tuple(found)


def settle_decision(index: Tensor, never: Tensor, count: int, *, subsample: int = 1) -> Tensor:
    """Smooth the decision where no slice is in focus: use the choice of the majority around each pixel.

    In these areas, the smallest of many large sigmas depends on noise. A ragged decision between slices of different
    blur would look like invented detail.

    Parameters
    ----------
    index : (H, W) int32 tensor
        Slice chosen at every pixel.
    never : (H, W) bool tensor
        Mask of pixels that are not sharp in any slice.
    count : int
        Number of slices.
    subsample : int
        Side of the cells in which votes are counted together, in pixels.

    Returns
    -------
    (H, W) int32 tensor
        The decision; unchanged where a slice is sharp.
    """
    if not bool(never.any()):
        return index
    rows, columns = (torch.nonzero(never.any(axis)).flatten() for axis in (1, 0))
    height, width = never.shape
    # Expand from whole cells, so that all pixels of a cell get the same slice.
    top, left = (max(0, int(n[0]) - _MAJORITY) // subsample * subsample for n in (rows, columns))
    box = (
        slice(top, min(height, int(rows[-1]) + _MAJORITY + 1)),
        slice(left, min(width, int(columns[-1]) + _MAJORITY + 1)),
    )
    part, where = index[box], never[box]
    shape = int(part.shape[0]), int(part.shape[1])
    grid = CellGrid(*shape, subsample)
    chosen, most = (torch.zeros(grid.shape, dtype=kind, device=index.device) for kind in (index.dtype, torch.float32))
    for number in torch.bincount(part[where].long(), minlength=count).nonzero().flatten().tolist():
        votes = cell_mean((where & (part == number)).float(), subsample)
        votes = box_mean(votes, grid.radius(_MAJORITY))
        better = votes > most
        chosen.masked_fill_(better, number)
        most = torch.where(better, votes, most)
    settled = index.clone()
    settled[box] = torch.where(where, spread_cells(chosen, subsample, shape), part)
    return settled
