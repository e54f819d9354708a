"""Is sigma V-shaped through a real z-stack? For every textured tile: has it one clear minimum over z?

    python benchmarks/zstack_tiles.py STACKS [--stack scorpion ...] [--out FOLDER]

STACKS holds one folder a stack, one picture a slice in the order of their names. The median sigma of a tile is followed
through the slices. A minimum is clear if sigma rises on both of its sides (or on one, at the end of the stack) by a
quarter of the tile's range and by half a pixel. A tile with several such minima is not V-shaped, nor is one whose sigma
changes by less than a pixel. Tiles without texture above the noise are left out. Tiles whose sigma is not below
`--sharp` pixels in any slice are left out too, because a tile that is never in focus has no minimum inside the stack.

The result is printed for all slices, and for the slices in which the median confidence of the tile is at least
`--confidence`. A strongly blurred tile has no texture, and the map marks its sigma as unreliable.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.ndimage import convolve, gaussian_filter
from scipy.signal import find_peaks

from defocus_backend.defocus import defocus_map
from defocus_backend.stacks import open_stack

FRAMES = {"scorpion": slice(3, 11)}
"""Slices of one sweep, where a stack holds more than that."""


def tile_medians(values: np.ndarray, side: int) -> np.ndarray:
    """Median of every whole tile, (rows, columns)."""
    rows, columns = (n // side for n in values.shape)
    tiles = values[: rows * side, : columns * side].reshape(rows, side, columns, side)
    return np.median(tiles, axis=(1, 3))


def minima(sigma: np.ndarray) -> int:
    """Number of clear minima of one tile's sigma over z (N,); 0 where it hardly changes."""
    if np.ptp(sigma) < 1:
        return 0
    height = max(0.25 * float(np.ptp(sigma)), 0.5)
    wall = sigma.max() + 2 * height
    found, _ = find_peaks(-np.concatenate([[wall], sigma, [wall]]), prominence=height)
    return len(found)


def detail(gray: np.ndarray, side: int) -> np.ndarray:
    """Signal to noise of every tile: variance between 1 and 4 px over what noise leaves there."""
    band = gaussian_filter(gray, 1) - gaussian_filter(gray, 4)
    noise = convolve(gray, np.outer([1, -2, 1], [1, -2, 1]) / 6)  # Immerkaer 1996: unit gain for white noise
    rows, columns = (n // side for n in gray.shape)
    power, floor = (
        np.square(part[: rows * side, : columns * side]).reshape(rows, side, columns, side).mean(axis=(1, 3))
        for part in (band, noise)
    )
    # 0.066 is the gain of the band for white noise; rounding to gray values is noise as well.
    return power / (0.066 * (floor + 1 / 12))


def follow(files: list[Path], side: int, align: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Median sigma, median confidence and texture of every tile, (N, rows, columns) each."""
    stack = open_stack(files)
    slices = stack
    if align:
        from defocus_backend.align import align_stack

        slices = align_stack(stack, channel_axis=stack.channel_axis)
    sigmas, confidences, details = [], [], []
    high = None
    for pixels in slices:
        values = np.asarray(pixels)
        if high is None:
            high = (0.0, 255.0) if values.dtype == np.uint8 else tuple(map(float, np.percentile(values, (0.1, 99.9))))
        found = defocus_map(values, channel_axis=stack.channel_axis, value_range=high, refine=False)
        gray = (values if values.ndim == 2 else values.mean(-1)).astype(np.float32)
        details.append(detail((gray - high[0]) * np.float32(255 / (high[1] - high[0])), side))
        sigmas.append(tile_medians(found.sigma, side))
        confidences.append(tile_medians(found.confidence, side))
    return np.stack(sigmas), np.stack(confidences), np.stack(details)


def describe(sigma: np.ndarray, told: np.ndarray, sharp: float) -> tuple[str, np.ndarray]:
    """Shares of tiles with one minimum, several and none, over the slices that count; and which were judged."""
    judged = np.where(told, sigma, np.inf).min(0) < sharp
    if not judged.any():
        return "no tile to judge", judged
    counts = np.array([minima(s[t]) for s, t in zip(sigma[:, judged].T, told[:, judged].T, strict=True)])
    shares = (f"{np.mean(counts == 1):.1%}", f"{np.mean(counts > 1):.1%}", f"{np.mean(counts == 0):.1%}")
    followed = np.median(told[:, judged].sum(0))
    text = f"{judged.sum()} held in focus, followed through {followed:g} slices (median); "
    return f"{text}one minimum, several, hardly any change: {shares}", judged


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stacks", type=Path)
    parser.add_argument("--stack", nargs="*", default=["scorpion", "depthmap", "microtubules"])
    parser.add_argument("--side", type=int, default=64, help="side of a tile in pixels")
    parser.add_argument("--texture", type=float, default=8.0, help="least signal to noise (in power) in the best slice")
    parser.add_argument("--sharp", type=float, default=4.0, help="least sigma over z that counts as held in focus, px")
    parser.add_argument("--confidence", type=float, default=0.5, help="least median confidence of a tile in a slice")
    parser.add_argument(
        "--align", nargs="*", default=["scorpion", "depthmap"], metavar="STACK", help="stacks to align first"
    )
    parser.add_argument("--out", type=Path, help="folder for a picture of some tiles")
    options = parser.parse_args()
    if not options.stacks.is_dir():
        parser.exit(1, f"{options.stacks} is not there: nothing was measured\n")
    for name in options.stack:
        files = sorted(
            f for f in (options.stacks / name).iterdir() if f.suffix.lower() in (".jpg", ".png", ".tif", ".tiff")
        )
        files = files[FRAMES.get(name, slice(None))]
        sigma, confidence, signal = follow(files, options.side, name in options.align)
        textured = signal.max(0) > options.texture
        found, judged = describe(sigma, np.broadcast_to(textured, sigma.shape), options.sharp)
        print(f"{name}: {len(files)} slices, {textured.sum()} textured tiles of {options.side} px, {found}")
        told = textured & (confidence >= options.confidence)
        print(f"    where the map is confident: {describe(sigma, told, options.sharp)[0]}")
        if options.out and judged.any():
            draw(options.out / f"{name}.png", sigma, judged)


def draw(path: Path, sigma: np.ndarray, judged: np.ndarray) -> None:
    """Curves of some tiles and the place of the minimum of all."""
    import matplotlib.pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    curves = sigma[:, judged].T
    for curve in curves[:: max(1, len(curves) // 30)]:
        left.plot(curve, linewidth=0.8)
    left.set(xlabel="slice", ylabel="median sigma of the tile / px")
    shown = right.imshow(np.where(judged, sigma.argmin(0), np.nan))
    figure.colorbar(shown, label="slice of the least sigma")
    figure.savefig(path, dpi=90)
    plt.close(figure)


if __name__ == "__main__":
    main()
