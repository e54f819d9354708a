"""Distance from focus, from maps, fusions and whole pictures."""

from __future__ import annotations

import numpy as np

from defocus_backend.arguments import names_bad_arguments
from defocus_backend.calibration.model import DefocusCalibration, DefocusDistance
from defocus_backend.defocus import DefocusMap
from defocus_backend.errors import InputError
from defocus_backend.fusion.result import Fusion
from defocus_backend.params import QualityParams
from defocus_backend.quality.result import FocusQuality


@names_bad_arguments
def defocus_distance(
    found: DefocusMap | Fusion | FocusQuality, calibration: DefocusCalibration, *, channel: str | int = 0
) -> DefocusDistance:
    """Convert a measured blur to the distance from focus, without its sign.

    Parameters
    ----------
    found : DefocusMap, Fusion or FocusQuality
        Result of `defocus_map`, `fuse` or `focus_quality`, computed with the map method of the calibration. For a
        fusion, the sharpest slice is used at each pixel; for a picture, its median.
    calibration : DefocusCalibration
        See `calibrate_defocus` and `read_calibration`.
    channel : str or int
        Name or number of the channel of the calibration.

    Returns
    -------
    DefocusDistance
        |z - z0| and its standard error in the unit of the calibration: maps (H, W), or single numbers for a picture.
        NaN where the confidence of sigma is at most 0.3, and where the blur is beyond the calibrated range.

    Raises
    ------
    InputError
        If the map has no unit, or there is no such channel.

    Examples
    --------
    >>> import defocus_backend as db
    >>> calibration = db.read_calibration("10x.json")  # doctest: +SKIP
    >>> db.defocus_distance(db.defocus_map(image), calibration).distance  # doctest: +SKIP
    """
    one = calibration.channel(channel)
    if isinstance(found, FocusQuality):
        return one.distance(found.sigma_median)
    if not isinstance(found, DefocusMap | Fusion):
        raise InputError("found", type(found).__name__, "a DefocusMap, a Fusion or a FocusQuality")
    if isinstance(found, DefocusMap) and found.unit != "px":
        raise InputError("found", f"a map in the unit {found.unit!r}", "a map in pixels")
    sure = np.where(found.confidence > QualityParams.confident_above, found.sigma, np.nan)
    return one.distance(sure, pixels=True)
