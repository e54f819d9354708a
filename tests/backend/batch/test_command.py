"""`defocus batch` in this process, on tiny stacks."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from defocus_backend.batch.journal import HIDDEN
from defocus_backend.cli import main
from defocus_backend.cli.batch_config import command_of
from defocus_backend.io import read_image, read_map
from defocus_backend.pipeline.step import OPERATIONS

Batch = Callable[..., Result]
MakeStack = Callable[..., list[Path]]


@pytest.fixture
def batch(random_weights: dict[str, Path]) -> Batch:
    """Run the command with untrained weights."""

    def run(*args: object) -> Result:
        given = ["batch", *map(str, args), "--weights", str(random_weights["blurnet"])]
        return CliRunner().invoke(main, given, catch_exceptions=False)

    return run


def events(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_writes_what_fuse_writes(
    batch: Batch, make_stack: MakeStack, tmp_path: Path, random_weights: dict[str, Path]
) -> None:
    slices = make_stack(tmp_path / "in" / "a")
    options = ["--radius", 3, "--confidence", "--colours", 0, 10, "--value-range", 0, 65535, "--weights"]
    options.append(random_weights["blurnet"])
    result = batch(tmp_path / "in", "--out", tmp_path / "out", *options[:-2])
    assert result.exit_code == 0, result.output
    alone = ["fuse", *slices, "--out", tmp_path / "alone", "--name", "a", *options]
    assert CliRunner().invoke(main, [str(word) for word in alone]).exit_code == 0
    made = files(tmp_path / "out" / "a")
    record = json.loads(made.pop("batch.json"))
    expected = files(tmp_path / "alone")
    assert set(made) == set(expected)
    for name in ("a_fused.tif", "a_index.tif"):
        same = read_image(tmp_path / "alone" / name).array
        np.testing.assert_array_equal(read_image(tmp_path / "out" / "a" / name).array, same)
    for name in ("a_sigma.tif", "a_confidence.tif"):
        np.testing.assert_array_equal(read_map(tmp_path / "out" / "a" / name), read_map(tmp_path / "alone" / name))
    assert record["parameters"]["radius"] == 3
    assert {output["path"] for output in record["outputs"]} == {f"a/{name}" for name in expected}
    assert record["seconds"] > 0
    assert "a" in result.stdout


def test_one_bad_stack_does_not_stop_the_others(batch: Batch, make_stack: MakeStack, tmp_path: Path) -> None:
    for name in "ac":
        make_stack(tmp_path / "in" / name)
    for path in make_stack(tmp_path / "in" / "b"):
        path.write_bytes(path.read_bytes()[:200])
    out = tmp_path / "out"
    result = batch(tmp_path / "in", "--out", out, "--json", "--retry", 1)
    assert result.exit_code == 1
    told = events(result)
    assert [event["event"] for event in told if event["event"] != "stack-progress"] == [
        "batch-started",
        *("stack-started", "stack-done") * 1,
        "stack-started",
        "stack-retried",
        *("stack-started", "stack-done") * 1,
        "stack-started",
        "stack-failed",
        "batch-ended",
    ]
    assert "stack-progress" in [event["event"] for event in told]
    end = told[-1]
    assert {key: end[key] for key in ("done", "kept", "failed", "stacks_failed")} == {
        "done": 2,
        "kept": 0,
        "failed": 1,
        "stacks_failed": ["b"],
    }
    assert sorted(path.name for path in out.iterdir()) == [HIDDEN, "a", "c", "report.html", "report.json"]
    resumed = batch(tmp_path / "in", "--out", out, "--json", "--resume")
    assert [event["stack"] for event in events(resumed) if event["event"] == "stack-started"] == ["b"]


def test_the_report_needs_no_other_file(batch: Batch, make_stack: MakeStack, tmp_path: Path) -> None:
    make_stack(tmp_path / "in" / "a & b")
    make_stack(tmp_path / "in" / "bad")[1].write_bytes(b"nonsense")
    out = tmp_path / "out"
    batch(tmp_path / "in", "--out", out, "--radius", 5)
    page = (out / "report.html").read_text()
    sources: list[str] = []
    links: list[str] = []
    text: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            sources.extend(value or "" for name, value in attrs if name == "src")
            links.extend(value or "" for name, value in attrs if name == "href")
            assert tag not in ("script", "link")

        def handle_data(self, data: str) -> None:
            text.append(data.strip())

    Reader().feed(page)
    assert len(sources) == 3
    for source in sources:
        kind, _, data = source.partition(",")
        assert kind == "data:image/jpeg;base64"
        assert max(Image.open(io.BytesIO(base64.b64decode(data))).size) <= 360
    assert links
    assert all((out / unquote(link)).exists() for link in links)
    assert {"a & b", "bad", "radius", "5"} <= set(text)
    data = json.loads((out / "report.json").read_text())
    assert data["counts"] == {"done": 1, "kept": 0, "failed": 1}
    assert data["parameters"]["radius"] == 5
    assert "z1.tif" in next(stack for stack in data["stacks"] if stack["name"] == "bad")["error"]


def test_dry_run_writes_nothing(batch: Batch, make_stack: MakeStack, tmp_path: Path) -> None:
    make_stack(tmp_path / "in" / "a")
    make_stack(tmp_path / "in" / "b")
    make_stack(tmp_path / "in", slices=1, name="alone{}.tif")
    out = tmp_path / "out"
    result = batch(tmp_path / "in", "--out", out, "--dry-run")
    assert result.exit_code == 0
    assert not out.exists()
    assert re.search(r"^a: to do; .*z0\.tif \.\.\. z1\.tif \(2 files\)", result.stdout, re.M)
    assert "left out" in result.stdout
    assert "alone0.tif" in result.stdout
    batch(tmp_path / "in" / "a", "--out", out)
    told = events(batch(tmp_path / "in", "--out", out, "--dry-run", "--resume", "--json"))
    assert {event["stack"]: event["state"] for event in told if "stack" in event} == {"a": "done before", "b": "to do"}


class TestConfig:
    def test_gives_options_that_the_command_line_overrides(
        self, batch: Batch, make_stack: MakeStack, tmp_path: Path
    ) -> None:
        make_stack(tmp_path / "in" / "a")
        config = tmp_path / "mine.toml"
        config.write_text(
            "radius = 4\nedge_tolerance = 0.01\nconfidence = true\nvalue_range = [0, 65535]\n"
            "refine = false\nretry = 2\n"
        )
        result = batch(tmp_path / "in", "--out", tmp_path / "out", "--config", config, "--radius", 6)
        assert result.exit_code == 0, result.output
        told = json.loads((tmp_path / "out" / "report.json").read_text())["parameters"]
        assert {name: told[name] for name in ("radius", "edge_tolerance", "confidence", "value_range", "refine")} == {
            "radius": 6,
            "edge_tolerance": 0.01,
            "confidence": True,
            "value_range": [0, 65535],
            "refine": False,
        }
        assert (tmp_path / "out" / "a" / "a_confidence.tif").exists()

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("raduis = 4", "did you mean radius"),
            ("radius = 4.5", "a whole number"),
            ("radius = true", "not true or false"),
            ("confidence = 1", "true or false"),
            ("value_range = 3", "a list of 2"),
            ("radius = [3]", "a single value"),
            ("radius = ", "no TOML"),
            ('mode = "fold"', "one of fuse"),
        ],
    )
    def test_mistakes_are_refused(
        self, batch: Batch, make_stack: MakeStack, tmp_path: Path, line: str, message: str
    ) -> None:
        make_stack(tmp_path / "in" / "a")
        config = tmp_path / "mine.toml"
        config.write_text(line)
        result = batch(tmp_path / "in", "--out", tmp_path / "out", "--config", config)
        assert result.exit_code == 2
        assert message in result.stderr
        assert "mine.toml" in result.stderr or "mode" in line
        assert not (tmp_path / "out").exists()

    def test_a_value_out_of_range_and_an_absent_file(self, batch: Batch, make_stack: MakeStack, tmp_path: Path) -> None:
        make_stack(tmp_path / "in" / "a")
        config = tmp_path / "mine.toml"
        assert "no such file" in batch(tmp_path, "--out", tmp_path, "--config", config).stderr.lower()
        config.write_text("radius = 0")
        result = batch(tmp_path / "in", "--out", tmp_path / "out", "--config", config)
        assert result.exit_code == 2
        assert "radius" in result.stderr


class TestAlignment:
    def test_its_files_lie_with_the_results_of_each_stack(
        self, batch: Batch, make_stack: MakeStack, tmp_path: Path
    ) -> None:
        pytest.importorskip("cv2")
        for name in "ab":
            make_stack(tmp_path / "in" / name)
        out = tmp_path / "out"
        options = ("--align", "translation", "--transforms", "found.json", "--export-aligned", "frames")
        result = batch(tmp_path / "in", "--out", out, *options)
        assert result.exit_code == 0, result.output
        for name in "ab":
            record = json.loads((out / name / "batch.json").read_text())
            assert f"{name}/found.json" in [output["path"] for output in record["outputs"]]
            assert (out / name / "found.json").exists()
            assert len(list((out / name / "frames").iterdir())) == 2
            assert record["notes"] == ["aligning: align translation"]
        assert "aligning: align translation" in (out / "report.html").read_text()

    def test_one_file_for_all_is_refused(self, batch: Batch, make_stack: MakeStack, tmp_path: Path) -> None:
        make_stack(tmp_path / "in" / "a")
        result = batch(tmp_path / "in", "--out", tmp_path / "out", "--transforms", tmp_path / "found.json")
        assert result.exit_code == 2
        assert "--transforms" in result.stderr


class TestModes:
    @pytest.mark.parametrize("mode", OPERATIONS)
    def test_every_option_of_the_repeated_command_is_there_once(self, mode: str) -> None:
        result = CliRunner().invoke(main, ["batch", "--mode", mode, "--help-all"])
        assert result.exit_code == 0
        repeated = [p for p in command_of(mode).params if isinstance(p, click.Option)]
        for parameter in repeated:
            if parameter.name not in ("name", "map"):
                assert len(re.findall(rf"^  .*{parameter.opts[0]}\b", result.stdout, re.M)) >= 1, parameter.opts
        flags = re.findall(r"^  (--[a-z0-9-]+)", result.stdout, re.M)
        assert len(flags) == len(set(flags))

    def test_pictures_one_by_one(self, batch: Batch, make_stack: MakeStack, tmp_path: Path) -> None:
        make_stack(tmp_path / "in", slices=1, name="a{}.tif")
        make_stack(tmp_path / "in" / "more", slices=1, name="b{}.png")
        config = tmp_path / "mine.toml"
        config.write_text('mode = "map"\nraw = true\n')
        result = batch(tmp_path / "in", "--out", tmp_path / "out", "--config", config)
        assert result.exit_code == 0, result.output
        made = {path.name for path in (tmp_path / "out" / "a0").iterdir()}
        assert made == {"batch.json", "a0_sigma.tif", "a0_sigma.png", "a0_raw.tif", "a0_raw.png"}
        assert (tmp_path / "out" / "more_b0" / "b0_sigma.tif").exists()


class TestRefusals:
    def test_nothing_to_do(self, batch: Batch, tmp_path: Path) -> None:
        result = batch(tmp_path, "--out", tmp_path / "out")
        assert (result.exit_code, (tmp_path / "out").exists()) == (2, False)
        assert "DIR" in result.stderr

    def test_results_would_replace_the_slices(self, batch: Batch, make_stack: MakeStack, tmp_path: Path) -> None:
        slices = make_stack(tmp_path / "a")
        other = make_stack(tmp_path / "elsewhere" / "a")
        result = batch(tmp_path / "elsewhere", "--out", tmp_path)
        assert result.exit_code == 1
        assert "was not written by a batch" in result.stderr
        assert all(path.exists() for path in (*slices, *other))

    @pytest.mark.parametrize(
        ("option", "other"), [("--settle", ()), ("--until-idle", ()), ("--jobs", ("--scheduler", "tcp://127.0.0.1:1"))]
    )
    def test_options_that_would_do_nothing(
        self, batch: Batch, make_stack: MakeStack, tmp_path: Path, option: str, other: tuple[str, ...]
    ) -> None:
        make_stack(tmp_path / "in" / "a")
        result = batch(tmp_path / "in", "--out", tmp_path / "out", option, 3, *other)
        assert (result.exit_code, (tmp_path / "out").exists()) == (2, False)
        assert f"defocus: {option}: got 3" in result.stderr

    def test_no_cluster_there(self, batch: Batch, make_stack: MakeStack, tmp_path: Path) -> None:
        make_stack(tmp_path / "in" / "a")
        result = batch(tmp_path / "in", "--out", tmp_path / "out", "--scheduler", "nonsense://x")
        assert result.exit_code == 2
        assert "scheduler" in result.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_file_names_that_cannot_be_printed(batch: Batch, make_stack: MakeStack, tmp_path: Path) -> None:
    folder, out = tmp_path / os.fsdecode(b"pl\xe4tze"), tmp_path / "out"
    make_stack(folder / os.fsdecode(b"\xe4"), name=os.fsdecode(b"\xe4{}.tif"))
    make_stack(folder, slices=1, name=os.fsdecode(b"al\xf6ne{}.tif"))
    assert "al?ne0.tif" in batch(folder, "--out", out, "--dry-run").stdout
    result = batch(folder, "--out", out)
    assert result.exit_code == 0, result.output
    assert (out / "_" / "__fused.tif").exists()
    assert "al?ne0.tif" in (out / "report.html").read_text()
    # Of single pictures the results are named as they are; the links of the report must lead there.
    assert batch(folder, "--mode", "map", "--out", out).exit_code == 0
    assert (out / "al_ne0" / os.fsdecode(b"al\xf6ne0_sigma.tif")).exists()
    assert "al_ne0/al%F6ne0_sigma.png" in (out / "report.html").read_text()


def test_ctrl_c_leaves_what_is_done_and_a_report(
    batch: Batch, make_stack: MakeStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from defocus_backend.cli.batch_show import Show

    for name in "abc":
        make_stack(tmp_path / "in" / name)
    shown = Show.event

    def interrupted(self: Show, event: dict[str, Any]) -> None:
        shown(self, event)
        if event["event"] == "stack-progress" and event["stack"] == "b":
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(Show, "event", interrupted)
        result = batch(tmp_path / "in", "--out", out)
    assert result.exit_code == 130
    assert "--resume" in result.stdout
    assert sorted(path.name for path in out.iterdir()) == [HIDDEN, "a", "report.html", "report.json"]
    assert json.loads((out / "report.json").read_text())["ended"] == "interrupted"
    assert not (out / HIDDEN / "rooms").exists()
    told = events(batch(tmp_path / "in", "--out", out, "--resume", "--json"))
    assert {key: told[-1][key] for key in ("done", "kept", "failed")} == {"done": 2, "kept": 1, "failed": 0}


@pytest.mark.parametrize(
    ("own", "turns"), [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)]
)
def test_threads_spin_briefly_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, own: dict[str, str], turns: str | None
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # so that it is put back afterwards
        monkeypatch.delenv(name)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    assert CliRunner().invoke(main, ["batch", "--help"]).exit_code == 0
    assert os.environ.get("GOMP_SPINCOUNT") == turns
    assert os.environ.get("OMP_WAIT_POLICY") == own.get("OMP_WAIT_POLICY")


def test_watching_until_nothing_comes(batch: Batch, make_stack: MakeStack, tmp_path: Path) -> None:
    make_stack(tmp_path / "in" / "a")
    args = (tmp_path / "in", "--out", tmp_path / "out", "--watch", "--settle", 0.5, "--until-idle", 1.5, "--json")
    first = events(batch(*args))
    assert [event["event"] for event in first if event["event"] != "stack-progress"] == [
        "batch-started",
        "stack-started",
        "stack-done",
        "batch-ended",
    ]
    again = events(batch(*args))
    assert [event["event"] for event in again] == ["batch-started", "stack-kept", "batch-ended"]
