"""Jobs are done once each, again if they fail, and one that fails does not stop the others."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from defocus_backend.batch.engine import Batch, JobList, Order, work_through
from defocus_backend.batch.job import Job
from defocus_backend.batch.journal import HIDDEN, Journal
from defocus_backend.batch.pools import InlinePool, Moved, ProcessPool, share_of_cores
from defocus_backend.errors import InputError
from defocus_backend.progress import ProgressCallback


def double(value: Any, progress: ProgressCallback) -> Any:
    """A task: doubles numbers, dies of "die", refuses other text."""
    if value == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if value == "threads":
        import torch

        return torch.get_num_threads()
    if value == "wait":
        time.sleep(60)
    if isinstance(value, str):
        raise InputError("value", value, "a number")
    progress(1, 1, "numbers")
    return 2 * value


def copy(order: Order, progress: ProgressCallback) -> dict[str, Any]:
    """A task of a batch: its result is its first file's text."""
    text = order.job.files[0].read_text()
    if text == "bad":
        raise InputError("file", "bad", "good")
    progress(1, 2, "files")
    (order.room.results / "copy.txt").write_text(text)
    return {"outputs": [{"kind": "copy", "path": "copy.txt"}], "seconds": 0.5, "warnings": []}


def results(pool: Any, values: dict[str, Any], **options: Any) -> dict[str, list[Any]]:
    """Values or failures of every attempt."""
    pieces: Iterator[tuple[str, Any]] = iter(values.items())
    seen: dict[str, list[Any]] = {}
    more = lambda: [piece] if (piece := next(pieces, None)) else None  # noqa: E731
    for tried in work_through(pool, more, lambda _key, value, _attempt: value, **options):
        seen.setdefault(tried.key, []).append(tried.failure.text if tried.failure else tried.value)
    return seen


def test_all_pieces_are_done_and_failures_tried_again_after_the_others() -> None:
    moves: list[Moved] = []
    seen = results(InlinePool(double, moved=moves.append), {"a": 1, "b": "?", "c": 3}, retry=2)
    assert seen == {"a": [2], "b": ["value: got ?; expected a number"] * 3, "c": [6]}
    assert list(seen) == ["a", "b", "c"]
    assert moves == [Moved("a", 1, 1, "numbers"), Moved("c", 1, 1, "numbers")]


def test_a_process_that_is_killed_fails_its_own_task_only() -> None:
    values = {"a": 1, "b": "die", "c": 3, "threads": "threads", "lambda": lambda: None, "d": 4}
    seen = results(ProcessPool(double, 2, threads=1), values, retry=1)
    assert {key: seen[key] for key in "acd"} == {"a": [2], "c": [6], "d": [8]}
    assert seen["threads"] == [1]
    assert len(seen["b"]) == 2
    assert all("SIGKILL" in text for text in seen["b"])
    assert all("cannot be sent to another process" in text for text in seen["lambda"])


def test_stopping_early_ends_the_processes() -> None:
    pool = ProcessPool(double, 1, threads=1)
    pool.submit("a", "wait")
    started = time.monotonic()
    pool.close()
    assert time.monotonic() - started < 20


def test_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert share_of_cores(100) == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert share_of_cores(10**6) == 1
    assert share_of_cores(1) >= 1


def test_a_key_that_comes_again_waits_for_the_first() -> None:
    pieces = iter([[("a", 1), ("a", 2), ("b", 3), ("a", 4)]])
    begun: list[tuple[str, int]] = []

    class TwoAtOnce(InlinePool):
        def free(self) -> int:
            return super().free() + 1

    def begin(key: str, value: int, _attempt: int) -> int:
        begun.append((key, value))
        return value

    values = [tried.value for tried in work_through(TwoAtOnce(double), lambda: next(pieces, None), begin)]
    assert [value for key, value in begun if key == "a"] == [1, 2, 4]
    assert sorted(values) == [2, 4, 6, 8]


def test_cancel_stops_between_pieces() -> None:
    done: list[Moved] = []
    seen = results(InlinePool(double, moved=done.append), dict.fromkeys("abc", 1), cancel=lambda: len(done) >= 2)
    assert list(seen) == ["a", "b"]


class TestBatch:
    def run(
        self, out: Path, texts: dict[str, str], *, resume: bool = False, **options: Any
    ) -> tuple[Batch, list[dict[str, Any]]]:
        jobs = []
        for name, text in texts.items():
            path = out.parent / f"{name}.txt"
            if not path.exists() or path.read_text() != text:
                path.write_text(text)
            jobs.append(Job(name, (path,)))
        events: list[dict[str, Any]] = []
        with Journal(out, resume=resume) as journal:
            batch = Batch(journal, version="1", listen=events.append, **options)
            batch.run(InlinePool(copy, moved=batch.moved), JobList(jobs))
        return batch, events

    def test_results_records_and_events(self, tmp_path: Path) -> None:
        batch, events = self.run(tmp_path / "out", {"a": "one", "b": "bad"}, retry=1)
        assert (tmp_path / "out" / "a" / "copy.txt").read_text() == "one"
        assert not (tmp_path / "out" / "b").exists()
        assert {name: record["state"] for name, record in batch.records.items()} == {"a": "done", "b": "failed"}
        assert [(event["event"], event["stack"]) for event in events] == [
            ("stack-started", "a"),
            ("stack-progress", "a"),
            ("stack-done", "a"),
            ("stack-started", "b"),
            ("stack-retried", "b"),
            ("stack-started", "b"),
            ("stack-failed", "b"),
        ]
        assert batch.records["b"]["attempts"] == 2
        assert not (tmp_path / "out" / HIDDEN / "rooms").exists()

    def test_resuming_does_only_what_is_new_changed_or_failed(self, tmp_path: Path) -> None:
        self.run(tmp_path / "out", {"a": "one", "b": "two", "c": "bad"})
        before = (tmp_path / "out" / "a" / "copy.txt").stat().st_ino
        texts = {"a": "one", "b": "changed", "c": "good", "d": "new"}
        batch, events = self.run(tmp_path / "out", texts, resume=True)
        assert {name: record["state"] for name, record in batch.records.items()} == {
            "a": "kept",
            "b": "done",
            "c": "done",
            "d": "done",
        }
        assert [event["stack"] for event in events if event["event"] == "stack-started"] == ["b", "c", "d"]
        assert (tmp_path / "out" / "a" / "copy.txt").stat().st_ino == before
        assert (tmp_path / "out" / "b" / "copy.txt").read_text() == "changed"

    def test_without_resuming_all_is_done_again(self, tmp_path: Path) -> None:
        self.run(tmp_path / "out", {"a": "one"})
        before = (tmp_path / "out" / "a" / "copy.txt").stat().st_ino
        batch, _ = self.run(tmp_path / "out", {"a": "one"})
        assert batch.records["a"]["state"] == "done"
        assert (tmp_path / "out" / "a" / "copy.txt").stat().st_ino != before

    def test_rooms_of_failed_attempts_do_not_pile_up(self, tmp_path: Path) -> None:
        rooms = tmp_path / "out" / HIDDEN / "rooms"
        (tmp_path / "b.txt").write_text("bad")
        left: list[int] = []

        def listen(event: dict[str, Any]) -> None:
            if event["event"] in ("stack-retried", "stack-failed"):
                left.append(len(list(rooms.iterdir())))

        with Journal(tmp_path / "out") as journal:
            batch = Batch(journal, version="1", retry=1, listen=listen)
            batch.run(InlinePool(copy), JobList([Job("b", (tmp_path / "b.txt",))]))
        assert left == [0, 0]

    def test_a_name_that_no_disk_takes_fails_that_job(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("one")
        with Journal(tmp_path / "out") as journal:
            batch = Batch(journal, version="1")
            jobs = [Job(name, (tmp_path / "a.txt",)) for name in ("x" * 300, "a")]
            batch.run(InlinePool(copy), JobList(jobs))
        assert [record["state"] for record in batch.records.values()] == ["failed", "done"]

    def test_a_folder_in_the_way_fails_that_job_before_it_starts(self, tmp_path: Path) -> None:
        (tmp_path / "out" / "a").mkdir(parents=True)
        batch, events = self.run(tmp_path / "out", {"a": "one", "b": "two"})
        assert {name: record["state"] for name, record in batch.records.items()} == {"a": "failed", "b": "done"}
        assert "stack-started" not in [event["event"] for event in events if event["stack"] == "a"]
