"""A benchmark of blur maps on scenes composed from sharp photographs, so that sigma is known at every pixel.

136 scenes of 256x256 by default: 17 types (seven uniform blurs, four ramps, three steps, three layered occlusions)
times two point spread functions times four conditions (noise of 0, 2 and 5 gray values, and JPEG of quality 85). The
photographs must not be among those that a network was trained on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from defocus_backend.classifier.networks import NETWORKS
from defocus_backend.classifier.weights import shipped_weights
from defocus_backend.compare.maps import map_with, refine_values
from defocus_backend.device import resolve_device
from defocus_backend.errors import InputError
from defocus_backend.evaluation.map_scores import (
    EdgeScores,
    Errors,
    Floats,
    Mask,
    edge_scores,
    rank_correlation,
    sample,
    separation,
)
from defocus_backend.methods import MAP_METHODS
from defocus_backend.params import MapParams
from defocus_backend.progress import CancelCallback, ProgressCallback, Reporter
from defocus_backend.synthetic.compositions import SharpPictures, compose
from defocus_backend.synthetic.degrade import CLEAN, Gray, add_noise, compress, quantise
from defocus_backend.synthetic.patches import list_photos, texture

SCENES = 136
SIDE = 256
FRAME = 32
"""Pixels on every side that are not scored, since the image beyond the border is unknown."""

TEXTURED = 50.0
"""A pixel is textured if the variance of the Laplacian of the sharp picture (eq 5, gray 0..255) in a window is above
this."""

TEXTURE_WINDOW = 17
_TRUSTED = 0.5

CONDITIONS: dict[str, tuple[float, int | None]] = {
    "noise 0": (0.0, None),
    "noise 2": (2.0, None),
    "noise 5": (5.0, None),
    "JPEG 85": (0.0, 85),
}
"""Noise at mid-gray in gray values and JPEG quality, by name."""

NOISY: dict[str, tuple[float, int | None]] = {f"noise {n:g}": (n, None) for n in (10.0, 20.0, 40.0)}
"""The conditions of a microscope's frames, for a second table."""

PSFS = ("gaussian", "disc")
# Interleaved, so that a short run contains every kind.
_SORTS: tuple[tuple[str, float | None], ...] = (
    ("step", 0.0),
    ("uniform", 4.0),
    ("layered", 0.0),
    ("ramp", 0.0),
    ("uniform", 0.0),
    ("step", 1.0),
    ("uniform", 6.0),
    ("ramp", 1.0),
    ("layered", 1.0),
    ("uniform", 2.0),
    ("uniform", 11.0),
    ("step", 2.0),
    ("ramp", 2.0),
    ("uniform", 1.0),
    ("layered", 2.0),
    ("uniform", 15.0),
    ("ramp", 3.0),
)


@dataclass(frozen=True, kw_only=True)
class KnownScene:
    """An image whose blur is known.

    Attributes
    ----------
    picture : (S, S) uint8 array
        Gray values.
    sigma : (S, S) float32 array
        True sigma in pixels.
    textured : (S, S) bool array
        True where the sharp photograph was in focus and has enough fine detail for its blur to be estimated, see
        `TEXTURED`.
    kind, psf, condition : str
        One of `compositions.KINDS`, of `PSFS` and of `CONDITIONS`.
    sigmas : (float, float)
        Sigma of the front and of the back layer; smallest and largest sigma of a ramp.
    """

    picture: NDArray[np.uint8]
    sigma: Gray
    textured: Mask
    kind: str
    psf: str
    condition: str
    sigmas: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class SceneScore:
    """Scores of one map on one scene; `None` or empty where they do not apply."""

    kind: str
    psf: str
    condition: str
    sigmas: tuple[float, float]
    textured: Errors | None
    everywhere: Errors | None
    edge: EdgeScores | None
    spearman_textured: float | None
    spearman_everywhere: float | None
    separation: float | None
    samples: Floats
    """Values of the map and the truth at sampled textured pixels, (2, n)."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A method to be measured.

    Attributes
    ----------
    name : str
        Name in the table.
    unit : {"px", "relative"}
        Errors are only measured in pixels.
    maps : callable
        From a uint8 picture (H, W) to its maps by variant, such as ``"raw"`` and ``"refined"``.
    """

    name: str
    unit: str
    maps: Callable[[NDArray[np.uint8]], dict[str, Gray]]


@dataclass(kw_only=True)
class Trial:
    """All records of one variant of a candidate, and the total time of the candidate in seconds."""

    name: str
    variant: str
    unit: str
    records: list[SceneScore] = field(default_factory=list)
    seconds: float = 0.0


def draw_scene(
    pictures: SharpPictures, index: int, seed: int, conditions: Mapping[str, tuple[float, int | None]] = CONDITIONS
) -> KnownScene:
    """Scene number `index` of the benchmark; the same for the same photographs, side, seed and conditions."""
    kind, which = _SORTS[index % len(_SORTS)]
    # 17 types and 8 combinations have no common divisor, so every 136 scenes contain each pair once.
    psf = PSFS[index % len(PSFS)]
    condition = list(conditions)[index // len(PSFS) % len(conditions)]
    rng = np.random.default_rng((seed, index, 1))
    sigmas = _draw_sigmas(kind, int(which or 0), rng) if kind != "uniform" else (float(which or 0),) * 2
    blurred, sharp = (
        compose(pictures, np.random.default_rng((seed, index)), CLEAN, kind=kind, psf=psf, sigmas=pair)
        for pair in (sigmas, (0.0, 0.0))
    )
    noise, quality = conditions[condition]
    picture = quantise(add_noise(blurred.picture, noise, rng)) if noise else blurred.picture
    if quality is not None:
        picture = compress(picture, quality)
    reach = TEXTURE_WINDOW // 2
    detail = texture(np.pad(sharp.picture, reach, mode="symmetric"), TEXTURE_WINDOW)
    return KnownScene(
        picture=picture.astype(np.uint8),
        sigma=blurred.sigma,
        textured=(detail > TEXTURED) & (blurred.trust > _TRUSTED),
        kind=kind,
        psf=psf,
        condition=condition,
        sigmas=sigmas,
    )


def _draw_sigmas(kind: str, which: int, rng: np.random.Generator) -> tuple[float, float]:
    """Sigmas of the front and the back layer, or the ends of a ramp."""
    if kind == "ramp":
        return (0.0, 4.0) if which == 0 else (float(rng.uniform(0, 2)), float(rng.uniform(8, 15)))
    if kind == "step":
        other = (0.0, float(rng.uniform(2, 12))) if rng.random() < 0.5 else (float(rng.uniform(2, 12)), 0.0)
        return ((0.0, 6.0), (6.0, 0.0), other)[which]
    strong, weak = float(rng.uniform(2, 12)), float(rng.uniform(1, 4))
    both = (weak, weak + strong) if rng.random() < 0.5 else (weak + strong, weak)
    return ((0.0, strong), (strong, 0.0), both)[which]


def draw_scenes(
    photos: list[Path],
    *,
    count: int = SCENES,
    side: int = SIDE,
    seed: int = 0,
    conditions: Mapping[str, tuple[float, int | None]] = CONDITIONS,
) -> Iterator[KnownScene]:
    """The scenes of the benchmark, one by one.

    Raises
    ------
    InputError
        If there are no scenes, if nothing remains inside the frame, or if no photograph is large enough.
    """
    if count < 1:
        raise InputError("scenes", str(count), "at least 1")
    if side < 4 * FRAME:
        raise InputError("side", str(side), f"at least {4 * FRAME} pixels")
    pictures = SharpPictures(photos, side)
    if not len(pictures):
        raise InputError("photos", f"{len(photos)} pictures below {pictures.side} pixels", "larger photographs")
    return (draw_scene(pictures, index, seed, conditions) for index in range(count))


def score_map(found: Gray, scene: KnownScene, *, unit: str = "px", frame: int = FRAME) -> SceneScore:
    """Score one map (S, S) of a scene.

    Raises
    ------
    InputError
        If the map has another shape or is not finite.
    """
    if found.shape != scene.sigma.shape or not np.isfinite(found).all():
        raise InputError("found", f"shape {found.shape}", f"a finite map of the scene's shape {scene.sigma.shape}")
    inner = np.s_[frame : found.shape[0] - frame, frame : found.shape[1] - frame]
    part, truth, textured = found[inner], scene.sigma[inner], scene.textured[inner]
    everywhere = np.ones_like(textured)
    px, ramp = unit == "px", scene.kind == "ramp"
    two_depths = scene.kind in ("step", "layered") and scene.sigmas[0] != scene.sigmas[1]
    half = sum(scene.sigmas) / 2
    return SceneScore(
        kind=scene.kind,
        psf=scene.psf,
        condition=scene.condition,
        sigmas=scene.sigmas,
        textured=Errors.of(part, truth, textured) if px else None,
        everywhere=Errors.of(part, truth, everywhere) if px else None,
        edge=edge_scores(found, scene.sigma, scene.textured, half, frame=frame) if px and two_depths else None,
        spearman_textured=rank_correlation(_flat(part, textured), _flat(truth, textured)) if ramp else None,
        spearman_everywhere=rank_correlation(_flat(part, everywhere), _flat(truth, everywhere)) if ramp else None,
        separation=separation(_flat(part, textured), truth[textured] > half) if two_depths else None,
        samples=np.stack([sample(part, textured), sample(truth, textured)]),
    )


def _flat(values: Gray, mask: Mask) -> Floats:
    return values[mask].astype(np.float64)


def network_candidate(
    name: str,
    *,
    weights: str | Path | None = None,
    params: MapParams | None = None,
    label: str = "",
    device: str | torch.device = "cpu",
) -> Candidate:
    """A network of this package with shipped or given weights, raw and refined, on a device."""
    from defocus_backend.arrays import as_image
    from defocus_backend.defocus import DefocusEstimator

    settings = params or MapParams(map_method=name)
    where = resolve_device(device)
    estimator = DefocusEstimator(replace(settings, weights=weights or name), device=where)

    def maps(picture: NDArray[np.uint8]) -> dict[str, Gray]:
        found = estimator.estimate(as_image(picture).to(where))
        return {"raw": found.raw.cpu().numpy(), "refined": found.sigma.cpu().numpy()}

    return Candidate(name=label or name, unit="px", maps=maps)


def method_candidate(name: str, *, params: MapParams | None = None) -> Candidate:
    """A published method of `compare.maps`, raw and refined by the filter of this package."""
    method = MAP_METHODS[name]

    def maps(picture: NDArray[np.uint8]) -> dict[str, Gray]:
        raw = map_with(name, picture)
        refined, _ = refine_values(raw, picture, params)
        return {"raw": raw.astype(np.float32), "refined": refined.astype(np.float32)}

    return Candidate(name=name, unit=str(method.unit), maps=maps)


def candidate_names() -> list[str]:
    """Return every network whose weights are installed, then every published method."""
    return [name for name in NETWORKS if name in shipped_weights()] + list(MAP_METHODS)


def make_candidate(name: str, params: MapParams | None = None, *, device: str | torch.device = "cpu") -> Candidate:
    """A candidate by name, or a network by the path of its ``.safetensors`` file.

    Networks compute on `device`; published methods compute on the CPU.

    Raises
    ------
    InputError, WeightsError, DeviceError
        For an unknown name, weights that cannot be read or a missing device.
    """
    if name in MAP_METHODS:
        return method_candidate(name, params=params)
    if name in shipped_weights() or name.endswith(".safetensors"):
        settings = params or MapParams()
        return network_candidate(name, weights=name, params=settings, label=Path(name).stem, device=device)
    raise InputError("method", repr(name), "a .safetensors file or one of " + ", ".join(candidate_names()))


def run_benchmark(
    candidates: Iterable[Candidate],
    photos: Path,
    *,
    count: int = SCENES,
    side: int = SIDE,
    seed: int = 0,
    conditions: Mapping[str, tuple[float, int | None]] = CONDITIONS,
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
) -> list[Trial]:
    """Measure every candidate on every scene.

    Parameters
    ----------
    candidates : iterable of Candidate
        Methods to measure.
    photos : Path
        Folder of sharp photographs that are held out from all of them.
    count, side, seed : int
        Number of scenes, their side in pixels, and the seed of the random numbers.
    conditions : mapping
        Noise and JPEG quality by name, `CONDITIONS` or `NOISY`.
    progress, cancel : callable or None
        Called once per scene, see `defocus_backend.progress`.

    Returns
    -------
    list of Trial
        One for every variant of every candidate.

    Raises
    ------
    FileError, InputError, Cancelled
        If the folder is missing or contains no usable photograph; if a count is invalid; if two candidates have the
        same name.
    """
    chosen = list(candidates)
    order = [candidate.name for candidate in chosen]
    for name in order:
        if order.count(name) > 1:
            raise InputError("candidates", f"{name} twice", "different names; rename a file of weights")
    trials: dict[tuple[str, str], Trial] = {}
    reporter = Reporter(count, "scenes", progress, cancel)
    for scene in draw_scenes(list_photos(photos), count=count, side=side, seed=seed, conditions=conditions):
        reporter.check()
        for candidate in chosen:
            started = time.perf_counter()
            found = candidate.maps(scene.picture)
            spent = time.perf_counter() - started
            for variant, values in found.items():
                trial = trials.setdefault(
                    (candidate.name, variant), Trial(name=candidate.name, variant=variant, unit=candidate.unit)
                )
                trial.records.append(score_map(values, scene, unit=candidate.unit))
                trial.seconds += spent
        reporter.advance()
    return sorted(trials.values(), key=lambda trial: order.index(trial.name))
