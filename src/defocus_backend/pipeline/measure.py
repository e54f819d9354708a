"""Measure the focus of many pictures in files, and write tables and a report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from defocus_backend.errors import InputError
from defocus_backend.methods import DEFAULT_NETWORK, PIXEL_MAP_NAMES
from defocus_backend.options import group, option
from defocus_backend.params import InputParams, QualityParams, RunParams, SigmaParams
from defocus_backend.pipeline.run import Listener
from defocus_backend.pipeline.work import FindParams, WorkParams

if TYPE_CHECKING:
    from defocus_backend.quality.ledger import Ledger
    from defocus_backend.quality.pieces import Piece
    from defocus_backend.quality.planes import Settings

_MAP, _INPUT, _VERDICT = SigmaParams.describe(), "Input", QualityParams.heading
_TO_MICRONS = {"um": 1.0, "µm": 1.0, "nm": 1e-3, "mm": 1e3}
_LOOKED_AT = 4096
"""Number of pictures that are counted before the number of processes is chosen."""


@dataclass(frozen=True, kw_only=True)
class MeasureFiles(InputParams, RunParams):
    """Options of `measure_files`."""

    heading: ClassVar[str] = "Output"

    report: bool = option(True, "Write a report with thumbnails, NAME.html.")
    focus_slice: bool = option(
        False,
        "Also write the best plane into the metadata of each OME-Zarr store, as `focus_slice`, which VisCy reads. "
        "This changes the metadata of the input, never its pixels.",
    )
    find: FindParams = group(FindParams)
    channels: str = option(
        "", "Names or numbers of the channels to measure.", metavar="NAME,...", heading=_INPUT, common=True
    )
    axes: str | None = option(
        None,
        "Order of the files' axes, such as TZYX, instead of the stated one.",
        kind=str,
        metavar="LETTERS",
        heading=_INPUT,
    )
    labels: Path | None = option(
        None,
        "Label image; each of its objects gets a row and a verdict. Or a folder with one label image per picture, of "
        "the same name.",
        kind=Path,
        metavar="FILE|DIR",
        heading=_INPUT,
        common=True,
    )
    pixel_size: float | None = option(
        None,
        "Size of a pixel in micrometres, instead of the size stated in the files.",
        kind=float,
        above=0.0,
        metavar="UM",
        heading=_INPUT,
    )
    z_step: float | None = option(
        None,
        "Distance between planes in micrometres, instead of the distance stated in the files.",
        kind=float,
        metavar="UM",
        heading=_INPUT,
    )
    verdict: QualityParams = group(QualityParams)
    unit: str = option(
        "px",
        "Unit of sharp_below and blurred_above. um needs a pixel size.",
        choices=("px", "um"),
        heading=_VERDICT,
        common=True,
    )
    map_method: str = option(
        DEFAULT_NETWORK, _MAP["map_method"]["help"], choices=PIXEL_MAP_NAMES, heading=SigmaParams.heading
    )
    weights: str | Path | None = option(
        None, _MAP["weights"]["help"], kind=object, metavar="NAME|FILE", heading=SigmaParams.heading
    )
    calibration: Path | None = option(
        None,
        "Calibration file from `defocus calibrate`. With it, the columns defocus_um and defocus_error_um hold the "
        "distance from focus and its error.",
        kind=Path,
        metavar="FILE.json",
        heading=SigmaParams.heading,
    )
    work: WorkParams = group(WorkParams)


@dataclass(frozen=True)
class MeasureResult:
    """Result of `measure_files`.

    Attributes
    ----------
    paths : mapping of str to Path
        The written files, by their kind.
    verdicts : mapping of str to int
        Number of pictures with each verdict.
    before : int
        Number of pictures that an earlier run had measured.
    failed : sequence of (str, str)
        Files that could not be read, with the reason.
    seconds : float
    """

    paths: Mapping[str, Path]
    verdicts: Mapping[str, int]
    before: int
    failed: Sequence[tuple[str, str]]
    seconds: float


def measure_files(
    paths: Sequence[str | Path],
    out: str | Path,
    settings: MeasureFiles | None = None,
    *,
    listener: Listener | None = None,
) -> MeasureResult:
    """Measure the focus of many pictures: write a table with verdicts, and a report ordered from worst to best.

    Parameters
    ----------
    paths : sequence of path
        Pictures, stacks, OME-Zarr stores or folders of them.
    out : path
        The table to write, ``.csv`` or ``.parquet``. Further tables and the report are written beside it.
    settings : MeasureFiles or None
    listener : Listener or None
        Shows progress.

    Returns
    -------
    MeasureResult

    Raises
    ------
    InputError, FileError, WeightsError, DeviceError, Cancelled
    """
    from defocus_backend.device import keep_freed_memory
    from defocus_backend.quality.ledger import Ledger
    from defocus_backend.quality.many import measure_many, processes_for, write_tables
    from defocus_backend.quality.pieces import find_pieces
    from defocus_backend.quality.table import check_table

    settings, table = settings or MeasureFiles(), Path(out)
    check_table(table)
    complete, work = _with_distance(settings), settings.work
    roots = tuple(Path(path) for path in paths)
    found = find_pieces(roots, pattern=settings.find.pattern, group_by=settings.find.group_by, axes=settings.axes)
    first = list(islice(found, _LOOKED_AT))
    if not first:
        raise InputError("PATHS", ", ".join(map(str, paths)), "pictures, or folders with pictures")

    def pieces() -> Iterator[Piece]:
        yield from first
        yield from found

    keep_freed_memory()
    started = time.perf_counter()
    with Ledger(table, resume=work.resume) as ledger:
        with (listener or Listener()).progress("qc") as progress:
            done = measure_many(
                pieces(),
                ledger,
                _for_pieces(settings),
                jobs=work.jobs or (1 if work.scheduler else processes_for(len(first))),
                scheduler=work.scheduler,
                threads=work.threads,
                retry=work.retry,
                progress=progress,
            )
        written = write_tables(table, ledger, done.keys, complete)
        if settings.report:
            from defocus_backend.quality.report import write_report

            written["report"] = table.with_suffix(".html")
            facts = [*_thresholds(settings), ("took", f"{time.perf_counter() - started:.1f} s")]
            write_report(written["report"], ledger, done.keys, facts)
        if settings.focus_slice:
            _write_focus_slices(ledger, done.keys)
    return MeasureResult(written, done.verdicts, done.before, done.failed, time.perf_counter() - started)


def _for_pieces(settings: MeasureFiles) -> Settings:
    from defocus_backend.quality.planes import Settings

    return Settings(
        params=settings.verdict,
        maps=SigmaParams(map_method=settings.map_method, weights=settings.weights, refine=False),
        device=str(settings.device),
        value_range=settings.value_range,
        in_microns=settings.unit == "um",
        pixel_size=settings.pixel_size,
        z_step=settings.z_step,
        channels=tuple(name.strip() for name in settings.channels.split(",") if name.strip()),
        axes=settings.axes,
        labels="" if settings.labels is None else str(settings.labels),
    )


def _thresholds(settings: MeasureFiles) -> list[tuple[str, str]]:
    params, named = settings.verdict, "µm" if settings.unit == "um" else "px"
    return [
        ("in focus", f"median sigma below {params.sharp_below:g} {named}"),
        ("out of focus", f"sharpest tenth above {params.blurred_above:g} {named}"),
        ("nothing to judge", f"under {params.least_informative:.0%} of the pixels are informative"),
    ]


def _with_distance(settings: MeasureFiles) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a function that adds the distance from focus in micrometres to a row, if there is a calibration."""
    if settings.calibration is None:
        return lambda row: row
    from defocus_backend.calibration import read_calibration

    calibration = read_calibration(settings.calibration)
    calibration.check_method(settings.map_method, settings.weights)
    if calibration.unit not in _TO_MICRONS:
        raise InputError("calibration", f"lengths in {calibration.unit}", "one in " + ", ".join(_TO_MICRONS))
    scale = _TO_MICRONS[calibration.unit]

    def complete(row: dict[str, Any]) -> dict[str, Any]:
        if row.get("sigma_median_px") is None:
            return row
        name = row["channel_name"] if row["channel_name"] else row["channel"]
        found = calibration.channel(name).distance(row["sigma_median_px"])
        return {
            **row,
            "defocus_um": scale * float(found.distance),
            "defocus_error_um": scale * float(found.error),
        }

    return complete


def _write_focus_slices(ledger: Ledger, keys: list[str]) -> None:
    from defocus_backend.quality.focus_slice import write_focus_slices

    stores: dict[str, list[dict[str, Any]]] = {}
    for entry in ledger.entries(keys):
        for row in entry["stacks"]:
            stores.setdefault(row["file"], []).append(row)
    for store, rows in stores.items():
        write_focus_slices(Path(store), rows)
