"""Composed scenes with a known sigma at every pixel, for training and testing per-pixel networks.

A scene is a sharp picture with uniform blur or a ramp of blur, or two layers at different depths. Their common edge is
blurred as by a lens: the coverage of the front layer is blurred with the sigma of this layer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import fft
from torch import Tensor
from torch.utils.data import Dataset

from defocus_backend.errors import InputError
from defocus_backend.synthetic.degrade import NATIVE, Degradation, Gray, degrade, quantise, transfer
from defocus_backend.synthetic.drawn import draw_leaves, draw_mask, draw_texture, half_plane
from defocus_backend.synthetic.microscope import (
    add_haze,
    draw_phase_object,
    draw_specimen,
    total_sigma,
    widefield_transfer,
)
from defocus_backend.synthetic.patches import MAX_SIGMA, load_gray, shrink, texture

KINDS = ("uniform", "ramp", "step", "layered")
LENSES = ("gaussian", "disc", "mixed")
"""Point spread functions that a per-pixel network learns to distinguish, see `degrade.transfer`."""

_BORDER = 32
_TONE = 2.2
_LARGEST_ZOOM = 1.5
_LARGEST_SHRINK = 2.5
_BEYOND = 32.0
"""Largest sigma in px that is drawn. Blurs beyond the last level have the last level as their label."""


@dataclass(frozen=True)
class Scene:
    """One scene: image (S, S) in gray values, its sigma in pixels, and the weight of that label."""

    picture: Gray
    sigma: Gray
    trust: Gray
    kind: str
    psf: str


class SharpPictures:
    """Square crops of photographs, each with a weight for the sharpness of its pixels.

    Parts of a photograph may be out of focus already. Where a window has structure but no fine detail, a label that
    counts only the added blur would be wrong; the weight is low there.
    """

    def __init__(self, photos: list[Path], side: int) -> None:
        self.side = side + 2 * _BORDER
        self._pictures = []
        for path in photos:
            image = load_gray(path)
            if max(image.shape) > 1536:
                image = shrink(image)
            if min(image.shape) >= self.side:
                self._pictures.append((image.astype(np.uint8), (trust_map(image) * 255).astype(np.uint8)))

    def __len__(self) -> int:
        """Number of photographs that are large enough."""
        return len(self._pictures)

    def draw(self, rng: np.random.Generator, *, shrunk: float = 0.0) -> tuple[Gray, Gray]:
        """Draw a crop (gray values) and its trust, the best of a few tries; a share of the crops is reduced in size."""
        best: tuple[float, NDArray[np.uint8], NDArray[np.uint8]] | None = None
        zoom = float(np.exp(rng.uniform(0, np.log(_LARGEST_SHRINK)))) if shrunk and rng.random() < shrunk else 1.0
        for _ in range(3):
            image, trust = self._pictures[rng.integers(len(self._pictures))]
            side = min(round(self.side * zoom), *image.shape)
            y, x = (int(rng.integers(s - side + 1)) for s in image.shape)
            window = np.s_[y : y + side, x : x + side]
            share = float(trust[window][::8, ::8].mean())
            if best is None or share > best[0]:
                best = share, image[window], trust[window]
        assert best is not None
        turn, flip = int(rng.integers(4)), bool(rng.random() < 0.5)
        crop, share_of = (np.rot90(part, turn)[:, :: -1 if flip else 1] for part in best[1:])
        if len(crop) > self.side:
            crop, share_of = (
                np.asarray(Image.fromarray(np.ascontiguousarray(part)).resize((self.side, self.side), how))
                for part, how in ((crop, Image.Resampling.LANCZOS), (share_of, Image.Resampling.BOX))
            )
        return crop.astype(np.float32), share_of.astype(np.float32) / np.float32(255)


def trust_map(image: Gray, side: int = 17) -> Gray:
    """1 where a photograph is sharp or flat, 0.05 where it has structure without fine detail (H, W)."""
    from scipy import ndimage

    reach = side // 2
    padded = np.pad(image, reach, mode="symmetric")
    phi = texture(padded, side)
    mean = ndimage.uniform_filter(image, side, mode="reflect")
    variance = np.maximum(ndimage.uniform_filter(image**2, side, mode="reflect") - mean**2, 0)
    # Ratio of the variance of the Laplacian to that of the window: .03 for a lone sharp step, .01 for the step
    # blurred by 1 px, .002 by 2 px; fine texture has far more.
    sharp = np.clip((phi / (variance + 4) - 0.003) / 0.009, 0, 1)
    flat = np.clip((4 - variance) / 3, 0, 1)
    return np.asarray(np.maximum(np.maximum(sharp, flat), 0.05), dtype=np.float32)


def draw_blur(rng: np.random.Generator) -> float:
    """Draw the sigma of a layer in pixels: often sharp, often slightly blurred, otherwise uniformly distributed.

    Some are beyond the levels. Half are drawn from the whole range; with fewer, blurs beyond 12 px are not learnt.
    """
    chance = rng.random()
    if chance < 0.1:
        return 0.0
    if chance < 0.18:
        return float(rng.uniform(MAX_SIGMA, _BEYOND))
    return float(rng.uniform(0, 4.5) if chance < 0.52 else rng.uniform(0, MAX_SIGMA))


def draw_psf(degradation: Degradation, rng: np.random.Generator) -> str:
    """Kind of point spread function of a scene, see `degrade.transfer`."""
    chance = rng.random()
    if chance < degradation.disc:
        return "disc"
    return "mixed" if chance < degradation.disc + degradation.mixed else "gaussian"


class _Lens:
    """Blurs pictures of one size with one kind of point spread function, in gray values or in light.

    A microscope also has a `core` in pixels, its blur in focus.
    """

    def __init__(self, psf: str, in_light: bool, core: float = 0.0) -> None:
        self.psf, self.in_light, self.core = psf, in_light, core

    def spectrum(self, picture: Gray) -> Gray:
        values = 255 * (picture / 255) ** _TONE if self.in_light else picture
        transformed: Gray = fft.dctn(values, norm="ortho")
        return transformed

    def blur(self, transformed: Gray, sigma: float) -> Gray:
        height, width = transformed.shape
        if self.core:
            transformed = transformed * widefield_transfer(height, width, sigma, self.core)
        elif sigma >= 0.05:
            transformed = transformed * transfer(height, width, sigma, self.psf)
        return np.asarray(fft.idctn(transformed, norm="ortho"), dtype=np.float32)

    def develop(self, light: Gray) -> Gray:
        """Convert light to gray values."""
        if not self.in_light:
            return light
        return np.asarray(255 * np.maximum(light / 255, 0) ** (1 / _TONE), dtype=np.float32)


def compose(
    pictures: SharpPictures,
    rng: np.random.Generator,
    degradation: Degradation,
    *,
    kind: str | None = None,
    psf: str | None = None,
    sigmas: tuple[float, float] | None = None,
) -> Scene:
    """Compose one scene.

    Parameters
    ----------
    pictures : SharpPictures
        Source of sharp crops.
    rng : numpy.random.Generator
        Random numbers.
    degradation : Degradation
        Applied after the blur.
    kind, psf, sigmas : optional
        Kind in `KINDS`; point spread function of `degrade.transfer`; sigma of the front and of the back layer (the
        first for a uniform scene). Values that are not given are drawn at random.

    Returns
    -------
    Scene
    """
    if degradation.specimens and rng.random() < degradation.specimens:
        return _under_microscope(pictures.side, degradation, rng)
    psf = psf or draw_psf(degradation, rng)
    kind = kind or str(rng.choice(["uniform", "ramp", "layered"], p=[0.2, 0.25, 0.55]))
    drawn = rng.random() < degradation.drawn
    lens = _Lens(psf, in_light=not drawn and rng.random() < 0.3)
    front, trust = _crop(pictures, drawn, degradation, rng)
    near, far = sigmas or _draw_pair(kind, rng)
    if kind == "uniform":
        light, sigma = lens.blur(lens.spectrum(front), near), np.full_like(front, near)
    elif kind == "ramp":
        light, sigma = _ramp(lens, front, min(near, far), max(near, far), rng)
    else:
        back, back_trust = _crop(pictures, drawn, degradation, rng)
        mask = half_plane(pictures.side, rng) if kind == "step" else draw_mask(pictures.side, rng)
        light, sigma, trust = _layers(lens, (front, trust), (back, back_trust), mask, near, far)
    scene = _finish(lens.develop(light), sigma, trust, degradation, rng, kind, psf)
    if degradation.resampled and rng.random() < degradation.resampled:
        return enlarge(scene, float(np.exp(rng.uniform(0, np.log(_LARGEST_ZOOM)))), rng)
    return scene


def _finish(
    picture: Gray,
    sigma: Gray,
    trust: Gray,
    degradation: Degradation,
    rng: np.random.Generator,
    kind: str,
    psf: str,
) -> Scene:
    """Remove the border, which contains mirrored pixels, and degrade the remainder."""
    inner = np.s_[_BORDER:-_BORDER, _BORDER:-_BORDER]
    told = np.ascontiguousarray(sigma[inner]).clip(max=np.float32(MAX_SIGMA))
    return Scene(degrade(picture[inner], degradation, rng), told, np.ascontiguousarray(trust[inner]), kind, psf)


def _under_microscope(side: int, degradation: Degradation, rng: np.random.Generator) -> Scene:
    """A drawn specimen in a widefield microscope; sigma includes the width of the focus."""
    core = float(rng.uniform(0.3, 1.3))
    lens = _Lens("widefield", in_light=False, core=core)
    chance = rng.random()
    kind = "uniform" if chance < 0.45 else "ramp" if chance < 0.75 else "layered"
    near, far = _draw_pair(kind, rng)
    trust = np.ones((side, side), dtype=np.float32)
    if rng.random() < 0.12:
        side_of_focus = 1 if rng.random() < 0.5 else -1
        light = draw_phase_object(side, side_of_focus * near, core, rng)
        return _finish(light, np.full_like(trust, total_sigma(near, core)), trust, degradation, rng, "uniform", "phase")
    front = draw_specimen(side, rng)
    if kind == "uniform":
        light, sigma = lens.blur(lens.spectrum(front), near), np.full_like(front, near)
    elif kind == "ramp":
        light, sigma = _ramp(lens, front, min(near, far), max(near, far), rng)
    else:
        # In a microscope, the light of both depths adds up, without occlusion.
        light, sigma = lens.blur(lens.spectrum(front), min(near, far)), np.full_like(front, min(near, far))
        light = 0.5 * (light + lens.blur(lens.spectrum(draw_specimen(side, rng)), max(near, far, 6.0)))
    if rng.random() < 0.4:
        light = add_haze(light, rng)
    return _finish(light, total_sigma(sigma, core), trust, degradation, rng, kind, lens.psf)


def enlarge(scene: Scene, factor: float, rng: np.random.Generator) -> Scene:
    """Enlarge a part of a scene to the size of the whole, as digital zoom and alignment do.

    The added blur grows with the image, and so does the blur of the photograph itself (`NATIVE`): a sharp
    photograph enlarged by 2 has a sigma of sqrt(2^2 - 1) / 2 = 0.9 px.
    """
    side = scene.picture.shape[0]
    left, top = rng.uniform(0, side - side / factor, 2)
    box = (left, top, left + side / factor, top + side / factor)

    def part(of: Gray, how: Image.Resampling) -> Gray:
        return np.asarray(Image.fromarray(of).resize((side, side), how, box=box), dtype=np.float32)

    sigma, trust = (part(of, Image.Resampling.NEAREST) for of in (scene.sigma, scene.trust))
    sigma = np.sqrt((factor * sigma) ** 2 + (factor**2 - 1) * NATIVE**2).clip(max=np.float32(MAX_SIGMA))
    picture = part(scene.picture, Image.Resampling.BICUBIC).clip(0, 255)
    if not np.any(scene.picture % 1):
        picture = quantise(picture)
    return replace(scene, picture=picture, sigma=sigma.astype(np.float32), trust=trust)


def _crop(pictures: SharpPictures, drawn: bool, how: Degradation, rng: np.random.Generator) -> tuple[Gray, Gray]:
    if drawn and rng.random() < how.patchwork:
        picture = draw_leaves(pictures.side, rng, [pictures.draw(rng, shrunk=how.shrunk)[0] for _ in range(3)])
        return picture, trust_map(picture)
    if drawn:
        picture = draw_texture(pictures.side, rng)
        return picture, np.ones_like(picture)
    picture, trust = pictures.draw(rng, shrunk=how.shrunk)
    if how.blended and rng.random() < how.blended:
        other, other_trust = pictures.draw(rng, shrunk=how.shrunk)
        share = np.float32(rng.uniform(0.3, 0.7))
        picture, trust = (picture * share + other * (1 - share)).clip(0, 255), np.minimum(trust, other_trust)
    return retone(picture, how.tone, rng), trust


def retone(picture: Gray, share: float, rng: np.random.Generator) -> Gray:
    """Change the tone curve of a share of the pictures (H, W) and invert some of them, in gray values.

    This adds variety to the photographs: a bright stone in a dark joint also appears as a dark one in a bright joint.
    With a share of 0 no random number is drawn, so that the scenes of degradations without tone do not change.
    """
    if not share:
        return picture
    if rng.random() < share:
        picture = np.asarray(255 * (picture / 255) ** np.float32(np.exp(rng.uniform(-0.7, 0.7))), dtype=np.float32)
    return 255 - picture if rng.random() < 0.3 * share else picture


def _draw_pair(kind: str, rng: np.random.Generator) -> tuple[float, float]:
    near, far = draw_blur(rng), draw_blur(rng)
    if kind == "layered" and rng.random() < 0.5:
        # The case that matters most in use: one layer is in focus, the other visibly is not.
        near, far = (0.0, max(far, 1.0)) if rng.random() < 0.5 else (max(near, 1.0), 0.0)
    return near, far


def _ramp(lens: _Lens, picture: Gray, low: float, high: float, rng: np.random.Generator) -> tuple[Gray, Gray]:
    """A plane tilted in depth, interpolated between evenly blurred pictures."""
    side = picture.shape[0]
    yy, xx = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    along = (xx * np.cos(angle) + yy * np.sin(angle)) * rng.uniform(0.4, 1.2) + 0.5
    position = np.clip(along, 0, 1).astype(np.float32)
    count = max(2, int((high - low) / 0.7) + 1)
    transformed = lens.spectrum(picture)
    blurred = np.stack([lens.blur(transformed, float(s)) for s in np.linspace(low, high, count)])
    index = np.minimum((position * (count - 1)).astype(int), count - 2)
    share = position * (count - 1) - index
    first, second = (np.take_along_axis(blurred, index[None] + k, 0)[0] for k in (0, 1))
    return first * (1 - share) + second * share, low + (high - low) * position


def _layers(
    lens: _Lens, front: tuple[Gray, Gray], back: tuple[Gray, Gray], mask: Gray, near: float, far: float
) -> tuple[Gray, Gray, Gray]:
    """Composite the front over the back; colour and coverage of the front are blurred together, as at a real edge."""
    values = 255 * (front[0] / 255) ** _TONE if lens.in_light else front[0]
    coverage = np.clip(lens.blur(fft.dctn(mask, norm="ortho"), near), 0, 1)
    veil = lens.blur(fft.dctn(values * mask, norm="ortho"), near)
    light = veil + (1 - coverage) * lens.blur(lens.spectrum(back[0]), far)
    seen = coverage > 0.5
    sigma = np.where(seen, np.float32(near), np.float32(far))
    return light, sigma.astype(np.float32), np.where(seen, front[1], back[1])


class ComposedScenes(Dataset[tuple[Tensor, ...]]):
    """Batches of composed scenes; item ``i`` is the same in every run.

    Items are ``(picture, sigma, trust, lens)``, the first three ``(B, 1, S, S)``: unit range, pixels, 0 to 1. `lens`
    (B,) is the index of the point spread function in `LENSES`, or -1 if it is not one of them.
    """

    def __init__(
        self,
        photos: list[Path],
        *,
        batches: int,
        batch_size: int,
        side: int,
        degradation: Degradation,
        seed: int,
    ) -> None:
        self.pictures = SharpPictures(photos, side)
        if not len(self.pictures):
            wanted = f"pictures with sides of {self.pictures.side} px or more, after large ones are halved"
            raise InputError("photos", f"{len(photos)} pictures, none large enough", wanted)
        self._batches, self._size, self._seed = batches, batch_size, seed
        self._degradation = degradation

    def __len__(self) -> int:
        return self._batches

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        rng = np.random.default_rng((self._seed, index))
        scenes = [compose(self.pictures, rng, self._degradation) for _ in range(self._size)]

        def stacked(parts: list[NDArray[np.float32]]) -> Tensor:
            return torch.from_numpy(np.stack(parts)[:, None].astype(np.float32))

        return (
            stacked([s.picture for s in scenes]) / 255,
            stacked([s.sigma for s in scenes]),
            stacked([s.trust for s in scenes]),
            torch.tensor([LENSES.index(s.psf) if s.psf in LENSES else -1 for s in scenes]),
        )
