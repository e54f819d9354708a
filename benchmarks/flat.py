"""Flat places in frames of different brightness: python benchmarks/flat.py PHOTOS [--pairs 12] [--side 384]

PHOTOS is a folder of sharp photographs that no network was trained on. Of each photograph two frames are made, each
out of focus where the other is sharp, with noise of 1 gray value. The second is then made darker (gain 0.8), and
darker still towards its corners. In walls, skies and other flat places a fused picture should be as smooth as the
smoother frame: choices that change from place to place show there as clouds and grains. What is measured is the
standard deviation, in windows of 9 px, of the picture over the photograph: noise, clouds and grains, but no texture.
Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from fusion import OURS, focus_mask, middle
from numpy.typing import NDArray
from scipy import ndimage

import defocus_backend as db
from defocus_backend.compare.fusers import FUSION_METHODS, fuse_with
from defocus_backend.luma import LUMA
from defocus_backend.params import FusionParams
from defocus_backend.synthetic.degrade import add_noise, blur

Picture = NDArray[np.uint8]
GAIN, CORNERS = 0.8, 0.35
"""Brightness of the second frame, and what its corners lose of it."""
_WINDOW = 9
"""Side in px of the windows of local contrast."""
_FLAT, _AROUND = 0.01, 15
"""Local contrast of the photograph up to which a place is flat, and the side in px in which all of it must be."""
_DARK, _BRIGHT = 32, 240
"""Gray values between which noise is not cut off."""
_LEAST = 0.02
"""Share of a photograph that must be flat."""


def frames(photo: Picture, rng: np.random.Generator) -> list[Picture]:
    """Two frames of a photograph (H, W, 3)."""
    mask = focus_mask(photo.shape[:2], False, rng)[..., None]
    planes = np.moveaxis(photo.astype(np.float32), -1, 0)
    soft = [np.stack([blur(p, sigma, "disc") for p in planes], axis=-1) for sigma in rng.uniform(2, 6, 2)]
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in photo.shape[:2]), indexing="ij")
    light = GAIN * (1 - CORNERS * (x**2 + y**2) / 2)[..., None]
    both = photo * mask + soft[0] * (1 - mask), photo * (1 - mask) + soft[1] * mask
    noisy = [add_noise(frame.astype(np.float32), 1.0, rng) for frame in both]
    return [np.clip(np.rint(frame), 0, 255).astype(np.uint8) for frame in (noisy[0], noisy[1] * light)]


def contrast(picture: NDArray[Any], photo: NDArray[Any] | None = None) -> NDArray[np.float64]:
    """Local standard deviation over local mean, (H, W); with a photograph, that of what the picture adds to it."""
    gray = picture.astype(float) @ LUMA
    if photo is not None:
        gray /= (photo.astype(float) @ LUMA).clip(1) / 100
    mean = ndimage.uniform_filter(gray, _WINDOW)
    variance = ndimage.uniform_filter(gray**2, _WINDOW) - mean**2
    return np.asarray(np.sqrt(variance.clip(0)) / mean.clip(1))


def flat(photo: Picture) -> NDArray[np.bool_]:
    """Places where nothing is to be seen, though neither black nor white, where even noise is cut off."""
    seen = ndimage.maximum_filter(contrast(photo), _AROUND) < _FLAT
    dark, bright = (f(photo, (_AROUND, _AROUND, 1)) for f in (ndimage.minimum_filter, ndimage.maximum_filter))
    return np.asarray(seen & (dark.min(axis=2) >= _DARK) & (bright.max(axis=2) <= _BRIGHT))


def fused(name: str, pair: list[Picture]) -> NDArray[Any]:
    """What a method makes of two frames."""
    if name in OURS:
        return db.fuse(pair, channel_axis=-1, **FusionParams.arrange(OURS[name])).image
    return fuse_with(name, pair, channel_axis=-1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--pairs", type=int, default=12, help="photographs with flat places, at most")
    parser.add_argument("--side", type=int, default=384)
    parser.add_argument("--methods", nargs="+", default=["ours", *FUSION_METHODS])
    options = parser.parse_args()
    files = sorted(options.photos.glob("*.png")) if options.photos.is_dir() else []
    if not files:
        print(f"{options.photos} holds no photographs (*.png); nothing was measured", file=sys.stderr)
        return 2
    rng = np.random.default_rng(0)
    pairs = []
    for number in range(len(files)):
        photo = middle(files, number, options.side, gray=False)
        where = flat(photo)
        if photo.shape[:2] == (options.side,) * 2 and where.mean() >= _LEAST and len(pairs) < options.pairs:
            pairs.append((photo, frames(photo, rng), where))
    title = f"Flat places of {len(pairs)} pairs of {options.side} px"
    print(f"### {title}: what is not in the photograph, over the smoother frame's\n")
    print("| method | median | largest |\n|---|---:|---:|")
    for name in options.methods:
        ratios = []
        for photo, pair, where in pairs:
            smoother = min(contrast(frame, photo)[where].mean() for frame in pair)
            ratios.append(contrast(fused(name, pair), photo)[where].mean() / smoother)
        print(f"| {name} | {np.median(ratios):.3f} | {max(ratios):.3f} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
