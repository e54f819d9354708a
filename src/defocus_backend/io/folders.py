"""Pictures in folders: their order, and what is no frame of anybody's stack."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from defocus_backend.errors import InputError, note
from defocus_backend.io.formats import READ_SUFFIXES
from defocus_backend.io.picture import as_path, file_errors

_FAMILIES = {".jpeg": ".jpg", ".tiff": ".tif"}

SYSTEM_FOLDERS = frozenset(
    name.casefold()
    for name in (
        *("@eaDir", "__MACOSX", "Thumbnails", "Thumbs", "Previews.lrdata", "lost+found", "#recycle"),
        *("$RECYCLE.BIN", "System Volume Information"),
    )
)
"""Folders in which file servers, archives and systems keep previews and what was deleted; in lower case."""

_MAIN = ("fused", "sharpened", "shallow", "sigma", "blur")
"""Ends of the names of results of which every command writes one."""

_BESIDE = (
    *("index", "gain", "weights", "raw", "guide", "confidence", "in_focus", "height_error", "height", "shaded"),
    *("never", "maps", "sigmas", "decisions", "coverage"),
)
"""Ends of the names of results that are written beside those."""

_RESULT = re.compile(rf"(?P<source>.+)_(?P<kind>{'|'.join((*_MAIN, *_BESIDE))})(\.ome)?")


def natural_order(text: str) -> list[tuple[int, int | str]]:
    """Key that sorts ``z9`` before ``z10``."""
    parts = enumerate(re.split(r"([0-9]+)", text))
    return [
        (0, int(part) if len(part) < 300 else 10**300) if n % 2 else (1, part.casefold()) for n, part in parts if part
    ]


def family(path: Path) -> str:
    """The file type by its suffix; two ways to write one are one."""
    suffix = path.suffix.lower()
    return _FAMILIES.get(suffix, suffix)


def own_results(paths: Iterable[Path]) -> set[Path]:
    """Which of these files look like results of this program, by their names.

    ``X_fused`` is one if another file of the same folder has a name that begins with X and is no result itself, or if
    there is a result of another kind, such as ``X_sigma``. Names that others give too, such as ``X_index``, need one
    of those beside them.
    """
    every = list(paths)
    named = {path: match for path in every if (match := _RESULT.fullmatch(path.stem)) is not None}
    sources: dict[Path, list[str]] = {}
    for path in every:
        if path not in named:
            sources.setdefault(path.parent, []).append(path.stem)
    kinds: dict[tuple[Path, str], set[str]] = {}
    for path, match in named.items():
        kinds.setdefault((path.parent, match["source"]), set()).add(match["kind"])

    def made(folder: Path, source: str) -> bool:
        found = kinds[folder, source]
        beside = any(stem.startswith(source) for stem in sources.get(folder, ()))
        return bool(found & set(_MAIN)) and (len(found) > 1 or beside)

    return {path for path, match in named.items() if made(path.parent, match["source"])}


def without_results(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Files as they were given, without earlier results that a pattern such as ``*.tif`` took along; says which."""
    results = own_results(paths)
    for path in paths:
        if path in results:
            note(f"{path}: left out, an earlier result by its name; given alone it would be read")
    return tuple(path for path in paths if path not in results)


def frames(paths: Sequence[Path]) -> tuple[Path, ...]:
    """The frames of one stack, in their order, from files or one folder.

    Parameters
    ----------
    paths : sequence of Path
        Files in the user's own order, which stays, or in that of the shell, in which ``a10`` stands before ``a2``:
        these are sorted by their numbers. Or one folder, whose pictures are taken.

    Raises
    ------
    InputError
        If a folder holds no pictures, or several kinds of them.
    FileError
        If it cannot be read.

    Warns
    -----
    DefocusWarning
        If files are left out or sorted, or if their numbers neither rise nor fall.
    """
    paths = [as_path(path, "FILE") for path in paths]
    if len(paths) == 1:
        with file_errors(paths[0]):
            folder = paths[0].is_dir() and not paths[0].name.lower().endswith(".zarr")
        if folder:
            return _of_folder(paths[0])
    kept = without_results(paths)
    names = [str(path) for path in kept]
    sorted_names = sorted(names, key=natural_order)
    if names in (sorted_names, sorted_names[::-1]) or len(set(names)) < len(names):
        return kept
    if names == sorted(names):
        note(f"the files are taken in the order of their numbers, {kept[0].name}, {Path(sorted_names[1]).name}, ...")
        return tuple(Path(name) for name in sorted_names)
    if all(re.search("[0-9]", path.stem) for path in kept):
        note("the numbers in the names of the files neither rise nor fall; they are taken in the order given")
    return kept


def _of_folder(folder: Path) -> tuple[Path, ...]:
    with file_errors(folder):
        inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
        pictures = [path for path in inside if path.suffix.lower() in READ_SUFFIXES and path.is_file()]
    kept = sorted(without_results(pictures), key=lambda path: natural_order(path.name))
    kinds = sorted({family(path) for path in kept})
    if any((folder / name).is_file() for name in (".zgroup", ".zattrs", "zarr.json")) and not kept:
        return (folder,)  # a Zarr store by another name
    if len(kinds) != 1:
        given = f"pictures of the kinds {', '.join(kinds)}" if kinds else "no pictures"
        raise InputError(str(folder), given, "a folder with the frames of one stack; or name the files")
    return tuple(kept)
