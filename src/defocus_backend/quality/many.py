"""Measure the focus of the pictures in many files, in several processes or on a cluster; a run can be resumed."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from defocus_backend.batch.engine import work_through
from defocus_backend.batch.job import Job
from defocus_backend.batch.many import open_pool
from defocus_backend.errors import Cancelled, FileError
from defocus_backend.io import WholeFiles
from defocus_backend.progress import CancelCallback, ProgressCallback
from defocus_backend.quality.ledger import Entry, Ledger
from defocus_backend.quality.pieces import Piece
from defocus_backend.quality.planes import Settings, measure_piece
from defocus_backend.quality.series import drift
from defocus_backend.quality.table import OBJECT_COLUMNS, PLANE_COLUMNS, STACK_COLUMNS, Row, check_table, write_table

UNREADABLE = "cannot be read"
"""Verdict of a file that could not be measured."""

_PER_PROCESS = 12
"""Number of pictures per additional process."""


@dataclass
class Measured:
    """Result of `measure_many`.

    Attributes
    ----------
    keys : list of str
        Pieces, in the order of their discovery.
    before : int
        Number of pieces that an earlier run had measured.
    failed : list of (str, str)
        Files that could not be measured, with the reason.
    verdicts : dict
        Number of planes with each verdict.
    """

    keys: list[str] = field(default_factory=list)
    before: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    verdicts: dict[str, int] = field(default_factory=dict)


def measure_many(
    pieces: Iterable[Piece],
    ledger: Ledger,
    settings: Settings,
    *,
    jobs: int = 1,
    scheduler: Any = None,
    threads: int | None = None,
    retry: int = 0,
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
) -> Measured:
    """Measure pieces that are not in the ledger, and add them to it.

    Parameters
    ----------
    pieces : iterable of Piece
        Pieces to measure; they are consumed as they are started.
    ledger : Ledger
        An open ledger.
    settings : Settings
    jobs, scheduler, threads
        See `batch.fuse_many`.
    retry : int
        Number of further attempts at a piece that failed.
    progress : callable or None
        Called after every piece with the number of finished pieces; the total is 0 while it is unknown.
    cancel : callable or None
        See `defocus_backend.progress`.

    Returns
    -------
    Measured

    Raises
    ------
    InputError, DeviceError, Cancelled
        Failures of single pieces are not raised, but added to the ledger.
    """
    done = Measured()
    prints: dict[str, str] = {}
    waiting = iter(pieces)

    def more() -> list[tuple[str, Piece]] | None:
        for piece in waiting:
            done.keys.append(piece.key)
            try:
                prints[piece.key] = _fingerprint(piece, settings)
            except FileError as error:
                piece = Piece(piece.files, piece.scene, piece.index, str(error))
                prints[piece.key] = ""
            if prints[piece.key] and ledger.has(piece.key, prints[piece.key]):
                done.before += 1
                continue
            return [(piece.key, piece)]
        return None

    pool = open_pool(measure_piece, jobs=jobs, scheduler=scheduler, threads=threads, cancel=cancel)
    finished = 0
    for tried in work_through(pool, more, lambda _key, piece, _n: (piece, settings), retry=retry, cancel=cancel):
        if not tried.last:
            continue
        finished += 1
        failed = tried.failure is not None
        result = _failed_row(tried.item, tried.failure.text) if tried.failure is not None else tried.value
        ledger.add({"key": tried.key, "fingerprint": "" if failed else prints[tried.key], **result})
        if progress is not None:
            progress(finished, 0, "pictures")
    if cancel is not None and cancel():
        raise Cancelled(f"cancelled after {finished} pictures")
    for entry in ledger.entries(done.keys):
        for row in entry["planes"]:
            done.verdicts[row["verdict"]] = done.verdicts.get(row["verdict"], 0) + 1
            if row["verdict"] == UNREADABLE:
                done.failed.append((row["file"], row["reason"]))
    return done


def write_tables(
    out: Path, ledger: Ledger, keys: Sequence[str], complete: Callable[[Row], Row] = lambda row: row
) -> dict[str, Path]:
    """Write the tables of all measurements; either all of them are written or none.

    Parameters
    ----------
    out : Path
        Table of planes, ``.csv`` or ``.parquet``. The tables ``NAME_stacks`` and ``NAME_objects`` are written beside it
        if there are any stacks or objects.
    ledger : Ledger
        An open ledger.
    keys : sequence of str
        The pieces, in order.
    complete : callable
        Function that completes each row of the table of planes, for example with a distance from focus.

    Returns
    -------
    dict
        Path of each table by "planes", "stacks" and "objects".

    Raises
    ------
    FileError, InputError
    """
    check_table(out)
    stacks = with_drift([row for entry in ledger.entries(keys) for row in entry["stacks"]])
    has_objects = any(entry["objects"] for entry in ledger.entries(keys))
    written = {"planes": out}
    with WholeFiles() as files:
        write_table(files.stage(out), out.suffix, PLANE_COLUMNS, map(complete, _rows(ledger, keys, "planes")))
        if stacks:
            written["stacks"] = out.with_name(f"{out.stem}_stacks{out.suffix}")
            write_table(files.stage(written["stacks"]), out.suffix, STACK_COLUMNS, stacks)
        if has_objects:
            written["objects"] = out.with_name(f"{out.stem}_objects{out.suffix}")
            write_table(files.stage(written["objects"]), out.suffix, OBJECT_COLUMNS, _rows(ledger, keys, "objects"))
    return written


def with_drift(stacks: list[Row]) -> list[Row]:
    """Add to each row the drift of the best plane since the first time of its field and channel."""
    series: dict[tuple[Any, ...], list[int]] = {}
    for number, row in enumerate(stacks):
        series.setdefault((row["file"], row["scene"], row["position"], row["channel"]), []).append(number)
    result = [dict(row) for row in stacks]
    for numbers in series.values():
        if len(numbers) < 2:
            continue
        z = [math.nan if stacks[n]["best_z"] is None else stacks[n]["best_z"] for n in numbers]
        found = drift(z, [stacks[n]["time"] for n in numbers])
        for number, offset in zip(numbers, found.offset, strict=True):
            result[number] |= {"drift": float(offset), "drift_per_time": found.per_time}
    return result


def processes_for(count: int) -> int:
    """Suitable number of processes for a number of pictures: at least one, at most one per core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, count // _PER_PROCESS))


def _rows(ledger: Ledger, keys: Sequence[str], kind: str) -> Iterator[Row]:
    for entry in ledger.entries(keys):
        yield from entry[kind]


def _failed_row(piece: Piece, why: str) -> Entry:
    index = dict(piece.index)
    row: Row = {
        "file": str(piece.files[0]),
        "scene": str(piece.scene or ""),
        "position": index.get("P", 0),
        "time": index.get("T", 0),
        "verdict": UNREADABLE,
        "reason": why,
    }
    return {"planes": [row], "stacks": [], "objects": [], "thumbnails": []}


def _fingerprint(piece: Piece, settings: Settings) -> str:
    """Fingerprint that changes with the files, the settings, the labels and the version of the program."""
    from importlib.metadata import version

    options = {
        **asdict(settings.params),
        **asdict(settings.maps),
        "others": json.dumps([settings.in_microns, settings.pixel_size, settings.z_step, settings.axes]),
        "channels": settings.channels,
        "value_range": settings.value_range,
        "labels": settings.labels,
        "piece": piece.key,
    }
    return Job("qc", piece.files, "qc", options).fingerprint(version("napari-defocus"))
