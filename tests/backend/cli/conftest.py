"""Tiny inputs for the command line, and a way to run it in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from defocus_backend.cli import main
from defocus_backend.io import write_image

Invoke = Callable[..., Result]


@pytest.fixture
def defocus(random_weights: dict[str, Path]) -> Invoke:
    """Run the command line in this process, with untrained weights where it takes weights."""

    def invoke(*args: object, weights: bool = True) -> Result:
        extra = ["--weights", str(random_weights["blurnet"])] if weights else []
        return CliRunner().invoke(main, [*map(str, args), *extra], catch_exceptions=False)

    return invoke


@pytest.fixture
def picture(tmp_path: Path, colour_photo: np.ndarray) -> Path:
    """A small colour photograph with a resolution."""
    path = tmp_path / "in" / "photo.png"
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(colour_photo[100:164, 200:280]).save(path, dpi=(300, 300))
    return path


@pytest.fixture
def slices(tmp_path: Path, photo: np.ndarray) -> list[Path]:
    """Three slices of 16 bits."""
    from scipy import ndimage

    folder = tmp_path / "in"
    folder.mkdir(exist_ok=True)
    paths = [folder / f"moss_{n}.tif" for n in range(3)]
    for n, path in enumerate(paths):
        blurred = ndimage.gaussian_filter(photo[:64, :80].astype(float), 2 * n)
        write_image(path, (blurred * 200).astype(np.uint16))
    return paths


@pytest.fixture
def photos(tmp_path: Path, photo: np.ndarray) -> Path:
    """A folder with one sharp photograph."""
    folder = tmp_path / "photos"
    folder.mkdir()
    write_image(folder / "a.png", photo[::2, ::2])
    return folder
