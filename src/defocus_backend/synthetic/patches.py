"""Training patches cut from a folder of photographs (paper, section 3.1).

Two protocols. ``isolated`` is the paper's: a sharp 32x32 patch is filtered on its own, so its mirrored
border reveals the label. ``context`` filters the whole picture and cuts afterwards, as a lens does.
Photographs, never patches, are split into training and test sets.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from defocus_backend.arrays import as_image
from defocus_backend.classifier.networks import LEVELS, WINDOW
from defocus_backend.errors import FileError, InputError
from defocus_backend.io.photos import open_pillow
from defocus_backend.synthetic.degrade import (
    Degradation,
    Gray,
    blur_spectrum,
    degrade,
    quantise,
    spectrum,
)

SHARP = 1000.0
"""Variance of the Laplacian (eq 5, gray 0..255) above which a patch counts as sharp."""

TEXTURED = 150.0
"""The same threshold for training in context. The sharpest percent of a few hundred photographs is too little to
generalise from: the error was 0.81 px on training patches and 1.04 px on held-out ones."""

MAX_SIGMA = float(LEVELS - 1)
PROTOCOLS = ("context", "isolated")
_IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"}
_PLATE = 384
_LARGE = 1536
_GRID = 4


def list_photos(folder: Path) -> list[Path]:
    """All pictures in a folder, sorted by name; raise `FileError` if there are none."""
    if not folder.is_dir():
        raise FileError(f"photos: {folder} is not a folder")
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _IMAGE_SUFFIXES)
    if not found:
        raise FileError(f"photos: no picture found in {folder}")
    return found


def load_gray(path: Path) -> Gray:
    """Read a picture as gray values (H, W) float32 in 0..255.

    For more than 8 bits, the 0.1 and 99.9 percentiles become 0 and 255, and values beyond them are clipped.
    """
    try:
        with open_pillow(path) as picture:
            if picture.mode.startswith(("I", "F")):
                deep = as_image(np.asarray(picture), argument=str(path))
                return np.asarray((deep.gray * 255).round().clamp(0, 255).numpy())
            return np.asarray(picture.convert("L"), dtype=np.float32)
    except OSError as error:
        raise FileError(f"{path}: cannot be read as a picture ({error})") from error


def shrink(image: Gray) -> Gray:
    """Halve a picture by averaging 2x2 pixels; large camera files are rarely sharp at full size."""
    h, w = (s // 2 * 2 for s in image.shape)
    return np.asarray(image[:h, :w].reshape(h // 2, 2, w // 2, 2).mean(axis=(1, 3)), dtype=np.float32)


def texture(image: Gray, side: int = WINDOW) -> Gray:
    """Eq 5 for every window: variance of the Laplacian of the slightly smoothed image.

    Parameters
    ----------
    image : (H, W) float32 array
        Gray values 0..255.
    side : int
        Side of the window in pixels.

    Returns
    -------
    (H - side + 1, W - side + 1) float32 array
        Entry (y, x) belongs to the window whose first pixel is (y, x).
    """
    from scipy import ndimage

    smooth = image.astype(np.float64)
    for axis in (0, 1):
        smooth = ndimage.correlate1d(smooth, [0.25, 0.5, 0.25], axis=axis)
    edges = ndimage.laplace(smooth)
    mean = _window_mean(edges, side)
    return np.asarray(np.maximum(_window_mean(edges**2, side) - mean**2, 0), dtype=np.float32)


def _window_mean(image: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    sums = np.pad(image, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    total = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    return np.asarray(total / side**2)


@dataclass(frozen=True)
class Plate:
    """A piece of a photograph, stored as its spectrum, with the positions of possible patches."""

    spectrum: Gray
    sharp: NDArray[np.int32]
    flat: NDArray[np.int32]


def make_plates(image: Gray, *, sharp: float = TEXTURED) -> list[Plate]:
    """Cut a photograph into pieces of at most 384 pixels and note where it is sharp and where flat.

    Pieces without a sharp window are dropped. Smooth parts of a photograph may be out of focus, and a network must
    not learn that they are level 0.
    """
    if max(image.shape) > _LARGE:
        image = shrink(image)
    plates = []
    if min(image.shape) < 4 * WINDOW:
        return []
    for y in _starts(image.shape[0]):
        for x in _starts(image.shape[1]):
            piece = image[y : y + _PLATE, x : x + _PLATE]
            phi = texture(piece)[::_GRID, ::_GRID]
            mean = _window_mean(piece.astype(np.float64), WINDOW)
            spread = np.sqrt(np.maximum(_window_mean(piece.astype(np.float64) ** 2, WINDOW) - mean**2, 0))
            flat = np.argwhere(spread[::_GRID, ::_GRID] < 1.5) * _GRID
            places = np.argwhere(phi > sharp) * _GRID
            if len(places):
                plates.append(Plate(spectrum(piece), places.astype(np.int32), flat.astype(np.int32)))
    return plates


def _starts(size: int) -> list[int]:
    """First pixels of the pieces along an axis; the last piece ends with the image."""
    last = max(0, size - _PLATE)
    return [*range(0, last, _PLATE), last]


def draw_sigma(rng: np.random.Generator) -> float:
    """Draw the blur of one training image: all levels, with small ones more often."""
    chance = rng.random()
    if chance < 0.08:
        return 0.0
    return float(rng.uniform(0, 6) if chance < 0.35 else rng.uniform(0, MAX_SIGMA))


class ContextPatches(Dataset[tuple[Tensor, ...]]):
    """Batches of patches cut from blurred photographs; item ``i`` is the same batch in every run.

    Items are ``(patches, sigma, trust)``: ``(B, 1, 32, 32)`` in the unit range, ``(B, 1, 1, 1)`` in
    pixels, and ones of the same shape, since every label of a window is exact.
    Flat windows are included with their true label: from them the network learns that they are uninformative.
    """

    def __init__(
        self,
        photos: list[Path],
        *,
        batches: int,
        batch_size: int,
        degradation: Degradation,
        seed: int,
        per_picture: int = 16,
        flat_share: float = 0.04,
    ) -> None:
        self.plates = [plate for path in photos for plate in make_plates(load_gray(path))]
        if not self.plates:
            raise InputError("photos", f"{len(photos)} pictures without a sharp patch", "sharp photographs")
        weight = np.array([min(len(p.sharp), 2000) for p in self.plates], dtype=np.float64)
        self._chance = weight / weight.sum()
        self._batches, self._size, self._seed = batches, batch_size, seed
        self._degradation, self._per_picture, self._flat = degradation, per_picture, flat_share

    def __len__(self) -> int:
        return self._batches

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        rng = np.random.default_rng((self._seed, index))
        patches: list[Gray] = []
        sigmas: list[Gray] = []
        while sum(len(s) for s in sigmas) < self._size:
            plate = self.plates[rng.choice(len(self.plates), p=self._chance)]
            sigma = draw_sigma(rng)
            psf = "disc" if rng.random() < self._degradation.disc else "gaussian"
            picture = degrade(blur_spectrum(plate.spectrum, sigma, psf), self._degradation, rng)
            count = min(self._per_picture, self._size - sum(len(s) for s in sigmas))
            patches.append(_cut(picture, self._places(plate, count, rng), rng))
            sigmas.append(np.full(count, sigma, dtype=np.float32))
        return _as_item(np.concatenate(patches), np.concatenate(sigmas))

    def _places(self, plate: Plate, count: int, rng: np.random.Generator) -> NDArray[np.int32]:
        flat = round(self._flat * count) if len(plate.flat) else 0
        chosen = plate.sharp[rng.integers(len(plate.sharp), size=count - flat)]
        if flat:
            chosen = np.concatenate([chosen, plate.flat[rng.integers(len(plate.flat), size=flat)]])
        limit = np.array(plate.spectrum.shape) - WINDOW
        jitter = rng.integers(-_GRID // 2, _GRID // 2 + 1, size=chosen.shape)
        return np.asarray(np.clip(chosen + jitter, 0, limit), dtype=np.int32)


def _as_item(patches: Gray, sigma: Gray) -> tuple[Tensor, Tensor, Tensor]:
    label = torch.from_numpy(sigma)[:, None, None, None]
    return torch.from_numpy(patches[:, None] / 255), label, torch.ones_like(label)


def _cut(picture: Gray, places: NDArray[np.int32], rng: np.random.Generator) -> Gray:
    windows = np.lib.stride_tricks.sliding_window_view(picture, (WINDOW, WINDOW))
    cut = windows[places[:, 0], places[:, 1]]
    turn = int(rng.integers(4))
    cut = np.rot90(cut, turn, axes=(1, 2))
    return np.ascontiguousarray(cut[:, :, ::-1] if rng.random() < 0.5 else cut)


def sharp_patches(photos: list[Path], *, sharp: float = SHARP) -> Gray:
    """Every sharp 32x32 patch on the 32-pixel grid of the photographs (paper, section 3.1).

    Returns
    -------
    (N, 32, 32) float32 array
        Gray values 0..255.
    """
    found = []
    for path in photos:
        image = load_gray(path)
        if max(image.shape) > _LARGE:
            image = shrink(image)
        if min(image.shape) < WINDOW:
            continue
        phi = texture(image)[::WINDOW, ::WINDOW]
        places = np.argwhere(phi > sharp) * WINDOW
        windows = np.lib.stride_tricks.sliding_window_view(image, (WINDOW, WINDOW))
        found.append(windows[places[:, 0], places[:, 1]])
    if not sum(map(len, found)):
        raise InputError("photos", f"{len(photos)} pictures without a sharp patch", "sharp photographs")
    return np.concatenate(found)


def blur_alone(patches: Gray, sigma: float) -> Gray:
    """Filter each patch (N, 32, 32) on its own, mirrored at its border, and round to 8 bits."""
    if sigma == 0:
        return quantise(patches)
    from scipy import ndimage

    # One 32x32 matrix applies the mirrored Gaussian to a row, so two matrix products blur all patches.
    matrix = ndimage.gaussian_filter1d(np.eye(WINDOW), sigma, axis=0, mode="reflect").astype(np.float32)
    return quantise(np.matmul(np.matmul(matrix, patches), matrix.T))


class IsolatedPatches(Dataset[tuple[Tensor, ...]]):
    """Batches by the paper's protocol: sharp patches filtered alone with sigma 0, 1, ... 19.

    Same items as `ContextPatches`; the only degradation is rounding to 8 bits.
    """

    def __init__(self, photos: list[Path], *, batches: int, batch_size: int, seed: int) -> None:
        self.patches = sharp_patches(photos)
        self._batches, self._size, self._seed = batches, batch_size, seed

    def __len__(self) -> int:
        return self._batches

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        rng = np.random.default_rng((self._seed, index))
        chosen = self.patches[rng.integers(len(self.patches), size=self._size)]
        levels = rng.integers(LEVELS, size=self._size)
        for level in np.unique(levels):
            chosen[levels == level] = blur_alone(chosen[levels == level], float(level))
        for turn in range(4):
            # The blur is symmetric, so rotating afterwards equals rotating before.
            some = rng.integers(4, size=self._size) == turn
            chosen[some] = np.rot90(chosen[some], turn, axes=(1, 2))
        return _as_item(chosen, levels.astype(np.float32))


@dataclass(frozen=True)
class PatchSet:
    """Patches with known blur for measuring: (N, 1, 32, 32) in the unit range, sigma (N,) in pixels."""

    patches: Tensor
    sigma: Tensor


def held_out_patches(photos: list[Path], protocol: str, *, per_photo: int = 12, seed: int = 0) -> PatchSet:
    """Sharp patches of photographs, each blurred to all 20 levels, in context or alone.

    Parameters
    ----------
    photos : list of Path
        Held-out photographs.
    protocol : {"context", "isolated"}
        Whole picture filtered and then cut, or the patch filtered alone.
    per_photo : int
        Maximum number of patches from one photograph, so that none dominates.
    seed : int
        Seed of the random choice of places.
    """
    if protocol not in PROTOCOLS:
        raise InputError("protocol", repr(protocol), " or ".join(PROTOCOLS))
    rng = np.random.default_rng(seed)
    patches, sigmas = [], []
    for path in photos:
        image = load_gray(path)
        if max(image.shape) > _LARGE:
            image = shrink(image)
        places = np.argwhere(texture(image) > SHARP)
        if not len(places):
            continue
        places = places[rng.integers(len(places), size=min(per_photo, len(places)))]
        transformed = spectrum(image)
        original = np.lib.stride_tricks.sliding_window_view(image, (WINDOW, WINDOW))[places[:, 0], places[:, 1]]
        for level in range(LEVELS):
            if protocol == "isolated":
                cut = blur_alone(original, float(level))
            else:
                blurred = quantise(blur_spectrum(transformed, float(level)))
                cut = np.lib.stride_tricks.sliding_window_view(blurred, (WINDOW, WINDOW))[places[:, 0], places[:, 1]]
            patches.append(cut)
            sigmas.append(np.full(len(cut), level, dtype=np.float32))
    if not patches:
        raise InputError("photos", f"{len(photos)} pictures without a sharp patch", "sharp photographs")
    return PatchSet(torch.from_numpy(np.concatenate(patches)[:, None] / 255), torch.from_numpy(np.concatenate(sigmas)))
