"""Weights for tests: a BlurNet that is random but reproducible, in place of a trained one."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from defocus_backend.classifier.networks import NETWORKS
from defocus_backend.classifier.weights import ModelCard, save_network

torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Paths of untrained weights by network name; their levels differ between windows."""
    folder = tmp_path_factory.mktemp("weights")
    paths = {}
    for name in ("blurnet", "mobilenetv2", "pixelnet"):
        torch.manual_seed(0)
        module = NETWORKS[name].build()
        for parameter in module.parameters():
            parameter.data.mul_(1.5)
        paths[name] = folder / f"{name}.safetensors"
        save_network(module, paths[name], ModelCard(name=name, network=name, description="untrained"))
    return paths


@pytest.fixture
def photo() -> np.ndarray:
    """A sharp gray photograph (512, 512) uint8."""
    from skimage import data

    return data.camera()


@pytest.fixture
def colour_photo() -> np.ndarray:
    """A sharp colour photograph (400, 600, 3) uint8."""
    from skimage import data

    return data.coffee()


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photographs of scikit-image in a folder, halved: at full size neither is sharp by eq 5."""
    from skimage import data

    folder = tmp_path_factory.mktemp("photos")
    for name, picture in (("camera", data.camera()), ("astronaut", data.astronaut())):
        Image.fromarray(picture).convert("L").reduce(2).save(folder / f"{name}.png")
    return folder
