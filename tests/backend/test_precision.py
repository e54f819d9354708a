"""bfloat16 gives the map of float32 where the device has units for it, and is never emulated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from scipy import ndimage

from defocus_backend import device
from defocus_backend.cli import main
from defocus_backend.defocus import DefocusEstimator, defocus_map
from defocus_backend.device import choose_precision, computes_bfloat16
from defocus_backend.errors import DeviceError, InputError
from defocus_backend.fusion import fuse
from defocus_backend.io import write_image
from defocus_backend.params import MapParams, SliceMapParams

CPU = torch.device("cpu")
needs_units = pytest.mark.skipif(not computes_bfloat16(CPU), reason="the processor does not support bfloat16")


@pytest.fixture(params=[True, False], ids=["units", "no units"])
def units(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(device, "computes_bfloat16", lambda _: request.param)
    return bool(request.param)


@needs_units
@pytest.mark.parametrize("noise", [0, 20])
@pytest.mark.parametrize("blur", [0, 2, 8])
def test_the_map_is_that_of_float32(photo: np.ndarray, blur: float, noise: float) -> None:
    blurred = ndimage.gaussian_filter(photo.astype(float), blur)
    image = np.clip(blurred + np.random.default_rng(0).normal(0, noise, photo.shape), 0, 255).round().astype(np.uint8)
    full, half = (defocus_map(image, precision=p, refine=False, device="cpu") for p in ("float32", "bfloat16"))
    textured = full.confidence > 0.3
    assert textured.mean() > 0.2
    differences = np.abs(half.sigma - full.sigma)[textured]
    assert differences.max() > 0, "it did compute in another format"
    assert differences.mean() < 0.02
    assert np.quantile(differences, 0.95) < 0.1
    assert np.abs(half.confidence - full.confidence).mean() < 0.01


@needs_units
def test_fusion_hands_it_on(photo: np.ndarray) -> None:
    soft = ndimage.gaussian_filter(photo, 3)
    left = np.arange(photo.shape[1]) < photo.shape[1] // 2
    stack = np.stack([np.where(left, photo, soft), np.where(left, soft, photo)])
    full, half = (fuse(stack, map_settings=SliceMapParams(precision=p), device="cpu") for p in ("float32", "bfloat16"))
    assert np.abs(full.sigma - half.sigma).max() > 0
    assert (full.index != half.index).mean() < 0.01


def test_auto_takes_the_units_that_are_there(units: bool) -> None:
    wanted = torch.bfloat16 if units else torch.float32
    assert choose_precision("auto", CPU) == wanted
    assert choose_precision("float32", CPU) == torch.float32
    estimator = DefocusEstimator(MapParams(), device=CPU)
    assert estimator.precision == ("bfloat16" if units else "float32")


def test_window_networks_stay_in_float32(units: bool) -> None:  # noqa: ARG001 either way
    assert DefocusEstimator(MapParams(map_method="blurnet"), device=CPU).precision == "float32"
    assert DefocusEstimator(MapParams(map_method="lbp"), device=CPU).precision is None
    for method in ("blurnet", "lbp"):
        with pytest.raises(InputError, match=r"precision.*per-pixel network"):
            defocus_map(np.zeros((40, 40)), map_method=method, precision="bfloat16", device="cpu")


def test_it_is_refused_where_it_would_be_emulated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(device, "computes_bfloat16", lambda _: False)
    image = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    with pytest.raises(DeviceError, match="precision: cpu does not support bfloat16; use float32 or auto"):
        defocus_map(image, precision="bfloat16", device="cpu")
    with pytest.raises(InputError, match="precision"):
        defocus_map(image, precision="float16", device="cpu")
    write_image(tmp_path / "a.png", image)
    given = ["map", str(tmp_path / "a.png"), "--device", "cpu", "--precision", "bfloat16"]
    result = CliRunner().invoke(main, given)
    assert result.exit_code != 0
    assert "does not support bfloat16" in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_the_summary_names_the_format_that_ran(units: bool, tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8))
    write_image(tmp_path / "b.png", np.random.default_rng(1).integers(0, 256, (64, 64), dtype=np.uint8))
    both = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]

    def ran(*arguments: str) -> str | None:
        result = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / "out"), "--device", "cpu", "--json"])
        assert result.exit_code == 0, result.output
        found: str | None = json.loads(result.stdout).get("precision")
        return found

    wanted = "bfloat16" if units else "float32"
    assert ran("map", both[0]) == wanted
    assert ran("fuse", *both, "--align", "off") == wanted
    assert ran("map", both[0], "--precision", "float32") == "float32"
    assert ran("map", both[0], "--map-method", "lbp") is None
