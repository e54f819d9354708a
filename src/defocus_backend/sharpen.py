"""Adaptive unsharp masking: strong where an image is slightly soft, none where it is sharp or far out of focus.

Equations 7 to 10 of Galetto and Deng (2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from defocus_backend.arguments import names_bad_arguments
from defocus_backend.arrays import as_image_and_map, as_map, to_map
from defocus_backend.classifier.networks import LEVELS
from defocus_backend.device import device_errors, resolve_device
from defocus_backend.filters import gaussian_blur
from defocus_backend.params import SharpenParams

_P = SharpenParams
_ADVICE = "sharpen a part of the image or use device='cpu'"
MAX_SIGMA = LEVELS - 1
_TENTHS = 2 * math.log(9)  # between the arguments at which a logistic curve is at 0.1 and at 0.9


@dataclass(frozen=True)
class Sharpened:
    """Result of `sharpen`.

    Attributes
    ----------
    image : array
        Sharpened image, in the dtype and layout of the input.
    gain : (H, W) float32 array
        Gain lambda of eq 8 at every pixel.
    low_pass : array
        Low-passed image B of eq 7, in the dtype and layout of the input.
    """

    image: NDArray[Any]
    gain: NDArray[np.float32]
    low_pass: NDArray[Any]


def gain_curve(sigma: Tensor, params: SharpenParams) -> Tensor:
    """Gain of eqs 8 to 10 for sigma in pixels, of any shape; NaN gives gain 0."""
    known = torch.nan_to_num(sigma, nan=float(MAX_SIGMA))
    # In place, because a live preview repeats this.
    gain = (known - params.rise_at).mul_(_TENTHS / params.rise_width).sigmoid_()
    # 1 - sigmoid(t) is sigmoid(-t), without the rounding of the subtraction.
    falling = known.sub_(params.fall_at).mul_(-_TENTHS / params.fall_width).sigmoid_()
    return gain.mul_(params.max_gain).mul_(falling).masked_fill_(sigma.isnan(), 0.0)


@names_bad_arguments
def gain_map(
    sigma: ArrayLike,
    *,
    max_gain: float = _P.max_gain,
    rise_at: float = _P.rise_at,
    rise_width: float = _P.rise_width,
    fall_at: float = _P.fall_at,
    fall_width: float = _P.fall_width,
) -> NDArray[np.float32]:
    """Sharpening gain of every pixel from its blur (eqs 8 to 10).

    Parameters
    ----------
    sigma : (H, W) array_like
        Defocus map, as Gaussian sigma in pixels. It is not normalised by its maximum.
    max_gain : float
        Gain that the curve approaches between its two flanks; lambda_max in the paper.
    rise_at, fall_at : float
        Blur in pixels at which the gain rises and falls through half of its maximum: 19 times the paper's beta1 and
        beta2.
    rise_width, fall_width : float
        Range of blur in pixels over which the gain changes between 10 % and 90 %: 19 * 2 ln(9) / alpha, with the
        paper's alpha1 and alpha2.

    Returns
    -------
    (H, W) float32 array
        Gain between 0 and `max_gain`; 0 where sigma is NaN.

    Raises
    ------
    InputError
        For a parameter out of its range or a map that is not two-dimensional.
    """
    params = SharpenParams(
        max_gain=max_gain, rise_at=rise_at, rise_width=rise_width, fall_at=fall_at, fall_width=fall_width
    )
    return to_map(gain_curve(as_map(sigma), params))


@names_bad_arguments
def sharpen(
    image: ArrayLike,
    sigma: ArrayLike,
    *,
    channel_axis: int | None = None,
    max_gain: float = _P.max_gain,
    rise_at: float = _P.rise_at,
    rise_width: float = _P.rise_width,
    fall_at: float = _P.fall_at,
    fall_width: float = _P.fall_width,
    low_pass: float = _P.low_pass,
    value_range: tuple[float, float] | None = None,
    device: str | torch.device = "auto",
) -> Sharpened:
    """Sharpen an image with a gain that depends on the blur of each pixel (eq 7 with the gain of eq 8).

    Parameters
    ----------
    image : (H, W) or, with `channel_axis`, (H, W, C) array_like
        Image of any dtype; an alpha channel is not changed.
    sigma : (H, W) array_like
        Defocus map of the image in pixels, such as from `defocus_map`.
    channel_axis : int or None
        Axis of the colour channels.
    max_gain, rise_at, rise_width, fall_at, fall_width : float
        Parameters of the gain curve, see `gain_map`.
    low_pass : float
        Sigma in pixels of the Gaussian low pass B.
    value_range : (float, float) or None
        See `defocus_map`.
    device : str or torch.device
        Where to compute.

    Returns
    -------
    Sharpened
        The result, clipped once, at the end, to the range of the input's dtype.

    Raises
    ------
    InputError, DeviceError
    """
    params = SharpenParams(
        max_gain=max_gain,
        rise_at=rise_at,
        rise_width=rise_width,
        fall_at=fall_at,
        fall_width=fall_width,
        low_pass=low_pass,
    )
    return Sharpener(image, sigma, channel_axis=channel_axis, value_range=value_range, device=device).apply(params)


class Sharpener:
    """Prepared image and map, so that after a change of a parameter only the affected steps are computed again.

    If only the gain curve changes, the low-passed image is reused; only eq 8, one product, one sum and the clipping
    remain. Intended for previews that follow a slider. Results equal those of `sharpen`.

    Parameters
    ----------
    image, sigma, channel_axis, value_range, device
        See `sharpen`.

    Raises
    ------
    InputError, DeviceError

    Examples
    --------
    >>> from skimage import data
    >>> import numpy as np
    >>> import defocus_backend as db
    >>> photo = data.camera()
    >>> ready = db.Sharpener(photo, np.full(photo.shape, 4.0))
    >>> results = [ready.apply(db.SharpenParams(max_gain=gain)) for gain in (1, 2, 4)]
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
        self._low_pass = 0.0

    def apply(self, params: SharpenParams) -> Sharpened:
        """Sharpen with these parameters.

        Raises
        ------
        DeviceError
        """
        with torch.inference_mode(), device_errors(_ADVICE):
            if params.low_pass != self._low_pass:
                smooth = gaussian_blur(self._source.pixels, params.low_pass)
                self._smooth = self._source.restore(smooth)
                self._detail = self._source.pixels - smooth
                self._low_pass = params.low_pass
            gain = gain_curve(self._sigma, params)
            sharp = (self._detail * gain).add_(self._source.pixels)
        return Sharpened(image=self._source.restore(sharp), gain=to_map(gain), low_pass=self._smooth.copy())
