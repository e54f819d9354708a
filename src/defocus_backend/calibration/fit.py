"""Fit of a calibration to a stack of a flat object with known z."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from defocus_backend.arguments import names_bad_arguments
from defocus_backend.calibration.model import ChannelCalibration, DefocusCalibration, weights_name
from defocus_backend.errors import InputError
from defocus_backend.fusion.positions import z_positions
from defocus_backend.params import QualityParams, SigmaParams
from defocus_backend.progress import CancelCallback, ProgressCallback, Reporter
from defocus_backend.quality.focus import QualityEstimator
from defocus_backend.quality.result import FocusQuality
from defocus_backend.quality.structure import BLOCK

LARGEST = 14.0
"""Largest sigma of the planes that are used, in pixels; the networks cannot measure larger ones."""

_LEAST_PLANES = 5
_LEAST_BLOCKS = 9
"""Smallest number of blocks for a fit of tilt and curvature; with fewer, the focal surface is assumed to be flat."""
_ROUND = 4


@dataclass(frozen=True)
class _Samples:
    """Blocks of all planes that can be judged."""

    z: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    sigma: NDArray[np.float64]
    curved: bool


@names_bad_arguments
def calibrate_defocus(
    stack: Sequence[ArrayLike] | Iterable[ArrayLike],
    *,
    z: ArrayLike | None = None,
    z_step: float | None = None,
    unit: str = "um",
    pixel_size: float | None = None,
    refractive_index: float = 1.0,
    name: str = "",
    channel_axis: int | None = None,
    value_range: tuple[float, float] | None = None,
    map_method: str = SigmaParams.map_method,
    weights: str | Path | None = None,
    device: str = "auto",
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
) -> DefocusCalibration:
    """Calibrate sigma against z with a stack of a flat object that extends to both sides of the focus.

    Parameters
    ----------
    stack : sequence of (H, W[, C]) array_like
        The planes, read one at a time.
    z : (N,) array_like or None
        Position of each plane in `unit`, increasing or decreasing.
    z_step : float or None
        Distance between neighbouring planes, instead of `z`.
    unit : str
        Unit of z and of the pixel size.
    pixel_size : float or None
        Size of a pixel, for the aperture and the tilt angles.
    refractive_index : float
        Refractive index of the immersion medium.
    name : str
        Name of the channel, or its wavelength.
    channel_axis, value_range, map_method, weights, device
        See `focus_quality`.
    progress, cancel : callable or None
        Called once per plane, see `defocus_backend.progress`.

    Returns
    -------
    DefocusCalibration
        Calibration of one channel.

    Raises
    ------
    InputError
        For invalid arguments, if too little of the stack can be judged, or if its focus is at one of its ends.
    """
    planes = list(stack) if not isinstance(stack, Sequence | np.ndarray) else stack
    positions = z_positions(z, z_step, len(planes))
    if z is None and z_step is None:
        raise InputError("z_step", "None", "the distance between planes, or their positions z")
    maps = SigmaParams(map_method=map_method, weights=weights, refine=False)
    estimator = QualityEstimator(QualityParams(), maps, device=device)
    reporter = Reporter(len(planes), "planes", progress, cancel)
    measured: list[FocusQuality] = []
    shape = (0, 0)
    for plane in planes:
        pixels = np.asarray(plane)
        measured.append(estimator.measure(pixels, channel_axis=channel_axis, value_range=value_range))
        shape = tuple(n for axis, n in enumerate(pixels.shape) if channel_axis is None or axis != channel_axis % 3)
        reporter.advance()
    channel = fit_calibration(measured, positions, shape, name=name)
    return DefocusCalibration(
        unit=unit,
        pixel_size=pixel_size,
        refractive_index=refractive_index,
        shape=shape,
        map_method=map_method,
        weights=weights_name(weights),
        channels=(channel,),
    )


def fit_calibration(
    measured: Sequence[FocusQuality], z: ArrayLike, shape: tuple[int, int], *, name: str = ""
) -> ChannelCalibration:
    """Fit the hyperbola and the focal surface over the field to measured planes.

    Parameters
    ----------
    measured : sequence of FocusQuality
        One result per plane.
    z : (N,) array_like
        Positions of the planes.
    shape : (int, int)
        Height and width of the planes in pixels.
    name : str
        Name of the channel.

    Returns
    -------
    ChannelCalibration

    Raises
    ------
    InputError
        If fewer than five planes can be judged, or if they are not on both sides of the focus.
    """
    positions = z_positions(z, None, len(measured))
    samples = _collect(measured, positions, shape)
    found = _solve(samples, positions)
    focus, sigma0, below, above, *surface = found
    tilt_x, tilt_y, bowl = surface if samples.curved else (0.0, 0.0, 0.0)
    fitted = _model(found, samples)
    residual = samples.sigma - fitted
    constant, share = _error_model(fitted, residual)
    offset = samples.z - _surface(found, samples)
    if not (offset.min() < 0 < offset.max()):
        raise InputError("stack", "a focus at the end of the planes", "planes on both sides of the focus")
    used = [n for n, one in enumerate(measured) if np.isfinite(one.blocks).any() and one.sigma_median <= LARGEST]
    scatter = [one.scatter / one.sigma_median for one in measured if one.sigma_median > 1]
    known = [float(z_n) for z_n in positions[used]]
    planes = [float(measured[n].sigma_median) for n in used]
    return ChannelCalibration(
        name=name,
        z0=float(focus),
        sigma0=float(sigma0),
        slope_below=float(below),
        slope_above=float(above),
        tilt_x=float(tilt_x),
        tilt_y=float(tilt_y),
        bowl=float(bowl),
        reach_below=float(-offset.min()),
        reach_above=float(offset.max()),
        sigma_range=(float(sigma0), float(fitted.max())),
        error_constant=constant,
        error_share=share,
        pixel_share=float(np.nanmedian(scatter)) if scatter else 0.0,
        residual=float(np.sqrt(np.mean(residual**2))),
        z=tuple(round(v, _ROUND) for v in known),
        sigma=tuple(round(v, _ROUND) for v in planes),
        fitted=tuple(round(float(v), _ROUND) for v in _hyperbola(found, np.asarray(known) - focus)),
    )


def _collect(measured: Sequence[FocusQuality], z: NDArray[np.float64], shape: tuple[int, int]) -> _Samples:
    blocks = np.stack([one.blocks for one in measured]).astype(np.float64)
    held = np.isfinite(blocks) & (blocks <= LARGEST)
    if held.any(axis=(1, 2)).sum() < _LEAST_PLANES:
        raise InputError("stack", f"{int(held.any(axis=(1, 2)).sum())} planes that can be judged", f"{_LEAST_PLANES}")
    plane, row, column = np.nonzero(held)
    centre = [(np.minimum((i + 1) * BLOCK, n) + i * BLOCK - n) / 2 for i, n in ((row, shape[0]), (column, shape[1]))]
    fields = held.any(axis=0)
    curved = bool(fields.sum() >= _LEAST_BLOCKS and min(np.ptp(np.nonzero(fields), axis=1)) >= 2)
    return _Samples(z[plane], centre[1], centre[0], blocks[held], curved)


def _surface(parameters: NDArray[np.float64], samples: _Samples) -> NDArray[np.float64]:
    """Position of the focus at the place of each sample."""
    focus: NDArray[np.float64] = np.full(samples.z.shape, parameters[0])
    if samples.curved:
        tilt_x, tilt_y, bowl = parameters[4:]
        focus += tilt_x * samples.x + tilt_y * samples.y + bowl * (samples.x**2 + samples.y**2)
    return focus


def _hyperbola(parameters: NDArray[np.float64], offset: NDArray[np.float64]) -> NDArray[np.float64]:
    slope = np.where(offset < 0, parameters[2], parameters[3])
    return np.asarray(np.hypot(parameters[1], slope * offset))


def _model(parameters: NDArray[np.float64], samples: _Samples) -> NDArray[np.float64]:
    return _hyperbola(parameters, samples.z - _surface(parameters, samples))


def _solve(samples: _Samples, z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Robust least squares fit of relative residuals, starting from the plane with the smallest median."""
    from scipy.optimize import least_squares

    planes = np.unique(samples.z)
    medians = np.array([np.median(samples.sigma[samples.z == one]) for one in planes])
    start_z, start_s = float(planes[medians.argmin()]), float(max(medians.min(), 0.1))
    away = np.abs(planes - start_z)
    far = away > 0
    slope = float(np.median(np.sqrt(np.maximum(medians[far] ** 2 - start_s**2, 1e-4)) / away[far]))
    slope = max(slope, 1e-3 / float(np.ptp(z)))
    scale = float(np.hypot(samples.x, samples.y).max()) if samples.curved else 1.0
    # Lengths are scaled so that the terms of the surface have a similar size as the others.
    units = np.array([1 / slope, 1.0, slope, slope, *([1 / slope / scale] * 2 + [1 / slope / scale**2])])
    units = units if samples.curved else units[:4]
    start = np.array([start_z / units[0], start_s, 1.0, 1.0, *[0.0] * (len(units) - 4)])
    lower = np.array([-np.inf, 0.01, 0.05, 0.05, *[-np.inf] * (len(units) - 4)])
    weight = 1 / np.hypot(0.15, 0.1 * samples.sigma)

    def cost(p: NDArray[np.float64]) -> NDArray[np.float64]:
        return (_model(p * units, samples) - samples.sigma) * weight

    solved = least_squares(cost, start, bounds=(lower, np.inf), loss="soft_l1")
    return np.asarray(solved.x * units)


def _error_model(fitted: NDArray[np.float64], residual: NDArray[np.float64]) -> tuple[float, float]:
    """Constant and proportional part of the standard error of a block's sigma, from a line fit of squared residuals.

    The squared residuals are fitted over sigma squared. Both parts are then scaled so that 68.3 % of the residuals are
    within one standard error.
    """
    from scipy.optimize import nnls

    design = np.stack([np.ones_like(fitted), fitted**2], axis=1) / (0.1 + fitted[:, None] ** 2)
    (constant, share), _ = nnls(design, residual**2 / (0.1 + fitted**2))
    constant, share = max(constant, 1e-4), max(share, 1e-4)
    normal = np.abs(residual) / np.sqrt(constant + share * fitted**2)
    factor = max(1e-3, float(np.quantile(normal, 0.683)))
    return float(np.sqrt(constant) * factor), float(np.sqrt(share) * factor)
