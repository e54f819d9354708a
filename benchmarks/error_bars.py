"""How often do the stated standard errors hold? python benchmarks/error_bars.py [--side 192] [--stacks 6] [--json FILE]

On rendered stacks and pictures whose truth is known, at noise of 0, 10, 20 and 40 gray values:

- height: nine slices of a tilted plane, a hill and steps, rendered from photographs that scikit-image has installed;
  `height_error` of `fuse` at the textured pixels;
- sigma: the same photographs, evenly blurred by 1 to 8 px; `deviation` of `defocus_map` at the textured pixels whose
  confidence is above 0.5;
- defocus: nuclei at known z under a simulated widefield microscope, another specimen than the one that calibrated it;
  the error of `ChannelCalibration.distance` at the median sigma of the picture.

If a standard error is right, 68 % of the deviations are within one and 95 % within two standard errors. "Ratio" is the
robust size of the deviations divided by the stated error: above 1, the stated errors are too small; below 1, they are
too large.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import defocus_backend as db
from defocus_backend.luma import LUMA
from defocus_backend.synthetic.degrade import add_noise, blur
from defocus_backend.synthetic.microscope import SimulatedMicroscope, draw_nuclei
from defocus_backend.synthetic.scenes import bump_depth, focal_stack, stepped_depth, tilted_depth

NOISE = (0.0, 10.0, 20.0, 40.0)
PHOTOS = ("astronaut", "coffee", "chelsea", "camera", "rocket", "cat")
SURFACES = (tilted_depth, bump_depth, stepped_depth)
BLURS = (1.0, 2.0, 4.0, 6.0, 8.0)
SLICES = 9
TEXTURED = 4.0
"""Least standard deviation of the Laplacian around a textured pixel in gray values, as in `benchmarks/truth.py`."""
BESIDE = 8
"""Pixels beside a step in depth that are not scored: two depths are seen there."""
FRAME = 16
CONFIDENT = 0.5

Floats = NDArray[np.float64]


def photograph(number: int, side: int) -> NDArray[np.uint8]:
    """The middle of a photograph, gray (side, side)."""
    from skimage import data

    name = PHOTOS[number % len(PHOTOS)]
    photo = np.asarray(data.chelsea()[::-1] if name == "cat" else getattr(data, name)())
    top, left = ((size - side) // 2 for size in photo.shape[:2])
    gray = photo[top : top + side, left : left + side]
    return gray if gray.ndim == 2 else np.rint(gray @ LUMA).astype(np.uint8)


def textured(sharp: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where the sharp photograph has detail, away from the border."""
    curvature = ndimage.laplace(ndimage.gaussian_filter(sharp.astype(float), 0.8))
    found = np.sqrt(ndimage.gaussian_filter(curvature**2, 2.0)) > TEXTURED
    inner = np.zeros_like(found)
    inner[FRAME:-FRAME, FRAME:-FRAME] = True
    return np.asarray(found & inner)


def height_errors(noise: float, side: int, stacks: int) -> Floats:
    """Deviations of the height over its stated error, at every scored pixel."""
    found = []
    for number in range(stacks):
        sharp, surface = photograph(number, side), SURFACES[number % len(SURFACES)]
        depth = surface(sharp.shape, SLICES)
        stack = focal_stack(sharp, depth, slices=SLICES, blur_per_slice=1.0, noise=noise, seed=number)
        fused = db.fuse(stack.slices, device="cpu")
        jumps = ndimage.maximum_filter(depth, 3) - ndimage.minimum_filter(depth, 3) > 1
        away = ndimage.distance_transform_edt(~jumps) > BESIDE if jumps.any() else np.ones_like(jumps)
        found.append(((fused.height - depth) / fused.height_error)[textured(sharp) & away])
    return np.concatenate(found)


def sigma_errors(noise: float, side: int, stacks: int) -> Floats:
    """Deviations of sigma over the stated deviation of its distribution."""
    found = []
    for number in range(stacks):
        sharp = photograph(number, side)
        for which, sigma in enumerate(BLURS):
            rng = np.random.default_rng((number, which))
            light = blur(sharp.astype(np.float32), sigma, ("disc", "gaussian")[which % 2])
            picture = add_noise(light, noise, rng).clip(0, 255).round().astype(np.uint8)
            judged = db.defocus_map(picture, refine=False, device="cpu")
            scored = textured(sharp) & (judged.confidence > CONFIDENT)
            found.append(((judged.sigma - sigma) / judged.deviation)[scored])
    return np.concatenate(found)


def microscope(seed: int, noise: float, side: int) -> SimulatedMicroscope:
    """Nuclei in focus at 0."""
    return SimulatedMicroscope(draw_nuclei(side, np.random.default_rng(seed)), noise=noise, seed=seed)


def defocus_errors(noise: float, side: int, stacks: int) -> Floats:
    """Deviations of the distance from focus over its stated error, a picture each."""
    stack_z = np.arange(-42.0, 43.0, 6.0)
    planes = microscope(1, noise, side).stack(stack_z)
    try:
        channel = db.calibrate_defocus(planes, z=stack_z, device="cpu").channel()
    except db.InputError:  # too noisy for a calibration, so no error is stated
        return np.empty(0)
    estimator = db.quality.QualityEstimator(device="cpu")
    found = []
    for number in range(stacks):
        places = (-33.0, -21.0, -9.0, 5.0, 13.0, 27.0)
        for z, picture in zip(places, microscope(10 + number, noise, side).stack(places), strict=True):
            stated = channel.distance(estimator.measure(picture).sigma_median)
            found.append((float(stated.distance) - abs(z)) / float(stated.error))
    return np.asarray(found)


MEASURES: dict[str, Callable[[float, int, int], Floats]] = {
    "height [slices]": height_errors,
    "sigma [px]": sigma_errors,
    "defocus [um]": defocus_errors,
}


def holds(deviations: Floats) -> dict[str, Any]:
    """Share within one and within two standard errors, their ratio, and how many there are and were refused."""
    known = np.abs(deviations[np.isfinite(deviations)])
    refused = int(deviations.size - known.size)
    if not known.size:
        return {"within_1": None, "within_2": None, "ratio": None, "count": 0, "refused": refused}
    return {
        "within_1": round(float((known <= 1).mean()), 3),
        "within_2": round(float((known <= 2).mean()), 3),
        # The median of absolute values of a normal distribution is 0.6745 of its standard deviation.
        "ratio": round(float(np.median(known)) / 0.6745, 3),
        "count": int(known.size),
        "refused": refused,
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=192, help="of the pictures in pixels")
    parser.add_argument("--stacks", type=int, default=6, help="stacks, photographs and specimens")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args(arguments)
    rows = []
    print("| stated error of | noise | within one (68 %) | within two (95 %) | ratio | judged | refused |")
    print("|---|---|---|---|---|---|---|")
    for name, measure in MEASURES.items():
        for noise in NOISE:
            figures = holds(partial(measure, noise, options.side, options.stacks)())
            rows.append({"of": name, "noise": noise, **figures})
            cells = ["-" if figures[k] is None else format(figures[k], f) for k, f in SHOWN.items()]
            print(
                f"| {name} | {noise:g} | {' | '.join(cells)} | {figures['count']} | {figures['refused']} |", flush=True
            )
    if options.json:
        settings = {"side": options.side, "stacks": options.stacks}
        options.json.write_text(json.dumps({"settings": settings, "rows": rows}, indent=1) + "\n")


SHOWN = {"within_1": ".0%", "within_2": ".0%", "ratio": ".2f"}


if __name__ == "__main__":
    main()
