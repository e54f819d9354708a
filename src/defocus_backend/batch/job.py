"""One job of a batch, and a hash that changes whenever its result would."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from defocus_backend.errors import FileError
from defocus_backend.io.atomic import reason


@dataclass(frozen=True)
class Job:
    """What to do with which files.

    Attributes
    ----------
    name : str
        Unique in its batch; the folder of its results.
    files : tuple of Path
        What it reads, in order.
    operation : str
        ``"fuse"``, ``"map"``, ``"sharpen"`` or ``"shallow"``.
    options : mapping
        The operation's options; must be picklable, since the job may go to another process.
    """

    name: str
    files: tuple[Path, ...]
    operation: str = "fuse"
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all its files together.

        Raises
        ------
        FileError
            If a file is gone.
        """
        return sum(size for size, _ in map(state, self.files))

    def fingerprint(self, version: str) -> str:
        """Hash of inputs (names, sizes, times of change), operation, options and version of the program.

        Files that the options name, such as weights, count as inputs. Contents are not read: that would
        take as long as fusing them.

        Raises
        ------
        FileError
            If a file is gone.
        """
        told = {
            "version": version,
            "operation": self.operation,
            "files": [(path.name, *state(path)) for path in self.files],
            "options": {name: _told(value) for name, value in sorted(self.options.items()) if name != "device"},
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def state(path: Path) -> tuple[int, int]:
    """Size of a file and its time of change in nanoseconds; of a folder, the sum and the latest of what it holds."""
    try:
        if path.is_dir():
            inner = [state(p) for p in sorted(path.rglob("*")) if p.is_file()]
            return sum(size for size, _ in inner), max((when for _, when in inner), default=0)
        found = path.stat()
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({reason(error)})") from error
    return found.st_size, found.st_mtime_ns


def _told(value: Any) -> Any:
    """An option's value as JSON, with size and time of the file it may name, and of the sidecar of a network."""
    if isinstance(value, str) and value.startswith(("onnx:", "dmenet:")):
        model = Path(value.partition(":")[2])
        return [value, *(_told(path) for path in (model, model.with_suffix(".json")))]
    if isinstance(value, str | Path) and str(value) and Path(value).is_file():
        return [str(value), *state(Path(value))]
    if isinstance(value, tuple | list):
        return [_told(v) for v in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
