"""Model of sigma as a function of the distance from focus, and its inverse.

The variances of defocus and of the blur of the optics add: ``sigma(z)^2 = sigma0^2 + (slope (z - z0))^2``. This is a
hyperbola with one slope below the focus and one above.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from defocus_backend.arguments import names_bad_arguments
from defocus_backend.errors import FileError, InputError
from defocus_backend.io import write_whole
from defocus_backend.io.atomic import reason
from defocus_backend.io.picture import as_path

Side = Literal["both", "below", "above"]

_FORMAT = "defocus-calibration"
_VERSION = 2
SPECIMEN_SHARE = 0.08
"""Relative standard deviation of the slope between specimens: the sharpness of their edges and their size affect sigma.
A single stack cannot show it; it was measured on simulated nuclei.
"""
PIXEL_SIGMA = 12**-0.5
"""Standard deviation of the width of a pixel, in pixels. A much smaller blur cannot be measured in a picture."""
SHARP_SIGMA = 0.5
"""Blur of a sharp picture from pixels and lens, in pixels, which sigma does not include."""

_SOFT = math.sqrt(2)
"""Ratio of sigma at the ends of the depth of field to sigma in focus: the area of the blur is doubled."""


@dataclass(frozen=True)
class DefocusDistance:
    """Distance from focus, without its sign.

    Attributes
    ----------
    distance : float32 array
        |z - z0| in the unit of the calibration; NaN where sigma is NaN or beyond the calibrated range.
    error : float32 array
        Standard error of the distance, for other specimens of the same kind as in the calibration. Near the focus,
        where sigma hardly changes, it is as large as the distance.
    """

    distance: NDArray[np.float32]
    error: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class ChannelCalibration:
    """The calibration of one channel.

    Attributes
    ----------
    name : str
    z0 : float
        Position of the focus in the centre of the field, on the axis of the calibration stack.
    sigma0 : float
        Sigma in focus, in pixels.
    slope_below, slope_above : float
        Increase of sigma below (z < z0) and above the focus, in pixels per unit of z.
    tilt_x, tilt_y : float
        Tilt of the focal surface over the field, in units of z per pixel to the right and downwards.
    bowl : float
        Curvature of the focal surface: its height above `z0` is ``bowl * r^2``, with r in pixels from the centre.
    reach_below, reach_above : float
        Largest distances from focus on either side in the fitted planes.
    sigma_range : (float, float)
        Smallest and largest fitted sigma, in pixels.
    error_constant, error_share : float
        Standard error of the median sigma of a block of 64 x 64 pixels: the square root of the sum of the squares of
        the constant, in pixels, and of the share times sigma.
    pixel_share : float
        Scatter of single pixels in their block, relative to sigma.
    residual : float
        Root mean square residual of the fit, in pixels.
    z, sigma, fitted : tuple of float
        Position, median sigma over the field, and fitted sigma of each used plane.
    """

    name: str
    z0: float
    sigma0: float
    slope_below: float
    slope_above: float
    tilt_x: float = 0.0
    tilt_y: float = 0.0
    bowl: float = 0.0
    reach_below: float
    reach_above: float
    sigma_range: tuple[float, float]
    error_constant: float
    error_share: float
    pixel_share: float
    residual: float
    z: tuple[float, ...] = ()
    sigma: tuple[float, ...] = ()
    fitted: tuple[float, ...] = ()

    @property
    def depth_of_field(self) -> float:
        """Depth over which the blur is less than the square root of 2 times that in focus, in units of z.

        The blur includes the half pixel of a sharp picture, because smaller additional blur is not visible.
        """
        least = math.hypot(self.sigma0, SHARP_SIGMA)
        return least * math.sqrt(_SOFT**2 - 1) * (1 / self.slope_below + 1 / self.slope_above)

    def sigma_at(self, offset: ArrayLike) -> NDArray[np.float64]:
        """Sigma in pixels at an offset from focus (z - z0), in units of z."""
        away = np.asarray(offset, dtype=np.float64)
        slope = np.where(away < 0, self.slope_below, self.slope_above)
        return np.hypot(self.sigma0, slope * away)

    def sigma_error(self, sigma: ArrayLike, *, pixels: bool = False) -> NDArray[np.float64]:
        """Standard error of a measured sigma in pixels, for the median of a block or (`pixels`) for single pixels."""
        values = np.asarray(sigma, dtype=np.float64)
        share = math.hypot(self.error_share, self.pixel_share if pixels else 0.0)
        return np.hypot(self.error_constant, share * values)

    def distance(self, sigma: ArrayLike, *, side: Side = "both", pixels: bool = False) -> DefocusDistance:
        """Convert sigma to the distance from focus.

        Parameters
        ----------
        sigma : array_like
            Sigma in pixels.
        side : {"both", "below", "above"}
            Side of the focus, if known. With "both", the mean slope is used, and the difference of the slopes adds to
            the error.
        pixels : bool
            Whether each value is that of a single pixel instead of a median over many pixels.

        Returns
        -------
        DefocusDistance

        Raises
        ------
        InputError
        """
        slopes = {
            "below": (self.slope_below,) * 2,
            "above": (self.slope_above,) * 2,
            "both": tuple(sorted((self.slope_below, self.slope_above))),
        }
        if side not in slopes:
            raise InputError("side", repr(side), ", ".join(slopes))
        low, high = slopes[side]
        values = np.asarray(sigma, dtype=np.float64)
        slope = (low + high) / 2
        error = self.sigma_error(values, pixels=pixels)
        found = self._offset(values) / slope
        # Both ends of the interval are propagated through the curve. Near the focus, linear propagation would give an
        # infinite error, and a sigma below that in focus is still compatible with small distances.
        least = self._offset(values - error) / slope
        most = self._offset(np.maximum(values, self.sigma0) + error) / slope
        spread = np.hypot(np.maximum(most - found, found - least), found * (high - low) / (2 * slope))
        spread = np.hypot(spread, SPECIMEN_SHARE * found)
        known = np.isfinite(values) & (values <= self.sigma_range[1] + error)
        return DefocusDistance(
            np.where(known, found, np.nan).astype(np.float32), np.where(known, spread, np.nan).astype(np.float32)
        )

    def _offset(self, sigma: NDArray[np.float64]) -> NDArray[np.float64]:
        """Part of sigma that is due to defocus, in pixels."""
        return np.sqrt(np.maximum(sigma**2 - self.sigma0**2, 0))

    def surface(self, shape: tuple[int, int]) -> NDArray[np.float32]:
        """Focal surface over a field (H, W): z at which each pixel is in focus."""
        y, x = (np.arange(n, dtype=np.float64) - (n - 1) / 2 for n in shape)
        plane = self.z0 + self.tilt_x * x[None, :] + self.tilt_y * y[:, None]
        return (plane + self.bowl * (x[None, :] ** 2 + y[:, None] ** 2)).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class DefocusCalibration:
    """A calibration of all channels of one instrument with one objective.

    Attributes
    ----------
    unit : str
        Unit of z, such as ``"um"``.
    pixel_size : float or None
        Size of a pixel in the same unit.
    refractive_index : float
        Refractive index of the immersion medium.
    shape : (int, int)
        Height and width of the field in pixels.
    map_method : str
        Method of the defocus map.
    weights : str
        Name of the file of weights; empty for the default weights of the method.
    channels : tuple of ChannelCalibration
    """

    unit: str
    pixel_size: float | None
    refractive_index: float = 1.0
    shape: tuple[int, int]
    map_method: str
    weights: str = ""
    channels: tuple[ChannelCalibration, ...]

    def check_method(self, map_method: str, weights: str | Path | None) -> None:
        """Raise an error for another network than that of the calibration, because each network has its own bias.

        Raises
        ------
        InputError
        """
        if (map_method, weights_name(weights)) != (self.map_method, self.weights):
            made, given = (
                method + (f" with the weights {name}" if name else "")
                for method, name in ((self.map_method, self.weights), (map_method, weights_name(weights)))
            )
            raise InputError("calibration", f"one made with {made}", f"one made with {given}, like the map")

    def channel(self, name: str | int = 0) -> ChannelCalibration:
        """Channel by its name or number; a single channel is returned for every name.

        Raises
        ------
        InputError
            If there is none.
        """
        if len(self.channels) == 1:
            return self.channels[0]
        for number, one in enumerate(self.channels):
            if name in (number, one.name, str(number)):
                return one
        raise InputError("channel", repr(name), "one of " + ", ".join(c.name for c in self.channels))

    def aperture(self, name: str | int = 0) -> float:
        """Effective numerical aperture: that of a lens whose geometric blur grows as fast as the measured one.

        Raises
        ------
        InputError
            If there is no pixel size.
        """
        if self.pixel_size is None:
            raise InputError("pixel_size", "None", "a pixel size, for the aperture")
        one = self.channel(name)
        slope = (one.slope_below + one.slope_above) / 2
        # The radius of the disc is twice its sigma, and equals |z| times the tangent of the half angle.
        return self.refractive_index * math.sin(math.atan(2 * slope * self.pixel_size))

    def tilt_degrees(self, name: str | int = 0) -> tuple[float, float]:
        """Tilt of the focal surface along x and y in degrees; raises `InputError` without a pixel size."""
        if self.pixel_size is None:
            raise InputError("pixel_size", "None", "a pixel size, for angles")
        one = self.channel(name)
        return (
            math.degrees(math.atan(one.tilt_x / self.pixel_size)),
            math.degrees(math.atan(one.tilt_y / self.pixel_size)),
        )


@names_bad_arguments
def write_calibration(path: str | Path, calibration: DefocusCalibration) -> None:
    """Write a calibration as JSON.

    Raises
    ------
    FileError
    """
    content = {"format": _FORMAT, "version": _VERSION, **asdict(calibration)}
    write_whole(as_path(path), (json.dumps(content, indent=1) + "\n").encode())


@names_bad_arguments
def read_calibration(path: str | Path) -> DefocusCalibration:
    """Read a calibration from a file of `write_calibration`.

    Raises
    ------
    FileError
        If it cannot be read, or is not a calibration.
    """
    path = as_path(path)
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({reason(error)})") from error
    except ValueError as error:
        raise FileError(f"{path}: is not JSON ({reason(error)})") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise FileError(f"{path}: is not a calibration of defocus; `defocus calibrate` writes one")
    if content.get("version") not in (1, _VERSION):
        raise FileError(f"{path}: is version {content.get('version')!r} of the format; expected {_VERSION}")
    try:
        if content["version"] == 1:  # both in one text
            content["map_method"], _, content["weights"] = content["method"].partition(", ")
        channels = tuple(_channel(one) for one in content["channels"])
        rest = {f.name: content[f.name] for f in fields(DefocusCalibration) if f.name != "channels"}
        rest["shape"] = _pair(rest["shape"])
        if not channels:
            raise ValueError("no channels")
        return DefocusCalibration(**rest, channels=channels)
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(f"{path}: lacks a part of a calibration ({reason(error)})") from error


def weights_name(weights: str | Path | None) -> str:
    """Name of weights for a calibration file, which is valid on other machines too."""
    return "" if weights is None else Path(weights).name


def _channel(content: dict[str, Any]) -> ChannelCalibration:
    given = {f.name: content[f.name] for f in fields(ChannelCalibration)}
    for name, value in given.items():
        if name != "name" and not isinstance(value, list) and not math.isfinite(value):
            raise ValueError(f"{name} is {value}")
    for name in ("z", "sigma", "fitted"):
        given[name] = tuple(given[name])
    given["sigma_range"] = _pair(given["sigma_range"])
    if not (given["slope_below"] > 0 and given["slope_above"] > 0):
        raise ValueError("a slope is not above 0")
    return ChannelCalibration(**given)


def _pair(values: Sequence[Any]) -> tuple[Any, Any]:
    first, second = values
    return first, second
