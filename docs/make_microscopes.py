"""Pictures of docs/microscopes.md, drawn by the library: ``python docs/make_microscopes.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import defocus_backend as db
from defocus_backend.synthetic.microscope import draw_phase_object
from defocus_backend.synthetic.sections import draw_specimen_in_depth

IMAGES = Path(__file__).parent / "images"
SIDE, GAP, EDGE = 192, 6, 48


def beside(name: str, panels: list[NDArray[np.generic]], limits: tuple[float, float]) -> None:
    """Write gray panels of equal size as one PNG, with these values as black and white."""
    low, high = limits
    shades = [np.clip((np.asarray(p, float) - low) * 255 / (high - low), 0, 255).astype(np.uint8) for p in panels]
    whole = np.hstack([np.pad(s, ((0, 0), (0, GAP)), constant_values=255) for s in shades])[:, :-GAP]
    Image.fromarray(whole).save(IMAGES / name, optimize=True)


def sections() -> None:
    """A specimen in 14 depths under a confocal and a widefield microscope, with photon noise."""
    rng = np.random.default_rng(3)
    specimen = draw_specimen_in_depth(14, SIDE, rng)
    for name, clean in (("sections", specimen.sections()), ("widefield", specimen.widefield())):
        clean = clean * (200 / clean.max() if name == "widefield" else 1)
        counts = rng.poisson((clean + 6) * 60 / 128)
        stack = (counts * 128 / 60 * 8 + 100).astype(np.uint16)
        found = db.fuse(stack)
        known = np.isfinite(found.height) & ~found.inferred
        low, high = (float(v) for v in np.percentile(stack, (1, 99.7)))
        # Known heights from dark (first slice) to bright; black where they are not known.
        height = np.where(known, low + (high - low) * (0.2 + 0.8 * found.height / (len(stack) - 1)), low)
        beside(f"microscope-{name}.png", [stack[4], stack[9], stack.mean(0), found.image, height], (low, high))


def phase() -> None:
    """Transparent cells below, in and above focus, and what is fused from nine slices."""
    rng = np.random.default_rng(1)
    # The picture is periodic; what comes round its edges is cut off.
    inner = np.s_[EDGE:-EDGE, EDGE:-EDGE]
    planes = [
        draw_phase_object(SIDE + 2 * EDGE, 0.7 * (n - 4), 0.8, np.random.default_rng(51))[inner] for n in range(9)
    ]
    stack = np.stack([p + rng.normal(0, 1.5, p.shape) for p in planes]).round().clip(0, 255).astype(np.uint8)
    found = db.fuse(stack)
    low, high = (float(v) for v in np.percentile(stack, (0.5, 99.5)))
    beside("microscope-phase.png", [stack[1], stack[4], stack[7], found.image], (low, high))


if __name__ == "__main__":
    sections()
    phase()
