"""The best plane as metadata of an OME-Zarr store, in the form that waveorder and VisCy read.

``focus_slice`` contains, by channel name, the statistics of the plane number over the whole data set
(``dataset_statistics``). For each image, it also contains the statistics over time (``fov_statistics``) and the plane
number at each time (``per_timepoint``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from defocus_backend.errors import FileError
from defocus_backend.io import is_store
from defocus_backend.io.atomic import reason
from defocus_backend.quality.table import Row

NAME = "focus_slice"
"""Key in the attributes of a group."""


def focus_slices(stacks: Iterable[Row]) -> dict[str, dict[str, Any]]:
    """Metadata of each image in a store, by the path of the image; ``""`` is the key of the whole store.

    Parameters
    ----------
    stacks : iterable of dict
        Rows of the table of stacks, all from one store. Rows without a best plane are ignored.

    Returns
    -------
    dict
    """
    planes: dict[str, dict[str, dict[str, int]]] = {}
    for row in stacks:
        if row["best_plane"] is not None:
            channel = row["channel_name"] or str(row["channel"])
            planes.setdefault(row["scene"], {}).setdefault(channel, {})[str(row["time"])] = int(row["best_plane"])
    together: dict[str, list[int]] = {}
    for channels in planes.values():
        for channel, times in channels.items():
            together.setdefault(channel, []).extend(times.values())
    whole = {channel: {"dataset_statistics": _statistics(numbers)} for channel, numbers in together.items()}
    result: dict[str, dict[str, Any]] = {"": whole} if whole else {}
    for scene, channels in planes.items():
        result[scene] = {
            channel: {
                **whole[channel],
                "fov_statistics": _mean_and_deviation(list(times.values())),
                "per_timepoint": times,
            }
            for channel, times in channels.items()
        }
    return result


def write_focus_slices(store: Path, stacks: Iterable[Row]) -> None:
    """Write the best planes into the attributes of a store and of its images.

    Entries of channels that were not measured are preserved.

    Raises
    ------
    FileError
        If it is not an OME-Zarr store, or cannot be written.
    """
    if not is_store(store):
        raise FileError(f"{store}: is not an OME-Zarr store; {NAME} can only be written to one")
    import zarr

    try:
        group = zarr.open_group(str(store), mode="r+")
        for scene, found in focus_slices(stacks).items():
            inner: Any = group[scene] if scene else group
            before: Any = inner.attrs.get(NAME, {})
            inner.attrs[NAME] = {**(before if isinstance(before, Mapping) else {}), **found}
    except Exception as error:  # codecs and file systems can raise any exception
        raise FileError(f"{store}: {NAME} cannot be written ({reason(error)})") from error


def _mean_and_deviation(numbers: list[int]) -> dict[str, float]:
    return {"z_focus_mean": float(np.mean(numbers)), "z_focus_std": float(np.std(numbers))}


def _statistics(numbers: list[int]) -> dict[str, float]:
    return {**_mean_and_deviation(numbers), "z_focus_min": int(min(numbers)), "z_focus_max": int(max(numbers))}
