"""The documentation: links lead somewhere, the page of results follows its figures, examples call what exists."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import defocus_backend as db

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
GENERATED = {DOCS / "examples.md", DOCS / "reference" / "python.md", DOCS / "reference" / "commands.md"}
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def without_code(text: str) -> str:
    """A page without its code, in which brackets mean something else."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:|#", target):
            continue
        path = (page.parent / target.split("#")[0]).resolve()
        assert path.exists() or path in GENERATED, f"{page.name} links to {target}"


def test_the_page_of_results_is_what_its_figures_give() -> None:
    done = subprocess.run(
        [sys.executable, DOCS / "make_results.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len((DOCS / "results.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_the_readme_fits_a_screen_or_two() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 120


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.stem)
def test_examples_call_what_exists(example: Path) -> None:
    tree = ast.parse(example.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "the gallery takes title and text from it"
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "db"
    }
    assert used, "an example shows the library"
    assert [name for name in used if not hasattr(db, name)] == []


def test_every_promise_names_a_test_that_exists() -> None:
    """Each row of the first table of docs/reliability.md, with the files and functions that it names."""
    table = (DOCS / "reliability.md").read_text(encoding="utf-8").split("## Promises")[1].split("## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 15
    for row in rows:
        names = re.findall(r"`([^`]*test_[^`]*)`", row.rsplit(" | ", 1)[1])
        assert names, f"no test: {row}"
        for name in names:
            file, _, function = name.partition("::")
            source = ROOT / file
            assert source.is_file(), name
            assert f"def {function or 'test_'}" in source.read_text(encoding="utf-8"), name
