"""Focus of one picture as a few numbers and a verdict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from defocus_backend.arguments import names_bad_arguments
from defocus_backend.arrays import Image, as_image
from defocus_backend.defocus import DefocusEstimator
from defocus_backend.device import device_errors, resolve_device
from defocus_backend.errors import InputError
from defocus_backend.params import QualityParams, SigmaParams
from defocus_backend.progress import CancelCallback, ProgressCallback
from defocus_backend.quality.classic import laplacian_variance, power_slope
from defocus_backend.quality.result import FocusQuality, ObjectQuality, Verdict
from defocus_backend.quality.structure import (
    BLOCK,
    LEAST_SIDE,
    Blocks,
    block_medians,
    noise_level,
    spread,
    structured_blocks,
)

_STEP = 4
"""Only every fourth pixel along both axes is used, because maps vary slowly. This halves the time."""
_FULL_SCALES = tuple(2**bits - 1 for bits in (8, 10, 12, 14, 16))
_PLATEAU = 1e-3
"""If at least this share of the pixels has the largest value, it counts as the end of the range."""


class QualityEstimator:
    """Measures the focus of any number of pictures with a network that is loaded once.

    Parameters
    ----------
    params : QualityParams
    maps : SigmaParams
        Method of the defocus map, which must be in pixels.
    device : str or torch.device

    Raises
    ------
    WeightsError, InputError, DeviceError
    """

    def __init__(
        self,
        params: QualityParams | None = None,
        maps: SigmaParams | None = None,
        *,
        device: str | torch.device = "auto",
    ) -> None:
        self.params = params or QualityParams()
        self._device = resolve_device(device)
        self._maps = DefocusEstimator(maps or SigmaParams(refine=False), device=self._device)

    def measure(
        self,
        image: ArrayLike,
        *,
        channel_axis: int | None = None,
        labels: ArrayLike | None = None,
        value_range: tuple[float, float] | None = None,
        progress: ProgressCallback | None = None,
        cancel: CancelCallback | None = None,
    ) -> FocusQuality:
        """Measure the focus of one picture, see `focus_quality`."""
        source = as_image(image, channel_axis=channel_axis, value_range=value_range, may_be_missing=True)
        objects = None if labels is None else _check_labels(labels, source.shape)
        saturated = _saturated(image, channel_axis, source)
        scale = source.high - source.low
        gray = source.gray.numpy() * np.float32(scale)
        valid = None if source.valid is None else source.valid.numpy()
        reason = _why_not(gray, valid, saturated)
        structured = np.zeros((0, 0), dtype=bool)
        if not reason:
            whole = np.issubdtype(source.dtype, np.integer)
            structured = structured_blocks(gray, rounding=1.0 if whole else 0.0)
            reason = "" if structured.any() else "no structure beyond noise"
        if reason:
            return self._nothing(gray, scale, reason, saturated, objects)
        with device_errors("use device='cpu' or a smaller tile"), torch.inference_mode():
            # Objects are small, so all their pixels are used.
            step = 1 if objects is not None or min(source.shape) < 2 * BLOCK else _STEP
            maps = self._maps.sample(source.to(self._device), step, progress=progress, cancel=cancel)
            sigma, confidence = (m.cpu().numpy() for m in maps)
        return self._judge(gray, scale, sigma, confidence, valid, structured, saturated, objects)

    def _judge(
        self,
        gray: NDArray[np.float32],
        scale: float,
        sigma: NDArray[np.float32],
        confidence: NDArray[np.float32],
        valid: NDArray[np.bool_] | None,
        structured: NDArray[np.bool_],
        saturated: NDArray[np.bool_],
        objects: NDArray[np.intp] | None,
    ) -> FocusQuality:
        step = -(-gray.shape[0] // sigma.shape[0])
        grid = (slice(None, None, step),) * 2
        sure = confidence > self.params.confident_above
        held = sure & ~saturated[grid] & spread(structured, gray.shape, step)
        count = sure.size
        if valid is not None:
            held &= valid[grid]
            count = max(1, int(valid[grid].sum()))
        share = float(held.sum()) / count
        if share < self.params.least_informative:
            why = "structure too faint for a confident estimate"
            return self._nothing(gray, scale, why, saturated, objects, informative=share)
        values = sigma[held]
        median, tenth = (float(v) for v in np.percentile(values, (50, 10)))
        blocks = block_medians(sigma, held, step)
        return FocusQuality(
            verdict=self.verdict(median, tenth),
            reason="",
            sigma_median=median,
            sigma_p10=tenth,
            in_focus=float((values < self.params.sharp_below).mean()),
            informative=share,
            blocks=blocks,
            scatter=_scatter(sigma, held, blocks, gray.shape, step),
            objects=self._objects(sigma, confidence, valid, structured, saturated, objects),
            **_plain_measures(gray, scale, saturated),
        )

    def verdict(self, median: float, tenth: float) -> Verdict:
        """Verdict for a median and a 10th percentile of sigma, in pixels."""
        if not np.isfinite(median):
            return "nothing to judge"
        if median < self.params.sharp_below:
            return "in focus"
        return "out of focus" if tenth > self.params.blurred_above else "soft"

    def _nothing(
        self,
        gray: NDArray[np.float32],
        scale: float,
        reason: str,
        saturated: NDArray[np.bool_],
        objects: NDArray[np.intp] | None,
        informative: float = 0.0,
    ) -> FocusQuality:
        shape = tuple(-(-n // BLOCK) for n in gray.shape)
        none = np.zeros(gray.shape, dtype=bool)
        return FocusQuality(
            verdict="nothing to judge",
            reason=reason,
            sigma_median=np.nan,
            sigma_p10=np.nan,
            in_focus=np.nan,
            informative=informative,
            blocks=np.full(shape, np.nan, dtype=np.float32),
            objects=() if objects is None else self._per_object(np.zeros_like(gray), none, objects),
            **_plain_measures(gray, scale, saturated),
        )

    def _objects(
        self,
        sigma: NDArray[np.float32],
        confidence: NDArray[np.float32],
        valid: NDArray[np.bool_] | None,
        structured: NDArray[np.bool_],
        saturated: NDArray[np.bool_],
        objects: NDArray[np.intp] | None,
    ) -> tuple[ObjectQuality, ...]:
        if objects is None:
            return ()
        held = (confidence > self.params.confident_above) & ~saturated & spread(structured, sigma.shape)
        return self._per_object(sigma, held if valid is None else held & valid, objects)

    def _per_object(
        self, sigma: NDArray[np.float32], held: NDArray[np.bool_], objects: NDArray[np.intp]
    ) -> tuple[ObjectQuality, ...]:
        inside = np.flatnonzero(objects.ravel())
        order = inside[np.argsort(objects.ravel()[inside], kind="stable")]
        names, starts = np.unique(objects.ravel()[order], return_index=True)
        result = []
        for name, members in zip(names, np.split(order, starts[1:]), strict=True):
            known = held.ravel()[members]
            values = sigma.ravel()[members[known]]
            share = float(known.mean())
            enough = values.size > 0 and share >= self.params.least_informative
            median, tenth = (float(v) for v in np.percentile(values, (50, 10))) if enough else (np.nan, np.nan)
            result.append(
                ObjectQuality(
                    label=int(name),
                    pixels=len(members),
                    verdict=self.verdict(median, tenth),
                    sigma_median=median,
                    sigma_p10=tenth,
                    in_focus=float((values < self.params.sharp_below).mean()) if enough else np.nan,
                    informative=share,
                )
            )
        return tuple(result)


@names_bad_arguments
def focus_quality(
    image: ArrayLike,
    *,
    channel_axis: int | None = None,
    labels: ArrayLike | None = None,
    sharp_below: float = QualityParams.sharp_below,
    blurred_above: float = QualityParams.blurred_above,
    confident_above: float = QualityParams.confident_above,
    least_informative: float = QualityParams.least_informative,
    value_range: tuple[float, float] | None = None,
    map_method: str = SigmaParams.map_method,
    weights: str | Path | None = None,
    tile: int = SigmaParams.tile,
    device: str | torch.device = "auto",
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
) -> FocusQuality:
    """Measure the focus of a picture: its blur, the share in focus, and a verdict.

    Parameters
    ----------
    image : (H, W) or, with `channel_axis`, (H, W, C) array_like
        Image of any dtype and size. The luma of a colour image is used.
    channel_axis : int or None
        Axis of the colour channels; None for a gray image.
    labels : (H, W) array_like of whole numbers or None
        Label image of objects that are measured separately; 0 is background.
    sharp_below, blurred_above : float
        Thresholds of sigma in pixels. A picture is in focus if its median is below the first, and out of focus if even
        its sharpest tenth is above the second.
    confident_above, least_informative : float
        A pixel is informative if its confidence is above the first. If the share of informative pixels is below the
        second, the verdict is "nothing to judge".
    value_range : (float, float) or None
        See `defocus_map`.
    map_method, weights, tile
        Options of the defocus map, which is not refined; see `defocus_map`.
    device : str or torch.device
        Where to compute.
    progress, cancel : callable or None
        Called between tiles, see `defocus_backend.progress`.

    Returns
    -------
    FocusQuality

    Raises
    ------
    InputError, WeightsError, DeviceError, Cancelled

    Examples
    --------
    >>> from skimage import data
    >>> import defocus_backend as db
    >>> db.focus_quality(data.camera()).verdict
    'in focus'
    """
    params = QualityParams(
        sharp_below=sharp_below,
        blurred_above=blurred_above,
        confident_above=confident_above,
        least_informative=least_informative,
    )
    maps = SigmaParams(map_method=map_method, weights=weights, tile=tile, refine=False)
    estimator = QualityEstimator(params, maps, device=device)
    return estimator.measure(
        image, channel_axis=channel_axis, labels=labels, value_range=value_range, progress=progress, cancel=cancel
    )


def _plain_measures(gray: NDArray[np.float32], scale: float, saturated: NDArray[np.bool_]) -> dict[str, float]:
    """Measures that need no defocus map."""
    return {
        "noise": noise_level(gray),
        "saturated": float(saturated.mean()),
        "power_slope": power_slope(gray),
        "laplacian_variance": laplacian_variance(gray) * (255 / scale) ** 2,
    }


def _scatter(
    sigma: NDArray[np.float32], held: NDArray[np.bool_], blocks: Blocks, shape: tuple[int, ...], step: int
) -> float:
    """Scatter of the pixels in their block: median absolute deviation, scaled to a standard deviation."""
    apart = np.abs(sigma - spread(blocks, shape, step))[held]
    apart = apart[np.isfinite(apart)]
    return 1.4826 * float(np.median(apart)) if apart.size else float("nan")


def _why_not(gray: NDArray[np.float32], valid: NDArray[np.bool_] | None, saturated: NDArray[np.bool_]) -> str:
    """Reason why a picture cannot be judged from its pixels; empty if it can."""
    if valid is not None and not valid.any():
        return "no finite pixel"
    if min(gray.shape) < LEAST_SIDE:
        return f"smaller than {LEAST_SIDE} px"
    if gray.min() == gray.max():
        return "constant"
    share = float(saturated.mean())
    return f"{share:.0%} of the pixels are saturated" if share > 0.5 else ""


def _saturated(image: ArrayLike, channel_axis: int | None, source: Image) -> NDArray[np.bool_]:
    """Mask (H, W) of pixels at the end of the range of the dtype or camera, or at a frequent largest value."""
    array = np.asarray(image)
    planes = array[None] if channel_axis is None else np.moveaxis(array, channel_axis, 0)
    planes = planes[: planes.shape[0] - (source.alpha is not None)]
    finite = planes if source.valid is None else planes[:, source.valid.numpy()]
    if not finite.size or array.dtype == np.bool_:
        return np.zeros(source.shape, dtype=bool)
    largest = finite.max()
    at = (planes == largest).any(axis=0)
    whole = np.issubdtype(array.dtype, np.integer)
    end = whole and (largest == np.iinfo(array.dtype).max or int(largest) in _FULL_SCALES)
    few = at.mean() < _PLATEAU
    return at if (end or not few) and finite.min() != largest else np.zeros(source.shape, dtype=bool)


def _check_labels(labels: ArrayLike, shape: tuple[int, int]) -> NDArray[np.intp]:
    array = np.asarray(labels)
    if array.shape != shape or array.dtype.kind not in "bui":
        raise InputError("labels", f"{array.dtype} of shape {array.shape}", f"whole numbers of the shape {shape}")
    return array.astype(np.intp)
