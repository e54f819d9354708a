"""Draw docs/images/maps.png: defocus maps of photographs and micrographs that scikit-image brings.

    python docs/make_contact_sheet.py [--weights FILE] [--out FILE]

No network was trained on them. Each picture stands beside its sigma and the confidence of that sigma.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from skimage import data, io

import defocus_backend as db
from defocus_backend.render import Scale, SheetPanel, draw_contact_sheet

PICTURES = ("coffee", "chelsea", "astronaut", "rocket", "camera", "moon", "ihc", "microaneurysms", "cell", "coins")
SIGMA = Scale(low=0, high=10, label="sigma / px")
CONFIDENCE = Scale(low=0, high=1, label="confidence", colormap="cividis")


def picture(name: str) -> np.ndarray:
    """An 8-bit picture, gray or RGB."""
    loader = getattr(data, name, None)
    if loader is not None:
        return np.asarray(loader())
    return np.asarray(io.imread(Path(data.__file__).parent / f"{name}.png"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", help="other weights than the default's")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images" / "maps.png")
    options = parser.parse_args()
    panels = []
    for name in PICTURES:
        image = picture(name)
        found = db.defocus_map(image, channel_axis=-1 if image.ndim == 3 else None, weights=options.weights)
        panels += [
            SheetPanel(name, image),
            SheetPanel("sigma", found.sigma, SIGMA),
            SheetPanel("confidence", found.confidence, CONFIDENCE),
        ]
    options.out.write_bytes(draw_contact_sheet(panels, columns=6, panel_width=200))


if __name__ == "__main__":
    main()
