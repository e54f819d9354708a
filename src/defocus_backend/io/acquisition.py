"""Time, stage position and exposure of the planes of an image (OME-XML), and which of these apply to a result."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from defocus_backend.io.units import canonical, ome_symbol

_VALUES = {"DeltaT": "s", "ExposureTime": "s", "PositionX": "", "PositionY": "", "PositionZ": ""}
"""Attributes of a plane in OME-XML, with their default units."""

_AXES = "TCZ"
_OPTICS = (
    *("AcquisitionMode", "ContrastMethod", "Fluor", "IlluminationType", "NDFilter", "PockelCellSetting"),
    *("EmissionWavelength", "EmissionWavelengthUnit", "ExcitationWavelength", "ExcitationWavelengthUnit"),
    *("PinholeSize", "PinholeSizeUnit"),
)
"""Attributes of a channel in OME-XML other than its name and colour."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Acquisition:
    """Acquisition metadata of the planes of an image; empty if unknown.

    Attributes
    ----------
    date : str
        Start of the acquisition, in the format of the file.
    significant_bits : int or None
        Number of bits per sample that carry values, such as 12 of 16.
    stored_as : str
        Type of the samples to which `significant_bits` applies, such as ``"uint16"``.
    axes : str
        Letters of the axes of `values`.
    values : mapping of str to array
        For every plane: ``DeltaT`` since the start, ``ExposureTime``, and the stage position ``PositionX``,
        ``PositionY``, ``PositionZ``. NaN where a value is missing.
    units : mapping of str to str
        Unit of each of the `values`.
    """

    date: str = ""
    significant_bits: int | None = None
    stored_as: str = ""
    axes: str = ""
    values: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Acquisition):
            return NotImplemented
        mine, theirs = (
            (a.date, a.significant_bits, a.stored_as, a.axes, a.units, set(a.values)) for a in (self, other)
        )
        return mine == theirs and all(
            np.array_equal(v, other.values[name], equal_nan=True) for name, v in self.values.items()
        )

    __hash__ = None  # type: ignore[assignment]  # like other records that contain mappings

    def __bool__(self) -> bool:
        return bool(self.date or self.significant_bits or self.values)

    def take(self, axis: str, numbers: Sequence[int]) -> Acquisition:
        """Acquisition of some indices of an axis."""
        if axis not in self.axes or max(numbers) >= self._sizes[axis]:
            return self
        place = self.axes.index(axis)
        return replace(self, values={name: np.take(v, numbers, place) for name, v in self.values.items()})

    def over(self, axis: str) -> Acquisition:
        """Acquisition of a picture that combines all planes along an axis, such as a fused picture.

        Its time is that of the first plane. An exposure time or a stage position remains if all planes share it.
        ``PositionZ`` is dropped for a combination of depths; the height map has it for each pixel.
        """
        if axis not in self.axes:
            return self
        place = self.axes.index(axis)
        found = {}
        for name, values in self.values.items():
            least, largest = np.fmin.reduce(values, place), np.fmax.reduce(values, place)
            known = np.isfinite(values).all(axis=place)
            if name == "DeltaT":
                found[name] = np.where(known, least, np.nan)
            else:
                shared = known & np.isclose(least, largest, rtol=1e-9, atol=0)
                found[name] = np.where(shared, least, np.nan)
        return replace(self, axes=self.axes.replace(axis, ""), values=found)

    def renamed(self) -> Acquisition:
        """The part of the acquisition that does not depend on the names of the axes."""
        return replace(self, axes="", values={}, units={})

    @property
    def _sizes(self) -> dict[str, int]:
        first = next(iter(self.values.values()), np.zeros((0,) * len(self.axes)))
        return dict(zip(self.axes, first.shape, strict=True))

    def as_planes(self, axes: str, sizes: Mapping[str, int]) -> list[dict[str, Any]]:
        """Attributes in OME-XML of every plane of an image, in the order of its axes; empty if there are none.

        Parameters
        ----------
        axes : str
            Axes of the planes, letters of T, C and Z, slowest first. Other axes are reduced by `over`.
        sizes : mapping of str to int
            Length of each axis.
        """
        if not self.values:
            return []
        kept = self
        for axis in self.axes:
            if axis not in axes or self._sizes[axis] != sizes[axis]:
                kept = kept.over(axis)
        shape = [sizes[axis] for axis in axes]
        planes: list[dict[str, Any]] = [{} for _ in range(math.prod(shape))]
        order = [kept.axes.index(axis) for axis in axes if axis in kept.axes]
        for name, values in kept.values.items():
            turned = values.transpose(order).reshape([sizes[a] if a in kept.axes else 1 for a in axes])
            for plane, value in zip(planes, np.broadcast_to(turned, shape).ravel().tolist(), strict=True):
                if math.isfinite(value):
                    plane[name] = value
                    if unit := self.units.get(name):
                        plane[f"{name}Unit"] = unit
        return planes if any(planes) else []


def acquisition_of(image: Element, pixels: Element) -> Acquisition:
    """Acquisition of the planes of one image from OME-XML; malformed values are left out."""
    date = image.findtext("{*}AcquisitionDate") or ""
    bits = None
    with contextlib.suppress(TypeError, ValueError):
        bits = int(pixels.get("SignificantBits"))  # type: ignore[arg-type]
    channels = len(pixels.findall("{*}Channel"))
    sizes = [int(pixels.get("SizeT", 1)), channels or int(pixels.get("SizeC", 1)), int(pixels.get("SizeZ", 1))]
    values: dict[str, NDArray[np.float64]] = {}
    units: dict[str, str] = {}
    for plane in pixels.iterfind("{*}Plane"):
        for name, usual in _VALUES.items():
            with contextlib.suppress(TypeError, ValueError, IndexError):
                at = tuple(int(plane.get(f"The{axis}", 0)) for axis in _AXES)
                value = float(plane.get(name))  # type: ignore[arg-type]
                symbol = ome_symbol(canonical(plane.get(f"{name}Unit") or usual), time=bool(usual)) or ""
                # No known program mixes units between planes, so there is no conversion.
                if min(at) >= 0 and units.setdefault(name, symbol) == symbol:
                    values.setdefault(name, np.full(sizes, np.nan))[at] = value
    return Acquisition(
        date=date,
        significant_bits=bits,
        stored_as=str(pixels.get("Type", "")),
        axes=_AXES if values else "",
        values=values,
        units={name: unit for name, unit in units.items() if name in values},
    )


def optics_of(channel: Element) -> dict[str, str]:
    """Attributes of a channel in OME-XML other than its name and colour."""
    return {name: str(channel.get(name)) for name in _OPTICS if channel.get(name)}
