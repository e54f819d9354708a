"""Estimate the defocus map of an image: classify, interpolate to all pixels, refine (paper, section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from defocus_backend.arguments import names_bad_arguments
from defocus_backend.arrays import GRAY_LIMITS, Image, as_image, to_map
from defocus_backend.classifier.pixelnet import PixelNet
from defocus_backend.classifier.predict import (
    PixelLevels,
    classify_pixels,
    classify_windows,
    count_tiles,
    spread_windows,
)
from defocus_backend.classifier.weights import load_network
from defocus_backend.device import choose_precision, device_errors, resolve_device
from defocus_backend.errors import InputError
from defocus_backend.methods import MAP_METHODS, Unit
from defocus_backend.params import MapParams
from defocus_backend.progress import CancelCallback, ProgressCallback, Reporter
from defocus_backend.refine import refine_map

_D = MapParams


@dataclass(frozen=True)
class DefocusMap:
    """Defocus map of an image.

    Attributes
    ----------
    sigma : (H, W) float32 array
        Refined defocus map: standard deviation of the blur in pixels, 0 to 19. NaN where the image is NaN. For a method
        without a unit, only the order is meaningful: larger is more blurred.
    raw : (H, W) float32 array
        The map before refinement (eq 6), in the same unit.
    guide : (H, W) float32 array
        Smoothed image that guided the refinement, in the unit range; the image itself without refinement.
    confidence : (H, W) float32 array
        Confidence: 0 where the image is uninformative (flat, dark, saturated, ambiguous), 1 where the classifier is
        certain. For a method without a classifier, it is computed from the texture alone.
    deviation : (H, W) float32 array
        Standard deviation of the classifier's predicted distribution, in pixels; NaN without a classifier.
    unit : {"px", "relative"}
        Whether `sigma` and `raw` are in pixels or only give an order.
    """

    sigma: NDArray[np.float32]
    raw: NDArray[np.float32]
    guide: NDArray[np.float32]
    confidence: NDArray[np.float32]
    deviation: NDArray[np.float32]
    unit: Unit = "px"

    def in_focus(self, sharp_below: float = 1.0) -> NDArray[np.bool_]:
        """Binary map (H, W): True where sigma is below `sharp_below` pixels; False where it is NaN."""
        if self.unit != "px":
            raise InputError("sharp_below", f"{sharp_below!r} px for a relative map", "a map in pixels")
        return in_focus(self.sigma, sharp_below)


@names_bad_arguments
def in_focus(sigma: ArrayLike, sharp_below: float = 1.0) -> NDArray[np.bool_]:
    """Mask of the pixels of a defocus map that are in focus.

    Parameters
    ----------
    sigma : array_like of any shape
        Defocus map in pixels, or several of them.
    sharp_below : float
        Pixels with a sigma below this, in pixels, count as in focus.

    Returns
    -------
    bool array of the shape of `sigma`
        True where sigma is below `sharp_below`; False where it is NaN.

    Raises
    ------
    InputError
        If `sharp_below` is not above 0.

    Examples
    --------
    >>> import defocus_backend as db
    >>> db.in_focus([0.4, 1.0, float("nan")]).tolist()
    [True, False, False]
    """
    if not sharp_below > 0:
        raise InputError("sharp_below", repr(sharp_below), "more than 0 pixels")
    return np.asarray(np.asarray(sigma) < sharp_below)


@dataclass(frozen=True)
class Estimate:
    """The maps of `DefocusMap` as float32 tensors (H, W) on the device, without NaN."""

    sigma: Tensor
    raw: Tensor
    guide: Tensor
    confidence: Tensor
    deviation: Tensor


class DefocusEstimator:
    """A loaded network, or a method without a network, with its settings. It can be used for any number of images.

    Parameters
    ----------
    params : MapParams
        Method, weights and refinement. A method without a network takes no weights.
    device : torch.device
        Compute device; methods without a network compute on the CPU.

    Raises
    ------
    WeightsError, InputError
    DeviceError
        If the device does not support the requested precision.
    """

    def __init__(
        self,
        params: MapParams,
        *,
        device: torch.device,
    ) -> None:
        self.params = params
        self.network: nn.Module | None = None
        self.name = params.map_method
        self._method = MAP_METHODS.get(params.map_method)
        if self._method is None:
            self.network, self.name = load_network(params.weights or params.map_method, device=device)
        elif params.weights is not None:
            wanted = f"None with map_method {params.map_method!r}, which has no network"
            raise InputError("weights", repr(str(params.weights)), wanted)
        self._dtype = torch.float32
        if isinstance(self.network, PixelNet):
            self._dtype = choose_precision(params.precision, device)
        elif params.precision == "bfloat16":
            raise InputError("precision", f"'bfloat16' with {self.name}", "a per-pixel network, or auto")

    @property
    def precision(self) -> str | None:
        """Number format of the network, ``"float32"`` or ``"bfloat16"``; None without a network."""
        return None if self.network is None else str(self._dtype).removeprefix("torch.")

    @property
    def unit(self) -> Unit:
        """Unit of the maps."""
        return "px" if self._method is None else self._method.unit or "px"

    @torch.inference_mode()
    def estimate(
        self,
        image: Image,
        *,
        progress: ProgressCallback | None = None,
        cancel: CancelCallback | None = None,
    ) -> Estimate:
        """Estimate all maps of one image, which must be on the estimator's device."""
        gray = image.gray.contiguous()
        if self.network is None:
            return self._compare(image, gray, progress, cancel)
        tiles = count_tiles(self.name, image.shape, self.params.step, self.params.tile)
        reporter = Reporter(tiles, "tiles", progress, cancel)
        reporter.check()
        levels = self._classify(gray, self.network, reporter)
        confidence = levels.confidence
        if image.valid is not None:
            confidence = confidence * image.valid
        sigma, guide = levels.sigma, gray
        if self.params.refine:
            trust = confidence if self.params.confidence_weighted else None
            sigma, guide = refine_map(levels.sigma, gray, self.params, confidence=trust)
        return Estimate(sigma, levels.sigma, guide, confidence, levels.deviation)

    @torch.inference_mode()
    def sample(
        self,
        image: Image,
        every: int,
        *,
        progress: ProgressCallback | None = None,
        cancel: CancelCallback | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Unrefined sigma and confidence of every n-th pixel along both axes; n is 1, 2, 4 or 8.

        With the per-pixel network, this is faster than `estimate`. For other methods, the result of `estimate` is
        subsampled.
        """
        grid = (slice(None, None, every),) * 2
        if not isinstance(self.network, PixelNet):
            found = self.estimate(image, progress=progress, cancel=cancel)
            return found.raw[grid], found.confidence[grid]
        reporter = Reporter(count_tiles(self.name, image.shape, 1, self.params.tile), "tiles", progress, cancel)
        reporter.check()
        levels = self._classify(image.gray.contiguous(), self.network, reporter, every)
        return levels.sigma, levels.confidence if image.valid is None else levels.confidence * image.valid[grid]

    def _compare(
        self, image: Image, gray: Tensor, progress: ProgressCallback | None, cancel: CancelCallback | None
    ) -> Estimate:
        """Maps of a method without a network of this package, refined as in Fig. 7 of the paper."""
        from defocus_backend.compare import maps, tiled

        method = MAP_METHODS[self.name] if self._method is None else self._method
        reporter = Reporter(tiled.count_map_tiles(method, image.shape, self.params.tile), "tiles", progress, cancel)
        reporter.check()
        picture = gray.cpu().numpy().astype(np.float64) * 255
        taken = picture
        if method.colour:
            taken = image.pixels.clamp(*GRAY_LIMITS).movedim(0, -1).cpu().numpy().astype(np.float64) * 255
        raw = tiled.run_method(method, taken, tile=self.params.tile, reporter=reporter)
        sigma, guide = maps.refine_values(raw, picture, self.params) if self.params.refine else (raw, picture)
        confidence = maps.contrast_confidence(picture)
        if image.valid is not None:
            confidence = confidence * image.valid.cpu().numpy()
        stacked = np.stack([sigma, raw, guide / 255, confidence, np.full_like(raw, np.nan)])
        return Estimate(*torch.from_numpy(stacked.astype(np.float32)).to(gray.device))

    def _classify(self, gray: Tensor, network: nn.Module, reporter: Reporter, every: int = 1) -> PixelLevels:
        if isinstance(network, PixelNet):
            tile, precision = self.params.tile, self._dtype
            return classify_pixels(gray, network, tile=tile, precision=precision, every=every, reporter=reporter)
        step = self.params.step
        windows = classify_windows(gray, network, self.name, step=step, tile=self.params.tile, reporter=reporter)
        stacked = torch.stack([windows.sigma, windows.deviation, windows.confidence])
        return PixelLevels(*spread_windows(stacked, windows.grid))


@names_bad_arguments
def defocus_map(
    image: ArrayLike,
    *,
    channel_axis: int | None = None,
    map_method: str = _D.map_method,
    weights: str | Path | None = None,
    step: int = _D.step,
    refine: bool = _D.refine,
    refine_radius: int = _D.refine_radius,
    refine_edge_tolerance: float = _D.refine_edge_tolerance,
    refine_iterations: int = _D.refine_iterations,
    refine_subsample: int = _D.refine_subsample,
    confidence_weighted: bool = _D.confidence_weighted,
    precision: str = _D.precision,
    value_range: tuple[float, float] | None = None,
    tile: int = _D.tile,
    device: str | torch.device = "auto",
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
) -> DefocusMap:
    """Estimate the blur of every pixel of an image, as a Gaussian sigma in pixels.

    Parameters
    ----------
    image : (H, W) or, with `channel_axis`, (H, W, C) array_like
        Image of any dtype and size. The luma of a colour image is used.
    channel_axis : int or None
        Axis of the colour channels; None for a gray image.
    map_method : str
        Network: ``"pixelnet"`` classifies every pixel; ``"blurnet"`` and ``"mobilenetv2"`` (the paper's) classify 32x32
        windows. Or a published method without a network, see `defocus_backend.methods.MAP_METHODS`: ``"energy_ratio"``,
        ``"zhuo_sim"`` and ``"fdm"`` in pixels; ``"lbp"``, ``"laplacian_variance"``, ``"deviation"`` and ``"entropy"``
        without a unit.
    weights : str, Path or None
        Other shipped weights by name, or a ``.safetensors`` file from ``defocus train``; their network replaces
        `map_method`. None with a method that has no network.
    step : {8, 4, 16, 32}
        Distance between neighbouring windows in pixels; not used by the per-pixel network.
    refine : bool
        Refine the map with the iterated weighted guided filter.
    refine_radius, refine_edge_tolerance, refine_iterations : int, float, int
        Radius in pixels, edge tolerance in squared units of the unit range, and number of passes of this filter. The
        paper uses 16, 0.005 and 7, which suit window networks. A radius of 4 and one pass do not move the edges of the
        per-pixel network.
    refine_subsample : int
        Side in pixels of the cells on which the filter's coefficients are computed; 1 is the paper's filter.
    confidence_weighted : bool
        Fill in uninformative pixels from nearby confident ones; for networks only.
    precision : {"auto", "float32", "bfloat16"}
        Number format of the per-pixel network. bfloat16 is faster on devices that support it and changes sigma by about
        0.01 px where the picture has texture. ``"auto"`` uses it on such devices and float32 elsewhere. bfloat16 is
        never emulated: on other devices and with other networks, it is refused.
    value_range : (float, float) or None
        Values that count as black and white. Default: the full range for bool and uint8, [0, 1] for floats within this
        range, and the 0.1 and 99.9 percentiles for all others.
    tile : int
        Side in pixels, 256 to 8192, of the tiles into which a large image is split for a network, rounded down to a
        multiple of its stride. The map does not depend on it. Smaller tiles need less memory, larger tiles are faster.
    device : str or torch.device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``.
    progress, cancel : callable or None
        Called between tiles, see `defocus_backend.progress`.

    Returns
    -------
    DefocusMap

    Raises
    ------
    InputError, WeightsError, DeviceError, Cancelled

    References
    ----------
    F. J. Galetto, G. Deng, "Single image deep defocus estimation and its applications", 2021.

    Examples
    --------
    >>> from skimage import data
    >>> import defocus_backend as db
    >>> found = db.defocus_map(data.camera())
    >>> found.sigma.shape
    (512, 512)
    """
    params = MapParams(
        map_method=map_method,
        weights=weights,
        step=step,
        refine=refine,
        refine_radius=refine_radius,
        refine_edge_tolerance=refine_edge_tolerance,
        refine_iterations=refine_iterations,
        refine_subsample=refine_subsample,
        confidence_weighted=confidence_weighted,
        precision=precision,
        tile=tile,
    )
    where = resolve_device(device)
    given = as_image(image, channel_axis=channel_axis, value_range=value_range)
    with device_errors("use device='cpu', a smaller tile or a smaller image"):
        estimator = DefocusEstimator(params, device=where)
        source = given.to(where)
        found = estimator.estimate(source, progress=progress, cancel=cancel)
    return DefocusMap(
        sigma=to_map(found.sigma, source.valid),
        raw=to_map(found.raw if found.raw is not found.sigma else found.raw.clone(), source.valid),
        guide=to_map(found.guide, source.valid),
        confidence=to_map(found.confidence),
        deviation=to_map(found.deviation, source.valid),
        unit=estimator.unit,
    )
