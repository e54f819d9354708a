"""Photographs to train on that scikit-image has installed."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photographs of scikit-image in a folder, halved: at full size neither is sharp by eq 5."""
    from skimage import data

    folder = tmp_path_factory.mktemp("photos")
    for name, picture in (("camera", data.camera()), ("astronaut", data.astronaut())):
        Image.fromarray(picture).convert("L").reduce(2).save(folder / f"{name}.png")
    return folder
