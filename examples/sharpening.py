"""Sharpen only what is slightly soft.

Unsharp masking amplifies everything, including noise in a blurred background and edges that are already sharp. In
adaptive sharpening, the gain depends on the defocus map: it is high where sigma is small but not zero, and zero
elsewhere.
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
    """Render a photograph with a shallow depth of field, sharpen it, and draw the results."""
    sharp = data.astronaut()[:320, 60:380]
    scene = scenes.focal_stack(sharp, scenes.tilted_depth(sharp.shape[:2], 9), slices=9, noise=2.0)
    photo = scene.slices[3]

    found = db.defocus_map(photo, channel_axis=-1)
    result = db.sharpen(photo, found.sigma, channel_axis=-1)

    changed = np.abs(result.image.astype(float) - photo).mean(axis=-1)
    far = found.sigma > 8
    print(f"mean change {changed[~far].mean():.1f} gray values, {changed[far].mean():.1f} where sigma is above 8 px")
    panels = [("image", photo), ("sigma", found.sigma), ("gain", result.gain), ("sharpened", result.image)]
    figure, axes = plt.subplots(1, 4, figsize=(13, 3.2), layout="constrained")
    for ax, (title, picture) in zip(axes, panels, strict=True):
        shown = ax.imshow(picture, cmap="magma" if title == "gain" else "viridis")
        ax.set_title(title)
        ax.axis("off")
        if title in ("sigma", "gain"):
            figure.colorbar(shown, ax=ax)
    out.mkdir(exist_ok=True)
    figure.savefig(out / "sharpening.jpg", dpi=90)


if __name__ == "__main__":
    main()
