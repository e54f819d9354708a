"""Height in micrometres with error bars.

A z-stack of a bump, with 0.5 um between slices. The height is interpolated between slices and has a standard error at
every pixel.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from skimage import data

import defocus_backend as db
from defocus_backend.synthetic import scenes

OUT = Path(__file__).parent / "output"
STEP = 0.5


def main(out: Path = OUT) -> None:
    """Render a stack, fuse it, compare the height with the true height, and draw the results."""
    photo = data.gravel()[:256, :256]
    scene = scenes.focal_stack(photo, scenes.bump_depth(photo.shape, 9), slices=9, noise=2.0, psf="gaussian")

    fused = db.fuse(scene.slices, z_step=STEP)

    truth = scene.depth * STEP
    print(f"RMS error {np.sqrt(np.nanmean((fused.height - truth) ** 2)):.3f} um, slices are {STEP} um apart")
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained", width_ratios=(1, 1.7))
    shown = left.imshow(fused.height, cmap="viridis")
    left.axhline(128, color="white", lw=1)
    left.set_title("height")
    left.axis("off")
    figure.colorbar(shown, ax=left, label="um")
    x = np.arange(0, 256, 6)
    right.plot(truth[128], color="black", label="true height")
    right.errorbar(x, fused.height[128, x], 2 * fused.height_error[128, x], fmt=".", label="height, 2 standard errors")
    right.set(title="along the white line", xlabel="px", ylabel="um")
    right.legend()
    out.mkdir(exist_ok=True)
    figure.savefig(out / "height.jpg", dpi=90)


if __name__ == "__main__":
    main()
