"""Defocus maps of noisy pictures, and of pictures that contain only noise.

    python benchmarks/noise.py PHOTOS [--weights NAME] [--plot FILE.png] [--json FILE]

PHOTOS are sharp photographs that the network was not trained on. Five tables:

- the median confidence of pictures without a scene;
- the composed scenes of the defocus benchmark under noise of 10, 20 and 40 gray values;
- even blurs of 1 to 8 px under noise: median sigma, mean confidence, and the mean over textured pixels of the
  relative error times the confidence, which is large only where the map is wrong and sure;
- small even blurs, to a hundredth of a pixel;
- the calibration of the distributions in bins of noise.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from defocus_backend.arrays import as_image
from defocus_backend.classifier.pixelnet import LEVELS
from defocus_backend.classifier.predict import classify_pixels
from defocus_backend.classifier.weights import load_network
from defocus_backend.evaluation.benchmark import NOISY, make_candidate, run_benchmark
from defocus_backend.evaluation.map_scores import Errors
from defocus_backend.evaluation.reliability import calibration_error
from defocus_backend.synthetic.compositions import SharpPictures, compose
from defocus_backend.synthetic.degrade import CLEAN, add_noise, quantise
from defocus_backend.synthetic.patches import list_photos, texture
from defocus_backend.training.loss import soft_labels

BLURS = (1.0, 2.0, 4.0, 8.0)
NOISES = (0.0, 2.0, 5.0, 10.0, 20.0, 30.0, 40.0)
BINS = ((0, 5), (5, 15), (15, 40))
FRAME = 32
TEXTURED = 50.0


def nothing(rng: np.random.Generator, side: int = 320) -> dict[str, np.ndarray]:
    """Pictures in which no blur can be seen, by name."""
    shape = (side, side)
    found: dict[str, np.ndarray] = {
        "blank": np.full(shape, 128, np.uint8),
        "saturated": np.full(shape, 255, np.uint8),
        "saturated, 16 bit": np.full(shape, 65535, np.uint16),
        "dark": np.zeros(shape, np.uint8),
        "uint16, 100 +- 3": rng.normal(100, 3, shape).round().astype(np.uint16),
        "float N(0, 1)": rng.normal(0, 1, shape).astype(np.float32),
        "float in 0 to 1, .5 +- .05": rng.normal(0.5, 0.05, shape).clip(0, 1).astype(np.float32),
    }
    for mean in (1, 10, 100, 1000):
        found[f"Poisson of mean {mean}"] = rng.poisson(mean, shape).astype(np.uint16)
    for level in (1, 2, 5, 10, 20, 40):
        found[f"8 bit, 128 +- {level}"] = rng.normal(128, level, shape).round().clip(0, 255).astype(np.uint8)
    return found


def textured_pixels(sharp: np.ndarray) -> np.ndarray:
    """Where a sharp picture (H, W) has enough fine detail for its blur to be measured."""
    return np.asarray(texture(np.pad(sharp, 8, mode="symmetric"), 17) > TEXTURED)


def even_blurs(pictures: SharpPictures, network: Any, blurs: tuple[float, ...], noises: tuple[float, ...], count: int):
    """For every psf, blur and noise: rows of (sigma, confidence, textured) of the pixels of some photographs."""
    inner = np.s_[FRAME:-FRAME, FRAME:-FRAME]
    rows: dict[tuple[str, float, float], list[np.ndarray]] = {}
    for index in range(count):
        for psf in ("gaussian", "disc"):
            sharp = compose(pictures, np.random.default_rng(index), CLEAN, kind="uniform", psf=psf, sigmas=(0.0, 0.0))
            mask = textured_pixels(sharp.picture) & (sharp.trust > 0.5)
            for sigma in blurs:
                scene = compose(
                    pictures, np.random.default_rng(index), CLEAN, kind="uniform", psf=psf, sigmas=(sigma, sigma)
                )
                for level in noises:
                    rng = np.random.default_rng((index, int(10 * level)))
                    noisy = quantise(add_noise(scene.picture, level, rng)) if level else scene.picture
                    found = classify_pixels(torch.from_numpy(noisy / 255), network)
                    maps = (found.sigma.numpy()[inner], found.confidence.numpy()[inner], mask[inner])
                    rows.setdefault((psf, sigma, level), []).append(np.stack([m.astype(np.float32) for m in maps]))
    return {key: np.stack(value) for key, value in rows.items()}


def calibration(pictures: SharpPictures, network: Any, low: float, high: float, count: int) -> tuple[float, float]:
    """Expected calibration error over textured pixels in a bin of noise, and RMS error over RMS deviation."""
    levels = torch.tensor(LEVELS)
    claimed, right, errors, deviations = [], [], [], []
    for index in range(count):
        rng = np.random.default_rng((7, index))
        kind = ("uniform", "ramp", "layered")[index % 3]
        sigmas = tuple(float(v) for v in rng.uniform(0, 12, 2))
        scene, sharp = (
            compose(pictures, np.random.default_rng((8, index)), CLEAN, kind=kind, psf="gaussian", sigmas=pair)
            for pair in (sigmas, (0.0, 0.0))
        )
        noisy = quantise(add_noise(scene.picture, float(rng.uniform(low, high)), rng))
        with torch.inference_mode():
            share = network(torch.from_numpy(noisy / 255)[None, None].float())[0].softmax(0)
        truth = torch.nn.functional.avg_pool2d(torch.from_numpy(scene.sigma)[None, None], 2)[0]
        mask = torch.from_numpy(textured_pixels(sharp.picture)[::2, ::2].copy())
        mask[: FRAME // 2] = mask[-FRAME // 2 :] = False
        mask[:, : FRAME // 2] = mask[:, -FRAME // 2 :] = False
        share, truth = share[:, mask], truth[0][mask]
        most, level = (share.T @ soft_labels(levels[:, None])).max(1)
        claimed.append(most)
        right.append(soft_labels(truth[:, None]).gather(1, level[:, None])[:, 0])
        mean = levels @ share
        errors.append((mean - truth) ** 2)
        deviations.append(levels**2 @ share - mean**2)
    ratio = (torch.cat(errors).mean() / torch.cat(deviations).mean()).sqrt()
    return calibration_error(torch.cat(claimed).numpy(), torch.cat(right).numpy()), float(ratio)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--weights", default="pixelnet", help="shipped weights of a per-pixel network, or a file")
    parser.add_argument("--count", type=int, default=12, help="photographs for each blur")
    parser.add_argument("--scenes", type=int, default=102, help="composed scenes; 102 hold every sort once")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not options.photos.is_dir():
        parser.exit(1, f"{options.photos} is not there: nothing was measured\n")
    network, _ = load_network(options.weights)
    figures: dict[str, Any] = {"weights": options.weights}

    print("\n| nothing but | median confidence | median sigma |\n|---|---|---|")
    for name, picture in nothing(np.random.default_rng(0)).items():
        found = classify_pixels(as_image(picture).gray, network)
        values = float(found.confidence.median()), float(found.sigma.median())
        figures.setdefault("nothing", {})[name] = values
        print(f"| {name} | {values[0]:.2f} | {values[1]:.2f} |")

    trials = run_benchmark([make_candidate(options.weights)], options.photos, count=options.scenes, conditions=NOISY)
    print("\n| composed scenes, textured MAE | " + " | ".join(NOISY) + " |\n|---|" + "---|" * len(NOISY))
    for trial in trials:
        by_condition = {
            name: sum((r.textured for r in trial.records if r.condition == name and r.textured), Errors()).mae()
            for name in NOISY
        }
        figures.setdefault("scenes", {})[trial.variant] = by_condition
        print(f"| {trial.variant} | " + " | ".join(f"{value:.2f}" for value in by_condition.values()) + " |")

    pictures = SharpPictures(list_photos(options.photos), 256)
    rows = even_blurs(pictures, network, BLURS, NOISES, options.count)
    print("\n| psf, blur | " + " | ".join(f"noise {n:g}" for n in NOISES) + " |\n|---|" + "---|" * len(NOISES))
    risks: dict[float, list[float]] = {level: [] for level in NOISES}
    for psf in ("gaussian", "disc"):
        for sigma in BLURS:
            cells = []
            for level in NOISES:
                found, sure, mask = np.moveaxis(rows[psf, sigma, level], 1, 0)
                inside = mask > 0.5
                risk = float(np.mean(np.abs(found[inside] - sigma) / sigma * sure[inside]))
                risks[level].append(risk)
                cells.append(f"{np.median(found[inside]):.2f} px, {sure[inside].mean():.2f}, {risk:.2f}")
            print(f"| {psf} {sigma:g} px | " + " | ".join(cells) + " |")
    figures["risk"] = {str(level): float(np.mean(values)) for level, values in risks.items()}
    print(
        "\nmean of relative error times confidence: " + ", ".join(f"{k}: {v:.3f}" for k, v in figures["risk"].items())
    )

    small = even_blurs(pictures, network, (1.0, 2.0, 3.0), (0.0, 5.0), options.count)
    print("\n| small blurs | MAE | bias |\n|---|---|---|")
    for psf in ("gaussian", "disc"):
        for level in (0.0, 5.0):
            parts = [(small[psf, s, level], s) for s in (1.0, 2.0, 3.0)]
            errors = np.concatenate([(p[:, 0] - s)[p[:, 2] > 0.5] for p, s in parts])
            values = float(np.abs(errors).mean()), float(errors.mean())
            figures.setdefault("small", {})[f"{psf}, noise {level:g}"] = values
            print(f"| {psf}, noise {level:g} | {values[0]:.3f} | {values[1]:+.3f} |")

    print("\n| noise | expected calibration error | RMS error / RMS predicted deviation |\n|---|---|---|")
    for low, high in BINS:
        values = calibration(pictures, network, low, high, 3 * options.count)
        figures.setdefault("calibration", {})[f"{low}-{high}"] = values
        print(f"| {low} to {high} | {values[0]:.3f} | {values[1]:.2f} |")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    if options.plot:
        draw(options.plot, rows)


def draw(path: Path, rows: dict[tuple[str, float, float], np.ndarray]) -> None:
    """Sigma and confidence over noise."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for n, sigma in enumerate(BLURS):
        for psf, style in (("gaussian", "-"), ("disc", "--")):
            parts = [rows[psf, sigma, level] for level in NOISES]
            inside = [p[:, 2] > 0.5 for p in parts]
            left.plot(NOISES, [np.median(p[:, 0][m]) for p, m in zip(parts, inside, strict=True)], style, color=f"C{n}")
            right.plot(NOISES, [p[:, 1][m].mean() for p, m in zip(parts, inside, strict=True)], style, color=f"C{n}")
        left.axhline(sigma, color=f"C{n}", linewidth=0.5)
    left.set(xlabel="noise / gray values", ylabel="median sigma / px", ylim=(0, None))
    right.set(xlabel="noise / gray values", ylabel="mean confidence", ylim=(0, 1))
    left.legend(["Gaussian", "disc"], frameon=False)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
