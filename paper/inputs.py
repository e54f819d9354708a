"""Available inputs: photographs of scikit-image and of a data folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from defocus_backend.errors import FileError, InputError
from defocus_backend.io import read_image
from defocus_backend.io.photos import open_pillow
from defocus_backend.synthetic.scenes import focal_stack, garage_scene, stepped_depth, tilted_depth

Pixels = NDArray[np.uint8]

PICTURES = ("skimage", "data")
METRICS = ("QG", "QP", "QY", "QCB", "QFMI")
"""The scores of Table 3."""
_LONGEST = 768
_FARTHEST, _FARTHEST_SMALL, _FARTHEST_OF_PAIR = 12.0, 8.0, 4.0
"""Sigma in pixels of the farthest place of a rendered scene, of one at half the size and of the pictures of a pair."""


@dataclass(frozen=True)
class RenderedScene:
    """A picture whose blur is known everywhere: (H, W, 3) uint8, and its sigma (H, W) in pixels."""

    picture: Pixels
    sigma: NDArray[np.float32]
    sharp: Pixels


@dataclass(frozen=True)
class Pair:
    """Two photographs of one scene, focused near and far, and the picture that is sharp everywhere if it is known."""

    name: str
    slices: tuple[Pixels, Pixels]
    truth: Pixels | None = None


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Inputs of the items.

    Attributes
    ----------
    data : Path or None
        Folder with ``photos/train``, ``photos/val`` and ``fusion/lytro``; each may be absent.
    pictures : {"skimage", "data"}
        Which photographs the figures show: those installed with scikit-image, or those in `data`.
    networks : Path or None
        Folder of the networks trained for Table 2.
    train_seconds : float
        Processor time in seconds for which each of them is trained first; 0 trains none.
    train_patches : int or None
        Patches after which the training of a network ends earlier.
    leaderboard : Path or None
        Scores of other methods on the Lytro pairs, JSON: method -> pair -> metric -> value.
    """

    data: Path | None = None
    pictures: str = "skimage"
    networks: Path | None = None
    train_seconds: float = 0.0
    train_patches: int | None = None
    leaderboard: Path | None = None

    def __post_init__(self) -> None:
        if self.pictures not in PICTURES:
            raise InputError("pictures", repr(self.pictures), " or ".join(PICTURES))
        if self.data is not None and not self.data.is_dir():
            raise FileError(f"data: {self.data} is not a folder")
        if self.pictures == "data" and not self.photos("val"):
            raise InputError("pictures", "'data'", "photographs in photos/val of the data folder")
        _ = self.other_methods  # fail before the work if it cannot be read
        if self.train_seconds < 0:
            raise InputError("train_seconds", repr(self.train_seconds), "0 or more")

    def folder(self, *parts: str) -> Path | None:
        """A folder of the data, or None if it is not there or empty."""
        path = None if self.data is None else self.data.joinpath(*parts)
        return path if path is not None and path.is_dir() and any(path.iterdir()) else None

    def photos(self, part: str) -> list[Path]:
        """Photographs of ``photos/train`` or ``photos/val``; empty if there are none."""
        from defocus_backend.synthetic.patches import list_photos

        folder = self.folder("photos", part)
        return [] if folder is None else list_photos(folder)

    @property
    def source(self) -> str:
        """Where the figures' photographs come from, in words."""
        return "photographs of scikit-image" if self.pictures == "skimage" else "photographs of photos/val"

    @cached_property
    def known_scene(self) -> RenderedScene:
        """A photograph rendered out of focus behind its front, by a lens disc: the blur of every pixel is known."""
        photo, depth = self._scene_and_depth
        stack = focal_stack(photo, depth, slices=1, blur_per_slice=_FARTHEST / 8)
        return RenderedScene(stack.slices[0], stack.true_sigma(0), stack.sharp)

    @cached_property
    def small_scene(self) -> RenderedScene:
        """The same at half the size, for methods that take minutes on the whole one."""
        photo, depth = self._scene_and_depth
        stack = focal_stack(_halve(photo), depth[1::2, 1::2], slices=1, blur_per_slice=_FARTHEST_SMALL / 8)
        return RenderedScene(stack.slices[0], stack.true_sigma(0), stack.sharp)

    @cached_property
    def _scene_and_depth(self) -> tuple[Pixels, NDArray[np.float32]]:
        if self.pictures == "skimage":
            photo, depth = garage_scene(9)
            even = photo.shape[0] // 2 * 2, photo.shape[1] // 2 * 2
            return photo[: even[0], : even[1]], depth[: even[0], : even[1]]
        photo = _read_rgb(self.photos("val")[0])
        return photo, tilted_depth(photo.shape[:2], 9)

    @cached_property
    def portraits(self) -> tuple[tuple[str, Pixels], ...]:
        """Two photographs as they were taken, named, subject in focus before a softer background."""
        if self.pictures == "skimage":
            from skimage import data

            return ("cat", np.asarray(data.chelsea())), ("cup", np.asarray(data.coffee()))
        chosen = self.photos("val")
        return tuple((path.stem, _read_rgb(path)) for path in (chosen[0], chosen[len(chosen) // 2]))

    @cached_property
    def rendered_pairs(self) -> tuple[Pair, ...]:
        """Pairs with truth: one of a scene with depth, one with a small difference of blur, as in Fig. 15."""
        photo, depth = self._scene_and_depth
        # Half the size: the paper's step of 4 px takes its network a minute a megapixel.
        wide = focal_stack(_halve(photo), depth[1::2, 1::2] / 8, slices=2, blur_per_slice=_FARTHEST_OF_PAIR)
        if self.pictures == "skimage":
            from skimage import data

            other = _halve(np.asarray(data.astronaut()))
        else:
            other = _halve(_read_rgb(self.photos("val")[-1]))
        close = focal_stack(other, stepped_depth(other.shape[:2], 2, steps=2), slices=2, blur_per_slice=1.5)
        return (
            Pair("scene with depth", (wide.slices[0], wide.slices[1]), wide.sharp),
            Pair("small difference of blur", (close.slices[0], close.slices[1]), close.sharp),
        )

    def lytro(self, number: int) -> Pair | None:
        """A Lytro colour pair, 1 to 20, or None if it is not there."""
        folder = self.folder("fusion", "lytro")
        if folder is None:
            return None
        paths = [folder / f"c_{number:02d}_{side}.png" for side in (1, 2)]
        if not all(path.is_file() for path in paths):
            return None
        first, second = (np.asarray(read_image(path).array, dtype=np.uint8) for path in paths)
        return Pair(f"Lytro {number:02d}", (first, second))

    @cached_property
    def other_methods(self) -> dict[str, dict[str, dict[str, float]]]:
        """Scores of the leaderboard; empty if there is none. Raise `FileError` if it cannot be read."""
        if self.leaderboard is None:
            return {}
        try:
            board: dict[str, Any] = json.loads(self.leaderboard.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise FileError(f"leaderboard: {self.leaderboard} cannot be read ({error})") from error
        try:
            # Summaries that stand beside the methods begin with an underscore.
            return {
                method: {pair: {m: float(scores[m]) for m in METRICS} for pair, scores in pairs.items()}
                for method, pairs in board.items()
                if not method.startswith("_")
            }
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            wanted = f"{{method: {{pair: {{{', '.join(METRICS)}}}}}}}"
            raise FileError(f"leaderboard: {self.leaderboard} does not contain {wanted} ({error})") from error


def _read_rgb(path: Path) -> Pixels:
    """A photograph as (H, W, 3) uint8, halved until its longer side is at most 768 pixels, both sides even."""
    with open_pillow(path) as picture:
        image = np.asarray(picture.convert("RGB"))
    while max(image.shape) > _LONGEST:
        image = _halve(image)
    return np.ascontiguousarray(image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2])


def _halve(image: Pixels) -> Pixels:
    """Means of 2x2 pixels."""
    h, w = (s // 2 * 2 for s in image.shape[:2])
    mean = image[:h, :w].reshape(h // 2, 2, w // 2, 2, 3).mean(axis=(1, 3))
    return np.asarray(np.rint(mean), dtype=np.uint8)
