"""Find focal stacks in folders: group files into stacks, order them, and name the stacks."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from defocus_backend.batch.journal import RECORD
from defocus_backend.errors import FileError, InputError
from defocus_backend.io import READ_SUFFIXES
from defocus_backend.io.folders import SYSTEM_FOLDERS, family, natural_order, own_results
from defocus_backend.io.formats import TIFF_SUFFIXES, is_many
from defocus_backend.io.tiff import read_tiff
from defocus_backend.io.tiff_series import images_of, own_pages

if TYPE_CHECKING:
    from tifffile import TiffFile

_LONGEST = 150
"""Largest number of bytes of a name. File systems allow 255, and endings such as that of a hidden temporary file are
added."""

_UNFIT = re.compile(r'[\x00-\x1f<>:"|?*\\\ud800-\udfff]')
"""Characters that some file systems do not allow in a name. The last ones are bytes that are not UTF-8 and cannot be
printed."""

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]{1,3})?", re.IGNORECASE)


@dataclass(frozen=True)
class Found:
    """Input of one job.

    Attributes
    ----------
    name : str
        Unique name, which is also the name of the results folder.
    files : tuple of Path
        One file per slice, in order; or one multi-page file; or one picture.
    """

    name: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class LeftOut:
    """A file that belongs to no job, with the reason."""

    path: Path
    why: str


@dataclass(frozen=True)
class _Candidate:
    """Files that belong together, with a proposed name."""

    words: str
    files: tuple[Path, ...]
    identity: Path

    @classmethod
    def of_file(cls, words: str, path: Path) -> _Candidate:
        return cls(words, (path,), path)


class Finder:
    """Finds stacks in folders; each call of `scan` searches again.

    Every folder, at any depth, with two or more pictures of one file type is a stack. Every multi-page TIFF, OME-Zarr
    folder and microscope file is a stack too; single pictures beside these are assumed to be previews and left out.
    Hidden files and folders and results of batches are ignored.

    Parameters
    ----------
    roots : sequence of Path
        Folders to search, or files.
    pattern : str
        Only files whose names match this shell pattern.
    group_by : str or None
        Regular expression that is searched in the path of each file below its root (with forward slashes). Files with
        the same text in the group ``stack`` (or the first group) are one stack. It is ordered by the group ``slice``
        (or the second group), numerically if all are numbers, otherwise by name. Files without a match are left out.
    skip : sequence of Path
        Folders that are not searched, such as that of the results.
    singles : bool
        Whether to find single pictures instead of stacks.

    Raises
    ------
    InputError
        If a root does not exist or the expression is invalid.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        *,
        pattern: str = "*",
        group_by: str | None = None,
        skip: Iterable[Path] = (),
        singles: bool = False,
    ) -> None:
        for root in roots:
            if not root.exists():
                raise InputError("DIR", str(root), "an existing folder or file")
        self._roots = list(dict.fromkeys(root.resolve() for root in roots))
        self._base = _shared([root if root.is_dir() else root.parent for root in self._roots])
        self._given = {resolved: root for root, resolved in zip(roots, (r.resolve() for r in roots), strict=True)}
        self._pattern, self._singles = pattern, singles
        self._group: re.Pattern[str] | None = None
        if group_by is not None:
            self._group, self._stack_group, self._slice_group = _compiled(group_by)
        self._skip = {path.resolve() for path in skip}
        self._names: dict[Path, str] = {}
        self._paged: dict[tuple[Path, int, int], int | None] = {}

    def scan(self) -> tuple[list[Found], list[LeftOut]]:
        """Find all current stacks, in the order of their paths. The name of a stack does not change between scans."""
        found: list[Found] = []
        left: list[LeftOut] = []
        seen: set[tuple[Path, ...]] = set()
        for root in self._roots:
            for candidate in self._candidates(root, left):
                if candidate.files not in seen:
                    seen.add(candidate.files)
                    files = tuple(self._as_given(root, path) for path in candidate.files)
                    found.append(Found(self._name(candidate), files))
        return found, left

    def _candidates(self, root: Path, left: list[LeftOut]) -> Iterator[_Candidate]:
        if root.is_file() or is_many(root):
            if self._group is None:
                yield _Candidate.of_file(self._words(_bare(root)), root)
            elif self._usable(root, left):
                yield from self._grouped([root], root.parent, left)
            return
        every = []
        for folder, files in self._walk(root, left):
            results = own_results(files)
            left += [LeftOut(path, "an earlier result, by its name") for path in files if path in results]
            usable = [path for path in files if path not in results and self._usable(path, left)]
            every += usable
            if self._group is None:
                yield from self._in_folder(folder, usable, left)
        if self._group is not None:
            yield from self._grouped(every, root, left)

    def _walk(self, root: Path, left: list[LeftOut]) -> Iterator[tuple[Path, list[Path]]]:
        def unreadable(error: OSError) -> None:
            left.append(LeftOut(Path(str(error.filename)), f"cannot be read ({error.strerror})"))

        for folder, inner, names in os.walk(root, onerror=unreadable):
            if RECORD in names:  # results of a batch, possibly of this one
                inner.clear()
                continue
            here = Path(folder)
            names += [name for name in inner if is_many(here / name)]
            searched = []
            for name in sorted(inner, key=natural_order):
                path = here / name
                if name.startswith(".") or name in names or path in self._skip:
                    continue
                if name.casefold() in SYSTEM_FOLDERS:
                    left.append(LeftOut(path, "previews or deleted files of the operating system"))
                elif path.is_symlink():
                    left.append(LeftOut(path, "a link to a folder; give that folder itself"))
                else:
                    searched.append(name)
            inner[:] = searched
            yield here, [here / name for name in sorted(names, key=natural_order) if not name.startswith(".")]

    def _usable(self, path: Path, left: list[LeftOut]) -> bool:
        suffix = path.suffix.lower()
        if suffix not in READ_SUFFIXES and (self._singles or not is_many(path)):
            return False  # notes and settings of the microscope are ignored silently
        if fnmatch(path.name, self._pattern):
            return True
        left.append(LeftOut(path, f"does not match {self._pattern}"))
        return False

    def _in_folder(self, folder: Path, files: list[Path], left: list[LeftOut]) -> Iterator[_Candidate]:
        paged, single = [], list(files)
        if not self._singles:
            pages = {path: self._pages(path) for path in files}
            single = [path for path in files if pages[path] == 1]
            damaged = [path for path in files if pages[path] is None]
            # A frame that cannot be read must fail together with its stack; a single file must fail on its own.
            families = {family(path) for path in single}
            single = [path for path in files if path in single or (path in damaged and family(path) in families)]
            paged = [path for path in files if path not in single]
        for path in single if self._singles else paged:
            yield _Candidate.of_file(self._words(_bare(path)), path)
        if self._singles:
            return
        if paged:
            left += [LeftOut(path, "a single picture beside stacks of many pages") for path in single]
            return
        for kind in sorted({family(path) for path in single}):
            members = tuple(path for path in single if family(path) == kind)
            if len(members) > 1:
                yield _Candidate(self._words(folder), members, folder / f"*{kind}")
            else:
                left.append(LeftOut(members[0], "a single picture; a stack has two or more"))

    def _grouped(self, files: list[Path], root: Path, left: list[LeftOut]) -> Iterator[_Candidate]:
        assert self._group is not None
        stacks: dict[str, list[tuple[str, Path]]] = {}
        for path in files:
            match = self._group.search(path.relative_to(root).as_posix())
            if match is None:
                left.append(LeftOut(path, "does not match --group-by"))
                continue
            stack, number = (match[n] or "" if n is not None else "" for n in (self._stack_group, self._slice_group))
            stacks.setdefault(stack, []).append((number or path.name, path))
        for stack, members in sorted(stacks.items(), key=lambda item: natural_order(item[0])):
            order: Callable[[str], Any] = natural_order
            if all(_NUMBER.fullmatch(number) for number, _ in members):
                order = Decimal  # heights such as -2 and .25, of which the natural order would only use the digits
            members.sort(key=lambda member: (order(member[0]), natural_order(member[1].name)))
            paths = tuple(path for _, path in members)
            if len(paths) == 1 and not self._singles and self._pages(paths[0]) == 1:
                left.append(LeftOut(paths[0], "a single picture; a stack has two or more"))
            else:
                yield _Candidate(self._words(root / stack), paths, root / stack / f"*{family(paths[0])}")

    def _pages(self, path: Path) -> int | None:
        """Number of slices in a file; None if it cannot be read. Cached until the file changes."""
        if is_many(path):
            return 2  # or more: never a single picture
        if path.suffix.lower() not in TIFF_SUFFIXES:
            return 1
        try:
            state = path.stat()
        except OSError:
            return None
        key = (path, state.st_size, state.st_mtime_ns)
        if key not in self._paged:
            self._paged[key] = _count_slices(path)
        return self._paged[key]

    def _words(self, path: Path) -> str:
        """The path below the common parent of all roots as one word, so that names are unique across folders."""
        relative = path.relative_to(self._base).as_posix() if path.is_relative_to(self._base) else path.name
        parts = [part for part in relative.split("/") if part not in ("", ".")]
        words = _UNFIT.sub("_", "_".join(parts) or self._base.name or "stack")
        if len(words.encode()) <= _LONGEST:
            return words
        # The checksum distinguishes names that are equal after truncation.
        kept = words.encode()[: _LONGEST - 9].decode(errors="ignore")
        return f"{kept}_{hashlib.sha256(words.encode()).hexdigest()[:8]}"

    def _name(self, candidate: _Candidate) -> str:
        """Name of a candidate, with its file type or a number if the name is already in use."""
        if candidate.identity not in self._names:
            words, suffix = candidate.words, candidate.identity.suffix.removeprefix(".")
            taken = {name.casefold() for name in self._names.values()}  # some file systems fold case
            choices = [words, f"{words}_{suffix}", *(f"{words}_{n}" for n in range(2, len(taken) + 3))]
            self._names[candidate.identity] = next(c for c in choices if c.casefold() not in taken)
        return self._names[candidate.identity]

    def _as_given(self, root: Path, path: Path) -> Path:
        """The path in the form given by the user, which may be relative."""
        given = self._given[root]
        return given if path == root else given / path.relative_to(root)


def _shared(folders: Sequence[Path]) -> Path:
    """Common parent folder."""
    try:
        return Path(os.path.commonpath(folders)) if folders else Path()
    except ValueError:  # on several drives of Windows
        return folders[0]


def _bare(path: Path) -> Path:
    """The path without its suffix, and without the ``.ome`` of OME-TIFF and OME-Zarr."""
    return path.with_name(path.stem.removesuffix(".ome") or path.stem)


def _compiled(expression: str) -> tuple[re.Pattern[str], str | int, str | int | None]:
    """The compiled expression, its group for the stack name, and its group for the slice number."""
    try:
        compiled = re.compile(expression)
    except re.error as error:
        raise InputError("--group-by", repr(expression), f"a regular expression ({error})") from error
    named = compiled.groupindex
    if not compiled.groups or (named and "stack" not in named):
        raise InputError("--group-by", repr(expression), "a group (?P<stack>...) that names the stack")
    if named:
        return compiled, "stack", "slice" if "slice" in named else None
    return compiled, 1, 2 if compiled.groups > 1 else None


def _count_slices(path: Path) -> int | None:
    try:
        return read_tiff(path, _slices_of)
    except FileError:
        return None


def _slices_of(path: Path, tiff: TiffFile) -> int:
    own = own_pages(tiff)
    # A file with a single page may belong to a set of files that contain the other planes.
    if len(own) == 1 and tiff.is_ome:
        return 1
    return sum(image.count for image in images_of(path, tiff))
