"""Microscope formats (CZI, ND2, LIF, ...), read by bioio and its plugins, which the user installs."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from defocus_backend.errors import FileError, InputError
from defocus_backend.io.atomic import reason
from defocus_backend.io.formats import ND_FORMATS, ND_READ_SUFFIXES, READ_SUFFIXES
from defocus_backend.io.tiff_nd import choose_scene
from defocus_backend.io.volumes import AXES, Calibration, Channel, ImageND


def _open(path: Path) -> Any:
    needs = next((one.needs for one in ND_FORMATS.values() if one.needs and one.fits(path)), "")
    also = f" and pip install {needs}" if needs else ""
    unknown = f"the format is unknown; known are {READ_SUFFIXES}, {ND_READ_SUFFIXES}"
    try:
        from bioio import BioImage
    except ImportError as error:
        why = "its format needs" if needs else f"{unknown}; for others, install"
        raise FileError(f'{path}: {why} the library bioio; pip install "napari-defocus[bioio]"{also}') from error
    try:
        return BioImage(path)
    except Exception as error:  # readers can raise any exception
        why = unknown if "Unsupported" in type(error).__name__ else reason(error)
        raise FileError(f"{path}: cannot be read by bioio ({why}){also}") from error


class BioPlanes:
    """Planes of one scene, read by bioio one at a time."""

    def __init__(self, path: Path, scene: int, order: str, leading: int, *, opened: Any = None) -> None:
        self.path, self.scene, self.order, self.leading = path, scene, order, leading
        self._opened = opened
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return BioPlanes, (self.path, self.scene, self.order, self.leading)

    def __call__(self, index: tuple[int, ...]) -> NDArray[Any]:
        """The plane at an index of the leading axes."""
        with self._lock:
            if self._opened is None:
                self._opened = _open(self.path)
            try:
                self._opened.set_scene(self.scene)
                fixed = dict(zip(self.order[: self.leading], index, strict=True))
                data = self._opened.get_image_dask_data(self.order[self.leading :], **fixed)
                return np.asarray(data.compute(scheduler="synchronous"))
            except Exception as error:
                raise FileError(f"{self.path}: cannot be read by bioio ({reason(error)})") from error


def open_bioio(path: Path, scene: int | str) -> ImageND:
    """One scene of a file that bioio can read."""
    image = _open(path)
    try:
        names = tuple(map(str, image.scenes))
        number = choose_scene(path, names, scene)
        image.set_scene(number)
        given = dict(zip(image.dims.order, map(int, image.dims.shape), strict=True))
        dtype = np.dtype(image.dtype)
        calibration = _calibration(image, given)
    except InputError:
        raise
    except Exception as error:
        raise FileError(f"{path}: cannot be read by bioio ({reason(error)})") from error
    strange = [a for a, n in given.items() if a not in AXES and n > 1]
    if strange:
        raise FileError(f"{path}: has the axes {''.join(given)}; expected only {', '.join(AXES)}")
    # bioio presents every image as TCZYX, including axes of length one.
    axes = "".join(a for a, n in given.items() if a not in "YXS" and (n > 1 or a == "C")) + "YX"
    axes += "S" if given.get("S", 1) > 1 else ""
    if "C" in axes and given["C"] == 1:
        axes = axes.replace("C", "")
    leading = axes.index("Y")
    return ImageND(
        path=path,
        axes=axes,
        shape=tuple(given[a] for a in axes),
        dtype=dtype,
        planes=BioPlanes(path, number, axes, leading, opened=image),
        calibration=calibration,
        scene=names[number],
        scenes=names,
        format=f"{path.suffix.lstrip('.').upper()} through bioio",
    )


def _calibration(image: Any, sizes: dict[str, int]) -> Calibration:
    spacing, units = {}, {}
    found = image.physical_pixel_sizes
    for axis in "ZYX":
        size = getattr(found, axis, None)
        if size is not None and 0 < size < np.inf:
            spacing[axis], units[axis] = float(size), "µm"  # bioio always gives micrometres
    with contextlib.suppress(Exception):
        interval = image.time_interval
        seconds = interval.total_seconds() if hasattr(interval, "total_seconds") else float(interval)
        if seconds > 0:
            spacing, units = {"T": seconds, **spacing}, {"T": "s", **units}
    names = image.channel_names or []
    channels = tuple(Channel(name=str(n)) for n in names) if len(names) == sizes.get("C", 1) else ()
    return Calibration(spacing=spacing, units=units, channels=channels)
