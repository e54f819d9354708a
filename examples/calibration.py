"""Defocus in micrometres from one picture.

Sigma is calibrated with a stack of nuclei at known z. The distance from focus of other nuclei is then measured from
single pictures, with an error bar. The microscope, with a 10x/0.3 objective, is simulated.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import defocus_backend as db
from defocus_backend.synthetic.microscope import SimulatedMicroscope, draw_nuclei

OUT = Path(__file__).parent / "output"
PIXEL = 0.65


def nuclei(seed: int) -> SimulatedMicroscope:
    """Simulate a field of nuclei, a different one for each seed."""
    return SimulatedMicroscope(draw_nuclei(192, np.random.default_rng(seed)), pixel_size=PIXEL, seed=seed)


def main(out: Path = OUT) -> None:
    """Calibrate, measure other fields, compare with the true distance, and draw the results."""
    z = np.arange(-40.0, 41.0, 8.0)
    calibration = db.calibrate_defocus(nuclei(1).stack(z), z=z, pixel_size=PIXEL)
    one = calibration.channel()
    print(f"depth of field {one.depth_of_field:.1f} um, effective aperture {calibration.aperture():.2f} (0.30)")

    places = (-33.0, -22.0, -12.0, 17.0, 28.0)
    pictures = nuclei(5).stack(places)
    found = [db.defocus_distance(db.focus_quality(picture), calibration) for picture in pictures]
    for place, away in zip(places, found, strict=True):
        print(f"{abs(place):.0f} um from focus: {away.distance:.1f} +- {away.error:.1f} um")

    figure, axes = plt.subplots(1, 3, figsize=(13, 3.6), layout="constrained", width_ratios=(1.3, 1.3, 1))
    fine = np.linspace(-42, 42, 200)
    axes[0].plot(fine, one.sigma_at(fine - one.z0), color="black", label="fit")
    axes[0].plot(one.z, one.sigma, "o", label="planes of the stack")
    axes[0].set(title="calibration", xlabel="z / um", ylabel="sigma / px")
    axes[0].legend()
    axes[1].plot([0, 40], [0, 40], color="black", lw=1)
    axes[1].errorbar(np.abs(places), [f.distance for f in found], [2 * f.error for f in found], fmt="o")
    axes[1].set(title="another field, 2 standard errors", xlabel="true |z| / um", ylabel="|z| from one picture / um")
    axes[2].imshow(pictures[2], cmap="gray")
    axes[2].set_title(f"12 um from focus: {found[2].distance:.1f} um")
    axes[2].axis("off")
    out.mkdir(exist_ok=True)
    figure.savefig(out / "calibration.jpg", dpi=80)


if __name__ == "__main__":
    main()
