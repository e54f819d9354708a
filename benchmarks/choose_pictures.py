"""Choose sharp photographs for training from folders of pictures, such as unpacked packages.

    python benchmarks/choose_pictures.py FOLDER ... --out pictures [--most 28] [--skies]

A picture is halved until it is at most 2400 px long and three quarters of its structure are sharp. It is kept, in gray,
if at least half of its structure is then sharp, if it has structure on two fifths of its area and many gray values
(unlike drawings, icons and screenshots), and if no similar picture was kept before. Large parts of a photograph may
still be out of focus; they have less weight in training (`defocus_backend.synthetic.compositions`).

With --skies, photographs with large flat areas are also kept, together with some drawings and screenshots that must be
removed by hand. A network that has seen few sharp pictures with a sky calls the sky blurred.
"""

from __future__ import annotations

import argparse
import hashlib
import random
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from skimage.measure import shannon_entropy

from defocus_backend.compare.window_measures import window_variance
from defocus_backend.errors import FileError
from defocus_backend.synthetic.compositions import trust_map
from defocus_backend.synthetic.patches import list_photos, load_gray, shrink

LARGE, SMALL = 2400, 320
SHARP_ENOUGH, SHARP_LEAST = 0.75, 0.5
ALIKE = 5
"""Bits by which the difference hashes of two pictures may differ that count as one."""


class Limits(NamedTuple):
    """Least share of a picture that has structure, largest that is flat, least entropy of its gray values in bits."""

    structure: float
    flat: float
    bits: float


TEXTURED, WITH_SKIES = Limits(0.4, 0.35, 6.0), Limits(0.12, 0.8, 5.5)


def shares(gray: np.ndarray) -> tuple[float, float, float]:
    """Of a picture (H, W): sharp share of what has structure, share that has structure, share that is flat."""
    variance = window_variance(gray, 17)
    structure = variance > 16
    sharp = float(trust_map(gray)[structure].mean()) if structure.any() else 0.0
    return sharp, float(structure.mean()), float((variance < 1).mean())


def choose(path: Path, limits: Limits) -> np.ndarray | None:
    """The picture for training (H, W) uint8, or None if it is not suitable."""
    try:
        gray = load_gray(path)
    except FileError:
        return None
    while max(gray.shape) > LARGE:
        gray = shrink(gray)
    if min(gray.shape) < SMALL:
        return None
    sharp, structure, flat = shares(gray)
    while sharp < SHARP_ENOUGH and min(gray.shape) >= 2 * SMALL:
        gray = np.rint(shrink(gray))
        sharp, structure, flat = shares(gray)
    good = (
        sharp > SHARP_LEAST
        and structure > limits.structure
        and flat < limits.flat
        and shannon_entropy(gray.astype(np.uint8)) > limits.bits
    )
    return gray.astype(np.uint8) if good else None


def difference_hash(gray: np.ndarray) -> np.ndarray:
    """64 bits: where a tiny copy of the picture gets brighter from left to right."""
    tiny = np.asarray(Image.fromarray(gray).resize((9, 8), Image.Resampling.BOX), dtype=int)
    return np.diff(tiny) > 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--most", type=int, default=10**6, help="most pictures of one folder, drawn by chance")
    parser.add_argument("--skies", action="store_true", help="keep pictures with wide flat parts too")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    chosen = partial(choose, limits=WITH_SKIES if options.skies else TEXTURED)
    seen: list[np.ndarray] = []
    with ProcessPoolExecutor() as pool:
        for folder in options.folders:
            kept = []
            try:
                paths = list_photos(folder)
            except FileError as error:
                parser.exit(1, f"{error}\n")
            for path, gray in zip(paths, pool.map(chosen, paths, chunksize=4), strict=True):
                if gray is None:
                    continue
                bits = difference_hash(gray)
                if all(np.count_nonzero(bits != other) > ALIKE for other in seen):
                    seen.append(bits)
                    kept.append((path, gray))
            random.seed(0)
            drawn = random.sample(kept, min(options.most, len(kept)))
            for path, gray in drawn:
                name = hashlib.sha256(str(path.relative_to(folder)).encode()).hexdigest()[:8]
                Image.fromarray(gray).save(options.out / f"{folder.name}_{name}.png")
            print(f"{folder}: {len(drawn)} of {len(paths)} pictures")


if __name__ == "__main__":
    main()
