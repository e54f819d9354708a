"""Measure one piece: one row per plane, stack and object, and a thumbnail."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from defocus_backend.batch.thumbnails import encode_thumbnail
from defocus_backend.errors import FileError, InputError
from defocus_backend.io import Calibration, ImageND, read_image
from defocus_backend.params import QualityParams, SigmaParams
from defocus_backend.progress import ProgressCallback
from defocus_backend.quality.focus import QualityEstimator
from defocus_backend.quality.pieces import Piece, open_piece
from defocus_backend.quality.result import FocusQuality
from defocus_backend.quality.series import best_plane
from defocus_backend.stacks import open_stack

Row = dict[str, Any]

THUMBNAIL_SIDE = 200
_MICRONS = {"nm": 1e-3, "µm": 1.0, "um": 1.0, "micron": 1.0, "mm": 1e3}


@dataclass(frozen=True)
class Settings:
    """Settings of a measurement, which are the same for all pieces.

    Attributes
    ----------
    params : QualityParams
        Thresholds in pixels, or in micrometres with `in_microns`.
    maps : SigmaParams
    device, value_range
        See `focus_quality`.
    in_microns : bool
        Whether the thresholds of `params` are in micrometres.
    pixel_size : float or None
        Size of a pixel in micrometres; by default as stated in each file.
    z_step : float or None
        Distance between neighbouring planes in micrometres; by default as stated in each file.
    channels : tuple of str
        Names or numbers of the channels to measure; all if empty.
    axes : str or None
        See `open_nd`.
    labels : str
        A label image, or a folder with a label image of the same name for each picture; empty for none.
    """

    params: QualityParams = field(default_factory=QualityParams)
    maps: SigmaParams = field(default_factory=lambda: SigmaParams(refine=False))
    device: str = "auto"
    value_range: tuple[float, float] | None = None
    in_microns: bool = False
    pixel_size: float | None = None
    z_step: float | None = None
    channels: tuple[str, ...] = ()
    axes: str | None = None
    labels: str = ""


@dataclass(frozen=True)
class _Plane:
    """One plane with its metadata."""

    about: Row
    channel: int
    read: Any
    channel_axis: int | None


def measure_piece(argument: tuple[Piece, Settings], progress: ProgressCallback) -> Row:
    """Measure all planes of a piece; this is the task of the pool.

    Returns
    -------
    dict
        ``planes``, ``stacks`` and ``objects`` are lists of rows; ``thumbnails`` has a base64 JPEG for each stack or
        single plane.

    Raises
    ------
    FileError, InputError
    """
    piece, settings = argument
    planes, known = _planes(piece, settings)
    size = settings.pixel_size or _in_microns(known, "X")
    if settings.in_microns and size is None:
        raise InputError("--unit", "um without a pixel size", "a file that states it, or --pixel-size")
    scale = size if settings.in_microns and size else 1.0
    step = settings.z_step or _in_microns(known, "Z")
    labels = _labels(piece, settings)
    result: Row = {"planes": [], "stacks": [], "objects": [], "thumbnails": []}
    for number, group in enumerate(planes):
        rows, found, shown = [], [], None
        for at, plane in enumerate(group):
            pixels = plane.read()
            quality = _estimator(settings, scale).measure(
                pixels, channel_axis=plane.channel_axis, labels=labels, value_range=settings.value_range
            )
            rows.append({**plane.about, **_row(quality, size), **_position(plane.about, step)})
            result["objects"] += _object_rows(plane.about, quality)
            if shown is None or _better(quality, shown[0]):
                shown = quality, pixels, plane.channel_axis
            found.append(quality)
            progress(number * len(group) + at + 1, len(planes) * len(group), "planes")
        if len(rows) > 1:
            result["stacks"].append(_stack_row(rows, found, step))
        result["planes"] += rows
        assert shown is not None
        jpeg = encode_thumbnail(_shown(shown[1], shown[2]), THUMBNAIL_SIDE)
        result["thumbnails"].append(base64.b64encode(jpeg).decode())
    return result


@lru_cache(maxsize=4)
def _estimator(settings: Settings, scale: float) -> QualityEstimator:
    """The estimator, loaded once per process, with thresholds converted to pixels of this size."""
    params = settings.params
    in_pixels = QualityParams(
        sharp_below=params.sharp_below / scale,
        blurred_above=params.blurred_above / scale,
        confident_above=params.confident_above,
        least_informative=params.least_informative,
    )
    return QualityEstimator(in_pixels, settings.maps, device=settings.device)


def _planes(piece: Piece, settings: Settings) -> tuple[list[list[_Plane]], Calibration]:
    """Planes of each channel in the order of z, and the calibration stated in the file."""
    about: Row = {"file": str(piece.files[0]), "scene": str(piece.scene or ""), **_numbers(piece)}
    if piece.error:
        raise FileError(piece.error)
    if len(piece.files) > 1:
        stack = open_stack(piece.files)
        group = [
            _Plane(
                {**about, "file": str(path), "channel": 0, "channel_name": "", "plane": n},
                0,
                _Slice(stack, n),
                stack.channel_axis,
            )
            for n, path in enumerate(piece.files)
        ]
        return [group], Calibration()
    image = open_piece(piece, settings.axes)
    colour = -1 if image.axes.endswith("S") else None
    names = [channel.name or "" for channel in image.calibration.channels]
    groups = []
    for channel in _chosen(image, settings.channels):
        one = image if "C" not in image.axes else image.pick("C", channel)
        name = names[channel] if channel < len(names) else ""
        here = {**about, "channel": channel, "channel_name": name}
        count = one.sizes.get("Z", 1)
        groups.append([_Plane({**here, "plane": n}, channel, _Slice(one, n), colour) for n in range(count)])
    return groups, image.calibration


@dataclass(frozen=True)
class _Slice:
    """Reads one plane of an image or a stack."""

    source: Any
    number: int

    def __call__(self) -> NDArray[Any]:
        if isinstance(self.source, ImageND) and "Z" not in self.source.axes:
            return np.asarray(self.source[...])
        return np.asarray(self.source[self.number])


def _numbers(piece: Piece) -> Row:
    index = dict(piece.index)
    return {"position": index.get("P", 0), "time": index.get("T", 0)}


def _chosen(image: ImageND, wanted: tuple[str, ...]) -> Iterator[int]:
    count = image.sizes.get("C", 1)
    if not wanted:
        yield from range(count)
        return
    names = [channel.name for channel in image.calibration.channels]
    for name in wanted:
        if name in names:
            yield names.index(name)
        elif name.isdigit() and int(name) < count:
            yield int(name)
        else:
            known = ", ".join(filter(None, names)) or "none is named"
            raise InputError(
                "--channels", repr(name), f"a number from 0 to {count - 1} or a name of {image.path}: {known}"
            )


def _in_microns(known: Calibration, axis: str) -> float | None:
    unit = _MICRONS.get(known.units.get(axis, ""))
    return None if unit is None or axis not in known.spacing else known.spacing[axis] * unit


def _labels(piece: Piece, settings: Settings) -> NDArray[Any] | None:
    if not settings.labels:
        return None
    place = Path(settings.labels)
    if place.is_dir():
        beside = [p for p in sorted(place.iterdir()) if p.stem == piece.files[0].stem]
        if not beside:
            raise FileError(f"{place}: contains no label image named {piece.files[0].stem}")
        place = beside[0]
    return read_image(place).array


def _row(quality: FocusQuality, size: float | None) -> Row:
    return {
        "verdict": quality.verdict,
        "reason": quality.reason,
        "sigma_median_px": quality.sigma_median,
        "sigma_p10_px": quality.sigma_p10,
        "sigma_median_um": None if size is None else quality.sigma_median * size,
        "in_focus_share": quality.in_focus,
        "informative_share": quality.informative,
        "noise": quality.noise,
        "saturated_share": quality.saturated,
        "power_log_log_slope": quality.power_slope,
        "variance_of_laplacian": quality.laplacian_variance,
    }


def _position(about: Row, step: float | None) -> Row:
    return {"z_um": None if step is None else about["plane"] * step, "best_plane": None}


def _better(one: FocusQuality, other: FocusQuality) -> bool:
    return np.isfinite(one.sigma_median) and not one.sigma_median >= other.sigma_median


def _stack_row(rows: list[Row], found: list[FocusQuality], step: float | None) -> Row:
    best = best_plane([quality.blocks for quality in found], z_step=step)
    for number, row in enumerate(rows):
        row["best_plane"] = number == best.index
    keys = ("file", "scene", "position", "time", "channel", "channel_name")
    chosen: Mapping[str, Any] = rows[best.index] if best.index is not None else {}
    reasons = sorted({q.reason for q in found})
    return {
        **{key: rows[0][key] for key in keys},
        "planes": len(rows),
        "best_plane": best.index,
        "best_z": best.z,
        "z_unit": "planes" if step is None else "um",
        "at_end": best.at_end,
        "verdict": chosen.get("verdict", "nothing to judge"),
        "reason": "" if chosen else "; ".join(reasons),
        "sigma_median_px": chosen.get("sigma_median_px"),
        "in_focus_share": chosen.get("in_focus_share"),
        "curve": [quality.sigma_median for quality in found],
    }


def _object_rows(about: Row, quality: FocusQuality) -> list[Row]:
    return [
        {
            **about,
            "label": one.label,
            "pixels": one.pixels,
            "verdict": one.verdict,
            "sigma_median_px": one.sigma_median,
            "sigma_p10_px": one.sigma_p10,
            "in_focus_share": one.in_focus,
            "informative_share": one.informative,
        }
        for one in quality.objects
    ]


def _shown(pixels: NDArray[Any], channel_axis: int | None) -> NDArray[Any]:
    return pixels if channel_axis is None else np.moveaxis(pixels, channel_axis, -1)
