"""Files that appear whole or not at all, alone or as a group."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from defocus_backend.errors import FileError


def reason(error: Exception) -> str:
    """What went wrong, in the words of the operating system where it has any."""
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__


def write_whole(path: Path, data: bytes) -> None:
    """Write a file beside its target and rename it, so that no reader ever sees half of it.

    Parameters
    ----------
    path : Path
        Target, replaced if it exists; its folder must exist.
    data : bytes
        Contents.

    Raises
    ------
    FileError
        If it cannot be written; the folder is then as it was.
    """
    with WholeFiles() as files:
        files.add(Path(path), data)


def check_folder(folder: Path) -> None:
    """Raise `FileError` unless files can be made in a folder, or the folder itself can be made."""
    nearest = folder.absolute()
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise FileError(f"{folder}: cannot be written to ({nearest} is not a folder)")
    # Asked by doing: permission bits say nothing of read-only disks, and nothing at all to root.
    probe = nearest / f".{secrets.token_hex(6)}.part"
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise FileError(f"{folder}: cannot be written to ({reason(error)})") from error


class WholeFiles:
    """A group of files that appear together when the ``with`` block ends, or not at all if it fails.

    Each is written under a hidden name beside its target at once, so that a large group need not be held
    in memory. Folders that the group needs are made, and removed again if the group fails.
    """

    def __init__(self) -> None:
        self._parts: dict[Path, Path] = {}
        self._made: list[Path] = []

    def __enter__(self) -> WholeFiles:
        return self

    @property
    def targets(self) -> list[Path]:
        """Targets in the order in which they were added."""
        return list(self._parts)

    def add(self, path: Path, content: bytes | Callable[[Path], None]) -> None:
        """Write one file of the group under its hidden name.

        Parameters
        ----------
        path : Path
            Target.
        content : bytes or callable
            The contents, or a function that writes them to the path it is given.

        Raises
        ------
        FileError
            If it cannot be written, or if the group holds that target already.
        """
        path = Path(path)
        part = self.stage(path)
        try:
            if callable(content):
                content(part)
            else:
                part.write_bytes(content)
        except OSError as error:
            raise FileError(f"{path}: cannot be written ({reason(error)})") from error

    def stage(self, path: Path, *, replaces: Callable[[Path], bool] | None = None) -> Path:
        """Add a file, or a folder such as a Zarr store, that the caller writes before the block ends.

        Parameters
        ----------
        path : Path
            Target.
        replaces : callable or None
            Asked whether a folder of that name may be replaced; without it none may.

        Returns
        -------
        Path
            The hidden name to write to.

        Raises
        ------
        FileError
            If the target cannot be, or the group holds it already.
        """
        path = Path(path)
        if path in self._parts:
            raise FileError(f"{path}: two results would have this name; give them different folders")
        if path.is_dir() and not (replaces is not None and replaces(path)):
            raise FileError(f"{path}: cannot be written (is a folder)")
        try:
            self._make_folder(path.parent)
        except OSError as error:
            raise FileError(f"{path}: cannot be written ({reason(error)})") from error
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        self._parts[path] = part
        return part

    def _make_folder(self, folder: Path) -> None:
        missing = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for new in reversed(missing):
            new.mkdir()
            self._made.append(new)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._rename()
                self._made.clear()
        finally:
            for part in self._parts.values():
                with contextlib.suppress(OSError):
                    _remove(part)
            for folder in reversed(self._made):
                with contextlib.suppress(OSError):
                    folder.rmdir()

    def _rename(self) -> None:
        """Put every file in its place; if one cannot be, give the places before it back."""
        done: list[tuple[Path, Path | None]] = []
        try:
            for target, part in self._parts.items():
                previous = None
                # A folder is not replaced by a rename as a file is.
                if target.is_dir() or (len(self._parts) > 1 and target.exists()):
                    previous = part.with_suffix(".previous")
                    target.replace(previous)
                    done.append((target, previous))
                    part.replace(target)
                else:
                    part.replace(target)
                    done.append((target, None))
        except BaseException as error:
            for placed, previous in reversed(done):
                with contextlib.suppress(OSError):
                    if previous is None or placed.is_dir():
                        _remove(placed)
                    if previous is not None:
                        previous.replace(placed)
            if isinstance(error, OSError):
                raise FileError(f"{target}: cannot be written ({reason(error)})") from error
            raise
        for _, previous in done:
            if previous is not None:
                _remove(previous)


def _remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
