"""Is the slice with the smallest sigma also the sharpest slice of microscope stacks? Compared for each tile with the
energy of fine detail.

    python benchmarks/microscopy.py FOLDER

FOLDER holds `nucleus_envelope.tif`, `dna_confocal_widefield.tif` (ZCYX; channel 0 confocal, 1 widefield),
`arabidopsis_embryo.tif` and `mitochondria.tif`. For every 32 px tile with texture, the slice of the least
median sigma is compared with the slice of the most band-pass energy. Printed is the share of tiles in which they lie
within one slice: by maps of single pictures, and by the maps of `fuse`, which knows the noise of the whole stack and
chooses the size of its cells. Then the median confidence of single pictures at the sharpest slice, and over all slices.
A tile has texture where
the band-pass energy of its sharpest slice is 1.5 times the median over the slices.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import tifffile
from scipy.ndimage import gaussian_filter

from defocus_backend.defocus import defocus_map
from defocus_backend.fusion import fuse

TILE = 32
CONTRAST = 1.5


def by_tiles(values: np.ndarray) -> np.ndarray:
    """Whole tiles of a plane, (tiles, TILE * TILE)."""
    rows, columns = (n // TILE for n in values.shape)
    tiles = values[: rows * TILE, : columns * TILE].reshape(rows, TILE, columns, TILE)
    return tiles.swapaxes(1, 2).reshape(rows * columns, -1)


def band_pass(plane: np.ndarray) -> np.ndarray:
    """Energy of the detail between about 2 and 6 px, (tiles,)."""
    values = plane.astype(np.float64)
    return by_tiles((gaussian_filter(values, 1.0) - gaussian_filter(values, 2.5)) ** 2).mean(axis=1)


def measure(stack: np.ndarray) -> tuple[float, float, int, float, float]:
    """Shares of textured tiles that agree (single, fused), their number, confidence where sharp, and over all."""
    energy = np.stack([band_pass(plane) for plane in stack])
    limits = tuple(float(v) for v in np.percentile(stack, (0.1, 99.9)))
    maps = [defocus_map(plane, value_range=limits, refine=False) for plane in stack]
    sigma = np.stack([np.median(by_tiles(m.sigma), axis=1) for m in maps])
    confidence = np.stack([np.median(by_tiles(m.confidence), axis=1) for m in maps])
    textured = energy.max(axis=0) > CONTRAST * np.median(energy, axis=0)
    sharpest = energy.argmax(axis=0)
    agree = np.abs(sigma.argmin(axis=0) - sharpest) <= 1
    fused = fuse(stack, keep_slices=True).sigmas
    assert fused is not None
    together = np.stack([np.median(by_tiles(one), axis=1) for one in fused])
    within = np.abs(together.argmin(axis=0) - sharpest) <= 1
    there = np.take_along_axis(confidence, sharpest[None], 0)[0]
    return (
        float(agree[textured].mean()),
        float(within[textured].mean()),
        int(textured.sum()),
        float(np.median(there[textured])),
        float(np.median(confidence)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    if not options.folder.is_dir():
        parser.exit(1, f"{options.folder} is not there: nothing was measured\n")
    dna = tifffile.imread(options.folder / "dna_confocal_widefield.tif")
    stacks = {
        "nucleus_envelope": tifffile.imread(options.folder / "nucleus_envelope.tif"),
        "DNA, confocal": dna[:, 0],
        "DNA, widefield": dna[:, 1],
        "mitochondria": tifffile.imread(options.folder / "mitochondria.tif"),
        "arabidopsis_embryo": tifffile.imread(options.folder / "arabidopsis_embryo.tif")[::4],
    }
    columns = ("stack", "within one slice", "by `fuse`", "tiles", "confidence, sharpest slice", "all slices")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for name, stack in stacks.items():
        share, fused, tiles, sharp, every = measure(stack)
        print(f"| {name} | {share:.2f} | {fused:.2f} | {tiles} | {sharp:.2f} | {every:.2f} |")


if __name__ == "__main__":
    main()
