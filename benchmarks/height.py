"""Height on stacks with a known depth: python benchmarks/height.py [--side 288] [--stacks 15] [--pooling 4]

Stacks of nine slices rendered from photographs that scikit-image has installed: a tilted plane, a hill, steps, thin
bars before wavy ground, and a plane with a side that is never in focus; each with noise of 0, 2 and 5 gray values, by
a disc and a Gaussian in turn. Prints Markdown tables: errors of the height in slices (RMSE) by noise, at edges that
occlude, over the stated standard error; and how well the smallest sigma detects areas that are never in focus.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from fusion import auc, height_by_laplacian
from numpy.typing import NDArray
from scipy import ndimage

import defocus_backend as db
from defocus_backend.luma import LUMA
from defocus_backend.synthetic.scenes import FocalStack, bump_depth, focal_stack, stepped_depth, tilted_depth

SLICES = 9
NOISE = (0.0, 2.0, 5.0)
PHOTOS = ("astronaut", "coffee", "chelsea", "camera", "rocket")
BESIDE = 8
"""Reach in pixels of what counts as beside an occluding edge."""
OURS = "height of `fuse`"
APART = 6
"""Pixels around the outline of what is never in focus that are not scored."""
TEXTURED = 4.0
"""Least standard deviation of the Laplacian around a textured pixel in gray values, as in `benchmarks/truth.py`."""

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


def bars(shape: tuple[int, int], slices: int) -> Floats:
    """Bars of 3 px, two slices before wavy ground."""
    y, x = np.indices(shape) / min(shape)
    ground = (slices - 1) * (0.6 + 0.2 * np.sin(9 * y) * np.cos(7 * x))
    columns = np.indices(shape)[1] % 24 < 3
    return np.where(columns, ground - 2, ground).astype(np.float32)


def one_side_never(shape: tuple[int, int], slices: int) -> Floats:
    """A tilted plane; its right third lies five slices behind the last one."""
    depth = tilted_depth(shape, slices)
    depth[:, shape[1] * 2 // 3 :] = slices + 4
    return depth


SURFACES: dict[str, Callable[[tuple[int, int], int], Floats]] = {
    "tilt": tilted_depth,
    "hill": bump_depth,
    "steps": stepped_depth,
    "bars": bars,
    "never": one_side_never,
}


@dataclass(frozen=True)
class Known:
    """A rendered stack and what of it is scored: textured pixels off the edges in depth and beside them, never."""

    stack: FocalStack
    noise: float
    plain: Mask
    beside: Mask
    never: Mask
    textured: Mask


@dataclass(frozen=True)
class Estimate:
    """Height in slices, with its standard error and the smallest sigma, if available."""

    height: NDArray[Any]
    error: NDArray[Any] | None = None
    sigma: NDArray[Any] | None = None


def known_stacks(count: int, side: int) -> Iterator[Known]:
    """The stacks, one by one; the same every time."""
    from skimage import data

    both = itertools.product(enumerate(SURFACES.items()), enumerate(NOISE))
    for number, ((which, (_, surface)), (level, noise)) in enumerate(itertools.islice(both, count)):
        photo = np.asarray(getattr(data, PHOTOS[(which + level) % len(PHOTOS)])())
        top, left = ((size - side) // 2 for size in photo.shape[:2])
        gray = photo[top : top + side, left : left + side]
        gray = gray if gray.ndim == 2 else np.rint(gray @ LUMA).astype(np.uint8)
        depth = surface(gray.shape, SLICES)
        psf = ("disc", "gaussian")[number % 2]
        stack = focal_stack(gray, depth, blur_per_slice=1.0, noise=noise, psf=psf, seed=number)
        never = depth > SLICES
        curvature = ndimage.laplace(ndimage.gaussian_filter(gray.astype(float), 0.8))
        detail = np.sqrt(ndimage.gaussian_filter(curvature**2, 2.0)) > TEXTURED
        jumps = ndimage.maximum_filter(depth, 3) - ndimage.minimum_filter(depth, 3) > 1
        near = ndimage.distance_transform_edt(~jumps) <= BESIDE if jumps.any() else np.zeros_like(jumps)
        outline = ndimage.binary_dilation(never, iterations=APART) ^ ndimage.binary_erosion(
            never, iterations=APART, border_value=1
        )
        yield Known(stack, noise, detail & ~near & ~never, detail & near & ~never, never & ~outline, detail & ~outline)


def estimates(stack: FocalStack, pooling: int | None) -> dict[str, Estimate]:
    """Results of each method for a stack; heights are NaN where nothing is in focus according to `fuse`."""
    by_sigma, default = db.fuse(stack.slices, decision="sigma"), db.fuse(stack.slices)
    found = {
        "slice of the least sigma": Estimate(by_sigma.index),
        "slice of the best score": Estimate(default.index),
        "smoothed Laplacian with a parabola": Estimate(height_by_laplacian(stack.slices)),
        OURS: Estimate(default.height, default.height_error, default.sigma),
    }
    if pooling is not None:
        other = db.fuse(stack.slices, map_settings=db.SliceMapParams(pooling=pooling))
        found[f"the same, sigma on {pooling} px"] = Estimate(other.height, other.height_error, other.sigma)
    return found


def rms(values: NDArray[Any]) -> float:
    return float(np.sqrt(np.square(values).mean())) if values.size else np.nan


def row(judged: list[tuple[Known, Estimate]]) -> list[float]:
    """RMSE on all stacks and by noise, median of all; RMSE and median beside edges; error over standard error; share
    of the textured pixels that have a height."""

    def errors(mask: str, noise: float | None = None) -> NDArray[Any]:
        chosen = [(k, e) for k, e in judged if noise is None or k.noise == noise]
        values = [(e.height - k.stack.depth)[getattr(k, mask)] for k, e in chosen]
        found = np.concatenate(values) if values else np.empty(0)
        return found[np.isfinite(found)]

    plain, beside = errors("plain"), errors("beside")
    figures = [rms(plain), *(rms(errors("plain", n)) for n in NOISE), float(np.median(np.abs(plain)))]
    figures += [rms(beside), float(np.median(np.abs(beside))) if beside.size else np.nan]
    stated = [
        ((e.height - k.stack.depth) / e.error)[k.plain & np.isfinite(e.height)]
        for k, e in judged
        if e.error is not None
    ]
    # Robust: the median of absolute values of a normal distribution is 0.6745 of its standard deviation.
    figures.append(float(np.median(np.abs(np.concatenate(stated))) / 0.6745) if stated else np.nan)
    told = [np.isfinite(e.height)[k.plain].mean() for k, e in judged if k.plain.any()]
    return [*figures, float(np.mean(told))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stacks", type=int, default=15, help="fewer: the first of them")
    parser.add_argument("--side", type=int, default=288, help="height and width in px, at most 300")
    parser.add_argument("--pooling", type=int, choices=(1, 2, 4), help="also with sigma on cells of so many pixels")
    options = parser.parse_args()
    stacks = list(known_stacks(options.stacks, options.side))
    found = [estimates(known.stack, options.pooling) for known in stacks]
    heads = ["all", *(f"noise {n:g}" for n in NOISE), "median", "beside edges", "median there", "error/stated", "told"]
    print(f"### Height on {len(stacks)} stacks of {SLICES} slices of {options.side} px, errors in slices\n")
    print(f"| estimate | {' | '.join(heads)} |\n|---|" + "---:|" * len(heads))
    for name in found[0]:
        figures = row([(known, one[name]) for known, one in zip(stacks, found, strict=True)])
        print(f"| {name} | {' | '.join('' if np.isnan(value) else f'{value:.3f}' for value in figures)} |")
    print("\n### Never in focus, by the least sigma: AUC\n\n| stack | all pixels | textured |\n|---|---:|---:|")
    for known, one in zip(stacks, found, strict=True):
        sigma = one[OURS].sigma
        if known.never.any() and sigma is not None:
            other = (known.stack.depth < SLICES) & ~ndimage.binary_dilation(known.never, iterations=2 * APART)
            pairs = [(known.never & mask, other & mask) for mask in (np.ones_like(other), known.textured)]
            values = [f"{auc(sigma[high], sigma[low]):.3f}" if high.any() else "-" for high, low in pairs]
            print(f"| noise {known.noise:g} | {' | '.join(values)} |")


if __name__ == "__main__":
    main()
