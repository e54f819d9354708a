"""Many stacks in two processes.

Three rendered stacks are fused at once. Each result is returned as soon as it is ready, and is compared with the ground
truth.
"""

from __future__ import annotations

import numpy as np

import defocus_backend as db
from defocus_backend.synthetic import scenes


def main(jobs: int = 2) -> None:
    """Render and fuse the stacks, and print one line per stack."""
    rng = np.random.default_rng(0)
    photo = np.kron(rng.uniform(0, 255, (24, 30)), np.ones((4, 4))).astype(np.uint8)
    depths = {
        "tilted": scenes.tilted_depth(photo.shape, 5),
        "stepped": scenes.stepped_depth(photo.shape, 5),
        "bump": scenes.bump_depth(photo.shape, 5),
    }
    rendered = {name: scenes.focal_stack(photo, depth, slices=5) for name, depth in depths.items()}
    stacks = {name: scene.slices for name, scene in rendered.items()}
    for outcome in db.fuse_many(stacks, jobs=jobs):
        if outcome.fusion is None:
            print(f"{outcome.name}: {outcome.error}")
            continue
        error = outcome.fusion.image.astype(float) - photo
        psnr = 10 * np.log10(255**2 / np.mean(error**2))
        print(f"{outcome.name}: {psnr:.1f} dB in {outcome.seconds:.1f} s")


if __name__ == "__main__":
    main()
