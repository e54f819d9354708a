"""Autofocus from two or three pictures. A calibrated sigma gives the distance; the other pictures give its sign."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from defocus_backend.arguments import names_bad_arguments
from defocus_backend.calibration.model import PIXEL_SIGMA, ChannelCalibration, DefocusCalibration
from defocus_backend.errors import InputError
from defocus_backend.params import QualityParams, SigmaParams
from defocus_backend.quality.focus import QualityEstimator

_FINE = 400
"""Number of positions that are compared over the reach of the calibration, on either side of the pictures."""
_SCALES = np.exp(np.linspace(-0.3, 0.3, 13))
"""Factors on the slope, because other specimens than that of the calibration appear slightly sharper or softer."""
_SCALE_ERROR = 0.1
"""Standard deviation of the logarithm of this factor."""
_SOFTNESS = np.linspace(0, 2, 9)
"""Intrinsic blur of a specimen in pixels, in addition to that in the calibration, because not every specimen has sharp
edges."""
_SOFTNESS_ERROR = 0.7
"""Standard deviation of the intrinsic blur. Nuclei in focus have 0.1 to 1 px in `benchmarks/micrometres.py`."""
_AMBIGUOUS = 4.0
"""Another minimum is equally good if its chi squared differs by less than this."""


@dataclass(frozen=True)
class Focused:
    """Estimated position of the focus.

    Attributes
    ----------
    z : float
        Most likely position.
    error : float
        Standard error of `z`.
    other : float or None
        A second position that explains the pictures equally well, because a single picture does not give the sign.
    misfit : float
        Root mean square residual in standard errors. If it is far above 1, the calibration does not fit the pictures.
    """

    z: float
    error: float
    other: float | None
    misfit: float


@dataclass(frozen=True)
class Autofocus:
    """Result of `autofocus`.

    Attributes
    ----------
    focused : bool
        Whether the stage is now in focus, within the tolerance.
    z : float
        Position of the stage.
    error : float
        Standard error of this position as the focus; NaN if no focus was found.
    reason : str
        Reason why the stage is not in focus; empty if it is.
    pictures : tuple of (float, float)
        Position and median sigma of each picture; sigma is NaN if there was nothing to judge.
    """

    focused: bool
    z: float
    error: float
    reason: str
    pictures: tuple[tuple[float, float], ...]


@names_bad_arguments
def locate_focus(z: Sequence[float], sigma: Sequence[float], calibration: ChannelCalibration) -> Focused:
    """Estimate the position of the focus from one or more pictures at known positions.

    All positions within the reach of the calibration are compared by least squares. Differences between specimens are
    fitted too: a factor on the slope, of about 10 %, and the intrinsic blur of the specimen.

    Parameters
    ----------
    z : sequence of float
        Positions of the pictures, on any axis with the unit of the calibration.
    sigma : sequence of float
        Median sigma of the pictures in pixels.
    calibration : ChannelCalibration

    Returns
    -------
    Focused

    Raises
    ------
    InputError
        If there is no picture, or if the lengths do not match.
    """
    places, blurs = np.asarray(z, dtype=np.float64), np.asarray(sigma, dtype=np.float64)
    if places.ndim != 1 or not len(places) or places.shape != blurs.shape or not np.isfinite(blurs).all():
        raise InputError("sigma", f"{len(np.atleast_1d(blurs))} values", "a finite sigma for each position")
    reach = max(calibration.reach_below, calibration.reach_above)
    wide = np.linspace(places.min() - 1.1 * reach, places.max() + 1.1 * reach, 4 * _FINE + 1)
    cost, _ = _chi_squared(wide, places, blurs, calibration)
    step = float(wide[1] - wide[0])
    centre = float(wide[cost.argmin()])
    fine = np.linspace(centre - step, centre + step, 41)
    fine_cost, parts = _chi_squared(fine, places, blurs, calibration)
    at = int(fine_cost.argmin())
    found, least = float(fine[at]), float(fine_cost[at])
    mode = _mode_around(centre, wide, cost)
    weight = np.exp(-0.5 * np.minimum(cost - least, 60)) * mode
    spread = math.sqrt(float((weight * (wide - found) ** 2).sum() / weight.sum()))
    apart = ~mode & (cost < least + _AMBIGUOUS)
    other = float(wide[apart][cost[apart].argmin()]) if apart.any() else None
    return Focused(found, max(spread, step / 3), other, math.sqrt(float(parts[at]) / len(places)))


def _chi_squared(
    trial: NDArray[np.float64], z: NDArray[np.float64], sigma: NDArray[np.float64], calibration: ChannelCalibration
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cost of each trial position with the best slope and intrinsic blur, and the cost without their penalties."""
    offset = (z[:, None, None, None] - trial[:, None, None]) * _SCALES[:, None]
    expected = np.hypot(calibration.sigma_at(offset), _SOFTNESS)
    error = np.hypot(calibration.sigma_error(expected), PIXEL_SIGMA)
    parts = np.square((sigma[:, None, None, None] - expected) / error).sum(axis=0)
    prior = np.square(np.log(_SCALES) / _SCALE_ERROR)[:, None] + np.square(_SOFTNESS / _SOFTNESS_ERROR)
    total = (parts + prior).reshape(len(trial), -1)
    best = total.argmin(axis=1)
    rows = np.arange(len(trial))
    return total[rows, best], parts.reshape(len(trial), -1)[rows, best]


def _mode_around(found: float, trial: NDArray[np.float64], cost: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mask of the trial positions that belong to the same minimum as the found position."""
    at = int(np.abs(trial - found).argmin())
    low = cost < cost[at] + _AMBIGUOUS
    first, last = at, at
    while first > 0 and low[first - 1]:
        first -= 1
    while last < len(trial) - 1 and low[last + 1]:
        last += 1
    mode = np.zeros(len(trial), dtype=bool)
    mode[first : last + 1] = True
    return mode


class _Driver:
    """Takes pictures at positions and stores their results."""

    def __init__(
        self,
        snap: Callable[[], ArrayLike],
        move: Callable[[float], Any],
        estimator: QualityEstimator,
        channel_axis: int | None,
    ) -> None:
        self._snap, self._move, self._estimator, self._axis = snap, move, estimator, channel_axis
        self.pictures: list[tuple[float, float]] = []
        self.reason = ""
        self.z = math.nan

    def go(self, z: float) -> None:
        self._move(z)
        self.z = z

    def look(self) -> float:
        """Median sigma at the current position; NaN if there is nothing to judge."""
        found = self._estimator.measure(self._snap(), channel_axis=self._axis)
        self.reason = found.reason
        self.pictures.append((self.z, found.sigma_median))
        return found.sigma_median

    def known(self) -> tuple[list[float], list[float]]:
        """Positions and sigmas of the pictures that could be judged."""
        some = [(z, s) for z, s in self.pictures if math.isfinite(s)]
        return [z for z, _ in some], [s for _, s in some]

    def end(self, reason: str, error: float = math.nan) -> Autofocus:
        return Autofocus(not reason, self.z, error, reason, tuple(self.pictures))


@names_bad_arguments
def autofocus(
    snap: Callable[[], ArrayLike],
    move: Callable[[float], Any],
    calibration: DefocusCalibration,
    *,
    start: float,
    channel: str | int = 0,
    tolerance: float | None = None,
    most_pictures: int = 3,
    limits: tuple[float, float] = (-math.inf, math.inf),
    channel_axis: int | None = None,
    weights: str | Path | None = None,
    device: str = "auto",
) -> Autofocus:
    """Move a stage into focus by means of a calibrated sigma.

    The first picture gives the distance, the second its sign, and the third confirms and refines the position. If
    nothing can be judged in the field, the stage returns to its start. If the focus is not known within the tolerance,
    the stage moves to the most likely position, the result is not called in focus, and `Autofocus.reason` states the
    error.

    Parameters
    ----------
    snap : callable
        ``snap()`` takes a picture (H, W[, C]).
    move : callable
        ``move(z)`` moves the stage to a position and returns when it has arrived.
    calibration : DefocusCalibration
        Calibration of this objective, see `calibrate_defocus`.
    start : float
        Current position of the stage, in the unit of the calibration.
    channel : str or int
        Name or number of the channel of the calibration.
    tolerance : float or None
        Largest accepted distance from focus; by default half the depth of field.
    most_pictures : int
        Largest number of pictures, at least 2.
    limits : (float, float)
        Limits of the stage position.
    channel_axis : int or None
        Channel axis of the pictures.
    weights, device
        See `focus_quality`; the weights must be those of the calibration.

    Returns
    -------
    Autofocus

    Raises
    ------
    InputError
        If the start is outside the limits, or an option is out of range.

    Examples
    --------
    ``autofocus(core.snap, lambda z: (core.setPosition(z), core.waitForDevice(stage)), calibration,
    start=core.getPosition())`` with `pymmcore-plus`.
    """
    low, high = limits
    if not low <= start <= high:
        raise InputError("start", f"{start:g}", f"a position from {low:g} to {high:g}")
    if most_pictures < 2:
        raise InputError("most_pictures", repr(most_pictures), "at least 2")
    one = calibration.channel(channel)
    near = one.depth_of_field / 2 if tolerance is None else tolerance
    if not near > 0:
        raise InputError("tolerance", repr(tolerance), "more than 0")
    calibration.check_method(calibration.map_method, weights)
    maps = SigmaParams(map_method=calibration.map_method, weights=weights, refine=False)
    driver = _Driver(snap, move, QualityEstimator(QualityParams(), maps, device=device), channel_axis)
    driver.go(start)
    first = driver.look()
    if not math.isfinite(first):
        return driver.end(f"nothing to judge: {driver.reason}")
    found = locate_focus(*driver.known(), one)
    if first > one.sigma_range[1] + 2 * float(one.sigma_error(first)):
        return driver.end(f"sigma {first:.1f} px is beyond the calibration ({one.sigma_range[1]:.1f} px)")
    while len(driver.pictures) < most_pictures:
        # Two standard errors: near the focus, a single picture does not decide between both sides.
        if found.other is None and 2 * found.error <= near and abs(found.z - driver.z) <= near:
            break
        target = _within(found, low, high)
        if target is None:
            driver.go(start)
            return driver.end("the focus is beyond the limits of the stage")
        driver.go(target)
        if not math.isfinite(driver.look()):
            # Too blurred to judge, so the focus is on the other side.
            z, sigma = driver.known()
            found = locate_focus([*z, driver.z], [*sigma, one.sigma_range[1]], one)
            continue
        found = locate_focus(*driver.known(), one)
    if found.misfit > 3 or not low <= found.z <= high:
        driver.go(start)
        return driver.end("the pictures do not agree with the calibration")
    if found.other is not None and abs(found.other - found.z) > 2 * near:
        driver.go(start)
        return driver.end("the side of the focus could not be determined")
    driver.go(found.z)
    if found.error > near:
        return driver.end(
            f"the focus is only known to within {found.error:.2g}; the tolerance is {near:.2g}", found.error
        )
    return driver.end("", found.error)


def _within(found: Focused, low: float, high: float) -> float | None:
    """The more likely position within the limits of the stage."""
    for z in (found.z, found.other):
        if z is not None and low <= z <= high:
            return z
    return None
