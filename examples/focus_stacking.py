"""An all-in-focus image from a focal stack.

Nine slices of a receding table, each focused at another distance. The decision map is the number of the sharpest slice
at every pixel, from which the fused image takes its detail. The fused image is compared with the sharp photograph from
which the slices were rendered.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from skimage import data

import defocus_backend as db
from defocus_backend.synthetic import scenes

OUT = Path(__file__).parent / "output"


def main(out: Path = OUT) -> None:
    """Render a stack, fuse it, and draw the results."""
    photo = data.coffee()[::1, 150:][:320, :320]
    scene = scenes.focal_stack(photo, scenes.tilted_depth(photo.shape[:2], 9), slices=9, noise=1.0)

    fused = db.fuse(scene.slices, channel_axis=-1)

    error = fused.image.astype(float) - scene.sharp
    print(f"{10 * np.log10(255**2 / np.mean(error**2)):.1f} dB against the sharp photograph")
    panels = [("first slice", scene.slices[0]), ("last slice", scene.slices[-1]), ("decision map", fused.index)]
    figure, axes = plt.subplots(1, 4, figsize=(13, 3.4), layout="constrained")
    for ax, (title, picture) in zip(axes, [*panels, ("fused", fused.image)], strict=True):
        shown = ax.imshow(picture, cmap="plasma")
        ax.set_title(title)
        ax.axis("off")
        if title == "decision map":
            figure.colorbar(shown, ax=ax, label="slice")
    out.mkdir(exist_ok=True)
    figure.savefig(out / "focus_stacking.jpg", dpi=90)


if __name__ == "__main__":
    main()
