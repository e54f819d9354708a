"""A batch that is killed outright goes on where it was."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner

from defocus_backend.batch.journal import HIDDEN, RECORD
from defocus_backend.cli import main

MakeStack = Callable[..., list[Path]]
NAMES = "abcde"


def test_kill_9_of_a_batch_in_two_processes(
    make_stack: MakeStack, tmp_path: Path, random_weights: dict[str, Path]
) -> None:
    for seed, name in enumerate(NAMES):
        make_stack(tmp_path / "in" / name, slices=6, seed=seed)
    out = tmp_path / "out"
    command = ["batch", str(tmp_path / "in"), "--out", str(out), "--json", "--weights", str(random_weights["blurnet"])]
    running = subprocess.Popen(
        [sys.executable, "-m", "defocus_backend.cli", *command, "--jobs", "2"], stdout=subprocess.PIPE, text=True
    )
    with running:
        assert running.stdout is not None
        told: list[dict[str, Any]] = []
        for line in running.stdout:
            told.append(json.loads(line))
            done = [event["stack"] for event in told if event["event"] == "stack-done"]
            if done and told[-1]["event"] == "stack-progress" and told[-1]["done"] < told[-1]["total"]:
                break  # in the middle of another one
        workers = psutil.Process(running.pid).children(recursive=True)
        running.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == [], "workers outlive the batch"

    before = {name: (out / name / RECORD).stat().st_ino for name in NAMES if (out / name).exists()}
    assert set(done) <= set(before)
    assert len(before) < len(NAMES)
    for name in before:
        assert_whole(out, name)

    result = CliRunner().invoke(main, [*command, "--resume"], catch_exceptions=False)
    assert result.exit_code == 0
    resumed = [json.loads(line) for line in result.stdout.splitlines()]
    states = Counter(event["event"] for event in resumed)
    assert states["stack-kept"] >= len(before)
    assert states["stack-kept"] + states["stack-done"] == len(NAMES)
    started = {event["stack"] for event in resumed if event["event"] == "stack-started"}
    assert started.isdisjoint(before)
    for name in NAMES:
        assert_whole(out, name)
        assert before.get(name, (out / name / RECORD).stat().st_ino) == (out / name / RECORD).stat().st_ino
    assert {path.name for path in out.iterdir()} == {*NAMES, HIDDEN, "report.html", "report.json"}
    assert {path.name for path in (out / HIDDEN).iterdir()} == {"journal.jsonl", "lock", "thumbnails"}


def assert_whole(out: Path, name: str) -> None:
    """All files that the record lists are there, and no others."""
    record = json.loads((out / name / RECORD).read_text())
    listed = {Path(output["path"]).name for output in record["outputs"]}
    assert {path.name for path in (out / name).iterdir()} == {RECORD, *listed}
    assert len(listed) >= 5


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="the system has no such signal")
@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM"])
def test_a_batch_whose_terminal_goes_leaves_a_report(
    make_stack: MakeStack, tmp_path: Path, random_weights: dict[str, Path], name: str
) -> None:
    """What was finished is listed, nothing is half written, and --resume does the rest."""
    for seed, stack in enumerate(NAMES):
        make_stack(tmp_path / "in" / stack, slices=12, seed=seed)
    out = tmp_path / "out"
    command = ["batch", str(tmp_path / "in"), "--out", str(out), "--json", "--weights", str(random_weights["blurnet"])]
    # Whoever runs the tests may ignore SIGHUP, as nohup does, and a child inherits that.
    run = "import runpy; runpy.run_module('defocus_backend.cli', run_name='__main__', alter_sys=True)"
    program = f"import signal; signal.signal(signal.{name}, signal.SIG_DFL); {run}"
    running = subprocess.Popen(
        [sys.executable, "-c", program, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with running:
        assert running.stdout is not None
        assert running.stderr is not None
        for line in running.stdout:
            if json.loads(line)["event"] == "stack-done":
                running.send_signal(getattr(signal, name))
                break
        running.stdout.read()
        said = running.stderr.read()
    assert running.returncode == 130, said
    assert "Traceback" not in said
    finished = {stack for stack in NAMES if (out / stack / RECORD).exists()}
    assert finished, "it was stopped after the first stack"
    report = json.loads((out / "report.json").read_text())
    assert {one["name"] for one in report["stacks"] if one["state"] == "done"} == finished
    assert (out / "report.html").exists()
    resumed = CliRunner().invoke(main, [*command, "--resume"], catch_exceptions=False)
    assert resumed.exit_code == 0
    assert {stack for stack in NAMES if (out / stack / RECORD).exists()} == set(NAMES)
