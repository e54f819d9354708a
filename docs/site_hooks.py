"""What the documentation site generates itself: command-line and Python reference, gallery, pages that may be absent.

MkDocs calls the functions named `on_...`, see `hooks` in mkdocs.yml.
"""

from __future__ import annotations

import ast
import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))
from make_notebooks import notebook  # a script beside this one

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
PICTURES = "images/examples"

TOPICS = {
    "Defocus maps": ("defocus", "refine", "methods"),
    "Sharpening": ("sharpen",),
    "Shallow depth of field": ("shallow",),
    "Fusion, height and coverage": ("fusion", "height", "coverage"),
    "Stacks and alignment": ("stacks", "align"),
    "Files": ("io",),
    "Many stacks and images": ("batch", "quality"),
    "Parameters": ("params",),
    "Weights": ("classifier",),
    "Errors": ("errors",),
}
"""Headings of the Python reference and the modules whose public names stand under each; others come last."""

CHOICES = re.compile(r"\[(\w[^\[\]]*\|[^\[\]]*)\]$")
"""What click prints in place of a value's name: `[auto|float32]`."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {
        "reference/commands.md": command_page(),
        "reference/python.md": python_page(),
        "examples.md": gallery_page(Path(config.docs_dir)),
    }
    for where, text in pages.items():
        files.append(File.generated(config, where, content=text))
    for script in EXAMPLES.glob("*.py"):
        text = json.dumps(notebook(script), indent=1, ensure_ascii=False)
        files.append(File.generated(config, f"notebooks/{script.stem}.ipynb", content=text))
    return files


def on_page_content(html: str, **_: Any) -> str:
    """Fit a page to narrow windows: long names in tables break between their parts, pictures open at full size."""

    def breakable(cell: re.Match[str]) -> str:
        return re.sub(r"(?<=<code>)[^<]+", lambda name: re.sub(r"(?<=[/_|=])(?!$)", "<wbr>", name[0]), cell[0])

    html = re.sub(r"<td\b.*?</td>", breakable, html, flags=re.S)
    linked = re.compile(r'(<a\b[^>]*>\s*)?(<img\b[^>]*?src="([^"]+)"[^>]*>)')
    return linked.sub(lambda m: m[0] if m[1] else f'<a class="picture" href="{m[3]}">{m[2]}</a>', html)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Drop pages of the navigation that do not exist (yet)."""
    docs = Path(config.docs_dir)
    generated = {"reference/commands.md", "reference/python.md", "examples.md"}

    def present(entry: Any) -> Any:
        if isinstance(entry, str):
            return entry if entry in generated or (docs / entry).exists() else None
        if isinstance(entry, list):
            return [found for found in map(present, entry) if found] or None
        found = {title: present(below) for title, below in entry.items()}
        return {title: below for title, below in found.items() if below} or None

    config.nav = present(config.nav)
    return config


def command_page() -> str:
    """Every command with its options, read from the commands themselves."""
    from defocus_backend.cli import main

    context = click.Context(main, info_name="defocus")
    parts = [
        "# Command line",
        "",
        "Written from the commands themselves: `defocus COMMAND --help-all` prints the same.",
        "",
        "Exit codes: 0, done; 1, some stacks of a batch failed; 2, refused, with one line on stderr; 130, interrupted.",
        "",
    ]
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        if command is not None:
            parts += command_section(command, name, context)
    return "\n".join(parts) + "\n"


def command_section(command: click.Command, name: str, parent: click.Context) -> list[str]:
    """One command: what it does, usage and a table of its options for each heading of its help."""
    context = click.Context(command, info_name=name, parent=parent)
    usage = command.get_usage(context).replace("Usage: ", "")
    lines = [f"## defocus {name}", "", *help_text(command.help or ""), "", "```", " ".join(usage.split()), "```", ""]
    groups: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and isinstance(parameter, click.Option):
            groups.setdefault(getattr(parameter, "section", "Options"), []).append(record)
    for title, records in groups.items():
        lines += [f"**{title}**", ""]
        for flags, text in records:
            choices = CHOICES.search(flags)
            if choices is not None:
                flags = flags[: choices.start()].strip()
                text = text.rstrip(".") + ". One of " + ", ".join(choices[1].split("|")) + "."
            lines += [f"`{flags}`", f":   {escaped(text)}", ""]
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            if found is not None:
                lines += command_section(found, f"{name} {below}", parent)
    return lines


def help_text(text: str) -> list[str]:
    """A command's help as Markdown; paragraphs that click is to leave as they are become code."""
    lines: list[str] = []
    for paragraph in text.split("\n\n"):
        if paragraph.lstrip().startswith("\b"):
            lines += ["```", *paragraph.replace("\b", "").strip("\n").splitlines(), "```", ""]
        else:
            lines += [escaped(" ".join(paragraph.split())), ""]
    return lines


def escaped(text: str) -> str:
    """Text in which nothing is taken for markup."""
    for sign in "\\|*_<`[":
        text = text.replace(sign, "&lt;" if sign == "<" else "\\" + sign)
    return " ".join(text.split())


def python_page() -> str:
    """Every public name under the heading of its module."""
    package = importlib.import_module("defocus_backend")
    homes: dict[str, list[str]] = {}
    paths: dict[str, str] = {}
    for name in package.__all__:
        if not name.startswith("__"):
            parts = str(getattr(getattr(package, name), "__module__", "")).split(".")
            homes.setdefault(parts[1] if len(parts) > 1 else "", []).append(name)
            # Where it is defined: `defocus_backend.sharpen` would be the module, not the function.
            paths[name] = ".".join([*(parts if parts[0] == "defocus_backend" else ["defocus_backend"]), name])
    topics = dict(TOPICS)
    other = tuple(sorted(set(homes) - {module for modules in TOPICS.values() for module in modules}))
    topics["More"] = other
    lines = [
        "# Python",
        "",
        "```python",
        "import defocus_backend as db",
        "```",
        "",
        "Functions on arrays; options are keyword-only. Importing the package is quick: torch loads with the first",
        "function that computes.",
        "",
    ]
    for title, modules in topics.items():
        names = sorted((n for module in modules for n in homes.get(module, ())), key=lambda n: (n[0].isupper(), n))
        if names:
            lines += [f"## {title}", ""]
            lines += [f"::: {paths[name]}\n" for name in names]
    return "\n".join(lines) + "\n"


def gallery_page(docs: Path) -> str:
    """The scripts of examples/, each with its picture."""
    scripts = sorted(EXAMPLES.glob("*.py"))
    lines = [
        "# Examples",
        "",
        "Short scripts that make their own data. `make examples` runs them all, `python examples/NAME.py` one.",
        "Each is also a notebook.",
        "",
        '<div class="gallery" markdown>',
        "",
    ]
    heads = {}
    for script in scripts:
        text = script.read_text(encoding="utf-8")
        heads[script] = (ast.get_docstring(ast.parse(text)) or script.stem).split("\n\n")
        picture = docs / PICTURES / f"{script.stem}.jpg"
        title = heads[script][0].rstrip(".")
        anchor = script.stem.replace("_", "-")
        if picture.exists():
            lines.append(f"[![{title}]({PICTURES}/{picture.name})](#{anchor})")
            lines.append("")
    lines += ["</div>", ""]
    for script, (title, *rest) in heads.items():
        anchor = script.stem.replace("_", "-")
        lines += [f"## {title.rstrip('.')} {{ #{anchor} }}", "", *(f"{text}\n" for text in rest)]
        if (docs / PICTURES / f"{script.stem}.jpg").exists():
            lines += [f"![{title}]({PICTURES}/{script.stem}.jpg)", ""]
        text = script.read_text(encoding="utf-8")
        code = text.split('"""', 2)[2].strip("\n") if text.startswith('"""') else text
        lines += [f'```python title="examples/{script.name}"', code, "```", ""]
        lines += [f"[The same as a notebook](notebooks/{script.stem}.ipynb)", ""]
    return "\n".join(lines) + "\n"
