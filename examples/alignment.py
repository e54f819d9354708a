"""Align the frames of a handheld series.

Each frame is shifted and slightly larger than the previous one, as happens when focusing. Alignment estimates the
transforms; without them, the fused image is not sharp.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import affine_transform
from skimage import data

import defocus_backend as db
from defocus_backend.synthetic import scenes

OUT = Path(__file__).parent / "output"


def main(out: Path = OUT) -> None:
    """Render a stack, move its frames, fuse them with and without alignment, and draw the results."""
    photo = data.brick()[:320, :320]
    scene = scenes.focal_stack(photo, scenes.tilted_depth(photo.shape, 5), slices=5, noise=1.0)
    moved = [
        affine_transform(frame, np.full(2, 1 - 0.006 * n), offset=(1.6 * n, -2.3 * n), order=3, mode="reflect")
        for n, frame in enumerate(scene.slices)
    ]

    aligned = db.align_stack(np.stack(moved))
    fused = {"not aligned": db.fuse(np.stack(moved)), "aligned": db.fuse(aligned)}

    shift = aligned.alignment.matrices[-1][:2, 2]
    print(f"last frame against the middle one: {shift[0]:.1f} px in x, {shift[1]:.1f} px in y")
    figure, axes = plt.subplots(1, 3, figsize=(11, 4.1), layout="constrained")
    axes[0].imshow(np.stack([moved[0], moved[2], moved[4]], axis=-1))
    axes[0].set_title("three frames as red, green and blue")
    for ax, (title, result) in zip(axes[1:], fused.items(), strict=True):
        rows, columns = result.image.shape
        ax.imshow(result.image[rows // 3 : rows // 3 + 140, columns // 3 : columns // 3 + 140], cmap="gray")
        ax.set_title(f"fused, {title} (detail)")
    for ax in axes:
        ax.axis("off")
    out.mkdir(exist_ok=True)
    figure.savefig(out / "alignment.jpg", dpi=90)


if __name__ == "__main__":
    main()
