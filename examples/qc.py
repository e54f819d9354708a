"""Focus of many pictures as a table.

A folder of fields at several distances from focus, one of them empty, is measured. The result is a table with a verdict
for each field, and an HTML report ordered from worst to best, as with `defocus qc FOLDER --out focus.csv`.
"""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import defocus_backend as db
from defocus_backend.pipeline import measure_files
from defocus_backend.synthetic.microscope import SimulatedMicroscope, draw_nuclei

OUT = Path(__file__).parent / "output"


def main(out: Path = OUT) -> None:
    """Write the pictures, measure them, and draw them in the order of the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, z in enumerate((0.0, 6.0, 14.0, 30.0)):
            scope = SimulatedMicroscope(draw_nuclei(192, np.random.default_rng(20 + number)), seed=number)
            scope.move(z)
            db.write_image(folder / f"field {number}, {z:.0f} um.png", scope.snap())
        empty = np.random.default_rng(0).normal(20, 3, (192, 192)).clip(0, 255).astype(np.uint8)
        db.write_image(folder / "field 4, empty.png", empty)

        measured = measure_files([folder], folder / "focus.csv")

        with measured.paths["planes"].open(newline="") as file:
            rows = list(csv.DictReader(file))
        pictures = [db.read_image(row["file"]).array for row in rows]
    figure, axes = plt.subplots(1, len(rows), figsize=(13, 3.2), layout="constrained")
    for ax, row, picture in zip(axes, rows, pictures, strict=True):
        what = f"{float(row['sigma_median_px']):.1f} px" if row["sigma_median_px"] else row["reason"]
        print(f"{Path(row['file']).stem}: {row['verdict']}, {what}")
        ax.imshow(picture, cmap="gray", vmin=0, vmax=255)
        ax.set_title(f"{Path(row['file']).stem}\n{row['verdict']}\n{what}", fontsize=9)
        ax.axis("off")
    out.mkdir(exist_ok=True)
    figure.savefig(out / "qc.jpg", dpi=80)


if __name__ == "__main__":
    main()
