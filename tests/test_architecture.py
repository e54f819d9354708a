"""The import contract: the library knows nothing of any user interface, and data goes one way through it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
BACKEND = SOURCE / "defocus_backend"
CHECKOUT = ("paper", "benchmarks", "tests")
"""What lies beside `src` and is not installed with it."""

INTERFACES = ("napari", "qtpy", "magicgui", "superqt", "PyQt5", "PyQt6", "PySide2", "PySide6", "napari_defocus")

FLOW = (
    ("errors", "luma", "threads"),
    ("arguments", "registry", "options"),
    ("progress", "methods"),
    ("params",),
    ("io", "device", "render", "arrays"),
    ("filters", "metrics", "stacks"),
    ("classifier", "refine", "align"),
    ("compare", "synthetic"),
    ("defocus",),
    ("sharpen", "shallow", "fusion", "evaluation"),
    ("training", "batch"),
    ("quality",),
    ("calibration", "surface"),
    ("pipeline",),
    ("cli",),
)
"""Modules in the order of design section 2: each imports from earlier groups and from itself only."""
RANK = {module: rank for rank, group in enumerate(FLOW) for module in group}
MODULES = sorted(BACKEND.rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Absolute names of all that a file imports, at any depth, but for what only type checkers see."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(BACKEND)))
def test_the_library_imports_no_interface(path: Path) -> None:
    assert [name for name in imported(path) if name.split(".")[0] in INTERFACES] == []


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_what_is_installed_imports_nothing_of_the_checkout(path: Path) -> None:
    assert [name for name in imported(path) if name.split(".")[0] in CHECKOUT] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(BACKEND)))
def test_data_goes_one_way(path: Path) -> None:
    own = path.relative_to(BACKEND).parts[0].removesuffix(".py")
    if own == "__init__":
        return  # the face: it names things from everywhere, lazily
    assert own in RANK, f"{own} has no place in FLOW yet"
    for name in imported(path):
        package, _, rest = name.partition(".")
        if package != "defocus_backend" or own == "cli":
            continue
        other = rest.split(".")[0]
        allowed = other == own or RANK[other] < RANK[own]
        assert allowed, f"{own} may not import {name}"


def test_the_picture_of_the_architecture_is_the_contract() -> None:
    """docs/architecture.md draws the floors of FLOW in their order, and every room that there is."""
    page = (SOURCE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    picture = page.split("```text\n")[1].split("```")[0]
    drawn = [{word for word in line.split() if word in RANK} for line in picture.splitlines()]
    for floor, (line, group) in enumerate(zip(drawn, FLOW, strict=True)):
        assert set(group) <= line, f"floor {floor}"
    rooms = {path.relative_to(BACKEND).parts[0].removesuffix(".py") for path in MODULES} - {"__init__"}
    assert rooms == set(RANK)


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


def import_graph() -> dict[str, set[str]]:
    """For every module of `src`, the modules that it imports at any depth, inside functions too."""
    paths = {module_name(path): path for path in SOURCE.rglob("*.py")}
    graph: dict[str, set[str]] = {name: set() for name in paths}
    for module, path in paths.items():
        for name in imported(path):
            while name and name not in paths:
                name = name.rpartition(".")[0]
            if name and name != module:
                graph[module].add(name)
    return graph


def circles(graph: dict[str, set[str]]) -> list[tuple[str, ...]]:
    """Groups of modules that import one another, directly or through others."""
    reached = {}
    for start in graph:
        seen: set[str] = set()
        todo = list(graph[start])
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo += graph[name]
        reached[start] = seen
    return sorted({tuple(sorted({m} | {o for o in reached[m] if m in reached[o]})) for m in graph if m in reached[m]})


def test_no_modules_import_one_another() -> None:
    """Nor a module and its own folder's face; an import that is put off until a call does not hide a circle."""
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [("a", "b", "c")]
    assert circles(import_graph()) == []


def test_importing_everything_loads_no_interface() -> None:
    code = f"""
import importlib, pkgutil, sys, defocus_backend
for module in pkgutil.walk_packages(defocus_backend.__path__, "defocus_backend."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print([name for name in {INTERFACES!r} if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"


def test_both_packages_are_typed() -> None:
    for package in ("defocus_backend", "napari_defocus"):
        assert (SOURCE / package / "py.typed").exists()


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's body, without its docstring."""
    first = function.body[1] if ast.get_docstring(function) and len(function.body) > 1 else function.body[0]
    return (function.end_lineno or 0) - first.lineno + 1


def test_a_function_body_past_100_lines_is_two_functions() -> None:
    long = {}
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                long[f"{path}:{node.name}"] = body_lines(node)
    assert len(long) > 500
    assert {name: lines for name, lines in long.items() if lines > 100} == {}


def test_no_two_classes_have_one_name() -> None:
    where: dict[str, list[str]] = {}
    for path in SOURCE.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                where.setdefault(node.name, []).append(str(path.relative_to(SOURCE)))
    assert len(where) > 150
    assert {name: files for name, files in where.items() if len(files) > 1} == {}


@pytest.mark.parametrize("path", sorted((BACKEND / "cli").glob("*.py")), ids=lambda p: p.name)
def test_the_command_line_is_click_and_nothing_else(path: Path) -> None:
    """What a command computes lies in `pipeline` or `batch`; here it is parsed, called and printed in a few lines."""
    names = [name.split(".") for name in imported(path)]
    rooms = {name[1] for name in names if name[0] == "defocus_backend"}
    assert rooms <= {"cli", "pipeline", "batch", "errors", "options", "params", "methods", "progress", "threads", "io"}
    assert {name[0] for name in names} & {"numpy", "torch", "scipy", "skimage", "PIL", "tifffile"} == set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    long = {n.name: body_lines(n) for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and body_lines(n) > 30}
    assert long == {}


def test_a_file_past_400_lines_is_two_files() -> None:
    rooms = (SOURCE, *(SOURCE.parent / room for room in (*CHECKOUT, "docs", "examples")))
    lines = {p: len(p.read_text(encoding="utf-8").splitlines()) for room in rooms for p in room.rglob("*.py")}
    assert len(lines) > 400
    assert {path: count for path, count in lines.items() if count > 400} == {}
