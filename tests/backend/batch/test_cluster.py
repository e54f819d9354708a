"""On a real dask cluster of two worker processes, of which one is killed while it works."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import defocus_backend as db
from defocus_backend.batch.cluster import ClusterPool
from defocus_backend.batch.engine import Batch, JobList, Order
from defocus_backend.batch.job import Job
from defocus_backend.batch.journal import HIDDEN, RECORD, Journal
from defocus_backend.cli import main
from defocus_backend.progress import ProgressCallback

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


def slow_copy(order: Order, progress: ProgressCallback) -> dict[str, Any]:  # noqa: ARG001
    """A task that takes a while and notes that it began."""
    notes = order.job.files[0].with_suffix(f".{os.getpid()}")
    notes.write_text("begun")
    (order.room.results / "half.txt").write_text("half")
    time.sleep(0.5)
    (order.room.results / "half.txt").rename(order.room.results / "copy.txt")
    return {"outputs": [{"kind": "copy", "path": "copy.txt"}], "seconds": 0.5}


def test_a_killed_worker_costs_nothing(client: Any, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    files = [tmp_path / "in" / f"{name}.txt" for name in NAMES]
    for path in files:
        path.write_text(path.stem)
    out = tmp_path / "out"
    killed: list[int] = []

    def kill_one() -> None:
        """Kill the worker that was the first to begin, while it works."""
        while not killed:
            begun = [path for path in (tmp_path / "in").iterdir() if path.suffix != ".txt"]
            if begun:
                killed.append(int(begun[0].suffix.removeprefix(".")))
                os.kill(killed[0], signal.SIGKILL)
            time.sleep(0.02)

    killer = threading.Thread(target=kill_one)
    killer.start()
    events: list[dict[str, Any]] = []
    with Journal(out) as journal:
        batch = Batch(journal, version="1", listen=events.append)
        batch.run(ClusterPool(slow_copy, client), JobList(Job(path.stem, (path,)) for path in files))
    killer.join()
    begun = [path.suffix for path in (tmp_path / "in").iterdir() if path.suffix != ".txt"]
    assert len(begun) > len(NAMES), "no task was begun a second time"
    assert [event["stack"] for event in events if event["event"] == "stack-failed"] == []
    assert sorted(event["stack"] for event in events if event["event"] == "stack-done") == list(NAMES)
    lines = (out / HIDDEN / "journal.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["name"] for line in lines) == list(NAMES)
    for name in NAMES:
        assert {path.name for path in (out / name).iterdir()} == {RECORD, "copy.txt"}
    assert not (out / HIDDEN / "rooms").exists()


def test_the_command_sends_stacks_to_the_cluster(
    client: Any, make_stack: MakeStack, tmp_path: Path, random_weights: dict[str, Path]
) -> None:
    for seed, name in enumerate("ab"):
        make_stack(tmp_path / "in" / name, seed=seed)
    out = tmp_path / "out"
    command = ["batch", tmp_path / "in", "--out", out, "--scheduler", client.scheduler.address, "--json"]
    weights = ["--weights", random_weights["blurnet"]]
    result = CliRunner().invoke(main, [str(word) for word in (*command, *weights)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert "workers of tcp://" in told[0]["where"]
    assert sorted(event["stack"] for event in told if event["event"] == "stack-done") == ["a", "b"]
    for name in "ab":
        record = json.loads((out / name / RECORD).read_text())
        listed = {Path(output["path"]).name for output in record["outputs"]}
        assert {path.name for path in (out / name).iterdir()} == {RECORD, *listed}


def test_lazy_arrays_are_computed_slice_by_slice_on_the_workers(client: Any, random_weights: dict[str, Path]) -> None:
    import dask.array as da

    values = np.random.default_rng(0).integers(0, 255, (2, 3, 64, 64), np.uint8)
    lazy = da.from_array(values, chunks=(1, 1, 64, 64))
    stacks = {"first": lazy[0], "second": lazy[1], "flat": lazy[0, 0, 0]}
    options: dict[str, Any] = {"map_settings": db.SliceMapParams(weights=random_weights["blurnet"])}
    outcomes = {outcome.name: outcome for outcome in db.fuse_many(stacks, scheduler=client, **options)}
    assert set(outcomes) == set(stacks)
    assert outcomes["flat"].fusion is None
    assert "stack" in outcomes["flat"].error
    for n, name in enumerate(("first", "second")):
        found = outcomes[name].fusion
        assert found is not None
        np.testing.assert_array_equal(found.image, db.fuse(values[n], **options).image)


@pytest.fixture
def encrypted(tmp_path: Path) -> Iterator[tuple[str, dict[str, Path]]]:
    """The address of a scheduler that takes encrypted connections alone, and the files with which it takes them."""
    pytest.importorskip("cryptography")
    security = distributed.Security.temporary()
    parts = {"ca_file": security.tls_ca_file, "cert": security.tls_client_cert, "key": security.tls_client_key}
    files = {name: tmp_path / f"{name}.pem" for name in parts}
    for name, text in parts.items():
        files[name].write_text(text)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, security=security, dashboard_address=":0", silence_logs=50
    ) as cluster:
        yield cluster.scheduler_address, files


def test_an_encrypted_cluster_takes_stacks_with_its_certificates_alone(
    encrypted: tuple[str, dict[str, Path]], make_stack: MakeStack, tmp_path: Path
) -> None:
    address, files = encrypted
    assert address.startswith("tls://")
    make_stack(tmp_path / "in" / "a")
    out = tmp_path / "out"
    command = ["batch", tmp_path / "in", "--out", out, "--scheduler", address, "--json", "--method", "mean"]

    def run(*more: Any) -> Any:
        return CliRunner().invoke(main, [str(word) for word in (*command, *more)])

    refused = run()
    assert refused.exit_code == 2, refused.output
    assert refused.stderr.startswith("defocus: --scheduler: ")
    partly = run("--tls-ca-file", files["ca_file"])
    assert partly.exit_code == 2
    assert "TLS without --tls-cert, --tls-key" in partly.stderr
    strange = distributed.Security.temporary()
    (tmp_path / "other.pem").write_text(strange.tls_client_cert)
    (tmp_path / "other-key.pem").write_text(strange.tls_client_key)
    foreign = run(
        *("--tls-ca-file", files["ca_file"]),
        *("--tls-cert", tmp_path / "other.pem", "--tls-key", tmp_path / "other-key.pem"),
    )
    assert foreign.exit_code == 2, "a certificate of another authority opened the cluster"
    taken = run("--tls-ca-file", files["ca_file"], "--tls-cert", files["cert"], "--tls-key", files["key"])
    assert taken.exit_code == 0, taken.output
    events = [json.loads(line) for line in taken.stdout.splitlines()]
    assert [event["stack"] for event in events if event["event"] == "stack-done"] == ["a"]
    assert any((out / "a").glob("*fused*"))
