"""Distance from focus, computed with a calibration file, as an additional map of pictures and stacks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from defocus_backend.params import MapParams
from defocus_backend.pipeline.options import DistanceParams
from defocus_backend.pipeline.run import Run
from defocus_backend.render import Scale

if TYPE_CHECKING:
    from defocus_backend.calibration import DefocusCalibration, DefocusDistance
    from defocus_backend.defocus import DefocusMap
    from defocus_backend.fusion import Fusion

KINDS = ("defocus", "defocus_error")
"""The maps that are written, as endings of their names."""


class Distance:
    """A calibration that was read from a file, and the channel of it that is used."""

    def __init__(self, calibration: DefocusCalibration, channel: str | int) -> None:
        self.calibration, self._channel = calibration, channel
        calibration.channel(channel)

    @classmethod
    def of(cls, asked: DistanceParams, maps: MapParams, judged: str | int = 0) -> Distance | None:
        """Read the calibration that the options name; None if they name none.

        Parameters
        ----------
        asked : DistanceParams
        maps : MapParams
            Method and weights must be those of the calibration.
        judged : str or int
            Channel in which focus is estimated.

        Raises
        ------
        InputError, FileError
        """
        if asked.calibration is None:
            return None
        from defocus_backend.calibration import read_calibration

        calibration = read_calibration(asked.calibration)
        calibration.check_method(maps.map_method, maps.weights)
        return cls(calibration, judged if asked.channel is None else asked.channel)

    @property
    def unit(self) -> str:
        """Unit of the distance."""
        return self.calibration.unit

    def from_focus(self, run: Run, found: DefocusMap | Fusion) -> DefocusDistance:
        """Compute the distance of each pixel and its error; report the share of pixels without a distance."""
        from defocus_backend.calibration import defocus_distance

        distance = defocus_distance(found, self.calibration, channel=self._channel)
        blurred = found.sigma > self.calibration.channel(self._channel).sigma_range[1]
        beyond = float(np.mean(blurred & ~np.isfinite(distance.distance)))
        if beyond:
            run.tell(f"{beyond:.0%} of the pixels are more blurred than the calibration covers and have no distance")
        return distance

    def add(self, run: Run, stem: Path, found: DefocusMap | Fusion, **about: Any) -> None:
        """Add the maps ``NAME_defocus`` and ``NAME_defocus_error`` to the files of a run."""
        one = self.calibration.channel(self._channel)
        distance = self.from_focus(run, found)
        reach = max(one.reach_below, one.reach_above)
        scale = Scale(low=0, high=reach, label=f"distance from focus / {self.unit}", colormap="viridis")
        run.add_map(KINDS[0], stem, distance.distance, scale, **about)
        run.add_map(KINDS[1], stem, distance.error, None, **about)
