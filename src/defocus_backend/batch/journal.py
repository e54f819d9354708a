"""Record of the finished jobs of a batch. If the batch is killed, no finished result is lost and none is incomplete.

A job works in a hidden folder beside the results, its room. When it is finished, a record is written to the room, and
the results are renamed into place as one folder; at this moment, the job is done. Then a line of JSON is appended to
the journal and synced. If a batch is killed, interrupted or cannot rename between these steps, its end or the next
batch completes or removes the room.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any

from defocus_backend.errors import FileError
from defocus_backend.io import check_folder
from defocus_backend.io.atomic import reason

RECORD = "batch.json"
"""File name of the record in each results folder."""

HIDDEN = ".defocus-batch"
"""Subfolder of the results folder for journal, lock, rooms and thumbnails."""

Record = dict[str, Any]


class Room:
    """Working folder of one attempt at a job, for its results and thumbnails."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.results = path / "results"
        self.thumbnails = path / "thumbnails"


class Journal:
    """Records of one results folder; only one batch can use it at a time.

    Parameters
    ----------
    out : Path
        Results folder, created if missing.
    resume : bool
        Keep the records of earlier batches. Otherwise the journal starts empty; only finished results that were not yet
        in place are kept.

    Raises
    ------
    FileError
        If the folder cannot be written to, or if another batch is using it.
    """

    def __init__(self, out: Path, *, resume: bool = False) -> None:
        self.out = out
        self._hidden = out / HIDDEN
        self._resume = resume

    def __enter__(self) -> Journal:
        from filelock import FileLock, Timeout

        check_folder(self.out)
        with _file_errors(self._hidden):
            (self._hidden / "thumbnails").mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self._hidden / "lock")
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                raise FileError(
                    f"{self.out}: another batch is writing there; wait for it or choose another --out"
                ) from None
        try:
            with _file_errors(self._hidden):
                self._open()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with contextlib.suppress(OSError):  # the next batch will try again
                self._close_rooms()
        finally:
            self._lock.release()

    def _open(self) -> None:
        self._close_rooms()
        if not self._resume:
            self._path.unlink(missing_ok=True)
        with self._path.open("ab") as file:
            if file.tell() and not self._path.read_bytes().endswith(b"\n"):
                file.write(b"\n")  # complete a line that was truncated by a kill

    @property
    def _path(self) -> Path:
        return self._hidden / "journal.jsonl"

    @property
    def _rooms(self) -> Path:
        return self._hidden / "rooms"

    def _close_rooms(self) -> None:
        """Move finished results into place, the latest last, and remove all other rooms."""
        for path in sorted(self._rooms.iterdir(), key=_when_whole) if self._rooms.is_dir() else []:
            try:
                self._put_in_place(Room(path))
            except FileError:  # not finished, or obsolete
                _clear(path)
            except OSError:  # finished, but the target is in use; kept for a later batch
                continue
        with contextlib.suppress(OSError):
            self._rooms.rmdir()

    def target(self, name: str) -> Path:
        """Results folder of a job."""
        return self.out / name

    def check_target(self, name: str) -> None:
        """Raise `FileError` if the results folder of a job is impossible, or exists and is not from a batch."""
        with _file_errors(self.target(name)):  # such as a name that is too long for the disk
            self._refuse_foreign(self.target(name))

    def _refuse_foreign(self, target: Path) -> None:
        if target.exists() and not (target / RECORD).is_file():
            raise FileError(f"{target}: exists and was not written by a batch; choose another folder with --out")

    def finished(self, name: str, fingerprint: str) -> Record | None:
        """Record of a job that an earlier batch finished with the same inputs and options, if its results exist."""
        return find_finished(self.out, name, fingerprint) if self._resume else None

    def new_room(self) -> Room:
        """Create a working folder for one attempt."""
        room = Room(self._rooms / secrets.token_hex(8))
        with _file_errors(room.path):
            room.results.mkdir(parents=True)
            room.thumbnails.mkdir()
        return room

    def discard(self, room: Room) -> None:
        """Remove the room of a failed attempt, unless its results are finished and only need to be moved."""
        if not _when_whole(room.path):
            _clear(room.path)

    def commit(self, room: Room, record: Record) -> Record:
        """Move the results of a finished job into place in one step, and record it.

        Raises
        ------
        FileError
            If they cannot be moved there.
        """
        with _file_errors(self.target(record["name"])):
            self.check_target(record["name"])
            (room.results / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
            for path in (*sorted(room.results.rglob("*")), room.results):
                _sync(path)
            (room.path / RECORD).touch()  # now the room is complete, and `_close_rooms` can finish the rest
            _sync(room.path)
            for other in self._rooms.iterdir():
                if other != room.path and _name_of(other) == record["name"]:
                    _clear(other)  # older results that could not be moved must not replace these
            self._put_in_place(room)
        self.note(record)
        return record

    def _put_in_place(self, room: Room) -> None:
        name = _name_of(room.path)
        if name is None:
            raise FileError(f"{room.path}: is not finished")
        target, previous = self.target(name), room.path / "previous"
        self._refuse_foreign(target)
        for picture in room.thumbnails.iterdir():
            picture.replace(self._hidden / "thumbnails" / f"{name}_{picture.name}")
        try:
            if target.exists():
                target.rename(previous)
            room.results.rename(target)
        except BaseException:  # Ctrl-C too
            with contextlib.suppress(OSError):
                if previous.exists() and not target.exists():
                    previous.rename(target)
            raise
        _sync(self.out)
        _clear(room.path)

    def note(self, record: Record) -> None:
        """Append a record to the journal and sync it to disk."""
        with _file_errors(self._path), self._path.open("ab") as file:
            file.write(json.dumps(record).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def thumbnails(self, record: Record) -> dict[str, Path]:
        """Thumbnails of the results of a job by their kind, the main one first; links are ignored."""
        folder, files = self._hidden / "thumbnails", record.get("thumbnails", {})
        paths = {kind: folder / f"{record['name']}_{file}" for kind, file in files.items() if is_component(file)}
        return {kind: path for kind, path in paths.items() if path.is_file() and not path.is_symlink()}


def read_records(out: Path) -> dict[str, Record]:
    """Last record of every job in the journal of a folder; truncated lines are ignored."""
    path = out / HIDDEN / "journal.jsonl"
    records: dict[str, Record] = {}
    if path.is_file():
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(ValueError, RecursionError):
                record = json.loads(line)
                if is_record(record):
                    records[record["name"]] = record
    return records


def is_component(name: Any) -> bool:
    """Whether this is a valid name within a folder; records are not trusted."""
    text = name if isinstance(name, str) else ""
    return bool(text) and text not in (".", "..") and not set(text) & set("/\\\0")


def is_record(record: Any) -> bool:
    """Whether this is a valid record of a batch; invalid ones count as not finished."""
    if not isinstance(record, dict) or not is_component(record.get("name")):
        return False
    outputs, thumbnails = record.get("outputs", []), record.get("thumbnails", {})
    texts = [record.get(key, "") for key in ("state", "fingerprint", "error", "details", "operation")]
    numbers = [record.get(key, 0) for key in ("bytes", "output_bytes", "attempts", "seconds")]
    lists = [record.get(key, []) for key in ("inputs", "notes", "warnings")]
    return (
        all(isinstance(text, str) for text in texts)
        and all(isinstance(number, int | float) and abs(number) < 1e18 for number in numbers)
        and all(isinstance(many, list) and all(isinstance(text, str) for text in many) for many in lists)
        and record.get("state") in ("done", "kept", "failed")
        and isinstance(outputs, list)
        and all(_is_output(output, record["name"]) for output in outputs)
        and isinstance(thumbnails, dict)
        and all(isinstance(kind, str) and is_component(file) for kind, file in thumbnails.items())
    )


def _is_output(output: Any, name: str) -> bool:
    """Whether this names a file in the results folder of a job."""
    if not isinstance(output, dict) or not all(isinstance(output.get(key), str) for key in ("kind", "path")):
        return False
    path = PurePosixPath(output["path"])
    return len(path.parts) > 1 and path.parts[0] == name and ".." not in path.parts and "\0" not in output["path"]


def find_finished(out: Path, name: str, fingerprint: str) -> Record | None:
    """Record in the results folder of a job, if it has the same inputs and options and is still valid.

    The journal is not used, because after a kill between the renaming and the journal entry it is out of date.
    """
    record: Any = None
    with contextlib.suppress(OSError, ValueError, RecursionError):
        record = json.loads((out / name / RECORD).read_text(encoding="utf-8"))
    if not is_record(record) or (record["state"], record.get("fingerprint")) != ("done", fingerprint):
        return None
    if record["name"] != name or not record.get("outputs"):
        return None
    try:
        there = all((out / output["path"]).exists() for output in record["outputs"])
    except OSError:  # for example, a name that is too long
        return None
    return dict(record) if there else None


def _when_whole(room: Path) -> int:
    """Time at which the results in a room were finished, in nanoseconds; 0 if they are not finished."""
    try:
        return (room / RECORD).stat().st_mtime_ns
    except OSError:
        return 0


def _name_of(room: Path) -> str | None:
    """Name of the job whose finished results are in a room."""
    if not _when_whole(room):
        return None
    try:
        record = json.loads((room / "results" / RECORD).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return str(record["name"]) if is_record(record) else None


def _clear(room: Path) -> None:
    with contextlib.suppress(OSError):
        (room / RECORD).unlink(missing_ok=True)  # first, so that an incomplete room never counts as complete
    shutil.rmtree(room, ignore_errors=True)


@contextlib.contextmanager
def _file_errors(path: Path) -> Any:
    try:
        yield
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({reason(error)})") from error


def _sync(path: Path) -> None:
    """Sync a file or folder to disk; some systems do not support this for folders."""
    with contextlib.suppress(OSError, PermissionError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
