"""Fusion of one stack as an accumulator: slices are added one by one, and memory does not grow with their number.

In the first pass, every slice is scored. A blend by scores is then finished. A blend by the finished decision (eqs 13
to 16 of Galetto and Deng, 2021) needs every slice a second time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from defocus_backend.arrays import Image, to_map
from defocus_backend.classifier.networks import LEVELS
from defocus_backend.defocus import DefocusEstimator
from defocus_backend.device import device_errors, resolve_device
from defocus_backend.filters import CellGrid, cell_mean
from defocus_backend.filters.fill import fill_from_surroundings
from defocus_backend.fusion.by_index import KnownBlend
from defocus_backend.fusion.coverage import never_in_focus, settle_decision
from defocus_backend.fusion.decision import Detail, height_score, nearest_slice, weighed_sigma
from defocus_backend.fusion.height import HeightAccumulator, Relief, find_height
from defocus_backend.fusion.noise import NoiseModel
from defocus_backend.fusion.octaves import OctaveBlend
from defocus_backend.fusion.positions import z_positions
from defocus_backend.fusion.result import Fusion
from defocus_backend.fusion.running import LeastSigma, RunningBest
from defocus_backend.fusion.sections import LightPerSlice
from defocus_backend.fusion.settings import FusionSettings
from defocus_backend.progress import CancelCallback, PreviewCallback, ProgressCallback, Reporter
from defocus_backend.stacks import SliceSource

_STANDS_OUT = 0.5
"""A cell has detail above the noise if its signal, 0 to 1, is at least this."""
_AWAY = 4.0
"""Reduction of the score of a slice next to the plane in which the contrast of transparent objects reverses; it grows
with the square of the distance. Out of focus, their detail has up to a hundred times the energy, a score of 8."""
_ADVICE = "use device='cpu', smaller slices or keep_slices=False"


@dataclass(frozen=True)
class _Judged:
    """Maps of one slice before it is compared with the others, on cells of `pooling` pixels.

    Attributes
    ----------
    sigma, confidence : (h, w) tensors
        Blur in pixels of the slice, and its confidence.
    share : (h, w) tensor or None
        Share of valid pixels in every cell; None if all are valid.
    """

    sigma: Tensor
    confidence: Tensor
    share: Tensor | None


class FusionEngine:
    """Fuses slices: `add` each of them in order, `passes` times, then `finish`.

    Parameters
    ----------
    settings : FusionSettings
    estimator : DefocusEstimator
        Estimates the defocus map of a slice, with the options in `settings`.
    shape : (int, int)
        Height and width of a slice.
    channels : int
        Number of colour channels, 1 or 3.
    z : (N,) float64 array
        Position of every slice.
    noise : NoiseModel
        Noise of the slices, see `estimate_noise`.
    reversal : float or None
        Position at which the contrast reverses, see `contrast_reversal`.
    device : torch.device
    cancel : callable or None
        Called between the tiles of a slice, see `defocus_backend.progress`.
    """

    def __init__(
        self,
        settings: FusionSettings,
        estimator: DefocusEstimator,
        *,
        shape: tuple[int, int],
        channels: int,
        z: NDArray[np.float64],
        noise: NoiseModel,
        reversal: float | None = None,
        device: torch.device,
        cancel: CancelCallback | None = None,
    ) -> None:
        self.settings, self.passes = settings, settings.passes
        self._estimator, self._z, self._noise, self._cancel = estimator, z, noise, cancel
        self._device, self._reversal = device, reversal
        # Where noise hides finer detail, sigma is estimated on larger cells too, because noise that neighbouring pixels
        # share looks sharp.
        self._sigma_side = max(settings.pooling, 2**noise.finest)
        self._pooling = max(settings.cells, 2**noise.finest)
        self._grid = CellGrid(*shape, self._pooling)
        # Long-lived arrays are allocated here, before a network runs and frees its activations, to avoid fragmentation.
        self._best = RunningBest(shape, device, settings.decision_settings.front, neighbours=False)
        self._best_cells = RunningBest(self._grid.shape, device, settings.decision_settings.front)
        self._least = LeastSigma(self._grid.shape, device)
        self._surface = HeightAccumulator(self._grid.shape, z, device)
        scored = (settings.blender.scored if self.passes == 1 else None) or OctaveBlend
        # With two passes, this is only the guide of the height map.
        self._blend = scored(
            settings.blend_settings,
            settings.decision_settings.front,
            channels,
            shape,
            device,
            settings.keep_slices and self.passes == 1,
        )
        self._seen = torch.zeros(shape, dtype=torch.bool, device=device)
        self._signal = torch.zeros(self._grid.shape, device=device)
        self._deviation = torch.zeros(self._grid.shape, device=device)  # noise of the score in the best slice
        self._shares: list[float] = []
        self._light = LightPerSlice()
        self._gaps: dict[int, Tensor] = {}
        self._form: Image | None = None
        self._sigmas: list[NDArray[np.float32]] = []
        self._count = 0
        self._choice: tuple[Tensor, Relief, Image] | None = None
        self._known: KnownBlend | None = None

    @torch.inference_mode()
    def add(self, image: Image) -> None:
        """Add the next slice; after the last one, the first slice of the second pass follows, if there is one."""
        if self._count < len(self._z):
            self._judge(image)
        else:
            if self._known is None:
                self._known = KnownBlend(
                    self._decide()[0],
                    self.settings.known_blend,
                    self.settings.blend_settings,
                    self.settings.keep_slices,
                )
            self._known.add(image)
        self._count += 1

    @torch.inference_mode()
    def so_far(self) -> NDArray[Any]:
        """Preview of the slices so far at half the size (h, w[, C]); only in the first pass."""
        assert self._form is not None, "a slice was added"
        assert isinstance(self._blend, OctaveBlend), "the first pass blends in octaves"
        pixels = self._blend.coarse()
        return replace(self._form, valid=None, alpha=None).restore(pixels)

    @property
    def can_show(self) -> bool:
        """Whether `so_far` is available."""
        return self._form is not None and self._choice is None and isinstance(self._blend, OctaveBlend)

    @torch.inference_mode()
    def finish(self) -> Fusion:
        """Result of the fusion, after all slices were added in every pass."""
        assert self._count == self.passes * len(self._z), "every slice was added"
        chosen, relief, together = self._decide()
        keep, weights = self.settings.keep_slices, None
        if self._known is None:
            image = together.restore(together.pixels)
            weights = self._blend.weights().cpu().numpy() if keep else None
        else:
            image, weights = self._known.finish()
        sigma, confidence = self._least_sigma()
        index = chosen.cpu().numpy()
        return Fusion(
            image=image,
            index=index,
            sigma=to_map(sigma, self._seen),
            confidence=to_map(confidence),
            height=to_map(relief.height),
            height_error=to_map(relief.error),
            inferred=relief.inferred.cpu().numpy(),
            never_in_focus=relief.never.cpu().numpy(),
            sigmas=np.stack(self._sigmas) if keep else None,
            decisions=index == np.arange(len(self._z))[:, None, None] if keep else None,
            weights=weights,
            signal=np.array(self._shares),
            sections=self._light.sections,
            reversal=self._reversal,
        )

    def _judge(self, source: Image) -> None:
        """First pass: score a slice and compare it with the previous ones."""
        params, pooling = self.settings.decision_settings, self._pooling
        image = source.to(self._device)
        gray = image.gray
        found = self._slice_maps(image, gray)
        detail = Detail.of(gray, self._noise)
        found = replace(found, confidence=found.confidence * detail.signal_on_cells(pooling))
        self._take_signal(detail)
        weighed = weighed_sigma(found.sigma, found.confidence, self._sigma_side)
        decider = self.settings.decider
        score = decider.score(detail, weighed if decider.weighed else found.sigma, params, pooling)
        cell_score = height_score(detail, weighed, params, pooling=pooling)
        if self._reversal is not None and decider.weighed:
            # For transparent objects, neither detail nor sigma indicates the focus, but the plane of the reversal does.
            away = _AWAY * (self._count - self._reversal) ** 2
            score -= away
            cell_score -= away
        sigma = found.sigma
        if image.valid is None or found.share is None:
            self._seen.fill_(True)
        else:
            self._seen |= image.valid
            self._gaps[self._count] = ~image.valid
            score.masked_fill_(~image.valid, torch.nan)
            sigma = found.sigma.masked_fill(found.share == 0, torch.nan)
            cell_score.masked_fill_(found.share < 1, torch.nan)
        lead = self._best.update(score)
        self._least.update(sigma, found.confidence)
        better = self._best_cells.update(cell_score) > 0
        self._deviation = torch.where(better, detail.deviation_on_cells(pooling), self._deviation)
        self._surface.update(sigma, found.confidence, better)
        self._blend.add(image.pixels, score, lead)
        if self.settings.keep_slices:
            self._sigmas.append(to_map(self._grid.interpolate(found.sigma, 0, self._grid.height), image.valid))
        form = self._form or replace(source, pixels=source.pixels[:, :0].clone())
        self._form = replace(form, bounded=form.bounded and source.bounded)

    def _take_signal(self, detail: Detail) -> None:
        """Record where the slice has detail above the noise, for the remarks on the stack."""
        fine = detail.fine_on_cells(self._pooling)
        torch.maximum(self._signal, fine, out=self._signal)
        self._shares.append(float((fine > _STANDS_OUT).float().mean()))
        self._light.add(detail.gray)

    def _slice_maps(self, image: Image, gray: Tensor) -> _Judged:
        side = self._sigma_side
        valid = None if image.valid is None else cell_mean(image.valid.to(gray), side) > 0
        found = self._estimator.estimate(
            replace(image, pixels=cell_mean(gray[None], side), valid=valid), cancel=self._cancel
        )
        sigma, confidence = (side * found.sigma).clamp_(max=LEVELS - 1), found.confidence
        if side > self._pooling:
            if valid is not None:
                sigma = fill_from_surroundings(sigma.where(valid, 0)[None], valid)[0]
            coarse = CellGrid(*self._grid.shape, side // self._pooling)
            sigma, confidence = coarse.interpolate(torch.stack([sigma, confidence]), 0, coarse.height)
        share = None if image.valid is None else cell_mean(image.valid.to(gray), self._pooling)
        return _Judged(sigma, confidence, share)

    def _decide(self) -> tuple[Tensor, Relief, Image]:
        """End the first pass and return the slice of every pixel (eq 14), the height, and the blended slices."""
        if self._choice is not None:
            return self._choice
        assert self._form is not None, "a slice was added"
        settings, count, pooling = self.settings, len(self._z), self._pooling
        together = replace(self._form, pixels=self._blend.result(), valid=self._seen)
        never = never_in_focus(
            self._least.sigma, self._least.confidence, settings.decision_settings.never_above, subsample=pooling
        )
        relief = find_height(
            self._surface,
            together.gray,
            never,
            self._best_cells,
            subsample=pooling,
            seen=self._seen,
            empty=self._signal < _STANDS_OUT,
            score_noise=self._deviation,
        )
        chosen = self._best.index.int()
        if settings.decider.by_height and count > 2:
            # Where a pixel's own evidence is weak, the slice nearest to the height predicted from its neighbourhood.
            weak = relief.inferred & relief.height.isfinite()
            chosen = torch.where(weak, nearest_slice(relief.height, self._z), chosen)
        chosen = settle_decision(chosen, relief.never, count, subsample=pooling)
        if settings.decider.settle is not None:
            chosen = settings.decider.settle(chosen, count)
        for number, gap in self._gaps.items():  # the chosen slice may have no pixel here
            chosen = torch.where((chosen == number) & gap, self._best.index.int(), chosen)
        self._choice = chosen, relief, together
        return self._choice

    def _least_sigma(self) -> tuple[Tensor, Tensor]:
        """Smallest sigma and its confidence at every pixel."""
        known = self._least.sigma.isfinite()
        # Pixels that no slice has are excluded from the interpolation.
        filled = fill_from_surroundings(self._least.sigma.where(known, 0)[None], known)
        cells = torch.cat([filled, self._least.confidence[None]])
        sigma, confidence = self._grid.interpolate(cells, 0, self._grid.height)
        return sigma, confidence


def fuse_slices(
    slices: SliceSource,
    settings: FusionSettings,
    noise: NoiseModel,
    *,
    reversal: float | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
) -> Fusion:
    """Fuse one stack whose planes are processed as a whole.

    Parameters
    ----------
    slices : SliceSource
    settings : FusionSettings
    noise : NoiseModel
        Noise of the whole stack, see `estimate_noise`.
    reversal : float or None
        Position at which the contrast of the whole stack reverses, see `contrast_reversal`.
    progress, cancel : callable or None
        Called once per slice and pass, see `defocus_backend.progress`.

    Returns
    -------
    Fusion

    Raises
    ------
    InputError, WeightsError, DeviceError, Cancelled
    """
    where = resolve_device(settings.device)
    z = z_positions(settings.z, settings.z_step, len(slices))
    reporter = Reporter(settings.passes * len(slices), "slices", progress, cancel)
    reporter.check()
    preview: PreviewCallback | None = getattr(progress, "preview", None)
    estimator = DefocusEstimator(settings.map_settings, device=where)
    with torch.inference_mode(), device_errors(_ADVICE):
        engine = FusionEngine(
            settings,
            estimator,
            shape=slices.plane_shape,
            channels=slices.colours,
            z=z,
            noise=noise,
            reversal=reversal,
            device=where,
            cancel=cancel,
        )
        for _ in range(engine.passes):
            for image in slices.images():
                engine.add(image)
                del image  # free the image before the next slice is read
                if preview is not None and engine.can_show:
                    preview(engine.so_far)
                reporter.advance()
        return engine.finish()
