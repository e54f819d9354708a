"""The result of a fusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

_YX, _NYX = ({"axes": axes} for axes in ("YX", "NYX"))
_FLOAT, _INT, _BOOL = ({"dtype": np.dtype(kind)} for kind in (np.float32, np.int32, np.bool_))
_FACTS = ("sections", "reversal")
"""Fields that are not arrays."""
_LEAST_SIGNAL = 0.001
"""A slice contains only noise if a smaller share of the picture has detail above the noise."""


@dataclass(frozen=True)
class Fusion:
    """Result of `fuse`.

    The metadata of each field except `image` contain its ``axes`` (Y row, X column, N slice) and its ``dtype``.

    Attributes
    ----------
    image : (H, W[, C]) array
        All-in-focus image, in the dtype and layout of one slice.
    index : (H, W) int32 array
        Number of the slice that is in focus, from 0.
    sigma : (H, W) float32 array
        Smallest blur over the slices, in pixels, estimated on squares of `pooling` pixels; NaN where no slice is valid.
    confidence : (H, W) float32 array
        Confidence of `sigma`, 0 to 1.
    height : (H, W) float32 array
        Position of best focus along z, interpolated between slices, in the unit of `z`; NaN where it is unknown.
    height_error : (H, W) float32 array
        Standard error of the height in the same unit; NaN where it is unknown.
    inferred : (H, W) bool array
        True where the height was taken from the neighbourhood, because the pixel itself is uninformative.
    never_in_focus : (H, W) bool array
        True where no slice is sharp.
    sigmas, decisions, weights : (N, H, W) arrays or None
        Defocus map (float32, px), decision map (bool, eq 14) and normalised weight (float32, eq 16) of every slice;
        None unless `keep_slices` was set. With the blend "octaves", the weight is that of the finest octave.
    signal : (N,) float64 array or None
        Share of the picture, 0 to 1, in which each slice has fine detail above its noise; see `noise_only`.
    sections : bool
        True if the slices are optical sections (confocal, light sheet). A pixel can then show several depths, and a
        slice without signal is not blurred.
    reversal : float or None
        For transparent objects in brightfield, the position in slices, from 0, at which their contrast reverses. They
        are in focus near it. None for all other stacks, see `defocus_backend.fusion.phase`.
    gains : (N,) float64 array or None
        Brightness of each slice relative to the slice of median brightness, by which it was divided, in the channel in
        which focus is estimated. None if brightness was not compared.
    """

    image: NDArray[Any]
    index: NDArray[np.int32] = field(metadata=_YX | _INT)
    sigma: NDArray[np.float32] = field(metadata=_YX | _FLOAT)
    confidence: NDArray[np.float32] = field(metadata=_YX | _FLOAT)
    height: NDArray[np.float32] = field(metadata=_YX | _FLOAT)
    height_error: NDArray[np.float32] = field(metadata=_YX | _FLOAT)
    inferred: NDArray[np.bool_] = field(metadata=_YX | _BOOL)
    never_in_focus: NDArray[np.bool_] = field(metadata=_YX | _BOOL)
    sigmas: NDArray[np.float32] | None = field(default=None, metadata=_NYX | _FLOAT)
    decisions: NDArray[np.bool_] | None = field(default=None, metadata=_NYX | _BOOL)
    weights: NDArray[np.float32] | None = field(default=None, metadata=_NYX | _FLOAT)
    signal: NDArray[np.float64] | None = field(default=None, metadata={"axes": "N", "dtype": np.dtype(np.float64)})
    sections: bool = False
    reversal: float | None = None
    gains: NDArray[np.float64] | None = field(default=None, metadata={"axes": "N", "dtype": np.dtype(np.float64)})

    @property
    def noise_only(self) -> tuple[int, ...]:
        """Slices of a single stack that contain only noise."""
        return () if self.signal is None else tuple(int(n) for n in np.flatnonzero(self.signal < _LEAST_SIGNAL))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays that are not None, by name."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if value is not None and name not in _FACTS}

    @staticmethod
    def stacked(parts: Sequence[Fusion], shape: tuple[int, ...]) -> Fusion:
        """Combine fusions of several stacks into one, whose arrays have leading axes of this shape."""
        names = parts[0].arrays()
        found = {name: np.stack([getattr(part, name) for part in parts]) for name in names}
        merged = {name: value.reshape(*shape, *value.shape[1:]) for name, value in found.items()}
        reversal = parts[0].reversal if len(parts) == 1 else None
        return Fusion(**merged, sections=any(part.sections for part in parts), reversal=reversal)


MAP_TYPES: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {f.name: f.metadata["dtype"] for f in fields(Fusion) if f.metadata.get("axes") == "YX"}
)
"""Maps (H, W) of every fusion, by name, with their dtypes."""
