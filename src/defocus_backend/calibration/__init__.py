"""Defocus in micrometres, by a calibration of sigma with a stack of known z."""

from defocus_backend.calibration.autofocus import Autofocus, Focused, autofocus, locate_focus
from defocus_backend.calibration.distance import defocus_distance
from defocus_backend.calibration.fit import calibrate_defocus, fit_calibration
from defocus_backend.calibration.model import (
    ChannelCalibration,
    DefocusCalibration,
    DefocusDistance,
    read_calibration,
    write_calibration,
)

__all__ = [
    "Autofocus",
    "ChannelCalibration",
    "DefocusCalibration",
    "DefocusDistance",
    "Focused",
    "autofocus",
    "calibrate_defocus",
    "defocus_distance",
    "fit_calibration",
    "locate_focus",
    "read_calibration",
    "write_calibration",
]
