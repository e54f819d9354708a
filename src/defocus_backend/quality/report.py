"""Report on many pictures: a self-contained HTML page with thumbnails, ordered from worst to best."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from defocus_backend.batch.report import STYLE
from defocus_backend.io import WholeFiles
from defocus_backend.quality.ledger import Entry, Ledger
from defocus_backend.quality.many import UNREADABLE
from defocus_backend.quality.table import Row

MOST_SHOWN = 1000
"""Largest number of pictures and stacks in a report; the worst are shown, and the table has all."""

_ORDER = (UNREADABLE, "nothing to judge", "out of focus", "soft", "in focus")
_CLASSES = dict(zip(_ORDER, ("bad", "none", "bad", "warn", "good"), strict=True))
_STYLE = """
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 1rem; }
.card { border-top: 3px solid var(--line); padding-top: .4rem; font-size: .85rem; overflow-wrap: anywhere; }
.card img { display: block; width: 100%; image-rendering: auto; background: #0002; }
.card b { font-size: .95rem; }
.bad { border-color: var(--bad); } .bad b { color: var(--bad); }
.warn { border-color: var(--warn); } .warn b { color: var(--warn); }
.good { border-color: var(--good); } .good b { color: var(--good); }
.card p { margin: .15rem 0; } .card small { color: GrayText; }
svg { width: 100%; height: 3rem; } polyline { fill: none; stroke: currentColor; }
circle { fill: var(--good); }
"""


@dataclass(frozen=True)
class _Card:
    """One picture or stack in the report, with the position of its entry."""

    order: int
    sigma: float
    key: str
    number: int

    @property
    def rank(self) -> tuple[int, float]:
        """Worst first."""
        return self.order, -self.sigma if math.isfinite(self.sigma) else 0.0


def write_report(path: Path, ledger: Ledger, keys: Sequence[str], facts: Iterable[tuple[str, str]]) -> None:
    """Write the report as an HTML page.

    Parameters
    ----------
    path : Path
    ledger : Ledger
        Opened.
    keys : sequence of str
        The pieces in the report.
    facts : iterable of (str, str)
        Facts at the top of the page, such as thresholds and times.

    Raises
    ------
    FileError
    """
    cards: list[_Card] = []
    counts = dict.fromkeys(_ORDER, 0)
    for entry in ledger.entries(keys):
        for number, row in enumerate(_shown(entry)):
            counts[row["verdict"]] += 1
            sigma = row.get("sigma_median_px")
            cards.append(
                _Card(_ORDER.index(row["verdict"]), math.nan if sigma is None else sigma, entry["key"], number)
            )
    cards.sort(key=lambda card: card.rank)
    with WholeFiles() as files, files.stage(path).open("w", encoding="utf-8", errors="replace") as file:
        file.write(_head(counts, facts, len(cards)))
        for card in cards[:MOST_SHOWN]:
            entry = next(ledger.entries([card.key]))
            file.write(_draw(entry, card.number))
        file.write("</div></body></html>\n")


def _shown(entry: Entry) -> Iterator[Row]:
    """Rows that get a card: one per stack, and one per plane that is not in a stack."""
    if entry["stacks"]:
        yield from entry["stacks"]
    else:
        yield from entry["planes"]


def _head(counts: dict[str, int], facts: Iterable[tuple[str, str]], total: int) -> str:
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    numbers = "".join(f"<span><b>{count}</b> {escape(verdict)}</span>" for verdict, count in counts.items() if count)
    rest = f"<p>The {MOST_SHOWN} worst of {total} are shown; the table has all.</p>" if total > MOST_SHOWN else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>defocus qc</title>\n'
        f"<style>{STYLE}{_STYLE}</style></head><body>\n<h1>Focus of {total} pictures and stacks, worst first</h1>\n"
        f'<p class="counts">{numbers}</p><dl>{listed}</dl>{rest}<div class="grid">\n'
    )


def _draw(entry: Entry, number: int) -> str:
    row = list(_shown(entry))[number]
    pictures = entry["thumbnails"]
    image = f'<img src="data:image/jpeg;base64,{pictures[number]}" alt="">' if number < len(pictures) else ""
    where = [f"{name} {row[name]}" for name in ("scene", "channel_name") if row.get(name)]
    where += [f"{name} {row[name]}" for name in ("position", "time") if row.get(name)]
    lines = [f"<b>{escape(row['verdict'])}</b> {escape(row.get('reason') or '')}", *map(escape, _figures(row))]
    lines.append(f"<small>{escape(Path(row['file']).name)} {escape(', '.join(where))}</small>")
    body = "".join(f"<p>{line}</p>" for line in lines)
    return f'<div class="card {_CLASSES[row["verdict"]]}">{image}{_curve(row)}{body}</div>\n'


def _figures(row: Row) -> Iterator[str]:
    sigma = row.get("sigma_median_px")
    if sigma is not None and math.isfinite(sigma):
        yield f"sigma {sigma:.2f} px, {row['in_focus_share']:.0%} in focus"
    if row.get("best_plane") is not None and "planes" in row:
        end = ", at the end of the stack" if row["at_end"] else ""
        unit = "µm" if row["z_unit"] == "um" else "planes"
        yield f"best plane {row['best_plane']} of {row['planes']}, z {row['best_z']:.2f} {unit}{end}"


def _curve(row: Row) -> str:
    """Sigma over the planes of a stack, with the best one marked."""
    values: list[Any] = row.get("curve") or []
    known = [(n, v) for n, v in enumerate(values) if v is not None and math.isfinite(v)]
    if len(known) < 2:
        return ""
    top = max(v for _, v in known)
    points = [(100 * n / max(1, len(values) - 1), 28 - 26 * v / max(top, 1e-6)) for n, v in known]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    best = row.get("best_plane")
    mark = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>'
        for (n, _), (x, y) in zip(known, points, strict=True)
        if n == best
    )
    return f'<svg viewBox="-3 0 106 30" preserveAspectRatio="none"><polyline points="{line}"/>{mark}</svg>'
