"""The command that measures the focus of many pictures: qc."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import click

from defocus_backend.cli.interrupt import check_interrupt
from defocus_backend.cli.options import MAP_SECTION, SectionCommand, option, params_options, take
from defocus_backend.errors import InputError
from defocus_backend.methods import PIXEL_MAP_NAMES
from defocus_backend.params import QualityParams, SigmaParams

FAILED = 1
"""Exit code if the command went to its end but some files could not be read."""

_INPUT, _VERDICT, _RUN = "Input", "Verdict", "Run"
_TO_MICRONS = {"um": 1.0, "µm": 1.0, "nm": 1e-3, "mm": 1e3}
_LOOKED_AT = 4096
"""Pictures that are counted before the number of processes is decided."""


@click.command("qc", cls=SectionCommand)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATHS...")
@option(
    "--out",
    required=True,
    metavar="TABLE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Table to write, .csv or .parquet; NAME_stacks and NAME_objects lie beside it, and NAME.html, the report.",
)
@option("--report/--no-report", default=True, show_default=True, help="Write the report with thumbnails, NAME.html.")
@option(
    "--focus-slice",
    is_flag=True,
    help="Also enter the best plane into the metadata of each OME-Zarr store, as `focus_slice`, which VisCy reads. "
    "This changes the input's metadata, never its pixels.",
)
@option(
    "--pattern", default="*", show_default=True, metavar="GLOB", section=_INPUT, help="In folders, only such files."
)
@option(
    "--group-by",
    metavar="REGEX",
    section=_INPUT,
    help="Files that are the planes of one stack: an expression with the groups (?P<stack>...) and (?P<slice>...), as "
    "in `defocus batch`.",
)
@option(
    "--channels", metavar="NAME,...", default="", section=_INPUT, help="Names or numbers of the channels to measure."
)
@option(
    "--axes", metavar="LETTERS", section=_INPUT, help="Axes of the files in place of those they state, such as TZYX."
)
@option(
    "--labels",
    metavar="FILE|DIR",
    type=click.Path(path_type=Path, exists=True),
    section=_INPUT,
    help="Label image whose objects are judged one by one, or a folder with one of the name of each picture.",
)
@option(
    "--pixel-size",
    type=click.FloatRange(0, min_open=True),
    metavar="UM",
    section=_INPUT,
    help="Size of a pixel in micrometres, in place of what the files state.",
)
@option(
    "--z-step",
    type=float,
    metavar="UM",
    section=_INPUT,
    help="Distance from plane to plane in micrometres, in place of what the files state.",
)
@option(
    "--value-range",
    "value_range",
    nargs=2,
    type=float,
    metavar="LOW HIGH",
    section=_INPUT,
    help="Values that count as black and white; by default found for each plane by itself.",
)
@params_options(QualityParams, _VERDICT)
@option(
    "--unit",
    type=click.Choice(["px", "um"]),
    default="px",
    show_default=True,
    section=_VERDICT,
    help="Unit of --sharp-below and --blurred-above; um needs a pixel size.",
)
@option(
    "--map-method",
    type=click.Choice(list(PIXEL_MAP_NAMES)),
    default=SigmaParams.map_method,
    show_default=True,
    section=MAP_SECTION,
    help="Network or published method that estimates sigma.",
)
@option("--weights", metavar="NAME|FILE", section=MAP_SECTION, help="Other weights, see `defocus models`.")
@option(
    "--calibration",
    type=click.Path(path_type=Path),
    metavar="FILE.json",
    section=MAP_SECTION,
    help="Made by `defocus calibrate`: fills the columns defocus_um and defocus_error_um, the distance from focus.",
)
@option("--resume", is_flag=True, section=_RUN, help="Keep what an earlier run has measured of the same files.")
@option(
    "--retry", type=click.IntRange(0), default=0, show_default=True, metavar="N", section=_RUN, help="Further tries."
)
@option(
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    section=_RUN,
    help="Local processes; by default one, and one a core for many pictures.",
)
@option("--threads", type=click.IntRange(1), metavar="N", section=_RUN, help="Computing threads of each process.")
@option("--scheduler", metavar="ADDRESS", section=_RUN, help="A dask cluster in place of local processes.")
@option("--device", default="auto", show_default=True, metavar="NAME", section=_RUN, help="auto, cpu, cuda or mps.")
@option("--json", "as_json", is_flag=True, section=_RUN, help="Print one JSON object on stdout instead.")
@option("--quiet", is_flag=True, section=_RUN, help="No progress bar and no summary.")
def qc_command(paths: tuple[Path, ...], out: Path, **options: Any) -> None:
    """Measure the focus of many pictures: a table, a verdict for each, and a report from worst to best.

    PATHS are pictures, stacks, OME-Zarr stores or folders of them. The table has a row for each plane, channel, time
    and position: median and tenth percentile of sigma over the informative pixels, share in focus, noise, saturation
    and a verdict: in focus, soft, out of focus, or nothing to judge with the reason. Stacks get their best plane and
    its drift over time.

    A run that was interrupted goes on with --resume. Exit codes: 0, all measured; 1, some files could not be read;
    2, refused; 130, interrupted.
    """
    from defocus_backend.quality.ledger import Ledger
    from defocus_backend.quality.many import measure_many, processes_for, write_tables
    from defocus_backend.quality.pieces import Piece, find_pieces
    from defocus_backend.quality.planes import Settings
    from defocus_backend.quality.table import check_table

    check_table(out)
    complete = _with_distance(options["calibration"])
    params = take(QualityParams, options)
    settings = Settings(
        params=params,
        maps=SigmaParams(map_method=options["map_method"], weights=options["weights"], refine=False),
        device=options["device"],
        value_range=options["value_range"],
        in_microns=options["unit"] == "um",
        pixel_size=options["pixel_size"],
        z_step=options["z_step"],
        channels=tuple(name.strip() for name in options["channels"].split(",") if name.strip()),
        axes=options["axes"],
        labels="" if options["labels"] is None else str(options["labels"]),
    )
    found = find_pieces(paths, pattern=options["pattern"], group_by=options["group_by"], axes=options["axes"])
    first = list(islice(found, _LOOKED_AT))
    if not first:
        raise InputError("PATHS", ", ".join(map(str, paths)), "pictures, or folders that hold some")

    def pieces() -> Iterator[Piece]:
        yield from first
        yield from found

    _keep_memory()
    jobs = options["jobs"] or (1 if options["scheduler"] else processes_for(len(first)))
    started = time.perf_counter()
    with Ledger(out, resume=options["resume"]) as ledger:
        with _bar(len(first) if len(first) < _LOOKED_AT else None, options) as progress:
            done = measure_many(
                pieces(),
                ledger,
                settings,
                jobs=jobs,
                scheduler=options["scheduler"],
                threads=options["threads"],
                retry=options["retry"],
                progress=progress,
            )
        written = write_tables(out, ledger, done.keys, complete)
        if options["report"]:
            from defocus_backend.quality.report import write_report

            written["report"] = out.with_suffix(".html")
            facts = [*_thresholds(params, options["unit"]), ("took", f"{time.perf_counter() - started:.1f} s")]
            write_report(written["report"], ledger, done.keys, facts)
        if options["focus_slice"]:
            _write_focus_slices(ledger, done.keys)
    seconds = time.perf_counter() - started
    if options["as_json"]:
        paths_written = {kind: str(path) for kind, path in written.items()}
        about = {"verdicts": done.verdicts, "before": done.before, "failed": done.failed, "seconds": round(seconds, 3)}
        click.echo(json.dumps({"command": "qc", "outputs": paths_written, "parameters": asdict(params), **about}))
    elif not options["quiet"]:
        for kind, path in written.items():
            click.echo(f"{kind:<8}  {path}")
        click.echo(", ".join(f"{n} {verdict}" for verdict, n in sorted(done.verdicts.items())) + f"; {seconds:.1f} s")
    for name, why in done.failed:
        click.echo(f"defocus: {name}: {why}" if name not in why else f"defocus: {why}", err=True)
    if done.failed:
        raise click.exceptions.Exit(FAILED)


def _bar(total: int | None, options: dict[str, Any]) -> Any:
    """A progress bar on stderr, where that is a terminal."""
    import contextlib
    import sys

    from tqdm import tqdm

    @contextlib.contextmanager
    def shown() -> Iterator[Any]:
        hidden = True if options["quiet"] or options["as_json"] else None
        with tqdm(desc="qc", total=total, unit=" pictures", disable=hidden, leave=False, file=sys.stderr) as bar:

            def progress(done: int, _total: int, _what: str) -> None:
                check_interrupt()
                bar.update(done - bar.n)

            yield progress

    return shown()


def _keep_memory() -> None:
    from defocus_backend.device import keep_freed_memory

    keep_freed_memory()


def _thresholds(params: QualityParams, unit: str) -> list[tuple[str, str]]:
    named = "µm" if unit == "um" else "px"
    return [
        ("in focus", f"median sigma below {params.sharp_below:g} {named}"),
        ("out of focus", f"sharpest tenth above {params.blurred_above:g} {named}"),
        ("nothing to judge", f"under {params.least_informative:.0%} of the pixels are informative"),
    ]


def _with_distance(path: Path | None) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Completes a row by the distance from focus in micrometres, where there is a calibration."""
    if path is None:
        return lambda row: row
    from defocus_backend.calibration import read_calibration

    calibration = read_calibration(path)
    if calibration.unit not in _TO_MICRONS:
        raise InputError("--calibration", f"lengths in {calibration.unit}", "one in " + ", ".join(_TO_MICRONS))
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


def _write_focus_slices(ledger: Any, keys: list[str]) -> None:
    from defocus_backend.quality.focus_slice import write_focus_slices

    stores: dict[str, list[dict[str, Any]]] = {}
    for entry in ledger.entries(keys):
        for row in entry["stacks"]:
            stores.setdefault(row["file"], []).append(row)
    for store, rows in stores.items():
        write_focus_slices(Path(store), rows)
