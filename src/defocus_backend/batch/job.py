"""One job of a batch, with a hash that changes whenever its result may change."""

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
    """A job: files, operation and options.

    Attributes
    ----------
    name : str
        Name, unique in the batch; also the name of the results folder.
    files : tuple of Path
        Input files, in order.
    operation : str
        ``"fuse"``, ``"map"``, ``"sharpen"`` or ``"shallow"``.
    options : mapping
        Options of the operation. They must be picklable, because the job may run in another process.
    """

    name: str
    files: tuple[Path, ...]
    operation: str = "fuse"
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Total size of its files in bytes.

        Raises
        ------
        FileError
            If a file no longer exists.
        """
        return sum(size for size, _ in map(state, self.files))

    def fingerprint(self, version: str) -> str:
        """Hash of the inputs (names, sizes, modification times), operation, options and version of the program.

        Files that are named by options, such as weights, count as inputs. File contents are not read, because this
        would take as long as the fusion.

        Raises
        ------
        FileError
            If a file no longer exists.
        """
        told = {
            "version": version,
            "operation": self.operation,
            "files": [(path.name, *state(path)) for path in self.files],
            "options": {name: _told(value) for name, value in sorted(self.options.items()) if name != "device"},
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def state(path: Path) -> tuple[int, int]:
    """Size and modification time (ns) of a file; for a folder, the total size and the latest time of its contents."""
    try:
        if path.is_dir():
            inner = [state(p) for p in sorted(path.rglob("*")) if p.is_file()]
            return sum(size for size, _ in inner), max((when for _, when in inner), default=0)
        found = path.stat()
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({reason(error)})") from error
    return found.st_size, found.st_mtime_ns


def _told(value: Any) -> Any:
    """Value of an option as JSON, with size and time of a file that it names and of the sidecar file of a network."""
    if isinstance(value, str) and value.startswith(("onnx:", "dmenet:")):
        model = Path(value.partition(":")[2])
        return [value, *(_told(path) for path in (model, model.with_suffix(".json")))]
    if isinstance(value, str | Path) and str(value) and Path(value).is_file():
        return [str(value), *state(Path(value))]
    if isinstance(value, tuple | list):
        return [_told(v) for v in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
