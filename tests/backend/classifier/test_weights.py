"""Weights are loaded only if they are what they claim to be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from defocus_backend.classifier import weights
from defocus_backend.classifier.networks import NETWORKS, BlurNet, Network
from defocus_backend.classifier.weights import ModelCard, load_network, load_trainable, save_network, shipped_weights
from defocus_backend.defocus import defocus_map
from defocus_backend.errors import InputError, WeightsError


def test_every_shipped_card_describes_its_file() -> None:
    cards = shipped_weights()
    assert "blurnet" in cards
    total = 0
    for name, card in cards.items():
        assert card.network in NETWORKS
        for field in ("description", "recipe", "command", "data", "scores", "limits", "sha256"):
            assert getattr(card, field), f"{name}: {field} is empty"
        load_network(name)
        total += (weights._folder() / f"{name}.safetensors").stat().st_size
    assert total <= 16 * 2**20


def test_half_precision_halves_the_file(tmp_path: Path) -> None:
    module = NETWORKS["blurnet"].build()
    card = ModelCard(name="x", network="blurnet", description="x")
    save_network(module, tmp_path / "full.safetensors", card)
    save_network(module, tmp_path / "half.safetensors", card, half_precision=True)
    full, half = ((tmp_path / f"{n}.safetensors").stat().st_size for n in ("full", "half"))
    assert half < 0.55 * full
    patch = torch.rand(4, 1, 32, 32)
    a, b = (load_network(tmp_path / f"{n}.safetensors")[0](patch) for n in ("full", "half"))
    assert (a - b).abs().max() < 0.02


def test_truncated_file(random_weights: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(random_weights["blurnet"].read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"damaged or not a safetensors"):
        load_network(path)


def test_foreign_file(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match="was not made by"):
        load_network(path)


def test_missing_file_and_other_formats(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="does not exist"):
        load_network(tmp_path / "none.safetensors")
    with pytest.raises(InputError, match="safetensors file or one of"):
        load_network("resnet50")


@pytest.mark.parametrize("harm", ["shape", "nan"])
def test_wrong_contents(random_weights: dict[str, Path], tmp_path: Path, harm: str) -> None:
    tensors = load_file(random_weights["blurnet"])
    key = "head.weight"
    tensors[key] = torch.zeros(3) if harm == "shape" else tensors[key] * torch.nan
    path = tmp_path / "wrong.safetensors"
    save_file(tensors, path, metadata={"format": weights.FORMAT, "network": "blurnet"})
    with pytest.raises(WeightsError, match="does not match" if harm == "shape" else "not finite"):
        load_network(path)


def test_a_shipped_file_that_was_changed(
    random_weights: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for suffix in (".safetensors", ".json"):
        source = random_weights["blurnet"].with_suffix(suffix)
        (tmp_path / source.name).write_bytes(source.read_bytes())
    monkeypatch.setattr(weights, "_folder", lambda: tmp_path)
    load_network("blurnet")
    card = json.loads((tmp_path / "blurnet.json").read_text())
    (tmp_path / "blurnet.json").write_text(json.dumps(card | {"sha256": "0" * 64}))
    with pytest.raises(WeightsError, match="not the file its model card describes"):
        load_network("blurnet")


def test_a_network_is_added_from_outside(tmp_path: Path) -> None:
    """One entry of the registry is enough to save, load and run it."""
    small = Network(name="small", build=lambda: BlurNet(widths=(4, 4, 4, 4, 4, 4)), dense_stride=8, citation="-")
    path = tmp_path / "mine.safetensors"
    NETWORKS.add(small)
    try:
        save_network(small.build(), path, ModelCard(name="mine", network="small", description="untrained"))
        found = defocus_map(np.zeros((40, 48), np.uint8), weights=path, device="cpu")
        assert found.sigma.shape == (40, 48)
    finally:
        NETWORKS.remove("small")
    with pytest.raises(WeightsError, match="network 'small' is unknown"):
        load_trainable(path)
    with pytest.raises(InputError, match="network: got 'small'; expected one of blurnet, mobilenetv2, pixelnet"):
        NETWORKS["small"]
