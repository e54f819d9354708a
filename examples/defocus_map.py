"""A defocus map of one image.

A photograph is blurred from 0 to 8 px, left to right. The map estimates the blur at every pixel, in pixels of Gaussian
sigma, without knowing the sharp photograph. White on the right panel is in focus: sigma below 1.5 px.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import gaussian_filter
from skimage import data

import defocus_backend as db

OUT = Path(__file__).parent / "output"


def main(out: Path = OUT) -> None:
    """Blur a photograph, estimate the blur, and draw the results."""
    sharp = data.chelsea()[:288, 60:380]
    truth = np.broadcast_to(np.linspace(0, 8, sharp.shape[1]), sharp.shape[:2])
    blurred = [gaussian_filter(sharp.astype(float), (s, s, 0)) if s else sharp for s in range(9)]
    levels = np.round(truth).astype(int)
    photo = np.choose(levels[..., None], blurred).astype(np.uint8)

    found = db.defocus_map(photo, channel_axis=-1)

    error = np.abs(found.sigma - levels)[found.confidence > 0.3]
    print(f"median error {np.median(error):.2f} px where the map is confident")
    panels = [
        ("image", photo, {}),
        ("true sigma", levels, {"vmin": 0, "vmax": 8}),
        ("estimated sigma", found.sigma, {"vmin": 0, "vmax": 8}),
    ]
    figure, axes = plt.subplots(1, 4, figsize=(13, 3.1), layout="constrained")
    for ax, (title, picture, style) in zip(axes, [*panels, ("in focus", found.in_focus(1.5), {})], strict=True):
        shown = ax.imshow(picture, cmap="gray" if title == "in focus" else "viridis", **style)
        ax.set_title(title)
        ax.axis("off")
        if style:
            figure.colorbar(shown, ax=ax, label="px")
    out.mkdir(exist_ok=True)
    figure.savefig(out / "defocus_map.jpg", dpi=90)


if __name__ == "__main__":
    main()
