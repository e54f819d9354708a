"""Calibration against verdicts whose chance of being right is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from defocus_backend.classifier.networks import NETWORKS
from defocus_backend.errors import InputError
from defocus_backend.evaluation.reliability import calibration_error, risk_coverage
from defocus_backend.training.calibration import (
    Verdicts,
    collect,
    divide_logits,
    fit_temperature,
)


def drawn_verdicts(temperature: float, count: int = 20_000) -> Verdicts:
    """Truth drawn from the very distribution, whose logits are then multiplied by a temperature."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(count, 20, generator=generator)
    level = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    return Verdicts(logits=logits * temperature, sigma=level.float(), weight=torch.ones(count))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_was_applied_is_found(temperature: float) -> None:
    assert fit_temperature(drawn_verdicts(temperature)) == pytest.approx(temperature, rel=0.03)


def test_calibrated_probabilities_have_no_error_and_overconfident_ones_have() -> None:
    for temperature, low, high in ((1.0, 0.0, 0.015), (3.0, 0.2, 1.0)):
        verdicts = drawn_verdicts(temperature)
        confidence, level = verdicts.probabilities.max(1)
        assert low <= calibration_error(confidence, level == verdicts.sigma) <= high


def test_calibration_error_of_a_liar() -> None:
    assert calibration_error([0.9] * 10, [1] * 5 + [0] * 5) == pytest.approx(0.4)
    assert calibration_error([0.2, 0.8], [0, 1], bins=2) == pytest.approx(0.2)


@pytest.mark.parametrize("name", ["blurnet", "pixelnet", "mobilenetv2"])
def test_a_temperature_goes_into_the_weights(name: str) -> None:
    torch.manual_seed(0)
    module = NETWORKS[name].build().eval()
    picture = torch.rand(1, 1, 32 if name in ("blurnet", "mobilenetv2") else 64, 64 if name != "mobilenetv2" else 32)
    with torch.inference_mode():
        before = module(picture)
        divide_logits(module, 2.0)
        torch.testing.assert_close(module(picture), before / 2)


def test_a_temperature_must_be_positive() -> None:
    with pytest.raises(InputError, match="temperature"):
        divide_logits(nn.Linear(1, 1), 0.0)


def test_verdicts_of_pixels_and_of_patches() -> None:
    class Constant(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.new_zeros(len(x), 20, x.shape[2] // 2, x.shape[3] // 2)

    sigma = torch.full((2, 1, 32, 32), 3.0)
    verdicts = collect(Constant(), [(torch.rand(2, 1, 32, 32), sigma, torch.ones_like(sigma))] * 2)
    assert verdicts.logits.shape == (2 * 2 * 2 * 2, 20)
    assert bool((verdicts.sigma == 3).all())
    patches = collect(
        NETWORKS["mobilenetv2"].build().eval(),
        [(torch.rand(3, 1, 32, 32), torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1, 1), torch.ones(3, 1, 1, 1))],
    )
    assert patches.sigma.tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(InputError, match="batches"):
        collect(Constant(), [])


def test_risk_grows_with_coverage_where_confidence_tells() -> None:
    coverage, risk = risk_coverage([3.0, 1.0, 2.0], [0.1, 0.9, 0.5])
    np.testing.assert_allclose(coverage, [1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(risk, [1.0, 1.5, 2.0])


class Reader(nn.Module):
    """Reads a noisy sigma off the brightness of a patch and is far too sure of it."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(2, 20, 1)
        levels = torch.arange(20.0)
        # -20 (level - seen)^2 but for what all levels share.
        self.head.weight.data = 20 * torch.stack([2 * levels, -(levels**2)], 1)[..., None, None]
        self.head.bias.data.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = 19 * x.mean(dim=(2, 3), keepdim=True)
        return self.head(torch.cat([seen, torch.ones_like(seen)], 1))


def test_calibrating_twice_changes_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    from defocus_backend.params import TrainingParams
    from defocus_backend.training import calibration

    generator = torch.Generator().manual_seed(0)

    def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        sigma = torch.randint(3, 17, (2000, 1, 1, 1), generator=generator).float()
        seen = sigma + torch.randn(sigma.shape, generator=generator)
        return (seen / 19).expand(-1, 1, 4, 4), sigma, torch.ones_like(sigma)

    asked = []

    def data(paths: list[Path], params: TrainingParams) -> list[tuple[torch.Tensor, ...]]:
        asked.append((len(paths), params.steps))
        return [batch() for _ in range(params.steps)]

    monkeypatch.setattr(calibration, "training_data", data)
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(tmp_path / "photo.png")
    module, params = Reader(), TrainingParams(steps=3)
    # An error of one level (variance 1) is rightly said by exp(-(level - seen)^2 / 2).
    assert calibration.calibrate(module, tmp_path, params, batches=2) == pytest.approx(40, rel=0.05)
    assert calibration.calibrate(module, tmp_path, params, batches=2) == pytest.approx(1, abs=0.05)
    assert asked == [(1, 5), (1, 5)]
