"""Patches and scenes carry the blur that they say, and a stopped run goes on as if it had not stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from defocus_backend.classifier.networks import NETWORKS, PixelNet
from defocus_backend.errors import Cancelled, DefocusError, FileError, InputError
from defocus_backend.evaluation.patch_scores import evaluate, expected_sigma
from defocus_backend.params import TrainingParams
from defocus_backend.synthetic import degrade
from defocus_backend.synthetic.compositions import SharpPictures
from defocus_backend.synthetic.patches import (
    ContextPatches,
    IsolatedPatches,
    PatchSet,
    blur_alone,
    held_out_patches,
    list_photos,
    load_gray,
    texture,
)
from defocus_backend.training.loss import ranked_score, soft_labels
from defocus_backend.training.train import read_average, score, train


@pytest.mark.parametrize("sigma", [1.0, 2.0, 6.0, 19.0])
def test_cosine_blur_is_the_mirrored_gaussian(photo: np.ndarray, sigma: float) -> None:
    image = photo[:200, :160].astype(np.float32)
    expected = ndimage.gaussian_filter(image.astype(float), sigma, mode="reflect", truncate=8)
    # A kernel sampled in space and a transfer function sampled in frequency part ways at one pixel.
    np.testing.assert_allclose(degrade.blur(image, sigma), expected, atol=0.3 if sigma < 2 else 0.02)


def test_disc_has_the_variance_of_the_gaussian() -> None:
    point = np.zeros((129, 129), np.float32)
    point[64, 64] = 1
    yy, xx = np.mgrid[-64:65, -64:65]
    for sigma in (2.0, 5.0):
        for psf in ("gaussian", "disc"):
            spread = degrade.blur(point, sigma, psf)
            assert spread.sum() == pytest.approx(1, abs=1e-3)
            assert (spread * yy**2).sum() == pytest.approx(sigma**2, rel=0.05), psf
    disc = degrade.blur(point, 5.0, "disc")
    assert disc[np.hypot(yy, xx) > 13].max() < 0.1 * disc.max(), "a disc ends at its radius of 2 sigma"


def test_noise_has_the_level_asked_for() -> None:
    rng = np.random.default_rng(0)
    for level in (2.0, 5.0):
        noisy = degrade.add_noise(np.full((300, 300), 128, np.float32), level, rng)
        assert noisy.std() == pytest.approx(level, rel=0.02)
    bright, dark = (degrade.add_noise(np.full((300, 300), g, np.float32), 4, rng).std() for g in (240, 10))
    assert bright > 1.2 * dark


def test_grain_is_noise_of_the_same_level_that_neighbours_share() -> None:
    rng = np.random.default_rng(0)
    flat = np.full((300, 300), 128, np.float32)
    for grain, shared in ((0.0, 0.0), (0.5, 0.37), (1.0, 0.78)):
        noise = degrade.add_noise(flat, 5, rng, grain) - 128
        assert noise.std() == pytest.approx(5, rel=0.04)
        # Neighbours of white noise smoothed by a Gaussian correlate by exp(-1 / (4 grain^2)).
        assert np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1] == pytest.approx(shared, abs=0.03)


def test_texture_is_equation_5(photo: np.ndarray) -> None:
    patch = photo[100:140, 120:160].astype(float)
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    edges = ndimage.laplace(ndimage.correlate(patch, kernel))
    found = texture(patch.astype(np.float32))
    assert found.shape == (9, 9)
    assert found[3, 4] == pytest.approx(edges[3:35, 4:36].var(), rel=1e-5)


def test_isolated_blur_is_scipys(photo: np.ndarray) -> None:
    patches = photo[:64, :32].reshape(2, 32, 32).astype(np.float32)
    for sigma in (1.0, 7.0, 19.0):
        expected = [ndimage.gaussian_filter(p.astype(float), sigma) for p in patches]
        np.testing.assert_allclose(blur_alone(patches, sigma), np.rint(expected), atol=1)


@pytest.mark.parametrize("protocol", ["context", "isolated"])
def test_a_batch_depends_on_seed_and_number_alone(photos: Path, protocol: str) -> None:
    def batches(seed: int) -> list[torch.Tensor]:
        options = {"batches": 3, "batch_size": 40, "seed": seed}
        data = (
            IsolatedPatches(list_photos(photos), **options)
            if protocol == "isolated"
            else ContextPatches(list_photos(photos), degradation=degrade.LIGHT, **options)
        )
        return [data[2][0], data[0][0], data[1][1]]

    for a, b in zip(batches(7), batches(7), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(batches(7)[0], batches(8)[0])
    patches, _, label = batches(7)[0], None, batches(7)[2]
    assert patches.shape == (40, 1, 32, 32)
    assert (patches * 255 - (patches * 255).round()).abs().max() < 1e-3, "eight bits"
    assert label.min() >= 0
    assert label.max() <= 19


def test_held_out_patches_have_every_level_equally(photos: Path) -> None:
    for protocol in ("context", "isolated"):
        found = held_out_patches(list_photos(photos), protocol, per_photo=3)
        assert torch.bincount(found.sigma.long()).tolist() == [6] * 20
    with pytest.raises(InputError, match="protocol"):
        held_out_patches(list_photos(photos), "both")


@pytest.mark.parametrize("name", ["blurnet", "pixelnet"])
def test_soft_labels_have_sigma_as_their_mean(name: str) -> None:
    levels = NETWORKS[name].levels
    sigma = torch.tensor([0.0, 0.3, 7.5, 18.99, 19.0])[:, None]
    labels = soft_labels(sigma, levels)
    assert labels.shape == (5, len(levels))
    assert torch.allclose(labels.sum(1), torch.ones(5))
    assert torch.allclose(expected_sigma(labels, levels), sigma[:, 0], atol=1e-5)
    assert ((labels > 0).sum(1) <= 2).all()


def test_ranked_score_counts_distance_and_is_least_at_the_truth() -> None:
    certain = torch.eye(20)
    for found, true in ((3, 3), (3, 4), (17, 2)):
        assert ranked_score(certain[found][None], certain[true][None]).item() == pytest.approx(abs(found - true))
    truth = torch.rand(20, generator=torch.Generator().manual_seed(0)).softmax(0)

    def expected(claim: torch.Tensor) -> float:
        return float((ranked_score(claim.expand(20, -1), certain)[:, 0] * truth).sum())

    for level in range(20):
        assert expected(0.9 * truth + 0.1 * certain[level]) > expected(truth)


def test_scores_of_a_perfect_and_of_an_ignorant_classifier() -> None:
    class Oracle(torch.nn.Linear):
        def __init__(self, gain: float) -> None:
            super().__init__(1, 1)
            self.gain = gain

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            level = (x.mean((1, 2, 3)) * 100).round().long()
            return torch.nn.functional.one_hot(level, 20).float() * self.gain

    sigma = torch.arange(20.0).repeat(3)
    patches = PatchSet((sigma / 100)[:, None, None, None].expand(-1, 1, 32, 32), sigma)
    right, ignorant = evaluate(Oracle(100), patches), evaluate(Oracle(0), patches)
    assert (right.accuracy, right.within_one) == (1, 1)
    assert right.mae < 1e-4
    assert ignorant.mae == pytest.approx(5.0)
    assert ignorant.calibration_error < 0.01


def test_a_network_that_needs_surroundings_is_not_scored_on_patches(photos: Path) -> None:
    with pytest.raises(InputError, match="per-pixel network"):
        score(PixelNet(), photos)


SMALL = TrainingParams(steps=6, batch_size=16, degradation="clean", side=64)


@pytest.mark.parametrize("name", ["blurnet", "mobilenetv2", "pixelnet"])
def test_resumed_run_equals_uninterrupted_run(photos: Path, tmp_path: Path, name: str) -> None:
    from dataclasses import replace

    params = replace(SMALL, network=name)
    if name == "pixelnet":
        params = replace(params, batch_size=2, lens_weight=0.3)
    options = {"workers": 0}
    whole = train(photos, params, tmp_path / "whole", **options)
    steps: list[int] = []
    with pytest.raises(Cancelled, match="after step 3 of 6"):
        train(
            photos, params, tmp_path / "parts", report=lambda r: steps.append(r.step),
            cancel=lambda: len(steps) == 3, **options,
        )  # fmt: skip
    resumed = train(photos, params, tmp_path / "parts", resume=True, report=lambda r: steps.append(r.step), **options)
    assert steps == [1, 2, 3, 4, 5, 6]
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        if name == "mobilenetv2":
            continue  # its dropout draws from a generator that a checkpoint does not hold
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_a_loss_that_is_not_finite_stops_the_run_and_leaves_the_checkpoint(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One picture with a NaN would make every weight NaN, and the next checkpoint useless."""
    take = ContextPatches.__getitem__

    def broken(self: ContextPatches, index: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        patches, sigma, trust = take(self, index)
        return (patches * float("nan") if index == 3 else patches), sigma, trust

    monkeypatch.setattr(ContextPatches, "__getitem__", broken)
    run = tmp_path / "run"
    with pytest.raises(DefocusError, match="the loss at step 4 is not finite"):
        train(photos, SMALL, run, workers=0, checkpoint_seconds=0)
    network, steps = read_average(run)
    assert steps == 3
    assert all(torch.isfinite(v).all() for v in network.state_dict().values())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to go back to")
def test_a_run_begun_on_a_gpu_goes_on_without_one(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    options: dict[str, Any] = {"workers": 0, "report": lambda r: steps.append(r.step)}
    with monkeypatch.context() as there:
        there.setattr(torch.serialization, "location_tag", lambda _: "cuda:0")  # what the file says of its tensors
        with pytest.raises(Cancelled):
            train(photos, SMALL, tmp_path, cancel=lambda: len(steps) == 2, **options)
    with pytest.raises(RuntimeError, match="CUDA"):
        torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    train(photos, SMALL, tmp_path, resume=True, **options)
    assert steps == [1, 2, 3, 4, 5, 6]


def test_a_run_is_neither_overwritten_nor_mixed(photos: Path, tmp_path: Path) -> None:
    train(photos, SMALL, tmp_path, workers=0)
    with pytest.raises(FileError, match="exists"):
        train(photos, SMALL, tmp_path, workers=0)
    from dataclasses import replace

    with pytest.raises(InputError, match="another seed"):
        train(photos, replace(SMALL, seed=1), tmp_path, resume=True, workers=0)
    (tmp_path / "checkpoint.pt").write_bytes(b"nonsense")
    with pytest.raises(FileError, match="cannot be read"):
        train(photos, SMALL, tmp_path, resume=True, workers=0)


def test_bad_photos_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="not a folder"):
        list_photos(tmp_path / "none")
    with pytest.raises(FileError, match="no picture"):
        list_photos(tmp_path)
    (tmp_path / "flat.png").write_bytes(b"nonsense")
    with pytest.raises(FileError, match=r"flat\.png"):
        train(tmp_path, SMALL, tmp_path / "run", workers=0)
    Image.new("L", (200, 200), 90).save(tmp_path / "flat.png")
    with pytest.raises(InputError, match="without a sharp patch"):
        train(tmp_path, SMALL, tmp_path / "run2", workers=0)


def test_photos_too_small_for_scenes_are_refused(photos: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    with pytest.raises(InputError, match=r"^photos: got 2 pictures, none large enough"):
        train(photos, replace(SMALL, network="pixelnet", side=512), tmp_path / "run", workers=0)
    assert not list(tmp_path.rglob("*.pt"))


def test_photos_of_16_bits_are_scaled_not_clipped(photo: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(photo[:64, :64].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    found = load_gray(tmp_path / "deep.png")
    assert found.dtype == np.float32
    assert np.corrcoef(found.ravel(), photo[:64, :64].ravel())[0, 1] > 0.99
    assert (found == 255).mean() < 0.1


def test_what_lies_beyond_the_percentiles_is_white_or_black_not_the_other(photo: np.ndarray, tmp_path: Path) -> None:
    deep = photo[:160, :160].astype(np.uint16) * 20 + 2000
    deep[70, 80], deep[90, 80] = 65_000, 0
    Image.fromarray(deep).save(tmp_path / "deep.png")
    found = load_gray(tmp_path / "deep.png")
    assert (found[70, 80], found[90, 80]) == (255, 0)
    assert (found.min(), found.max()) == (0, 255)
    crop, _ = SharpPictures([tmp_path / "deep.png"], 96).draw(np.random.default_rng(0))
    # Turned and mirrored, but all of it: no value has wrapped around on the way through 8 bits.
    np.testing.assert_array_equal(np.sort(crop.ravel()), np.sort(found.ravel()))


def test_a_photo_beyond_pillows_limit_is_read(
    photo: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(photo[:40, :50]).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    np.testing.assert_array_equal(load_gray(tmp_path / "large.png"), photo[:40, :50])
    assert Image.MAX_IMAGE_PIXELS == 100


@pytest.mark.parametrize(
    "bad",
    [{"network": "resnet"}, {"protocol": "x"}, {"degradation": "x"}, {"steps": 0}, {"batch_size": -1}, {"side": 96}],
)
def test_bad_recipes_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(bad))):
        TrainingParams(**bad)  # type: ignore[arg-type]


def test_a_run_may_be_prolonged_until_its_rate_falls(photos: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from defocus_backend.training.train import _rate_of

    rates = [[_rate_of(steps)(step) for step in range(450)] for steps in (900, 1000)]
    assert rates[0] == rates[1]
    assert _rate_of(1000)(750) == pytest.approx(0.5)
    with pytest.raises(Cancelled):
        train(photos, SMALL, tmp_path, workers=0, cancel=lambda: True)
    with pytest.raises(InputError, match="steps"):
        train(photos, replace(SMALL, steps=7), tmp_path, workers=0, resume=True)
