"""Nothing lost, nothing half done, nothing done twice, whenever the end comes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from defocus_backend.batch.job import Job
from defocus_backend.batch.journal import HIDDEN, RECORD, Journal, find_finished, read_records
from defocus_backend.errors import FileError


class Killed(BaseException):
    """The end of the process; nothing after it runs but what stands in `with` blocks."""


def make(journal: Journal, name: str, content: str) -> dict[str, Any]:
    """Do a job as the batch does, with a result of two files."""
    room = journal.new_room()
    for kind in ("fused", "sigma"):
        (room.results / kind).write_text(content)
    (room.thumbnails / "fused.jpg").write_text(content)
    outputs = [{"kind": kind, "path": f"{name}/{kind}"} for kind in ("fused", "sigma")]
    record = {"name": name, "state": "done", "fingerprint": content, "outputs": outputs, "thumbnails": {}}
    return journal.commit(room, record)


def contents(out: Path, name: str) -> list[str]:
    return [(out / name / kind).read_text() for kind in ("fused", "sigma")]


def test_a_finished_job_is_found_again_only_with_the_same_fingerprint(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        made = make(journal, "a", "one")
    with Journal(tmp_path, resume=True) as journal:
        assert journal.finished("a", "one") == made
        assert journal.finished("a", "two") is None
        assert journal.finished("b", "one") is None
        (tmp_path / "a" / "sigma").unlink()
        assert journal.finished("a", "one") is None
    with Journal(tmp_path) as journal:
        assert journal.finished("a", "one") is None
    assert read_records(tmp_path) == {}


def test_a_torn_line_costs_that_line_only(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        make(journal, "a", "one")
    path = tmp_path / HIDDEN / "journal.jsonl"
    whole = path.read_bytes()
    for length in range(0, len(whole), 9):
        path.write_bytes(whole + whole[:length])
        with Journal(tmp_path, resume=True) as journal:
            assert journal.finished("a", "one") is not None
            journal.note({"name": "b", "state": "failed"})
        assert set(read_records(tmp_path)) == {"a", "b"}


def test_a_folder_that_no_batch_made_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "photo.jpg").write_text("mine")
    with Journal(tmp_path) as journal:
        with pytest.raises(FileError, match="exists and was not written by a batch"):
            journal.check_target("a")
        with pytest.raises(FileError, match="exists and was not written by a batch"):
            make(journal, "a", "one")
    assert (tmp_path / "a" / "photo.jpg").read_text() == "mine"


def test_two_batches_do_not_share_a_folder(tmp_path: Path) -> None:
    with Journal(tmp_path), pytest.raises(FileError, match="another batch is writing there"), Journal(tmp_path):
        pass
    with Journal(tmp_path):
        pass


def test_a_file_in_the_way_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(FileError, match="out"), Journal(tmp_path / "out"):
        pass


@pytest.mark.parametrize("again", [False, True])
def test_killed_before_any_step_of_putting_results_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    """The fatal step is every one in turn; with `again`, results of an earlier batch are being replaced."""
    steps = 0
    while True:
        out = tmp_path / str(steps)
        journal = Journal(out)
        journal.__enter__()
        if again:
            make(journal, "a", "old")
        left = steps
        with monkeypatch.context() as patch:
            for owner, function in ((os, "fsync"), (Path, "rename"), (Path, "replace"), (Path, "touch")):
                real: Callable[..., Any] = getattr(owner, function)

                def fatal(*args: Any, _real: Callable[..., Any] = real, **options: Any) -> Any:
                    nonlocal left
                    if left == 0:
                        raise Killed
                    left -= 1
                    return _real(*args, **options)

                patch.setattr(owner, function, fatal)
            try:
                make(journal, "a", "new")
                survived = True
            except Killed:
                survived = False
        journal._lock.release()  # as the system does for a process that is gone
        with Journal(out, resume=True) as resumed:
            found = resumed.finished("a", "new")
            if (out / "a").exists():
                assert contents(out, "a") in (["new"] * 2, ["old"] * 2)
                assert json.loads((out / "a" / RECORD).read_text())["fingerprint"] == contents(out, "a")[0]
                assert (found is not None) == (contents(out, "a")[0] == "new")
                # The journal may still tell of them: "done before" over the new ones would be wrong.
                assert (resumed.finished("a", "old") is not None) == (contents(out, "a")[0] == "old")
            else:
                assert not again, "earlier results were lost"
                assert found is None
            assert not (out / HIDDEN / "rooms").exists()
        if survived:
            break
        steps += 1
    assert steps > 8


class TestInterrupted:
    """What stands in `with` blocks runs, and must keep what a kill would have left."""

    @pytest.mark.parametrize("error", [KeyboardInterrupt, PermissionError])
    def test_at_any_step_keeps_what_is_finished(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
    ) -> None:
        for step in range(3):  # that puts the thumbnail, the earlier and the new results elsewhere
            out = tmp_path / str(step)
            with monkeypatch.context() as patch, Journal(out) as journal:
                make(journal, "a", "old")
                fail_at(patch, step, error)
                with pytest.raises((KeyboardInterrupt, FileError)):
                    make(journal, "a", "new")
                assert contents(out, "a") == ["old", "old"]
            assert contents(out, "a") == ["new", "new"]
            assert not (out / HIDDEN / "rooms").exists()
            with Journal(out, resume=True) as journal:
                assert journal.finished("a", "new") is not None
                assert journal.finished("a", "old") is None

    @pytest.mark.parametrize("refused", ["rename", "exists"])
    def test_results_that_cannot_be_put_in_place_wait_for_the_next_batch(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str
    ) -> None:
        def held(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        with monkeypatch.context() as patch, Journal(tmp_path) as journal:
            make(journal, "a", "old")
            patch.setattr(Path, "rename", held)
            with pytest.raises(FileError, match="Permission denied"):
                make(journal, "a", "new")
            patch.setattr(Path, refused, held)
        assert contents(tmp_path, "a") == ["old", "old"]
        with Journal(tmp_path):
            assert contents(tmp_path, "a") == ["new", "new"]

    def test_results_that_waited_never_replace_later_ones(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Journal(tmp_path) as journal:
            fail_at(monkeypatch, 1, PermissionError)
            with pytest.raises(FileError):
                make(journal, "a", "old")
            make(journal, "a", "new")
        assert contents(tmp_path, "a") == ["new", "new"]

    def test_a_failed_attempt_leaves_no_room(self, tmp_path: Path) -> None:
        with Journal(tmp_path) as journal:
            room = journal.new_room()
            (room.results / "half").write_text("?")
            journal.discard(room)
            assert not room.path.exists()


def fail_at(monkeypatch: pytest.MonkeyPatch, step: int, error: type[BaseException]) -> None:
    """Let the renaming of that number fail, once."""
    left = [step]
    for function in ("rename", "replace"):
        real: Callable[..., Any] = getattr(Path, function)

        def failing(*args: Any, _real: Callable[..., Any] = real) -> Any:
            left[0] -= 1
            if left[0] == -1:
                raise error
            return _real(*args)

        monkeypatch.setattr(Path, function, failing)


class TestFingerprint:
    def test_changes_with_everything_that_changes_the_result(self, tmp_path: Path) -> None:
        slices = [tmp_path / "1.png", tmp_path / "2.png"]
        for path in slices:
            path.write_bytes(b"1234")
            os.utime(path, (1000, 1000))
        weights = tmp_path / "mine.safetensors"
        weights.write_bytes(b"1")

        def fingerprint(
            files: tuple[Path, ...] = tuple(slices), version: str = "1", operation: str = "fuse", **options: Any
        ) -> str:
            return Job("s", files, operation, {"weights": str(weights), **options}).fingerprint(version)

        first = fingerprint()
        assert fingerprint() == first
        assert fingerprint(device="cuda") == first
        others = [fingerprint(radius=3), fingerprint(version="2"), fingerprint(operation="map")]
        others += [fingerprint(files=tuple(slices[::-1])), fingerprint(files=tuple(slices[:1]))]
        os.utime(slices[0], (1000, 1001))
        others.append(fingerprint())
        weights.write_bytes(b"22")
        others.append(fingerprint())
        assert len({first, *others}) == 1 + len(others)

    def test_a_file_that_is_gone(self, tmp_path: Path) -> None:
        with pytest.raises(FileError, match=r"gone\.png"):
            Job("s", (tmp_path / "gone.png",)).fingerprint("1")


class TestTrust:
    """What lies in a folder of results may have been written by anybody."""

    @pytest.mark.parametrize("name", ["../x", "/tmp/x", "..", ".", "", "a/b", "a\\b", "a\0b", None, 7, ["x"]])
    def test_a_name_is_one_component(self, tmp_path: Path, name: object) -> None:
        out = tmp_path / "deep" / "out"
        room = out / HIDDEN / "rooms" / "attack"
        (room / "results").mkdir(parents=True)
        (room / "thumbnails").mkdir()
        (room / "results" / RECORD).write_text(json.dumps({"name": name, "state": "done"}))
        (room / RECORD).touch()
        before = {path for path in tmp_path.rglob("*") if out not in (path, *path.parents)}
        with Journal(out, resume=True):
            pass
        assert {path for path in tmp_path.rglob("*") if out not in (path, *path.parents)} == before
        assert [path.name for path in out.iterdir()] == [HIDDEN]

    def test_no_link_among_the_thumbnails_is_followed(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("secret")
        with Journal(tmp_path / "out") as journal:
            folder = tmp_path / "out" / HIDDEN / "thumbnails"
            (folder / "a_link.jpg").symlink_to(tmp_path / "secret")
            (folder / "a_real.jpg").write_bytes(b"jpeg")
            record = {"name": "a", "thumbnails": {"one": "link.jpg", "two": "real.jpg", "three": "../../../secret"}}
            assert journal.thumbnails(record) == {"two": folder / "a_real.jpg"}

    @pytest.mark.parametrize(
        "changes",
        [
            {"outputs": None},
            {"outputs": {"a": 1}},
            {"outputs": [1]},
            {"outputs": [{"kind": "fused"}]},
            {"outputs": [{"kind": "fused", "path": "../../etc/passwd"}]},
            {"outputs": [{"kind": "fused", "path": "a/../../x"}]},
            {"outputs": [{"kind": [], "path": "a/fused"}]},
            {"outputs": [{"kind": "fused", "path": "a/" + "x" * 5000}]},
            {"outputs": []},
            {"name": "b"},
            {"name": None},
            {"state": ["done"]},
            {"seconds": "fast"},
            {"bytes": 1e300},
            {"inputs": "many"},
            {"warnings": [1]},
            {"thumbnails": []},
            {"thumbnails": {"fused": "../x"}},
        ],
    )
    def test_a_record_of_another_shape_counts_as_not_finished(self, tmp_path: Path, changes: dict[str, object]) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "fused").touch()
        outputs = [{"kind": "fused", "path": "a/fused"}]
        record = {"name": "a", "state": "done", "fingerprint": "f", "outputs": outputs, "thumbnails": {}}
        (tmp_path / "a" / RECORD).write_text(json.dumps(record))
        assert find_finished(tmp_path, "a", "f") == record
        (tmp_path / "a" / RECORD).write_text(json.dumps(record | changes))
        assert find_finished(tmp_path, "a", "f") is None

    @pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "7", "null", "\xff", "{"])
    def test_neither_does_what_is_no_record(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / RECORD).write_bytes(text.encode("latin-1"))
        (tmp_path / HIDDEN).mkdir()
        (tmp_path / HIDDEN / "journal.jsonl").write_bytes(text.encode("latin-1"))
        assert find_finished(tmp_path, "a", "f") is None
        assert read_records(tmp_path) == {}
