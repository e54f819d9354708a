"""Where a map is confident, and where the image is uninformative.

The right half is blurred by 4 px, and two squares are filled evenly. A filled area looks the same in focus and out of
focus: inside it the confidence is 0 and sigma is filled in from the surroundings. Its outline is informative again.
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
    """Fill two squares of a half-blurred photograph, estimate the blur, and draw the results."""
    photo = data.gravel()[:288, :288].astype(float)
    photo[:, 144:] = gaussian_filter(photo, 4)[:, 144:]
    squares = {"gray": (slice(100, 190), slice(20, 110)), "white": (slice(100, 190), slice(180, 270))}
    photo[squares["gray"]] = 128
    photo[squares["white"]] = 255

    found = db.defocus_map(photo.astype(np.uint8))

    for name, (rows, columns) in squares.items():
        print(f"{name} square, at its centre: confidence {found.confidence[rows, columns][45, 45]:.2f}")
    print(f"gravel: median confidence {np.median(found.confidence[:80]):.2f}")
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.3), layout="constrained")
    panels = [("image", photo, "gray", {}), ("sigma", found.sigma, "viridis", {"vmin": 0, "vmax": 8})]
    panels += [("confidence", found.confidence, "cividis", {"vmin": 0, "vmax": 1})]
    for ax, (title, picture, colours, style) in zip(axes, panels, strict=True):
        shown = ax.imshow(picture, cmap=colours, **style)
        ax.set_title(title)
        ax.axis("off")
        if style:
            figure.colorbar(shown, ax=ax)
    out.mkdir(exist_ok=True)
    figure.savefig(out / "confidence.jpg", dpi=90)


if __name__ == "__main__":
    main()
