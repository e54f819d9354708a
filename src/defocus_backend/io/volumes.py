"""Multi-dimensional images in files: axes, pixel size, channels, and planes that are read one at a time."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from defocus_backend.errors import InputError
from defocus_backend.io.acquisition import Acquisition

if TYPE_CHECKING:
    import dask.array

AXES = {
    "P": "position",
    "T": "time",
    "C": "channel",
    "Z": "depth",
    "Y": "row",
    "X": "column",
    "S": "colour sample",
}
"""Letters that name the axes of an image, as in OME and tifffile."""

Key = int | slice | EllipsisType
Colour = tuple[int, int, int]
Window = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Channel:
    """Metadata of a channel; None for unknown values.

    Attributes
    ----------
    name : str or None
    colour : three int or None
        Display colour, RGB from 0 to 255.
    window : four floats or None
        Smallest and largest possible value, then the values displayed as black and as full colour.
    shown : bool
        Whether viewers show the channel by default.
    optics : mapping of str to str
        Wavelengths, fluorophore and similar attributes, by their names in OME-XML.
    """

    name: str | None = None
    colour: Colour | None = None
    window: Window | None = None
    shown: bool = True
    optics: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Physical meaning of the axes of an image.

    Attributes
    ----------
    spacing : mapping of str to float
        Distance between neighbouring pixels, slices or times, by axis letter. Unknown distances are left out.
    units : mapping of str to str
        Unit of the distance by axis letter, such as ``"µm"`` or ``"s"``.
    channels : tuple of Channel
        One per index of the axis C, or empty.
    origin : mapping of str to float
        Coordinate of the first pixel, slice or time in the same unit, by axis letter; 0 if left out.
    acquisition : Acquisition
        Date, exposure times and stage positions. Results keep the parts that still apply.
    """

    spacing: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    channels: tuple[Channel, ...] = ()
    origin: Mapping[str, float] = field(default_factory=dict)
    acquisition: Acquisition = field(default_factory=Acquisition)

    def describe(self) -> str:
        """Pixel sizes in one line: ``Y 0.1 µm, X 0.1 µm, Z 0.5 µm``."""
        return ", ".join(f"{a} {v:g} {self.units.get(a, '')}".rstrip() for a, v in self.spacing.items()) or "unknown"


class Planes(Protocol):
    """Planes of a file. The object can be pickled, and opens the file when the first plane is read."""

    def __call__(self, index: tuple[int, ...]) -> NDArray[Any]:
        """Plane (Y, X) or (Y, X, S) at an index of the leading axes; raises `FileError`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageND:
    """A multi-dimensional image in a file; acts as an array that reads planes when it is indexed.

    Attributes
    ----------
    path : Path
    axes : str
        Letters of `AXES`, ending in ``YX`` or, for colour, ``YXS``.
    shape : tuple of int
    dtype : numpy.dtype
    calibration : Calibration
    scene : str
        Name of this image, if the file has several.
    scenes : tuple of str
        Names of all images in the file.
    format : str
        ``"OME-TIFF"``, ``"ImageJ TIFF"``, ``"TIFF"``, ``"OME-Zarr 0.4"``, ``"OME-Zarr 0.5"`` or the format named by the
        reading library.
    planes : Planes
        Reads one plane.
    """

    path: Path
    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    planes: Planes
    calibration: Calibration = Calibration()
    scene: str = ""
    scenes: tuple[str, ...] = ("",)
    format: str = ""

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.axes)

    @property
    def leading(self) -> int:
        """Number of axes before those of a plane."""
        return self.axes.index("Y")

    @property
    def sizes(self) -> dict[str, int]:
        """Length of each axis by its letter."""
        return dict(zip(self.axes, self.shape, strict=True))

    @property
    def name(self) -> str:
        """The file's name without its suffixes, for naming results."""
        name = self.path.name
        for suffix in (self.path.suffix, ".ome"):
            if len(suffix) < len(name) and name.lower().endswith(suffix.lower()):
                name = name[: len(name) - len(suffix)]
        return name

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Key | tuple[Key, ...]) -> NDArray[Any]:
        """Read the planes that are selected by a key of integers and slices."""
        parts = self._full_key(key if isinstance(key, tuple) else (key,))
        outer, inner = parts[: self.leading], parts[self.leading :]
        numbers = [_numbers(part, n) for part, n in zip(outer, self.shape, strict=False)]
        read = [self.planes(index)[inner] for index in itertools.product(*numbers)]
        kept = [len(n) for n, part in zip(numbers, outer, strict=True) if isinstance(part, slice)]
        if not read:
            return np.empty((*kept, *np.empty(self.shape[self.leading :])[inner].shape), self.dtype)
        return np.asarray(np.stack(read).reshape(*kept, *read[0].shape)) if kept else read[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype=dtype)

    def _full_key(self, key: tuple[Key, ...]) -> tuple[int | slice, ...]:
        if key.count(...) > 1 or len(key) - key.count(...) > self.ndim:
            raise IndexError(f"{len(key)} indices for the axes {self.axes}")
        if ... not in key:
            key = (*key, ...)
        at = key.index(...)
        missing = self.ndim - (len(key) - 1)
        full = (*key[:at], *[slice(None)] * missing, *key[at + 1 :])
        return tuple(part for part in full if not isinstance(part, EllipsisType))

    def take(self, axis: str, numbers: Sequence[int]) -> ImageND:
        """The image restricted to some indices of one leading axis; nothing is read.

        Raises
        ------
        InputError
            If there is no such axis, or if an index is out of range.
        """
        place = self.axes.find(axis)
        if not 0 <= place < self.leading:
            raise InputError(
                "axis", repr(axis), f"one of {', '.join(self.axes[: self.leading]) or 'none'} of {self.path}"
            )
        size = self.shape[place]
        if not numbers or not all(0 <= n < size for n in numbers):
            given = ", ".join(map(str, numbers)) or "none"
            raise InputError(f"{AXES.get(axis, axis)} of {self.path.name}", given, f"numbers from 0 to {size - 1}")
        calibration = self.calibration
        if axis == "C" and calibration.channels:
            calibration = replace(
                calibration, channels=tuple(c for n in numbers for c in calibration.channels[n : n + 1])
            )
        elif numbers[0] and axis in calibration.origin and axis in calibration.spacing:
            moved = calibration.origin[axis] + numbers[0] * calibration.spacing[axis]
            calibration = replace(calibration, origin={**calibration.origin, axis: moved})
        calibration = replace(calibration, acquisition=calibration.acquisition.take(axis, numbers))
        shape = (*self.shape[:place], len(numbers), *self.shape[place + 1 :])
        return replace(self, shape=shape, calibration=calibration, planes=_Some(self.planes, place, tuple(numbers)))

    def pick(self, axis: str, number: int) -> ImageND:
        """The image at one index of a leading axis, which is removed; nothing is read."""
        one = self.take(axis, [number])
        place = one.axes.index(axis)
        calibration = replace(one.calibration, channels=()) if axis == "C" else one.calibration
        calibration = replace(calibration, acquisition=calibration.acquisition.over(axis))
        return replace(
            one,
            axes=one.axes.replace(axis, ""),
            shape=(*one.shape[:place], *one.shape[place + 1 :]),
            calibration=calibration,
            planes=_Fixed(one.planes, place),
        )

    def renamed(self, axes: str) -> ImageND:
        """The image with other letters for its leading axes, for files that name them wrongly.

        Raises
        ------
        InputError
            If the number of letters is wrong, or if letters are repeated or not in `AXES`.
        """
        axes = axes.upper()
        plane = self.axes[self.leading :]
        if len(axes) != self.ndim or not axes.endswith(plane):
            shape = " x ".join(map(str, self.shape))
            raise InputError("axes", repr(axes), f"{self.ndim} letters ending in {plane} for {shape} of {self.path}")
        check_axes(axes)
        renaming = {old: new for old, new in zip(self.axes, axes, strict=True) if old != new}
        known = self.calibration
        spacing = {a: v for a, v in known.spacing.items() if a not in renaming}
        units = {a: u for a, u in known.units.items() if a in spacing}
        channels = () if "C" in renaming else known.channels
        origin = {a: v for a, v in known.origin.items() if a not in renaming}
        acquisition = known.acquisition.renamed() if renaming else known.acquisition
        calibration = Calibration(
            spacing=spacing, units=units, channels=channels, origin=origin, acquisition=acquisition
        )
        return replace(self, axes=axes, calibration=calibration)

    def to_dask(self) -> dask.array.Array:
        """The whole image as a dask array, one chunk per plane.

        Raises
        ------
        InputError
            If dask is not installed.
        """
        try:
            import dask.array as da
        except ImportError as error:
            raise InputError("to_dask", "no dask", 'dask; pip install "napari-defocus[all]"') from error
        chunks = (*(1,) * self.leading, *self.shape[self.leading :])
        array = da.from_array(self, chunks=chunks, asarray=False, meta=np.empty((0,) * self.ndim, self.dtype))
        return cast("dask.array.Array", array)


def _numbers(part: int | slice, size: int) -> list[int]:
    if isinstance(part, slice):
        return list(range(*part.indices(size)))
    number = int(part)
    if not -size <= number < size:
        raise IndexError(f"index {number} of an axis of {size}")
    return [number % size]


@dataclass(frozen=True)
class _Some:
    """Planes renumbered along one axis."""

    planes: Planes
    place: int
    numbers: tuple[int, ...]

    def __call__(self, index: tuple[int, ...]) -> NDArray[Any]:
        at = self.numbers[index[self.place]]
        return self.planes((*index[: self.place], at, *index[self.place + 1 :]))


@dataclass(frozen=True)
class _Fixed:
    """Planes at one index of an axis, which is removed."""

    planes: Planes
    place: int

    def __call__(self, index: tuple[int, ...]) -> NDArray[Any]:
        return self.planes((*index[: self.place], 0, *index[self.place :]))


def check_axes(axes: str, *, argument: str = "axes") -> None:
    """Raise `InputError` unless the letters are in `AXES`, without repeats, and include Y and X."""
    known = ", ".join(f"{letter} ({meaning})" for letter, meaning in AXES.items())
    strange = sorted({letter for letter in axes if letter not in AXES})
    if strange or not axes:
        raise InputError(argument, repr(axes), f"letters of {known}")
    twice = sorted({letter for letter in axes if axes.count(letter) > 1})
    if twice:
        raise InputError(argument, f"{axes!r} with {', '.join(twice)} more than once", "each letter once")
    if "Y" not in axes or "X" not in axes:
        raise InputError(argument, repr(axes), "Y and X among the letters")
