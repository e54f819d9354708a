"""The networks of the paper's Table 2 that come from pytorchcv."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import defocus_backend as db
from defocus_backend.classifier.networks import LEVELS, NETWORKS, fold_batch_norm
from defocus_backend.classifier.weights import ModelCard, load_network, save_network
from defocus_backend.errors import InputError

# Parameters as published, with three input channels and 1000 classes; width of the last layer; size of the first
# kernels. Sources: torchvision's documentation for all but NASNet-A 4 @ 1056 (Zoph et al. 2018, Table 3: 5.3 M).
PUBLISHED = {
    "efficientnet_b0": (5_288_548, 1280, 32 * 9),
    "nasnet_mobile": (5_289_978, 1056, 32 * 9),
    "densenet121": (7_978_856, 1024, 64 * 49),
    "shufflenetv2": (3_503_624, 1024, 24 * 9),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones_but_for_input_and_output(name: str) -> None:
    total, width, kernel = PUBLISHED[name]
    with torch.device("meta"):
        module = NETWORKS[name].build()
    count = sum(p.numel() for p in module.parameters())
    assert count == total - (1000 - LEVELS) * (width + 1) - 2 * kernel


@pytest.mark.parametrize("name", PUBLISHED)
def test_judges_patches_and_folds(name: str) -> None:
    torch.manual_seed(0)
    module = NETWORKS[name].build().eval()
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):  # as after some training, so that folding has something to do
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
    patches = torch.rand(2, 1, 32, 32)
    with torch.inference_mode():
        expected, folded = module(patches), fold_batch_norm(module)(patches)
    assert expected.shape == (2, LEVELS)
    torch.testing.assert_close(folded, expected, atol=1e-4, rtol=1e-4)


def test_a_map_from_such_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "shuffle.safetensors"
    save_network(NETWORKS["shufflenetv2"].build(), path, ModelCard(name="x", network="shufflenetv2", description="x"))
    image = np.random.default_rng(0).integers(0, 256, (48, 40), dtype=np.uint8)
    found = db.defocus_map(image, weights=path, step=16, refine=False)
    network, name = load_network(path)
    assert name == "shufflenetv2"
    assert found.sigma.shape == image.shape
    assert 0 <= found.sigma.min() <= found.sigma.max() <= LEVELS - 1
    # Windows lie at rows 0 and 16 and at columns -4 and 12: the lower right pixel is in the last of them alone.
    patch = torch.from_numpy(np.pad(image, ((0, 0), (4, 4)), mode="symmetric")[16:48, 16:48] / np.float32(255))
    with torch.inference_mode():
        probability = network(patch[None, None]).softmax(1)[0]
    assert found.sigma[-1, -1] == pytest.approx(float(probability @ torch.arange(20.0)), abs=1e-3)


def test_without_pytorchcv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytorchcv.models.densenet", None)
    with pytest.raises(InputError, match=r"napari-defocus\[train\]"):
        NETWORKS["densenet121"].build()
