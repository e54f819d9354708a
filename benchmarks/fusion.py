"""Fusion on stacks with ground truth: python benchmarks/fusion.py PHOTOS [--stacks 6] [--pairs 6] [--side 256]

PHOTOS is a folder of sharp photographs that no network was trained on. Stacks are those of `truth.py` beside this file
(nine slices; tilted, bumpy and terraced ground, an object and thin bars before it, a part that is never in focus;
noise 0, 2 and 5 in turn); pairs are a photograph of which one part is in focus in the first picture and the rest in
the second, with soft and with thin borders between. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from truth import SceneWithTruth, scene_with_truth

import defocus_backend as db
from defocus_backend import metrics
from defocus_backend.compare.fusers import FUSION_METHODS, fuse_with
from defocus_backend.filters import gaussian_blur, laplacian
from defocus_backend.io import read_image
from defocus_backend.luma import LUMA
from defocus_backend.params import PAPER_REFINEMENT, FusionParams
from defocus_backend.synthetic.degrade import add_noise, blur

Gray = NDArray[np.uint8]
NOISE = (0.0, 2.0, 5.0)
OURS: dict[str, dict[str, Any]] = {
    "ours": {},
    "ours, sigma on 4 px": {"pooling": 4},
    "ours, first slice in front": {"front": "first"},
    "ours, decision maps (eqs 15, 16)": {"blend": "decision"},
    "paper": {
        "decision": "sigma",
        "blend": "decision",
        "pooling": 1,
        "refine": True,
        **PAPER_REFINEMENT,
    },
}


def height_by_laplacian(slices: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Depth in slices by the smoothed energy of the Laplacian, its maximum refined by a parabola."""
    energy = gaussian_blur(laplacian(gaussian_blur(torch.from_numpy(slices.astype(np.float32)), 0.8)).square(), 2.0)
    best = energy.argmax(0)
    inner = best.clamp(1, len(slices) - 2)
    a, b, c = (energy.gather(0, (inner + k)[None])[0] for k in (-1, 0, 1))
    offset = (0.5 * (a - c) / (a - 2 * b + c)).nan_to_num(0, 0, 0).clamp(-0.5, 0.5)
    return np.asarray(torch.where(inner == best, best + offset, best.float()).numpy())


def run_stack(name: str, slices: NDArray[np.uint8]) -> tuple[Gray, NDArray[np.float32] | None, NDArray[Any] | None]:
    """The fused image, the height in slices and the least sigma, where the method has them."""
    if name in OURS:
        found = db.fuse(slices, **FusionParams.arrange(OURS[name]))
        return found.image, np.where(np.isfinite(found.height), found.height, found.index), found.sigma
    fused = fuse_with(name, list(slices))
    return fused, height_by_laplacian(slices) if name == "laplacian_argmax" else None, None


def stack_scores(
    scene: SceneWithTruth,
    fused: NDArray[Any],
    height: NDArray[np.float32] | None = None,
    sigma: NDArray[Any] | None = None,
) -> dict[str, float]:
    """PSNR in dB outside the part that is never in focus; errors of the height in slices, where a method has it."""
    error = fused.astype(float) - scene.stack.sharp
    found = {"PSNR": 10 * np.log10(255**2 / np.square(error[~scene.never]).mean())}
    if height is not None:
        wrong = height - scene.stack.depth
        for label, mask in (("textured", scene.textured), ("occlusion", scene.occlusion), ("bars", scene.bars)):
            found[label] = float(np.sqrt(np.square(wrong[mask]).mean()))
        found["bars kept"] = float((np.abs(wrong[scene.bars]) < 1).mean())
    if sigma is not None:
        found["never, AUC"] = auc(sigma[scene.never], sigma[scene.textured])
    return found


def scenes_with_truth(files: list[Path], count: int, side: int) -> list[SceneWithTruth]:
    """Scenes of gray photographs, with noise of 0, 2 and 5 in turn."""
    photos = [(middle(files, n + 1, side), middle(files, n + 3, side)) for n in range(count)]
    return [scene_with_truth(photo, front, noise=NOISE[n % 3], seed=n) for n, (photo, front) in enumerate(photos)]


def middle(files: list[Path], number: int, side: int, *, gray: bool = True) -> Gray:
    """The middle of a photograph, (side, side) or with (3,) behind it; numbers count in steps of seven."""
    photo = read_image(files[7 * number % len(files)]).array
    top, left = ((size - side) // 2 for size in photo.shape[:2])
    inner = photo[top : top + side, left : left + side]
    if not gray:
        return inner if inner.ndim == 3 else np.repeat(inner[..., None], 3, axis=2)
    return inner if inner.ndim == 2 else np.rint(inner @ LUMA).astype(np.uint8)


def auc(high: NDArray[Any], low: NDArray[Any]) -> float:
    """Probability that a value of the first kind exceeds one of the second (area under the ROC curve)."""
    from scipy.stats import rankdata

    order = rankdata(np.concatenate([high, low]))
    return float((order[: len(high)].sum() - len(high) * (len(high) + 1) / 2) / (len(high) * len(low)))


def focus_mask(shape: tuple[int, int], thin: bool, rng: np.random.Generator) -> NDArray[np.float32]:
    """Where the first picture is in focus, 0 to 1: a blob with a soft rim, or the same crossed by thin lines."""
    blob = ndimage.gaussian_filter(rng.standard_normal(shape), min(shape) / 6, mode="nearest")
    mask = (blob > np.median(blob)).astype(np.float32)
    if not thin:
        return np.asarray(ndimage.gaussian_filter(mask, rng.uniform(1, 4)), dtype=np.float32)
    rows, columns = np.indices(shape)
    for _ in range(6):
        angle, (y, x) = rng.uniform(0, np.pi), rng.uniform(0, 1, 2) * shape
        line = np.abs((rows - y) * np.cos(angle) + (columns - x) * np.sin(angle)) <= rng.uniform(1, 2)
        mask[line] = 1 - mask[line]
    return mask


def pair_with_truth(photo: Gray, thin: bool, rng: np.random.Generator) -> list[Gray]:
    """Two pictures of a photograph (H, W, 3), each blurred by 1.5 to 4 px where the other is in focus, with noise 1."""
    mask = focus_mask(photo.shape[:2], thin, rng)[..., None]
    planes = np.moveaxis(photo.astype(np.float32), -1, 0)
    soft = [np.stack([blur(p, sigma, "disc") for p in planes], axis=-1) for sigma in rng.uniform(1.5, 4, 2)]
    pair = (photo * mask + soft[0] * (1 - mask), photo * (1 - mask) + soft[1] * mask)
    return [np.clip(np.rint(add_noise(p.astype(np.float32), 1.0, rng)), 0, 255).astype(np.uint8) for p in pair]


def pair_scores(photo: Gray, pair: list[Gray], name: str) -> dict[str, float]:
    """PSNR and SSIM against the photograph."""
    fused = (
        db.fuse(pair, channel_axis=-1, **FusionParams.arrange(OURS[name])).image
        if name in OURS
        else fuse_with(name, pair, channel_axis=-1)
    )
    return {"PSNR": metrics.psnr(fused, photo, channel_axis=-1), "SSIM": metrics.ssim(fused, photo, channel_axis=-1)}


def table(title: str, methods: list[str], score: list[Callable[[str], dict[str, float]]]) -> None:
    """Print the mean of every score for every method."""
    print(f"\n### {title}\n", flush=True)
    header: list[str] = []
    for name in methods:
        started = time.perf_counter()
        found = [one(name) for one in score]
        seconds = (time.perf_counter() - started) / len(score)
        if not header:
            header = list(found[0])
            print("| method | " + " | ".join(header) + " | s |\n|---|" + "---:|" * (len(header) + 1))
        means = [f"{np.mean([f[key] for f in found]):.3f}" if key in found[0] else "" for key in header]
        print(f"| {name} | " + " | ".join(means) + f" | {seconds:.2f} |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--stacks", type=int, default=6)
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--methods", nargs="+", default=[*OURS, *FUSION_METHODS])
    options = parser.parse_args()
    files = sorted(options.photos.glob("*.png")) if options.photos.is_dir() else []
    if len(files) < 2:
        print(f"{options.photos} holds no photographs (*.png); nothing was measured", file=sys.stderr)
        return 2
    scenes = scenes_with_truth(files, options.stacks, options.side)
    if scenes:
        score = [lambda name, one=one: stack_scores(one, *run_stack(name, one.stack.slices)) for one in scenes]
        table(f"{len(scenes)} stacks of 9 slices of {options.side} px", options.methods, score)
    rng = np.random.default_rng(0)
    photos = [middle(files, n, options.side, gray=False) for n in range(options.pairs)]
    pairs = [pair_with_truth(photo, bool(n % 2), rng) for n, photo in enumerate(photos)]
    if pairs:
        both = [lambda name, p=p, q=q: pair_scores(p, q, name) for p, q in zip(photos, pairs, strict=True)]
        table(f"{len(pairs)} pairs of {options.side} px", options.methods, both)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
