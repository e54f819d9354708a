"""The second task of per-pixel training: which kind of lens blurred a scene."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from defocus_backend.errors import InputError
from defocus_backend.params import TrainingParams
from defocus_backend.synthetic import degrade
from defocus_backend.synthetic.compositions import LENSES, ComposedScenes
from defocus_backend.training.loss import LensHead
from defocus_backend.training.train import train


def test_a_head_that_does_not_know_costs_the_logarithm_of_the_kinds() -> None:
    head = LensHead(4, 3)
    for parameter in head.parameters():
        torch.nn.init.zeros_(parameter)
    sigma = torch.full((2, 1, 5, 5), 3.0)
    loss = head.loss(torch.rand(2, 4, 5, 5), torch.tensor([0, 2]), sigma, torch.ones_like(sigma))
    assert loss.item() == pytest.approx(np.log(3))


def test_slight_blurs_other_lenses_and_places_without_trust_do_not_count() -> None:
    head = LensHead(4, 3)
    features = torch.rand(3, 4, 2, 2)
    sigma = torch.tensor([3.0, 0.3, 3.0])[:, None, None, None].expand(3, 1, 2, 2)
    trust = torch.ones(3, 1, 2, 2)
    lens = torch.tensor([1, 1, -1])
    only = head.loss(features[:1], lens[:1], sigma[:1], trust[:1])
    assert head.loss(features, lens, sigma, trust).item() == pytest.approx(only.item())
    assert head.loss(features, lens, sigma, torch.zeros_like(trust)).item() == 0


def test_scenes_name_the_lens_that_blurred_them(photos: Path) -> None:
    def lenses(how: degrade.Degradation) -> list[int]:
        data = ComposedScenes([*photos.iterdir()], batches=1, batch_size=6, side=64, degradation=how, seed=0)
        return [int(n) for n in data[0][3]]

    assert {LENSES[n] for n in lenses(degrade.CLEAN)} == {"gaussian"}
    discs = degrade.replace(degrade.CLEAN, disc=1.0)
    assert {LENSES[n] for n in lenses(discs)} == {"disc"}
    assert set(lenses(degrade.replace(degrade.CLEAN, specimens=1.0))) == {-1}


def test_a_patch_network_cannot_learn_the_lens(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lens_weight"):
        train(photos, TrainingParams(steps=1, batch_size=2, lens_weight=0.3), tmp_path)
