"""On a real dask cluster of two worker processes, of which one is killed while it works."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import defocus_backend as db
from defocus_backend.batch.journal import HIDDEN, RECORD
from defocus_backend.cli import main

distributed = pytest.importorskip("distributed")

MakeStack = Callable[..., list[Path]]
NAMES = "abcde"


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A client of two fresh worker processes."""
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


def kill_one(client: Any, killed: list[int]) -> None:
    """Kill the first worker that has a task, while it has it."""
    pids = client.run(os.getpid)
    while not killed:
        busy = [address for address, tasks in client.processing().items() if tasks]
        if busy:
            time.sleep(0.2)  # its first task loads torch, which takes longer
            os.kill(pids[busy[0]], signal.SIGKILL)
            killed.append(pids[busy[0]])
        time.sleep(0.02)


def test_a_killed_worker_costs_nothing(
    client: Any, make_stack: MakeStack, tmp_path: Path, random_weights: dict[str, Path]
) -> None:
    for seed, name in enumerate(NAMES):
        make_stack(tmp_path / "in" / name, slices=4, seed=seed)
    out = tmp_path / "out"
    killed: list[int] = []
    killer = threading.Thread(target=kill_one, args=(client, killed))
    killer.start()
    command = ["batch", tmp_path / "in", "--out", out, "--scheduler", client.scheduler.address, "--json"]
    weights = ["--weights", random_weights["blurnet"]]
    result = CliRunner().invoke(main, [str(word) for word in (*command, *weights)], catch_exceptions=False)
    killer.join()
    assert result.exit_code == 0, result.output
    assert killed
    assert killed[0] not in client.run(os.getpid).values()
    told = Counter((event["event"], event.get("stack")) for event in map(json.loads, result.stdout.splitlines()))
    assert [told["stack-done", name] for name in NAMES] == [1] * len(NAMES)
    journal = (out / HIDDEN / "journal.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["name"] for line in journal) == list(NAMES)
    for name in NAMES:
        record = json.loads((out / name / RECORD).read_text())
        listed = {Path(output["path"]).name for output in record["outputs"]}
        assert {path.name for path in (out / name).iterdir()} == {RECORD, *listed}
    assert not (out / HIDDEN / "rooms").exists()


def test_lazy_arrays_are_computed_slice_by_slice_on_the_workers(client: Any, random_weights: dict[str, Path]) -> None:
    import dask.array as da

    values = np.random.default_rng(0).integers(0, 255, (2, 3, 64, 64), np.uint8)
    lazy = da.from_array(values, chunks=(1, 1, 64, 64))
    stacks = {"first": lazy[0], "second": lazy[1], "flat": lazy[0, 0, 0]}
    options = {"weights": random_weights["blurnet"], "refine": False}
    outcomes = {outcome.name: outcome for outcome in db.fuse_many(stacks, scheduler=client, **options)}
    assert set(outcomes) == set(stacks)
    assert outcomes["flat"].fusion is None
    assert "stack" in outcomes["flat"].error
    for n, name in enumerate(("first", "second")):
        found = outcomes[name].fusion
        assert found is not None
        np.testing.assert_array_equal(found.image, db.fuse(values[n], **options).image)
