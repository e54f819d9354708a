"""Record on disk of finished measurements: if a run is killed, only the pictures in progress are lost.

One line of JSON per piece is appended when the piece is finished. At the end, the table is created from it line by
line, so that memory does not grow with the number of pictures.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from defocus_backend.errors import FileError
from defocus_backend.io import check_folder
from defocus_backend.io.atomic import reason

Entry = dict[str, Any]


class Ledger:
    """Entries of finished pieces, in the file ``.NAME.jsonl`` beside the table; only one run can use it at a time.

    Parameters
    ----------
    table : Path
        The table that will be created from the entries.
    resume : bool
        Keep the entries of earlier runs; otherwise start with an empty file.

    Raises
    ------
    FileError
        If it cannot be written, or if another run is using it.
    """

    def __init__(self, table: Path, *, resume: bool = False) -> None:
        self.path = table.with_name(f".{table.name}.jsonl")
        self._resume = resume
        self._places: dict[str, tuple[str, int]] = {}

    def __enter__(self) -> Ledger:
        from filelock import FileLock, Timeout

        check_folder(self.path.parent)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.path.with_suffix(".lock"))
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise FileError(f"{self.path}: another run is writing there; wait for it or choose another --out") from None
        try:
            self._file: BinaryIO = self.path.open("r+b" if self._resume and self.path.exists() else "w+b")
        except OSError as error:
            self._lock.release()
            raise FileError(f"{self.path}: cannot be written ({reason(error)})") from error
        self._read()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._lock.release()
        with contextlib.suppress(OSError):
            self.path.with_suffix(".lock").unlink()

    def _read(self) -> None:
        """Find the entries of earlier runs; an incomplete last line is removed."""
        end = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            with contextlib.suppress(ValueError, KeyError, TypeError):
                entry = json.loads(line)
                self._places[entry["key"]] = entry["fingerprint"], end
            end += len(line)
        self._file.truncate(end)
        self._file.seek(end)

    def has(self, key: str, fingerprint: str) -> bool:
        """Whether a piece was measured with the same files and settings."""
        return key in self._places and self._places[key][0] == fingerprint

    def add(self, entry: Entry) -> None:
        """Append an entry with ``key`` and ``fingerprint``; it replaces an earlier entry of the same key.

        Raises
        ------
        FileError
        """
        try:
            at = self._file.seek(0, 2)
            self._file.write(json.dumps(entry).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise FileError(f"{self.path}: cannot be written ({reason(error)})") from error
        self._places[entry["key"]] = entry["fingerprint"], at

    def entries(self, keys: Iterable[str]) -> Iterator[Entry]:
        """Entries of the given keys, in order, read one at a time."""
        for key in keys:
            if key in self._places:
                self._file.seek(self._places[key][1])
                yield json.loads(self._file.readline())
