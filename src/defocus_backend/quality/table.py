"""Tables of rows as CSV or Parquet, written row by row."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from defocus_backend.errors import InputError

Row = dict[str, Any]

SUFFIXES = (".csv", ".parquet")
_ROWS = 10_000
"""Number of rows that are written to Parquet at once."""

_PLACE = ("file", "scene", "position", "time", "channel", "channel_name")
_SIGMA = ("sigma_median_px", "sigma_p10_px")
_SHARES = ("in_focus_share", "informative_share")
PLANE_COLUMNS = (
    *(*_PLACE, "plane", "z_um", "verdict", "reason", *_SIGMA, "sigma_median_um", *_SHARES),
    *("defocus_um", "defocus_error_um", "noise", "saturated_share", "power_log_log_slope", "variance_of_laplacian"),
    "best_plane",
)
"""Columns of the table of planes."""
STACK_COLUMNS = (
    *(*_PLACE, "planes", "best_plane", "best_z", "z_unit", "at_end", "verdict", "reason", "sigma_median_px"),
    *("in_focus_share", "drift", "drift_per_time"),
)
"""Columns of the table of stacks, which has one row per channel, position and time."""
OBJECT_COLUMNS = (*_PLACE, "plane", "label", "pixels", "verdict", *_SIGMA, *_SHARES)
"""Columns of the table of objects."""


def check_table(path: Path) -> None:
    """Raise `InputError` if a table cannot be written in the format of its suffix."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError("--out", str(path), f"a file name ending in {' or '.join(SUFFIXES)}")
    if path.suffix.lower() == ".parquet":
        try:
            import pandas  # noqa: F401
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise InputError(
                "--out", str(path), 'pandas and pyarrow for .parquet (pip install "napari-defocus[parquet]"), or a .csv'
            ) from error


def write_table(path: Path, suffix: str, columns: tuple[str, ...], rows: Iterable[Row]) -> None:
    """Write rows in the format of a suffix. Entries without a column are ignored; missing entries and NaN are empty."""
    if suffix.lower() == ".parquet":
        _write_parquet(path, columns, rows)
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for row in rows:
            writer.writerow([_text(row.get(name)) for name in columns])


def _text(value: Any) -> Any:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.6g}" if isinstance(value, float) else value


def _write_parquet(path: Path, columns: tuple[str, ...], rows: Iterable[Row]) -> None:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, _kind(name, pa)) for name in columns])
    with pq.ParquetWriter(path, schema) as writer:
        for some in _batches(rows):
            frame = pd.DataFrame(some, columns=list(columns))
            writer.write_table(pa.Table.from_pandas(frame, schema=schema, preserve_index=False))


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    some: list[Row] = []
    for row in rows:
        some.append(row)
        if len(some) == _ROWS:
            yield some
            some = []
    yield some


_TEXTS = {"file", "scene", "channel_name", "verdict", "reason", "z_unit"}
_WHOLE = {"position", "time", "channel", "plane", "planes", "label", "pixels"}


def _kind(name: str, pa: Any) -> Any:
    if name in _TEXTS:
        return pa.string()
    if name == "at_end":
        return pa.bool_()
    return pa.int64() if name in _WHOLE else pa.float64()
