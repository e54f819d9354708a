"""Write the result of an item, and the page of all results in a folder."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from defocus_backend.errors import FileError
from defocus_backend.io import WholeFiles
from paper.result import Cell, Item, ItemResult, Table

PAGE = "results.md"


def write_result(folder: Path, item: Item, result: ItemResult, items: list[Item], *, seconds: float) -> list[Path]:
    """Write the CSV, PNG and JSON files of an item and the updated page, all of them or none.

    Parameters
    ----------
    folder : Path
        Made if absent.
    item, result : Item, ItemResult
        What was made.
    items : list of Item
        All items, in the order of the page; those with a JSON file in the folder appear on it.
    seconds : float
        Processor time that it took.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    FileError
    """
    record = _record(item, result, seconds)
    records = {other.key: _read_record(folder / f"{other.key}.json") for other in items} | {item.key: record}
    page = "\n\n".join(_section(records[other.key]) for other in items if records[other.key])
    with WholeFiles() as files:
        for table in result.tables:
            files.add(folder / f"{table.name}.csv", _as_csv(table))
        for picture in result.pictures:
            files.add(folder / f"{picture.name}.png", picture.png)
        files.add(folder / f"{item.key}.json", (json.dumps(record, indent=1) + "\n").encode())
        files.add(folder / PAGE, (_HEAD + page + "\n").encode())
        return files.targets


_HEAD = """# The paper's tables and figures, reproduced

Written by `python -m paper`; [README.md](README.md) explains the differences. Each table is also a CSV file, and
each section a JSON file.

"""


def _record(item: Item, result: ItemResult, seconds: float) -> dict[str, Any]:
    return {
        "key": item.key,
        "title": item.title,
        "paper": item.paper,
        "used": list(result.used),
        "missing": list(result.missing),
        "notes": list(result.notes),
        "tables": [asdict(table) for table in result.tables],
        "pictures": [{"name": p.name, "caption": p.caption} for p in result.pictures],
        "seconds": round(seconds, 1),
    }


def _read_record(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _section(record)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(f"{path}: is not a result of `python -m paper` ({error})") from error
    return record


def _section(record: dict[str, Any]) -> str:
    parts = [f"## {record['title']}", f"Paper: {record['paper']}"]
    for title, texts in (("Made from", record["used"]), ("Not reachable", record["missing"])):
        if texts:
            parts.append(f"{title}: " + "; ".join(texts) + ".")
    for table in record["tables"]:
        parts.append(f"{table['caption']} ([CSV]({table['name']}.csv))")
        parts.append(_as_markdown(table["columns"], table["rows"]))
    for picture in record["pictures"]:
        parts.append(f"![{record['title']}]({picture['name']}.png)\n\n{picture['caption']}")
    if record["notes"]:
        parts.append("\n".join(f"- {note}" for note in record["notes"]))
    parts.append(f"`python -m paper --only {record['key']}`, {record['seconds']:.0f} s of processor time.")
    return "\n\n".join(parts)


def _as_markdown(columns: list[str], rows: list[list[Cell]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join(lines + ["| " + " | ".join(map(_shown, row)) + " |" for row in rows])


def _shown(cell: Cell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.5g}" if abs(cell) < 1 else f"{cell:.6g}"
    return str(cell)


def _as_csv(table: Table) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(["" if cell is None else cell for cell in row] for row in table.rows)
    return text.getvalue().encode()
