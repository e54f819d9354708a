"""Write files completely or not at all, singly or as a group."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from defocus_backend.errors import FileError


def reason(error: Exception) -> str:
    """Reason of an error, in the words of the operating system if available."""
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__


def write_whole(path: Path, data: bytes) -> None:
    """Write a file beside its target and rename it, so that readers never see an incomplete file.

    Parameters
    ----------
    path : Path
        Target, replaced if it exists; its folder must exist.
    data : bytes
        Contents.

    Raises
    ------
    FileError
        If it cannot be written. The folder is then unchanged.
    """
    with WholeFiles() as files:
        files.add(Path(path), data)


def check_folder(folder: Path) -> None:
    """Raise `FileError` unless files can be created in a folder, or the folder itself can be created."""
    nearest = folder.absolute()
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise FileError(f"{folder}: cannot be written to ({nearest} is not a folder)")
    # Tested by creating a file: permission bits do not cover read-only disks, and do not apply to root.
    probe = nearest / f".{secrets.token_hex(6)}.part"
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise FileError(f"{folder}: cannot be written to ({reason(error)})") from error


class WholeFiles:
    """A group of files that appear together when the ``with`` block ends, or not at all if it fails.

    Each file is written at once under a hidden name beside its target, so that a large group does not fill the memory.
    Missing folders are created, and removed again if the group fails.
    """

    def __init__(self) -> None:
        self._parts: dict[Path, Path] = {}
        self._made: list[Path] = []

    def __enter__(self) -> WholeFiles:
        return self

    @property
    def targets(self) -> list[Path]:
        """Targets, in the order of their addition."""
        return list(self._parts)

    def add(self, path: Path, content: bytes | Callable[[Path], None]) -> None:
        """Write one file of the group under its hidden name.

        Parameters
        ----------
        path : Path
            Target.
        content : bytes or callable
            The contents, or a function that writes them to a given path.

        Raises
        ------
        FileError
            If it cannot be written, or if the group already contains this target.
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
        """Add a file, or a folder such as a Zarr store, that the caller writes before the ``with`` block ends.

        Parameters
        ----------
        path : Path
            Target.
        replaces : callable or None
            Function that decides whether an existing folder may be replaced. Default: never.

        Returns
        -------
        Path
            The hidden name to write to.

        Raises
        ------
        FileError
            If the target cannot be written, or if the group already contains it.
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
        """Move every file to its target; if one fails, restore the previous ones."""
        done: list[tuple[Path, Path | None]] = []
        try:
            for target, part in self._parts.items():
                previous = None
                # Unlike a file, a folder is not replaced by a rename.
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
    """Remove a file, or a folder and its contents, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
