"""How far can sigma be trusted? Calibration, predicted deviation and the risk-coverage curve of a network.

    python benchmarks/confidence.py PHOTOS [--weights pixelnet] [--plot FILE.png]

PHOTOS are sharp photographs that the network was not trained on. They are composed into the scenes of the
defocus benchmark (known sigma, noise, JPEG, both point spread functions); pixels of the frame are left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from defocus_backend.classifier.pixelnet import PixelNet
from defocus_backend.classifier.predict import classify_pixels
from defocus_backend.classifier.weights import load_network
from defocus_backend.evaluation.benchmark import FRAME, SCENES, draw_scenes
from defocus_backend.evaluation.reliability import calibration_error, reliability, risk_coverage
from defocus_backend.synthetic.patches import list_photos
from defocus_backend.training.calibration import collect
from defocus_backend.training.loss import soft_labels

SHARES = (0.1, 0.25, 0.5, 0.75, 0.9, 1)
_STRIDE = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--weights", default="pixelnet", help="shipped weights of a per-pixel network, or a file")
    parser.add_argument("--scenes", type=int, default=SCENES)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    if not options.photos.is_dir():
        parser.exit(1, f"{options.photos} is not there: nothing was measured\n")
    network, name = load_network(options.weights)
    if not isinstance(network, PixelNet):
        parser.exit(1, f"{options.weights}: {name} judges windows; choose a per-pixel network\n")
    inner = np.s_[FRAME:-FRAME:_STRIDE, FRAME:-FRAME:_STRIDE]
    batches, pixels = [], []
    for scene in draw_scenes(list_photos(options.photos), count=options.scenes):
        picture, sigma, textured = (
            torch.from_numpy(part.astype(np.float32)) for part in (scene.picture / 255, scene.sigma, scene.textured)
        )
        batches.append((picture[None, None], sigma[None, None], textured[None, None]))
        found = classify_pixels(picture, network)
        maps = (found.sigma, found.deviation, found.confidence, sigma, textured)
        pixels.append(np.stack([part.numpy()[inner].ravel() for part in maps]))
    sigma, deviation, confidence, truth, textured = np.concatenate(pixels, axis=1)
    error = np.abs(sigma - truth)

    verdicts = collect(network, batches)
    claimed, level = verdicts.whole_probabilities.max(1)
    right = soft_labels(verdicts.sigma[:, None]).gather(1, level[:, None])[:, 0]
    print(f"{options.weights}, {options.scenes} scenes")
    for label, mask in (("textured", verdicts.weight > 0.5), ("all", verdicts.weight >= 0)):
        print(f"expected calibration error, {label} pixels: {calibration_error(claimed[mask], right[mask]):.3f}")
    curves = {}
    for label, mask in (("textured", textured > 0.5), ("all", textured >= 0)):
        inside = np.mean(error[mask] <= deviation[mask])
        ratio = np.sqrt(np.mean(error[mask] ** 2) / np.mean(deviation[mask] ** 2))
        print(
            f"{label} pixels: RMS error / RMS predicted deviation {ratio:.2f}; error within the deviation {inside:.1%}"
        )
        coverage, risk = risk_coverage(error[mask], confidence[mask])
        curves[label] = coverage, risk
        kept = ", ".join(f"{share:.0%}: {risk[int(share * len(risk)) - 1]:.2f}" for share in SHARES)
        print(f"  mean error in px of the most confident part: {kept}")
    if options.plot:
        draw(options.plot, reliability(claimed, right), curves)


def draw(path: Path, bins: list[tuple[float, float, float]], curves: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """The reliability diagram and the risk-coverage curves."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    shares, claimed, seen = np.array(bins).T
    left.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    left.scatter(claimed, seen, s=10 + 600 * shares, alpha=0.7)
    left.set(xlabel="probability of the most likely level", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1))
    for label, (coverage, risk) in curves.items():
        every = slice(len(risk) // 200, None, max(1, len(risk) // 500))
        right.plot(coverage[every], risk[every], label=f"{label} pixels")
    right.set(xlabel="share of pixels kept, most confident first", ylabel="mean absolute error / px", ylim=(0, None))
    right.legend(frameon=False)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
