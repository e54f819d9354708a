"""The documentation: links lead somewhere, the page of results follows its figures, examples call what exists."""

from __future__ import annotations

import ast
import inspect
import json
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
    assert len((DOCS / "results.md").read_text(encoding="utf-8").splitlines()) < 150


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


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the notebooks that are built from the examples."""
    folder = tmp_path_factory.mktemp("notebooks")
    subprocess.run([sys.executable, DOCS / "make_notebooks.py", "--out", folder], check=True)
    return folder


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.stem)
def test_notebooks_have_every_statement_of_their_example(example: Path, notebooks: Path) -> None:
    cells = json.loads((notebooks / f"{example.stem}.ipynb").read_text(encoding="utf-8"))["cells"]
    assert cells[0]["cell_type"] == "markdown"
    assert cells[0]["source"][0].startswith("# ")
    made = {ast.unparse(node) for cell in cells[1:] for node in ast.parse("".join(cell["source"])).body}
    top = ast.parse(example.read_text(encoding="utf-8")).body[1:]
    (main,) = (node for node in top if isinstance(node, ast.FunctionDef) and node.name == "main")
    wanted = {ast.unparse(node) for node in [*top[: top.index(main)], *main.body[1:]]}
    files_alone = re.compile(r"OUT = |out\.mkdir|figure\.savefig|from __future__")
    assert wanted - made == {text for text in wanted if files_alone.match(text)}


def test_a_notebook_runs_from_top_to_bottom(notebooks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    for cell in json.loads((notebooks / "batch.ipynb").read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]).replace("jobs = 2", "jobs = 1"), names)
    assert re.search(r"tilted: \d\d\.\d dB", capsys.readouterr().out)


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


def test_the_first_of_the_choices_in_a_docstring_is_the_default() -> None:
    """As numpydoc has it: pages made from the docstring state the first one as the default."""
    for name in db.__all__:
        public = getattr(db, name)
        if not inspect.isfunction(public):
            continue
        parameters = inspect.signature(public).parameters
        for names, choices in re.findall(r"^ *(\w+(?:, \w+)*) : \{([^}]*)\}", inspect.getdoc(public) or "", re.M):
            for parameter in names.split(", "):
                default = parameters[parameter].default
                first = choices.split(",")[0].strip(" \"'")
                assert default is inspect.Parameter.empty or str(default) == first, (name, parameter)
