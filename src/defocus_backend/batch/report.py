"""Report of a batch as a self-contained HTML page and as JSON."""

from __future__ import annotations

import base64
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

from defocus_backend.batch.journal import Journal, Record
from defocus_backend.io import write_whole

_WORDS = {"done": "done", "kept": "done before", "failed": "failed"}
_KNOWN = {
    *("name", "fingerprint", "operation", "inputs", "bytes", "attempts", "finished", "state", "parameters"),
    *("device", "outputs", "output_bytes", "warnings", "notes", "thumbnails", "seconds", "error", "details"),
}


@dataclass(frozen=True, kw_only=True)
class About:
    """Facts about the whole batch for the report.

    Attributes
    ----------
    operation, version, where, started : str
        Operation, version of the program, pool, and start time (ISO 8601).
    seconds : float
        Duration.
    parameters : mapping
        Options that differ from their defaults, or all options.
    left_out : sequence of (str, str)
        Files that belong to no stack, with the reason.
    ended : str
        "complete", "interrupted", "stopped" (by an error that concerns all stacks) or, while it is running, "watching".
    """

    operation: str
    version: str
    where: str
    started: str
    seconds: float
    parameters: Mapping[str, Any] = field(default_factory=dict)
    left_out: Sequence[tuple[str, str]] = ()
    ended: str = "complete"


def write_report(journal: Journal, records: Mapping[str, Record], about: About) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.json`` beside the results.

    Returns
    -------
    (Path, Path)
        Paths of both files.

    Raises
    ------
    FileError
        If they cannot be written.
    """
    page, data = journal.out / "report.html", journal.out / "report.json"
    everything = {
        **{name: value for name, value in vars(about).items() if name != "left_out"},
        "counts": count_states(records),
        "stacks": list(records.values()),
        "left_out": [{"path": path, "why": why} for path, why in about.left_out],
    }
    write_whole(data, json.dumps(everything, indent=1, default=str).encode())
    write_whole(page, draw_page(journal, records, about).encode(errors="replace"))  # paths need not be UTF-8
    return page, data


def count_states(records: Mapping[str, Record]) -> dict[str, int]:
    """Number of jobs that were done, kept from an earlier run, and failed."""
    counts = Counter(record["state"] for record in records.values())
    return {state: counts[state] for state in _WORDS}


def draw_page(journal: Journal, records: Mapping[str, Record], about: About) -> str:
    """Create the HTML page, with embedded thumbnails."""
    counts = count_states(records)
    # Failures come first, because they need attention.
    ordered = sorted(records.values(), key=lambda record: (record["state"] != "failed", record["name"]))
    facts = {
        "operation": about.operation,
        "began": about.started.replace("T", " "),
        "took": _duration(about.seconds),
        "in": about.where,
        "version": about.version,
        "state": about.ended,
    }
    return _PAGE.substitute(
        style=STYLE,
        title=escape(f"defocus batch: {about.operation}, {len(records)} stacks"),
        counts="".join(f'<span class="{state}"><b>{counts[state]}</b> {word}</span>' for state, word in _WORDS.items()),
        facts="".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items()),
        rows="\n".join(_row(journal, record) for record in ordered),
        parameters=_parameters(about.parameters),
        left_out=_left_out(about.left_out),
    )


def _row(journal: Journal, record: Record) -> str:
    name, state = record["name"], record["state"]
    title = escape(name)
    if state != "failed":
        title = f'<a href="{_link(name)}/">{title}</a>'
    figures = {
        "files": len(record.get("inputs", ())),
        **{key: value for key, value in record.items() if key not in _KNOWN and _is_figure(value)},
        "read": _size(record.get("bytes", 0)),
        "written": _size(record.get("output_bytes", 0)) if "output_bytes" in record else None,
        "time": _duration(record["seconds"]) if "seconds" in record else None,
        "attempts": record.get("attempts", 1) if record.get("attempts", 1) > 1 else None,
    }
    listed = "".join(f"<dt>{escape(k)}</dt><dd>{escape(str(v))}</dd>" for k, v in figures.items() if v is not None)
    notes = "".join(f"<p>{escape(text)}</p>" for text in record.get("notes", ()))
    notes += "".join(f'<p class="warning">{escape(text)}</p>' for text in record.get("warnings", ()))
    if state == "failed":
        notes += f'<p class="error">{escape(record["error"])}</p>'
        if record.get("details"):
            notes += f"<details><summary>traceback</summary><pre>{escape(record['details'])}</pre></details>"
    files = {output["kind"].removesuffix(" picture"): output["path"] for output in record.get("outputs", ())}
    pictures = "".join(
        f'<figure><a href="{_link(str(files.get(kind, name)))}">'
        f'<img src="data:image/jpeg;base64,{_encoded(path)}" alt=""></a>'
        f"<figcaption>{escape(kind)}</figcaption></figure>"
        for kind, path in journal.thumbnails(record).items()
    )
    return (
        f'<section class="{state}"><h2>{title} <small>{_WORDS[state]}</small></h2>'
        f'<div class="stack"><dl>{listed}</dl><div class="notes">{notes}</div>'
        f'<div class="pictures">{pictures}</div></div></section>'
    )


def _link(path: str) -> str:
    return quote(os.fsencode(path))


def _is_figure(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _parameters(parameters: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><th>{escape(str(name))}</th><td>{escape(_value(value))}</td></tr>" for name, value in parameters.items()
    )
    return f"<table>{rows}</table>"


def _value(value: Any) -> str:
    if value is None:
        return "by default"
    if isinstance(value, tuple | list):
        return " ".join(map(str, value))
    return str(value)


def _left_out(left_out: Sequence[tuple[str, str]]) -> str:
    if not left_out:
        return ""
    rows = "".join(f"<tr><th>{escape(path)}</th><td>{escape(why)}</td></tr>" for path, why in left_out)
    return f"<details><summary>{len(left_out)} files left out</summary><table>{rows}</table></details>"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


STYLE = """:root { color-scheme: light dark; --line: #8884; --bad: #c62828; --good: #2e7d32; --warn: #b26a00; }
@media (prefers-color-scheme: dark) { :root { --bad: #ff7b72; --good: #7ad07f; --warn: #e3a857; } }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0 0 .5rem; }
h2 { font-size: 1.05rem; margin: 0 0 .4rem; overflow-wrap: anywhere; }
h2 small { font-weight: normal; color: var(--good); }
.failed h2 small, .error { color: var(--bad); }
.counts span { margin-right: 1.5rem; }
.counts b { font-size: 1.4rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem .8rem; margin: 0; align-content: start; }
dt, th { color: GrayText; font-weight: normal; text-align: left; }
dd { margin: 0; overflow-wrap: anywhere; }
dl + section { margin-top: 1rem; }
section { border-top: 1px solid var(--line); padding: .9rem 0; }
.stack { display: grid; grid-template-columns: 14rem 1fr; gap: .3rem 1.5rem; }
.stack dl { grid-row: 1 / 3; }
.stack { grid-template-rows: auto 1fr; }
.notes { grid-column: 2; }
.pictures { grid-column: 2; display: flex; flex-wrap: wrap; gap: .8rem; align-items: flex-end; }
figure { margin: 0; }
figure img { display: block; max-width: 100%; max-height: 13rem; }
figcaption { color: GrayText; font-size: .85rem; }
p { margin: 0 0 .3rem; }
.warning { color: var(--warn); }
pre { white-space: pre-wrap; font-size: .8rem; }
td, th { padding: .1rem .8rem .1rem 0; vertical-align: top; overflow-wrap: anywhere; }
summary { cursor: pointer; }
"""
"""Style sheet of reports, for light and dark mode."""

_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>$title</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
$style</style></head><body>
<h1>$title</h1>
<p class="counts">$counts</p>
<dl>$facts</dl>
$rows
<section><h2>Parameters</h2>$parameters</section>
$left_out
</body></html>
""")
