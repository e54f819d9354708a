"""Scores of a fusion, and the benchmark of maps, on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result

from defocus_backend import metrics
from defocus_backend.defocus import DefocusEstimator
from defocus_backend.fusion.audit import audit
from defocus_backend.io import read_image, write_image
from defocus_backend.pipeline.score import METRICS

Invoke = Callable[..., Result]


class TestScore:
    def test_its_metrics_are_the_librarys(self) -> None:
        assert (*metrics.FUSION_METRICS, *metrics.REFERENCE_METRICS) == METRICS

    def test_equals_the_library(self, defocus: Invoke, slices: list[Path]) -> None:
        fused, *sources = slices
        result = defocus("score", fused, *sources, "--truth", sources[0], "--json", weights=False)
        assert result.exit_code == 0, result.output
        arrays = [read_image(path).array for path in slices]
        expected = metrics.evaluate(arrays[0], arrays[1:], reference=arrays[1])
        assert json.loads(result.stdout)["scores"] == pytest.approx(expected)
        assert json.loads(result.stdout)["audit"] == audit(arrays[0], arrays[1:]).to_dict()

    def test_floats_of_the_unit_range_score_as_their_8_bit_twins(self, defocus: Invoke, tmp_path: Path) -> None:
        bytes_ = np.random.default_rng(0).integers(0, 256, (3, 24, 24), dtype=np.uint8)
        found = []
        for name, values in (("int", bytes_), ("float", (bytes_ / 255).astype(np.float32))):
            paths = [tmp_path / f"{name}_{n}.tif" for n in range(3)]
            for path, one in zip(paths, values, strict=True):
                write_image(path, one)
            result = defocus("score", *paths, "--metric", "QG", "--metric", "QCB", "--json", weights=False)
            found.append(json.loads(result.stdout)["scores"])
        assert list(found[0]) == ["QG", "QCB"]
        assert found[1] == pytest.approx(found[0], abs=1e-3)

    def test_perfect_pictures_print_a_table_and_plain_json(self, defocus: Invoke, slices: list[Path]) -> None:
        same = [slices[0]] * 3
        table = defocus("score", *same, "--truth", slices[0], weights=False).stdout
        assert "QY        1.00000" in table
        assert "0.0% of the blocks are soft, 0.0% are made up; 0.00% of the pixels are outside" in table
        assert "PSNR      inf dB" in table
        plain = json.loads(defocus("score", *same, "--truth", slices[0], "--json", weights=False).stdout)
        assert plain["scores"]["PSNR"] is None

    def test_refusals(self, defocus: Invoke, slices: list[Path], picture: Path, tmp_path: Path) -> None:
        floats = tmp_path / "floats.tif"
        write_image(floats, np.zeros((24, 24), np.float32))
        for arguments, said in (
            ((slices[0],), "sources: got nothing"),
            ((picture, *slices), "sources[0]"),
            ((*slices, "--metric", "PSNR"), "reference"),
            ((slices[0], floats, floats), "sources: got float32 values"),
            ((*slices, "--truth", floats), "--truth: got float32 values"),
        ):
            result = defocus("score", *arguments, weights=False)
            assert result.exit_code == 2
            assert said in result.output


class TestBenchmark:
    @pytest.fixture
    def large(self, tmp_path: Path, photo: np.ndarray) -> Path:
        folder = tmp_path / "sharp"
        folder.mkdir()
        write_image(folder / "a.png", photo)
        return folder

    def test_tables_and_files(self, defocus: Invoke, large: Path, tmp_path: Path) -> None:
        out = tmp_path / "made" / "table"
        given = ("--photos", large, "--benchmark", "--scenes", 2, "--out", out)
        result = defocus("evaluate", "deviation", "energy_ratio", *given, weights=False)
        assert result.exit_code == 0, result.output
        assert {p.name for p in out.parent.iterdir()} == {"table.md", "table.json"}
        assert out.with_suffix(".md").read_text().strip() == result.stdout.strip()
        figures = json.loads(out.with_suffix(".json").read_text())
        assert [(f["method"], f["variant"]) for f in figures["results"]] == [
            (name, variant) for name in ("deviation", "energy_ratio") for variant in ("raw", "refined")
        ]
        assert figures["settings"]["scenes"] == 2

    @pytest.mark.parametrize("suffix", [".md", ".json", ".MD"])
    def test_out_may_end_in_what_is_written(self, defocus: Invoke, large: Path, tmp_path: Path, suffix: str) -> None:
        out = tmp_path / "made" / f"table.v2{suffix}"
        given = ("--photos", large, "--benchmark", "--scenes", 1, "--out", out)
        assert defocus("evaluate", "deviation", *given, weights=False).exit_code == 0
        assert {p.name for p in out.parent.iterdir()} == {"table.v2.md", "table.v2.json"}

    def test_the_device_is_that_of_the_networks(
        self, defocus: Invoke, large: Path, random_weights: dict[str, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[torch.device] = []
        built = DefocusEstimator.__init__

        def record(self: DefocusEstimator, *args: Any, device: torch.device, **options: Any) -> None:
            asked.append(device)
            built(self, *args, device=torch.device("cpu"), **options)

        # A second CPU, where the machine may have no other device.
        monkeypatch.setattr(DefocusEstimator, "__init__", record)
        given = ("--photos", large, "--benchmark", "--scenes", 1, "--device", "cpu:0", "--json")
        result = defocus("evaluate", random_weights["blurnet"], "deviation", *given, weights=False)
        assert asked == [torch.device("cpu:0")]
        assert json.loads(result.stdout)["benchmark"]["settings"]["device"] == "cpu:0"

    def test_refusals(self, defocus: Invoke, large: Path, tmp_path: Path) -> None:
        for arguments, said in (
            (("deviation", "--benchmark", "--device", "cuda:99"), "cuda:99"),
            ((), "WEIGHTS"),
            (("deviation", "--benchmark", "--out", large / "a.png" / "x"), "a.png"),
            (("magic", "--benchmark"), "magic"),
            (("deviation", "--out", tmp_path / "x"), "--out"),
        ):
            result = defocus("evaluate", *arguments, "--photos", large, weights=False)
            assert result.exit_code == 2, arguments
            assert said in result.output
