"""Write docs/results.md from the figures in docs/results, or measure one of them again.

python docs/make_results.py                          writes the page
python docs/make_results.py --check                  fails if the page is not what the figures give
python docs/make_results.py --measure height         runs its command and stores what it prints
python docs/make_results.py --measure fusion PHOTOS=folder STACK=folder

Each file of docs/results is one table: title, setting, command, date, columns, rows and goals. A command prints
Markdown tables; `take` maps their column titles to those of the page, and each row's first cell chooses what is taken.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FIGURES = HERE / "results"
PAGE = HERE / "results.md"
MOST_LINES = 149
Table = dict[str, Any]

HEAD = """# Results

<!-- Written by `make results` from docs/results/*.json; change those, not this page. -->

Every figure comes from the command beside it, on photographs that no network was trained on, and unless stated from two
CPU cores and torch 2.13.0. Capitals such as `PHOTOS` stand for your folders. Tried: [history](history/README.md).
"""


def load() -> dict[str, Table]:
    """Tables by name, in the order of their `order`."""
    tables = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in FIGURES.glob("*.json")}
    return dict(sorted(tables.items(), key=lambda item: item[1]["order"]))


def met(goal: Table) -> bool:
    """Whether a goal is met: `at_most` or `at_least` a bound."""
    if "at_most" in goal:
        return bool(goal["measured"] <= goal["at_most"])
    return bool(goal["measured"] >= goal["at_least"])


def bound(goal: Table) -> str:
    """The goal in words."""
    return f"at most {goal['at_most']}" if "at_most" in goal else f"at least {goal['at_least']}"


def decimals(cell: object) -> int:
    """Digits after the point of a number."""
    return len(str(cell).partition(".")[2]) if isinstance(cell, float) else 0


def section(table: Table) -> str:
    """A table of the page with its command and date."""
    columns = table["columns"]
    numeric = [all(isinstance(row[n], int | float) or not row[n] for row in table["rows"]) for n in range(len(columns))]
    reached = ", ".join(f"{goal['what']} ({bound(goal)})" for goal in table.get("goals", ()) if met(goal))
    note = f"`{table['command']}`, {table['date']}." + (f" Goals met: {reached}." if reached else "")
    lines = [f"## {table['title']}", f"{table['setting']} {note}", ""]
    lines += ["| " + " | ".join(columns) + " |", "|" + "|".join("---:" if n else "---" for n in numeric) + "|"]
    places = [max((decimals(row[n]) for row in table["rows"]), default=0) for n in range(len(columns))]
    for row in table["rows"]:
        cells = [f"{cell:.{p}f}" if isinstance(cell, float) else str(cell) for cell, p in zip(row, places, strict=True)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def missed(tables: dict[str, Table]) -> str:
    """Every goal that is missed, once."""
    lines = ["## Missed goals", "", "| goal | measured | wanted | why, where known |", "|---|---:|---:|---|"]
    for table in tables.values():
        for goal in table.get("goals", ()):
            if not met(goal):
                lines.append(f"| {goal['what']} | {goal['measured']} | {bound(goal)} | {goal.get('why', '')} |")
    return "\n".join(lines)


def page() -> str:
    """The whole page."""
    tables = load()
    return "\n".join([HEAD, "\n\n".join([*(section(table) for table in tables.values()), missed(tables)]), ""])


def printed_tables(text: str) -> list[list[list[str]]]:
    """The Markdown tables of a text, each as rows of cells with the titles first."""
    found: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            if not all(set(cell) <= set("-: ") for cell in cells):
                found[-1].append(cells)
        elif found[-1]:
            found.append([])
    return [rows for rows in found if rows]


def number(cell: str) -> float | int | str:
    """A cell as a number where it is one."""
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell


def measure(name: str, given: dict[str, str]) -> None:
    """Run a table's command and store the rows and goals that it prints."""
    path = FIGURES / f"{name}.json"
    table = json.loads(path.read_text(encoding="utf-8"))
    words = [given.get(word, word) for word in shlex.split(table["command"])]
    words[0] = sys.executable if words[0] == "python" else words[0]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=HERE.parent)
    take = table["take"]
    for printed in printed_tables(done.stdout):
        titles = printed[0]
        if not set(take["columns"]) <= set(titles):
            continue
        cells = {row[0]: dict(zip(titles, row, strict=True)) for row in printed[1:]}
        for row in table["rows"]:
            source = take["rows"].get(row[0])
            for column, shown in take["columns"].items():
                if source in cells:
                    row[table["columns"].index(shown)] = number(cells[source][column])
        for goal in table.get("goals", ()):
            if {"row", "column"} <= goal.keys():
                row = next(row for row in table["rows"] if row[0] == goal["row"])
                goal["measured"] = row[table["columns"].index(goal["column"])]
        table["date"] = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
        path.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return
    raise SystemExit(f"{table['command']} printed no table with the columns {', '.join(take['columns'])}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail if the page is out of date")
    parser.add_argument("--measure", metavar="NAME", help="run the command of this table first")
    parser.add_argument("given", nargs="*", metavar="WORD=VALUE", help="what stands for capitals in the command")
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, dict(word.split("=", 1) for word in options.given))
    text = page()
    if (lines := text.count("\n")) > MOST_LINES:
        raise SystemExit(f"{PAGE} would have {lines} lines, more than {MOST_LINES}: move details to docs/history")
    if not options.check:
        PAGE.write_text(text, encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != text:
        raise SystemExit(f"{PAGE} is not what {FIGURES} gives: run `make results`")


if __name__ == "__main__":
    main()
