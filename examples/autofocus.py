"""Focus in three pictures.

With a calibrated sigma, one picture gives the distance to the focus, a second one gives the side, and a third one
confirms the position. `snap` and `move` can be functions of any camera and stage; here they are those of a simulated
microscope with a specimen at a distance of 14 um.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import defocus_backend as db
from defocus_backend.synthetic.microscope import SimulatedMicroscope, draw_nuclei

OUT = Path(__file__).parent / "output"


def main(out: Path = OUT) -> None:
    """Calibrate on one field, focus on another, and draw the pictures."""
    z = np.arange(-54.0, 55.0, 6.0)
    known = SimulatedMicroscope(draw_nuclei(192, np.random.default_rng(1)))
    calibration = db.calibrate_defocus(known.stack(z), z=z)

    scope = SimulatedMicroscope(draw_nuclei(192, np.random.default_rng(8)), focus=14.0, seed=4)
    seen = []

    def snap() -> np.ndarray:
        seen.append(scope.snap())
        return seen[-1]

    found = db.autofocus(snap, scope.move, calibration, start=0.0, limits=(-60, 60))

    if not found.focused:
        raise SystemExit(found.reason)
    print(f"in focus at {found.z:.1f} +- {found.error:.1f} um after {len(seen)} pictures; the specimen lies at 14.0 um")
    figure, axes = plt.subplots(1, len(seen) + 1, figsize=(13, 3.5), layout="constrained")
    titles = [f"picture {n + 1}: z {z:.1f} um, sigma {sigma:.1f} px" for n, (z, sigma) in enumerate(found.pictures)]
    for ax, title, picture in zip(
        axes, [*titles, f"where it stands: z {found.z:.1f} um"], [*seen, scope.snap()], strict=True
    ):
        ax.imshow(picture, cmap="gray", vmin=0, vmax=255)
        ax.set_title(title, fontsize=10)
        ax.axis("off")
    out.mkdir(exist_ok=True)
    figure.savefig(out / "autofocus.jpg", dpi=80)


if __name__ == "__main__":
    main()
