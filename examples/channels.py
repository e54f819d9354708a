"""Several channels and times, focus from one channel.

A time series of z-stacks with two channels. Focus is estimated in the first channel, which has structure everywhere.
The same slices are used for both channels, so that they stay registered.
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
    """Render two times, two channels and five slices, fuse them, and draw the results."""
    structure, sparse = data.gravel()[:192, :192], data.cell()[200:392, 150:342]
    depths = [scenes.bump_depth(structure.shape, 5), scenes.tilted_depth(structure.shape, 5)]
    times = [
        np.stack([scenes.focal_stack(photo, depth, slices=5).slices for photo in (structure, sparse)])
        for depth in depths
    ]
    movie = np.stack(times)  # (T, C, Z, Y, X)

    fused = db.fuse_nd(movie, axes="TCZYX", focus_channels=0)

    print(f"{movie.shape} becomes {fused.image.shape}")
    figure, axes = plt.subplots(2, 3, figsize=(8.5, 5.6), layout="constrained")
    for t, row in enumerate(axes):
        pictures = [fused.image[t, 0], fused.image[t, 1], fused.height[t]]
        for ax, title, picture in zip(row, ("channel 0", "channel 1", "height"), pictures, strict=True):
            ax.imshow(np.squeeze(picture), cmap="viridis" if title == "height" else "gray")
            ax.set_title(f"{title}, time {t}")
            ax.axis("off")
    out.mkdir(exist_ok=True)
    figure.savefig(out / "channels.jpg", dpi=90)


if __name__ == "__main__":
    main()
