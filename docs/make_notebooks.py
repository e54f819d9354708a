"""Make a notebook of each script of examples/: its text, its imports, its functions, then `main` line by line.

    python docs/make_notebooks.py --out FOLDER

The documentation site builds them too, and the gallery links to them. Figures stay in the notebook: the lines that save
them to a file are left out.
"""

from __future__ import annotations

import argparse
import ast
import json
import textwrap
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[1] / "examples"
ONLY_FOR_FILES = ("OUT = ", "out.mkdir(", "figure.savefig(", "from __future__ import")


def cell(kind: str, text: str, number: int) -> dict[str, Any]:
    """One cell, `markdown` or `code`."""
    found: dict[str, Any] = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}}
    found["source"] = text.splitlines(keepends=True)
    if kind == "code":
        found |= {"execution_count": None, "outputs": []}
    return found


def paragraphs(code: str, first: int, last: int) -> list[str]:
    """The code from one line to another, counted from 1, as one piece for each blank line between statements."""
    pieces: list[str] = []
    inside = {n for node in ast.parse(code).body for n in range(node.lineno + 1, (node.end_lineno or node.lineno) + 1)}
    current: list[str] = []
    for number, line in enumerate(code.splitlines()[first - 1 : last], first):
        if not line.strip() and number not in inside:
            pieces.append("\n".join(current))
            current = []
        elif not line.startswith(ONLY_FOR_FILES):
            current.append(line)
    return [piece for piece in [*pieces, "\n".join(current)] if piece.strip()]


def notebook(script: Path) -> dict[str, Any]:
    """The notebook of one script, in format 4.5."""
    text = script.read_text(encoding="utf-8")
    tree = ast.parse(text)
    title, _, story = (ast.get_docstring(tree) or script.stem).partition("\n\n")
    lines = text.splitlines()
    cells = [("markdown", f"# {title.rstrip('.')}\n\n{' '.join(story.split())}".rstrip())]
    first = tree.body[1].lineno  # after the docstring
    for node in tree.body[1:]:
        if isinstance(node, ast.FunctionDef) and node.name == "main":
            head = "\n".join(lines[first - 1 : node.lineno - 1])
            cells += [("code", piece) for piece in merged_imports(paragraphs(head, 1, head.count("\n") + 1))]
            values = dict(zip([a.arg for a in node.args.args][::-1], node.args.defaults[::-1], strict=False))
            for name in [name for name in values if name != "out"]:
                cells.append(("code", f"{name} = {ast.unparse(values[name])}"))
            body = textwrap.dedent("\n".join(lines[node.body[1].lineno - 1 : node.end_lineno]))
            cells += [("code", piece) for piece in paragraphs(body, 1, body.count("\n") + 1)]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": [cell(kind, source, number) for number, (kind, source) in enumerate(cells)],
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def merged_imports(pieces: list[str]) -> list[str]:
    """The pieces, with all imports in the first."""
    imports = [piece for piece in pieces if piece.startswith(("import ", "from "))]
    return ["\n".join(imports), *(piece for piece in pieces if piece not in imports)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=EXAMPLES / "output", help="folder for the notebooks")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for script in sorted(EXAMPLES.glob("*.py")):
        where = options.out / f"{script.stem}.ipynb"
        where.write_text(json.dumps(notebook(script), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
