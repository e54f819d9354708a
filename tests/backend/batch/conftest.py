"""Folders of tiny stacks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from defocus_backend.io import write_image

MakeStack = Callable[..., list[Path]]


@pytest.fixture
def make_stack() -> MakeStack:
    """Write a stack of noise whose slices are blurred one after the other; 16 bits, 64x64 px."""
    from scipy import ndimage

    def make(folder: Path, *, slices: int = 2, seed: int = 0, name: str = "z{}.tif") -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        sharp = np.random.default_rng(seed).uniform(0, 60000, (64, 64))
        paths = [folder / name.format(n) for n in range(slices)]
        for n, path in enumerate(paths):
            write_image(path, ndimage.gaussian_filter(sharp, 1.5 * n).astype(np.uint16))
        return paths

    return make
