"""Pictures in folders: their order, and files that are not part of a stack."""

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
"""Folders in which file servers, archives and systems store previews and deleted files; in lower case."""

_MAIN = ("fused", "sharpened", "shallow", "sigma", "blur")
"""Endings of the names of main results; every command writes one of them."""

_BESIDE = (
    *("index", "gain", "weights", "raw", "guide", "confidence", "in_focus", "height_error", "height", "shaded"),
    *("never", "maps", "sigmas", "decisions", "coverage"),
)
"""Endings of the names of further results."""

_RESULT = re.compile(rf"(?P<source>.+)_(?P<kind>{'|'.join((*_MAIN, *_BESIDE))})(\.ome)?")


def natural_order(text: str) -> list[tuple[int, int | str]]:
    """Sort key that puts ``z9`` before ``z10``."""
    parts = enumerate(re.split(r"([0-9]+)", text))
    return [
        (0, int(part) if len(part) < 300 else 10**300) if n % 2 else (1, part.casefold()) for n, part in parts if part
    ]


def family(path: Path) -> str:
    """File type from the suffix; variants such as .tif and .tiff count as one type."""
    suffix = path.suffix.lower()
    return _FAMILIES.get(suffix, suffix)


def own_results(paths: Iterable[Path]) -> set[Path]:
    """Files whose names look like results of this program.

    ``X_fused`` is a result if the folder has another file whose name begins with X and that is no result itself, or a
    result of another kind, such as ``X_sigma``. Names that other programs use too, such as ``X_index``, only count if
    there is a main result beside them.
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
    """The given files without results of earlier runs, which a pattern such as ``*.tif`` also matches.

    Warns about the files that are left out.
    """
    results = own_results(paths)
    for path in paths:
        if path in results:
            note(f"{path}: left out, an earlier result by its name; give it alone to read it")
    return tuple(path for path in paths if path not in results)


def frames(paths: Sequence[Path]) -> tuple[Path, ...]:
    """The frames of one stack, in their order, from files or one folder.

    Parameters
    ----------
    paths : sequence of Path
        Files in any order, which is preserved. Files in alphabetical order, as from a shell, are sorted by their
        numbers instead, so that ``a2`` comes before ``a10``. Or one folder, whose pictures are used.

    Raises
    ------
    InputError
        If a folder holds no pictures, or several kinds of them.
    FileError
        If it cannot be read.

    Warns
    -----
    DefocusWarning
        If files are left out or sorted, or if their numbers neither increase nor decrease.
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
        note(f"the files are used in the order of their numbers, {kept[0].name}, {Path(sorted_names[1]).name}, ...")
        return tuple(Path(name) for name in sorted_names)
    if all(re.search("[0-9]", path.stem) for path in kept):
        note("the numbers in the file names neither increase nor decrease; the files are used in the given order")
    return kept


def _of_folder(folder: Path) -> tuple[Path, ...]:
    with file_errors(folder):
        inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
        pictures = [path for path in inside if path.suffix.lower() in READ_SUFFIXES and path.is_file()]
    kept = sorted(without_results(pictures), key=lambda path: natural_order(path.name))
    kinds = sorted({family(path) for path in kept})
    if any((folder / name).is_file() for name in (".zgroup", ".zattrs", "zarr.json")) and not kept:
        return (folder,)  # a Zarr store without the usual suffix
    if len(kinds) != 1:
        given = f"pictures of the kinds {', '.join(kinds)}" if kinds else "no pictures"
        raise InputError(str(folder), given, "a folder with the frames of one stack; or name the files")
    return tuple(kept)
