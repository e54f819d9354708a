"""Alignment of focal stacks: accuracy on drifting frames, time and memory on files.

python benchmarks/alignment.py                 three sets of a hundred frames with known motion
python benchmarks/alignment.py --opencv        the same beside OpenCV's findTransformECC, pair by pair
python benchmarks/alignment.py --files a.jpg b.jpg ...   time, memory, correlation and remaining shift of a real stack

Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy import ndimage
from skimage import data
from skimage.registration import phase_cross_correlation

import defocus_backend as db

SIDE = 320
SETS = {
    "sweep from left to right": {"breathing": 0.0005, "noise": 2.0, "deepest": 10.0},
    "with strong breathing and noise 5": {"breathing": 0.002, "noise": 5.0, "deepest": 10.0},
    "half the depth of focus": {"breathing": 0.0, "noise": 2.0, "deepest": 20.0},
}


def drifting_frames(
    count: int, *, breathing: float, noise: float, deepest: float, seed: int = 1
) -> tuple[list[np.ndarray], np.ndarray]:
    """Frames (SIDE, SIDE) uint8 and their true transforms (N, 3, 3) from the middle one's pixels.

    A random walk of shift (1 px a frame), scale (0.15 %) and rotation (0.1 degrees) over the breathing, held
    within 40 px; the plane of focus is tilted and goes from one side of the photograph to the other, where the
    other side has a sigma of `deepest` px.
    """
    rng = np.random.default_rng(seed)
    photo = data.camera().astype(np.float32)
    walk = (rng.standard_normal((count, 4)) * [1, 1, 0.0015, 0.0017]).cumsum(0)
    walk[:, :2] = 40 * np.tanh(walk[:, :2] / 40)
    walk[:, 2] += breathing * (np.arange(count) - count / 2)
    walk -= walk[count // 2]
    levels = np.arange(0, deepest + 0.5, 0.5)
    blurred = np.stack([ndimage.gaussian_filter(photo, s) for s in levels])
    columns = np.linspace(0, 1, photo.shape[1])
    middle, corner = (SIDE - 1) / 2, (photo.shape[0] - SIDE) / 2
    frames, matrices = [], []
    for number, (x, y, size, angle) in enumerate(walk):
        sigma = deepest * np.abs(columns - number / (count - 1))
        low = np.minimum((sigma / 0.5).astype(int), len(levels) - 2)
        share = (sigma / 0.5 - low).astype(np.float32)
        across = np.arange(photo.shape[1])
        seen = blurred[low, :, across].T * (1 - share) + blurred[low + 1, :, across].T * share
        turn = np.exp(size) * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = np.eye(3)
        matrix[:2, :2], matrix[:2, 2] = turn, middle + np.array([x, y]) - turn @ [middle, middle]
        back = np.linalg.inv(matrix)[::-1, ::-1]  # rows first, as in SciPy
        linear, shift = back[1:, 1:], back[1:, 0] + corner
        values = ndimage.affine_transform(seen, linear, shift, output_shape=(SIDE, SIDE), order=3, mode="nearest")
        frames.append(np.clip(np.rint(values + noise * rng.standard_normal(values.shape)), 0, 255).astype(np.uint8))
        matrices.append(matrix)
    return frames, np.stack(matrices)


def rms(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """RMS distance in px of transforms (N, 3, 3) over a grid of points of the picture."""
    x, y = np.meshgrid(np.linspace(0, SIDE - 1, 9), np.linspace(0, SIDE - 1, 9))
    points = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    a, b = found @ points, true @ points
    return np.sqrt(((a[:, :2] / a[:, 2:] - b[:, :2] / b[:, 2:]) ** 2).sum(1).mean(1))


def by_opencv(frames: list[np.ndarray]) -> np.ndarray:
    """The same chain with OpenCV's affine ECC from the phase correlation, 50 iterations at full size."""
    places = [np.eye(3)]
    for before, after in itertools.pairwise(frames):
        a, b = before.astype(np.float32), after.astype(np.float32)
        shift = phase_cross_correlation(a, b, normalization=None)[0]
        start = np.float32([[1, 0, -shift[1]], [0, 1, -shift[0]]])
        stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-6)
        _, link = cv2.findTransformECC(a, b, start, cv2.MOTION_AFFINE, stop, None, 5)
        places.append(np.vstack([link, [0, 0, 1]]) @ places[-1])
    return np.stack(places) @ np.linalg.inv(places[len(frames) // 2])


def synthetic(count: int, opencv: bool) -> None:
    print(f"{count} frames of {SIDE}x{SIDE}; error in px against the middle frame\n")
    print("| frames | by | RMS | worst frame | failed | CPU ms a frame |\n|---|---|---|---|---|---|")
    for name, options in SETS.items():
        frames, true = drifting_frames(count, **options)
        started = time.process_time()
        found = db.align_stack(frames).alignment
        seconds = time.process_time() - started
        rows = [("ours", found.matrices, str(len(found.failed)), seconds)]
        if opencv:
            started = time.process_time()
            rows.append(("OpenCV", by_opencv(frames), "", time.process_time() - started))
        for by, matrices, failed, spent in rows:
            error = rms(matrices, true)
            figures = f"{np.sqrt((error**2).mean()):.3f} | {error.max():.3f} | {failed} | {spent / count * 1e3:.0f}"
            print(f"| {name} | {by} | {figures} |", flush=True)


def left_over(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """Remaining shift (x, y) between two aligned gray frames, as the median over blocks of 128 px."""
    window = np.outer(np.hanning(128), np.hanning(128))
    sharp = [cv2.GaussianBlur(f, (0, 0), 1.5) - cv2.GaussianBlur(f, (0, 0), 6) for f in (before, after)]
    shifts = []
    for top in range(0, before.shape[0] - 128, 160):
        for left in range(0, before.shape[1] - 128, 160):
            a, b = (s[top : top + 128, left : left + 128] * window for s in sharp)
            alike = (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum() + 1e-9)
            if alike > 0.5:
                shifts.append(phase_cross_correlation(a, b, upsample_factor=20, normalization=None)[0])
    y, x = np.median(shifts, axis=0) if shifts else (np.nan, np.nan)
    return float(x), float(y)


def files(paths: list[Path]) -> None:
    stack = db.open_stack(paths)
    verdict = db.alignment_needed(stack, channel_axis=stack.channel_axis)
    print(f"auto: {'align' if verdict.needed else 'do not align'}, {verdict.reason}\n")
    started, wall = time.process_time(), time.perf_counter()
    aligned = db.align_stack(stack, channel_axis=stack.channel_axis)
    seconds, wall = time.process_time() - started, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    found = aligned.alignment
    print(f"{len(stack)} frames of {found.shape[1]}x{found.shape[0]}: {seconds:.1f} s of CPU ({wall:.1f} s passed)")
    started = time.process_time()
    before = None
    print("\n| frame | scale | shift x, y | correlation | gain | left over x, y |\n|---|---|---|---|---|---|")
    spent = 0.0
    for number in range(len(stack)):
        started = time.process_time()
        frame = aligned[number]
        spent += time.process_time() - started
        gray = np.asarray(frame if frame.ndim == 2 else frame.mean(-1), dtype=np.float32)
        parts, last = found.parts(number), "" if before is None else "{:+.2f}, {:+.2f}".format(*left_over(before, gray))
        alike = f"{found.correlation[number - 1]:.3f}" if number else ""
        gain = " ".join(f"{g:.3f}" for g in found.gains[number])
        shift = f"{parts.shift[0]:+.1f}, {parts.shift[1]:+.1f}"
        print(f"| {number} | {parts.scale:.4f} | {shift} | {alike} | {gain} | {last} |", flush=True)
        before = gray
    print(f"\nresampling {spent:.1f} s of CPU; peak memory of the registration {peak:.0f} MB; {found.crop}")
    for warning in found.warnings:
        print(warning)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--opencv", action="store_true")
    parser.add_argument("--files", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    if options.files:
        files(options.files)
    else:
        synthetic(options.frames, options.opencv)


if __name__ == "__main__":
    main()
