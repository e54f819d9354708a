"""Shallow depth of field: areas that are out of focus are blurred more, and sharp areas stay sharp.

Equations 11 and 12 of Galetto and Deng (2021), made monotonic: as printed, eq 12 is symmetric about a blur of 10 px, so
that the most blurred pixels would stay sharp.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from defocus_backend.arguments import names_bad_arguments
from defocus_backend.arrays import as_image_and_map, as_map, to_map
from defocus_backend.device import device_errors, resolve_device
from defocus_backend.errors import InputError
from defocus_backend.filters import gaussian_blur, guided_filter
from defocus_backend.filters.disc import blur_in_light
from defocus_backend.filters.fill import fill_from_surroundings
from defocus_backend.params import ShallowParams, SharpenParams
from defocus_backend.progress import CancelCallback, ProgressCallback, Reporter

_P = ShallowParams
_ADVICE = "use a smaller image or device='cpu'"
_TURN = 10.0
"""Blur in pixels at which the weight of eq 12 is zero. For larger blur, the weight is also zero."""


@dataclass(frozen=True)
class ShallowDepthOfField:
    """Result of `shallow_depth_of_field`.

    Attributes
    ----------
    image : array
        Result, in the dtype and layout of the input.
    weights : (H, W) float32 array
        W of eq 12: 1 where the pixel stays sharp, 0 where it is fully blurred.
    background : array
        Blurred image, B of eq 11, in the dtype and layout of the input.
    sharpened : array
        Sharpened image, S of eq 11, in the dtype and layout of the input.
    """

    image: NDArray[Any]
    weights: NDArray[np.float32]
    background: NDArray[Any]
    sharpened: NDArray[Any]


def weight_parameters(params: ShallowParams) -> tuple[float, float]:
    """Exponent gamma and scale s of eq 12 from the two points (c0, W0) and (c1, W1).

    Raises
    ------
    InputError
        If c0 is not below c1.
    """
    near, far = params.sharp_below, params.blur_above
    if not near < far:
        raise InputError("sharp_below", f"{near:g} px", f"less than blur_above, {far:g} px")
    high, low = -math.log1p(-params.sharp_weight), -math.log1p(-params.blur_weight)
    gamma = (math.log(high) - math.log(low)) / (math.log(_TURN - near) - math.log(_TURN - far))
    return gamma, (_TURN - near) / high ** (1 / gamma)


def weight_curve(sigma: Tensor, params: ShallowParams, focus: float | None = None) -> Tensor:
    """Weight of eq 12 for sigma in pixels, of any shape, made non-increasing; NaN gives weight 0."""
    gamma, scale = weight_parameters(params)
    blur = sigma if focus is None else (sigma - focus).abs()
    blur = torch.nan_to_num(blur, nan=_TURN).clamp(0, _TURN)
    return -torch.expm1(-(((_TURN - blur) / scale) ** gamma))


@names_bad_arguments
def shallow_weights(
    sigma: ArrayLike,
    *,
    sharp_below: float = _P.sharp_below,
    blur_above: float = _P.blur_above,
    sharp_weight: float = _P.sharp_weight,
    blur_weight: float = _P.blur_weight,
    focus: float | None = None,
) -> NDArray[np.float32]:
    """Weight of the sharp image at every pixel (eq 12).

    Parameters
    ----------
    sigma : (H, W) array_like
        Defocus map in pixels.
    sharp_below, blur_above : float
        Blur in pixels, c0 and c1, at which the weight equals `sharp_weight` and `blur_weight`.
    sharp_weight, blur_weight : float
        Weights W0, near 1, and W1, near 0.
    focus : float or None
        Blur in pixels that counts as in focus. The difference to it is then used instead of sigma.

    Returns
    -------
    (H, W) float32 array
        Weight between 0 and 1, non-increasing with sigma; 0 where sigma is NaN.

    Raises
    ------
    InputError
        For a parameter out of range, or c0 not below c1.
    """
    params = ShallowParams(
        sharp_below=sharp_below, blur_above=blur_above, sharp_weight=sharp_weight, blur_weight=blur_weight
    )
    return to_map(weight_curve(as_map(sigma), params, _check_focus(focus)))


@names_bad_arguments
def shallow_depth_of_field(
    image: ArrayLike,
    sigma: ArrayLike,
    *,
    channel_axis: int | None = None,
    sharp_below: float = _P.sharp_below,
    blur_above: float = _P.blur_above,
    sharp_weight: float = _P.sharp_weight,
    blur_weight: float = _P.blur_weight,
    sharpen_gain: float = _P.sharpen_gain,
    blur: str = _P.blur,
    radius: int = _P.radius,
    edge_tolerance: float = _P.edge_tolerance,
    iterations: int = _P.iterations,
    lens_radius: float = _P.lens_radius,
    highlights: float = _P.highlights,
    fill_subject: bool = _P.fill_subject,
    focus: float | None = None,
    value_range: tuple[float, float] | None = None,
    device: str | torch.device = "auto",
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
) -> ShallowDepthOfField:
    """Blur areas that are out of focus and keep sharp areas sharp (eq 11).

    Parameters
    ----------
    image : (H, W) or, with `channel_axis`, (H, W, C) array_like
        Image of any dtype; an alpha channel is not changed.
    sigma : (H, W) array_like
        Defocus map of the image in pixels.
    channel_axis : int or None
        Axis of the colour channels.
    sharp_below, blur_above, sharp_weight, blur_weight, focus
        Parameters of the weight map, see `shallow_weights`.
    sharpen_gain : float
        Gain of the unsharp mask in the sharp part.
    blur : {"guided", "lens"}
        Iterated self-guided filter as in the paper, or the disc of a lens. For a radius of 16 or more, the guided
        filter is computed on means over cells of an eighth of the radius. These have less variance, so fine texture is
        blurred more than in the paper.
    radius, edge_tolerance, iterations : int, float, int
        Radius in pixels, edge tolerance in squared gray values of the 0..255 scale, and number of passes of the guided
        filter.
    lens_radius, highlights : float
        Radius of the lens disc in pixels, and the exponent that converts gray values to light.
    fill_subject : bool
        Fill the subject with the surrounding background before blurring, so that the subject's colour does not bleed
        into the background.
    value_range : (float, float) or None
        See `defocus_map`.
    device : str or torch.device
        Where to compute.
    progress, cancel : callable or None
        See `defocus_backend.progress`.

    Returns
    -------
    ShallowDepthOfField

    Raises
    ------
    InputError, DeviceError, Cancelled
    """
    params = ShallowParams(
        sharp_below=sharp_below,
        blur_above=blur_above,
        sharp_weight=sharp_weight,
        blur_weight=blur_weight,
        sharpen_gain=sharpen_gain,
        blur=blur,
        radius=radius,
        edge_tolerance=edge_tolerance,
        iterations=iterations,
        lens_radius=lens_radius,
        highlights=highlights,
        fill_subject=fill_subject,
    )
    ready = ShallowRenderer(image, sigma, channel_axis=channel_axis, value_range=value_range, device=device)
    return ready.apply(params, focus=focus, progress=progress, cancel=cancel)


class ShallowRenderer:
    """Prepared image and map, so that after a change of a parameter only the affected steps are computed again.

    Nearly all of the time is needed for the blurred background, which is cached until its own parameters change.
    Intended for previews that follow a slider. Results equal those of `shallow_depth_of_field`.

    Parameters
    ----------
    image, sigma, channel_axis, value_range, device
        See `shallow_depth_of_field`.

    Raises
    ------
    InputError, DeviceError
    """

    @names_bad_arguments
    def __init__(
        self,
        image: ArrayLike,
        sigma: ArrayLike,
        *,
        channel_axis: int | None = None,
        value_range: tuple[float, float] | None = None,
        device: str | torch.device = "auto",
    ) -> None:
        where = resolve_device(device)
        with device_errors(_ADVICE):
            self._source, self._sigma = as_image_and_map(
                image, sigma, channel_axis=channel_axis, value_range=value_range, device=where
            )
        self._detail: Tensor | None = None
        self._sharpened = _Kept()
        self._background = _Kept()

    def weights(self, params: ShallowParams, *, focus: float | None = None) -> NDArray[np.float32]:
        """Weights (H, W) of the sharp image, see `shallow_weights`."""
        return to_map(weight_curve(self._sigma, params, _check_focus(focus)))

    def needs_background(self, params: ShallowParams, focus: float | None = None) -> bool:
        """Whether `apply` with these arguments has to blur the background again."""
        return self._background.key != _background_key(params, focus)

    def can_estimate(self, params: ShallowParams) -> bool:
        """Whether the last background differs from the required one only in the filled subject."""
        key = self._background.key
        return key is not None and key[0] == _background_key(params, None)[0]

    def apply(
        self,
        params: ShallowParams,
        *,
        focus: float | None = None,
        estimate: bool = False,
        progress: ProgressCallback | None = None,
        cancel: CancelCallback | None = None,
    ) -> ShallowDepthOfField:
        """Blur with these parameters.

        Parameters
        ----------
        params : ShallowParams
            See `shallow_depth_of_field`.
        focus : float or None
            See `shallow_weights`.
        estimate : bool
            Reuse the last background if only the weights differ. This is an approximation, because `fill_subject` has
            then filled a slightly different area, but it is fast enough for a slider.
        progress, cancel : callable or None
            See `defocus_backend.progress`.

        Returns
        -------
        ShallowDepthOfField

        Raises
        ------
        InputError, DeviceError, Cancelled
        """
        source, pixels = self._source, self._source.pixels
        weights = weight_curve(self._sigma, params, _check_focus(focus))
        with torch.inference_mode(), device_errors(_ADVICE):
            if self._detail is None:
                self._detail = pixels - gaussian_blur(pixels, SharpenParams.low_pass)
            if self._sharpened.key != (params.sharpen_gain,):
                sharpened = pixels + params.sharpen_gain * self._detail
                self._sharpened = _Kept((params.sharpen_gain,), sharpened, source.restore(sharpened))
            kept = estimate and self.can_estimate(params)
            if self.needs_background(params, focus) and not kept:
                behind = fill_from_surroundings(pixels, 1 - weights) if params.fill_subject else pixels
                background = _blur_background(behind, params, progress, cancel)
                self._background = _Kept(_background_key(params, focus), background, source.restore(background))
            mixed = weights * self._sharpened.pixels
            mixed += (1 - weights) * self._background.pixels
        return ShallowDepthOfField(
            image=source.restore(mixed),
            weights=to_map(weights),
            background=self._background.restored.copy(),
            sharpened=self._sharpened.restored.copy(),
        )


@dataclass(frozen=True)
class _Kept:
    """A cached intermediate image, its parameters, and its form for the caller."""

    key: tuple[Any, ...] | None = None
    pixels: Tensor = field(default_factory=lambda: torch.empty(0))
    restored: NDArray[Any] = field(default_factory=lambda: np.empty(0))


def _background_key(params: ShallowParams, focus: float | None) -> tuple[Any, Any]:
    """Parameters on which the background depends: the blur and the filled subject."""
    lens = params.blur == "lens"
    kernel = (
        (params.lens_radius, params.highlights) if lens else (params.radius, params.edge_tolerance, params.iterations)
    )
    how = (params.blur, params.fill_subject, *kernel)
    weights = (params.sharp_below, params.blur_above, params.sharp_weight, params.blur_weight, focus)
    return how, weights if params.fill_subject else None


def _blur_background(
    pixels: Tensor, params: ShallowParams, progress: ProgressCallback | None, cancel: CancelCallback | None
) -> Tensor:
    if params.blur == "lens":
        reporter = Reporter(1, "blurs", progress, cancel)
        reporter.check()
        blurred = blur_in_light(pixels, params.lens_radius, params.highlights)
        reporter.advance()
        return blurred
    reporter = Reporter(params.iterations, "filter iterations", progress, cancel)
    reporter.check()
    # Coefficients vary on the scale of the radius, so a grid of an eighth of it is fine enough.
    subsample = max(1, params.radius // 8)
    for _ in range(params.iterations):
        pixels = guided_filter(
            pixels, pixels, radius=params.radius, eps=params.edge_tolerance / 255**2, subsample=subsample
        )
        reporter.advance()
    return pixels


def _check_focus(focus: float | None) -> float | None:
    if focus is not None and not (math.isfinite(focus) and focus >= 0):
        raise InputError("focus", repr(focus), "a blur of at least 0 px")
    return focus
