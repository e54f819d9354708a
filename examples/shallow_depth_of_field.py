"""A shallower depth of field.

Areas that are slightly out of focus are blurred more, with the disc of a lens, as if the aperture had been wider. Areas
in focus are not changed.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
from skimage import data

import defocus_backend as db
from defocus_backend.synthetic import scenes

OUT = Path(__file__).parent / "output"


def main(out: Path = OUT) -> None:
    """Render a photograph with a soft background, blur it more, and draw the results."""
    sharp = data.astronaut()[:320, 60:380]
    scene = scenes.focal_stack(sharp, scenes.tilted_depth(sharp.shape[:2], 5), slices=5)
    photo = scene.slices[1]

    found = db.defocus_map(photo, channel_axis=-1)
    result = db.shallow_depth_of_field(photo, found.sigma, channel_axis=-1, blur="lens")

    print(f"{(result.weights > 0.5).mean():.0%} of the image stays sharp")
    panels = [("image", photo), ("sigma", found.sigma), ("weight of the image", result.weights)]
    figure, axes = plt.subplots(1, 4, figsize=(13, 3.2), layout="constrained")
    for ax, (title, picture) in zip(axes, [*panels, ("shallow", result.image)], strict=True):
        shown = ax.imshow(picture, cmap="gray" if "weight" in title else "viridis")
        ax.set_title(title)
        ax.axis("off")
        if title == "sigma":
            figure.colorbar(shown, ax=ax, label="px")
    out.mkdir(exist_ok=True)
    figure.savefig(out / "shallow_depth_of_field.jpg", dpi=90)


if __name__ == "__main__":
    main()
