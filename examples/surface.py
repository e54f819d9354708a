"""Uses of a height map: roughness, a profile, another focus, a view from the side.

A stack of a wavy, tilted surface is rendered and fused. Its roughness is compared with that of the true surface.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from skimage import data

import defocus_backend as db
from defocus_backend.surface import anaglyph, height_profile, refocus, roughness, stereo_pair
from defocus_backend.synthetic.scenes import focal_stack

OUT = Path(__file__).parent / "output"
STEP, PIXEL = 0.5, 0.2
"""Distance between slices and between pixels, in micrometres."""


def main(out: Path = OUT) -> None:
    """Render a stack, fuse it, measure its roughness, refocus it, and draw the results."""
    photo = data.gravel()[:224, :224]
    y, x = np.mgrid[:224, :224]
    depth = 4 + 1.6 * np.sin(2 * np.pi * x / 90) + (y - 112) / 112
    scene = focal_stack(photo, depth, slices=9, noise=1.0)

    fused = db.fuse(scene.slices, z_step=STEP)

    found, truth = (roughness(h, form="plane", pixel_size=PIXEL) for h in (fused.height, depth * STEP))
    print(f"Sq {found.sq:.3f} um, of the true surface {truth.sq:.3f} um; Sa {found.sa:.3f} um, {truth.sa:.3f} um")
    line = height_profile(fused.height, (112, 4), (112, 219), error=fused.height_error, pixel_size=PIXEL)
    near = refocus(fused.image, fused.height, focus=3.0, aperture=4.0)
    views = stereo_pair(fused.image, fused.height, angle=8, pixel_size=PIXEL)

    figure, axes = plt.subplots(1, 4, figsize=(14, 3.4), layout="constrained", width_ratios=(1.2, 1.3, 1, 1))
    shown = axes[0].imshow(fused.height, cmap="viridis")
    axes[0].set_title("height")
    figure.colorbar(shown, ax=axes[0], label="um")
    axes[1].fill_between(line.distance, line.height - 2 * line.error, line.height + 2 * line.error, alpha=0.3)
    axes[1].plot(line.distance, line.height, label="measured, 2 errors")
    axes[1].plot(np.arange(4, 220) * PIXEL - 4 * PIXEL, depth[112, 4:220] * STEP, color="black", lw=1, label="true")
    axes[1].set(title="profile", xlabel="um", ylabel="um")
    axes[1].legend(fontsize=8)
    axes[2].imshow(near, cmap="gray")
    axes[2].set_title("refocused at 3 um")
    axes[3].imshow(anaglyph(views))
    axes[3].set_title("for red and cyan glasses")
    for ax in axes[[0, 2, 3]]:
        ax.axis("off")
    out.mkdir(exist_ok=True)
    figure.savefig(out / "surface.jpg", dpi=75)


if __name__ == "__main__":
    main()
