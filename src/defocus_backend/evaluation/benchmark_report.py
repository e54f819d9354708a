"""Records of the benchmark as values, as JSON and as Markdown tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from defocus_backend.evaluation.benchmark import CONDITIONS, FRAME, PSFS, TEXTURE_WINDOW, TEXTURED, SceneScore, Trial
from defocus_backend.evaluation.map_scores import BAND, REACH, EdgeScores, Errors, rank_correlation
from defocus_backend.synthetic.compositions import KINDS

Figures = dict[str, Any]

SLIGHT = 4
"""Blur up to this many pixels is reported separately, because differences are visible there."""

_SHOWN_SIGMAS = (0, 1, 2, 4, 6, 8, 11, 15)


def summarise(trial: Trial) -> Figures:
    """All values of one variant of a method.

    Returns
    -------
    dict
        Errors in pixels for ``"textured"`` and ``"everywhere"``, each in all, by condition, by point
        spread function and by whole sigma; ``"edges"`` of steps between sharp and 6 px, of all steps and of
        layered scenes; rank correlations and separation; seconds per scene. NaN where nothing was measured.
    """
    records = trial.records
    figures: Figures = {
        "method": trial.name,
        "variant": trial.variant,
        "unit": trial.unit,
        "scenes": len(records),
        "seconds_per_scene": trial.seconds / max(len(records), 1),
        "spearman_ramps": _mean(r.spearman_textured for r in records),
        "spearman_ramps_everywhere": _mean(r.spearman_everywhere for r in records),
        "spearman_pooled": _pooled_rank(records),
        "separation": _mean(r.separation for r in records),
        "spearman_ramps_by_condition": {
            name: _mean(r.spearman_textured for r in records if r.condition == name) for name in CONDITIONS
        },
    }
    if trial.unit == "px":
        figures["textured"] = _region(records, lambda r: r.textured)
        figures["everywhere"] = _region(records, lambda r: r.everywhere)
        figures["edges"] = {
            "step 0/6": _edges(r for r in records if r.kind == "step" and sorted(r.sigmas) == [0.0, 6.0]),
            "step": _edges(r for r in records if r.kind == "step"),
            "layered": _edges(r for r in records if r.kind == "layered"),
        }
    return figures


def _region(records: Sequence[SceneScore], errors_of: Callable[[SceneScore], Errors | None]) -> Figures:
    def pooled(part: Iterable[SceneScore]) -> Errors:
        return sum((errors for r in part if (errors := errors_of(r)) is not None), Errors())

    every = pooled(records)
    return {
        **_errors(every),
        "by_condition": {name: _errors(pooled(r for r in records if r.condition == name)) for name in CONDITIONS},
        "by_psf": {name: _errors(pooled(r for r in records if r.psf == name)) for name in PSFS},
        "by_kind": {name: _errors(pooled(r for r in records if r.kind == name)) for name in KINDS},
        "by_sigma": every.by_sigma(),
    }


def _errors(errors: Errors) -> Figures:
    return {
        "pixels": errors.pixels,
        "mae": errors.mae(),
        "mae_slight": errors.mae(SLIGHT),
        "rmse": errors.rmse,
        "bias": errors.bias,
    }


def _edges(records: Iterable[SceneScore]) -> Figures:
    edges: list[EdgeScores] = [r.edge for r in records if r.edge is not None]
    crossings = np.concatenate([e.crossings for e in edges]) if edges else np.empty(0)
    return {
        "scenes": len(edges),
        "error_near": sum((e.near_all for e in edges), Errors()).mae(),
        "error_near_textured": sum((e.near_textured for e in edges), Errors()).mae(),
        "precision": _mean(e.precision for e in edges),
        "recall": _mean(e.recall for e in edges),
        "f_score": _mean(e.f_score for e in edges),
        "crossing_median": float(np.median(crossings)) if len(crossings) else math.nan,
    }


def _mean(values: Iterable[float | None]) -> float:
    found = [v for v in values if v is not None and not math.isnan(v)]
    return float(np.mean(found)) if found else math.nan


def _pooled_rank(records: Sequence[SceneScore]) -> float:
    if not records:
        return math.nan
    found, truth = np.concatenate([r.samples for r in records], axis=1)
    return rank_correlation(found, truth)


def as_json(trials: Sequence[Trial], **settings: Any) -> Figures:
    """Values of all trials and their settings, ready for `json.dump`; NaN becomes null."""
    stated = {
        "frame_px": FRAME,
        "textured": f"variance of the Laplacian above {TEXTURED:g} in {TEXTURE_WINDOW}x{TEXTURE_WINDOW} px",
        "edge_band_px": BAND,
        "boundary_reach_px": REACH,
        **settings,
    }
    cleaned: Figures = _without_nan({"settings": stated, "results": [summarise(t) for t in trials]})
    return cleaned


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(v) for v in value]
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 4)
    return value


def as_markdown(trials: Sequence[Trial]) -> str:
    """Tables of all trials: errors of textured and of all pixels, edges, bias by sigma, order, time."""
    every = [summarise(t) for t in trials]
    measured = [f for f in every if f["unit"] == "px"]
    parts = [
        _error_table(f"Textured pixels (variance of the Laplacian above {TEXTURED:g})", measured, "textured"),
        _error_table("All pixels", measured, "everywhere"),
        _edge_table(measured),
        _bias_table(measured),
        _order_table(every),
    ]
    return "\n\n".join(parts) + "\n"


def _table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"### {title}", "", "| " + " | ".join(heads) + " |", "|" + "---|" * 2 + "---:|" * (len(heads) - 2)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _cells(figures: Figures, values: Iterable[float], digits: int = 2) -> list[str]:
    return [figures["method"], figures["variant"], *(_number(v, digits) for v in values)]


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _error_table(title: str, every: Sequence[Figures], region: str) -> str:
    heads = ["method", "variant", "MAE", f"MAE to {SLIGHT} px", "RMSE", "bias", *CONDITIONS, *PSFS]
    rows = []
    for figures in every:
        part = figures[region]
        overall = [part["mae"], part["mae_slight"], part["rmse"], part["bias"]]
        groups = [part["by_condition"][n]["mae"] for n in CONDITIONS] + [part["by_psf"][n]["mae"] for n in PSFS]
        rows.append(_cells(figures, overall + groups))
    return _table(f"{title}: errors in px; MAE by condition and point spread function", heads, rows)


def _edge_table(every: Sequence[Figures]) -> str:
    heads = ["method", "variant"]
    for kind in ("step 0/6", "step", "layered"):
        heads += [f"{kind}: error", "textured", "F", "crossing"]
    rows = []
    for figures in every:
        values: list[float] = []
        for part in figures["edges"].values():
            values += [part[k] for k in ("error_near", "error_near_textured", "f_score", "crossing_median")]
        rows.append(_cells(figures, values))
    title = f"Edges: error within {BAND:g} px, boundary F within {REACH:g} px, median distance of the crossing in px"
    return _table(title, heads, rows)


def _bias_table(every: Sequence[Figures]) -> str:
    rows = []
    for figures in every:
        bias = {int(row["sigma"]): row["bias"] for row in figures["textured"]["by_sigma"]}
        rows.append(_cells(figures, (bias.get(s, math.nan) for s in _SHOWN_SIGMAS)))
    heads = ["method", "variant", *(f"sigma {s}" for s in _SHOWN_SIGMAS)]
    return _table("Bias by true sigma, textured pixels, in px", heads, rows)


def _order_table(every: Sequence[Figures]) -> str:
    heads = ["method", "variant", "ramps", *(f"ramps, {n}" for n in CONDITIONS), "all scenes", "separation", "s/scene"]
    rows = []
    for figures in every:
        by_condition = [figures["spearman_ramps_by_condition"][n] for n in CONDITIONS]
        ranks = [figures["spearman_ramps"], *by_condition, figures["spearman_pooled"], figures["separation"]]
        rows.append(_cells(figures, [*ranks, figures["seconds_per_scene"]]))
    title = "Order: Spearman's rank correlation in ramps and over all scenes, separation of two depths (AUC), time"
    return _table(title + " for both variants", heads, rows)
