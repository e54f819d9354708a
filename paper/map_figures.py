"""Figures 5 to 9: the refinement of a map, and maps by other methods beside ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from defocus_backend.compare.maps import map_with
from defocus_backend.defocus import DefocusMap, defocus_map
from defocus_backend.evaluation.map_scores import rank_correlation
from defocus_backend.luma import LUMA
from defocus_backend.params import PAPER_REFINEMENT, MapParams
from defocus_backend.render import Scale, SheetPanel, draw_contact_sheet
from paper.inputs import Pixels, RenderedScene
from paper.result import Cell, Context, Figure, Item, ItemResult, Table

Map = NDArray[Any]

_SIGMA = Scale(low=0, high=12)
_ORDER = Scale(low=0, high=1, label="share of range")
_PHOTOS = "the paper's own photographs, which are not published"
_KNOWN = "a photograph rendered through a lens disc, so that the sigma of every pixel is known"


def _map(picture: Pixels, context: Context, *, method: str, step: int = 8) -> DefocusMap:
    """A map by one of our networks, refined with the paper's settings."""
    context.check()
    return defocus_map(
        picture,
        channel_axis=-1,
        map_method=method,
        step=step,
        **PAPER_REFINEMENT,
        device=context.device,
        progress=context.progress,
        cancel=context.cancel,
    )


def _mae(found: Map, scene: RenderedScene) -> float:
    return round(float(np.abs(found - scene.sigma).mean()), 3)


def _rank(found: Map, scene: RenderedScene) -> float:
    """Spearman's rank correlation with the true sigma, on every fourth pixel along both axes."""
    values, truth = (np.asarray(m[::4, ::4], dtype=np.float64).ravel() for m in (found, scene.sigma))
    return round(rank_correlation(values, truth), 3)


def make_figure5(context: Context) -> ItemResult:
    """The refinement on a scene of known blur, with the paper's network and with ours."""
    scene = context.inputs.known_scene
    rows: list[tuple[Cell, ...]] = []
    panels = [SheetPanel("picture", scene.picture), SheetPanel("true sigma", scene.sigma, _SIGMA)]
    for method in ("mobilenetv2", "blurnet", "pixelnet"):
        found = _map(scene.picture, context, method=method)
        for stage, values in (("before", found.raw), ("refined", found.sigma)):
            rows.append((method, stage, _mae(values, scene), _rank(values, scene)))
        if method == "mobilenetv2":
            panels.append(SheetPanel("guide", found.guide))
        if method != "blurnet":
            panels += [SheetPanel(f"{method}", found.raw, _SIGMA), SheetPanel("refined", found.sigma, _SIGMA)]
    order = [0, 3, 2, 4, 1, 5, 6]
    sheet = draw_contact_sheet([panels[n] for n in order], columns=4, panel_width=300)
    return ItemResult(
        tables=(
            Table(
                name="fig5",
                caption="Error of the map over all pixels and rank correlation with the true sigma.",
                columns=("network", "map", "MAE / px", "rank correlation"),
                rows=tuple(rows),
            ),
        ),
        pictures=(
            Figure(
                name="fig5",
                caption="Above: picture, map of the paper's network (step 8), guide, refined map. Below: true sigma, "
                "map of the per-pixel network, refined.",
                png=sheet,
            ),
        ),
        used=(f"{_KNOWN} ({context.inputs.source})",),
        missing=(_PHOTOS,),
        notes=(
            "The guide is used here. The authors' MATLAB computes it and then refines without it.",
            "Confidence weighs each pixel (GF(c M) / GF(c)), so that flat places take the blur of their surroundings; "
            "the paper has no confidence.",
        ),
    )


def make_figure6(context: Context) -> ItemResult:
    """Two photographs as they were taken: step 16, before and after the refinement."""
    panels = []
    for name, picture in context.inputs.portraits:
        found = _map(picture, context, method="mobilenetv2", step=16)
        panels += [
            SheetPanel(name, picture),
            SheetPanel("map, step 16", found.raw, _SIGMA),
            SheetPanel("refined", found.sigma, _SIGMA),
        ]
    return ItemResult(
        pictures=(
            Figure(
                name="fig6",
                caption="Photograph, map of the paper's network at step 16, refined map.",
                png=draw_contact_sheet(panels, columns=3, panel_width=340),
            ),
        ),
        used=(context.inputs.source,),
        missing=(_PHOTOS,),
    )


@dataclass(frozen=True)
class _Rival:
    """A method of `MAP_METHODS` with the parameters printed under a figure."""

    title: str
    method: str
    parameters: dict[str, Any]


def _compared(
    name: str,
    caption: str,
    rivals: list[_Rival],
    scene: RenderedScene,
    context: Context,
    *,
    step: int,
    **words: tuple[str, ...],
) -> ItemResult:
    """Maps by other methods and ours, unrefined and refined, each with its rank correlation with the ground truth."""
    gray = np.asarray(scene.picture @ np.array(LUMA))
    paper = MapParams(**PAPER_REFINEMENT)
    shown: list[tuple[str, Map, Map]] = []
    for method in ("mobilenetv2", "pixelnet"):
        found = _map(scene.picture, context, method=method, step=step)
        shown.append((f"ours, {method}", found.raw, found.sigma))
    for number, rival in enumerate(rivals):
        context.check()
        if context.progress is not None:
            context.progress(number, len(rivals), f"methods, {rival.title}")
        raw = map_with(rival.method, gray, **rival.parameters)
        refined = map_with(rival.method, gray, refine=True, params=paper, **rival.parameters)
        shown.append((rival.title, raw, refined))
    rows = tuple((title, _rank(raw, scene), _rank(refined, scene)) for title, raw, refined in shown)
    columns = len(shown) + 1
    above = [
        SheetPanel("picture", scene.picture),
        *(SheetPanel(title, _scaled(raw), _ORDER) for title, raw, _ in shown),
    ]
    below = [SheetPanel("true sigma", _scaled(scene.sigma), _ORDER)]
    below += [SheetPanel("refined", _scaled(refined), _ORDER) for _, _, refined in shown]
    return ItemResult(
        tables=(
            Table(
                name=name,
                caption="Spearman's rank correlation with the true sigma, before and after the refinement.",
                columns=("method", "unrefined", "refined"),
                rows=rows,
            ),
        ),
        pictures=(
            Figure(name=name, caption=caption, png=draw_contact_sheet(above + below, columns=columns, panel_width=230)),
        ),
        used=(f"{_KNOWN} ({context.inputs.source})",),
        missing=(_PHOTOS, *words.get("missing", ())),
        notes=words.get("notes", ()),
    )


def _scaled(values: Map) -> Map:
    """A map of any unit from 0 at its least to 1 at its largest value, for display beside others."""
    low, high = np.percentile(values, (0.5, 99.5))
    return np.asarray(np.clip((values - low) / max(high - low, 1e-12), 0, 1), dtype=np.float32)


def make_figure7(context: Context) -> ItemResult:
    """The classical measures."""
    rivals = [
        _Rival("entropy", "entropy", {}),
        _Rival("standard deviation", "deviation", {}),
        _Rival("variance of Laplacian", "laplacian_variance", {}),
    ]
    caption = "Top: unrefined maps. Bottom: refined by our filter. Each over its full range; yellow is blurred."
    notes = (
        "Each map is drawn over its own range here, as in the paper's figure; our maps are in pixels, the classical "
        "ones are only an order.",
        "The classical measures are taken with the opposite sign, so that larger is more blurred.",
    )
    return _compared("fig7", caption, rivals, context.inputs.known_scene, context, step=8, notes=notes)


_ONE_SCENE = ("One scene without noise is weak evidence; docs/results.md compares maps over many photographs.",)
_DMENET = ("DMENet (Lee et al. 2019), whose weights are not at hand: its column is left out",)


def make_figure8(context: Context) -> ItemResult:
    """The modern methods with the settings under Fig. 8."""
    rivals = [
        _Rival("Yi and Eramian", "lbp", {"threshold": 0.025, "windows": (7, 11, 15), "beta": 0.25}),
        _Rival(
            "Zhuo and Sim",
            "zhuo_sim",
            {"edge_threshold": 0.01, "sigma": 1.0, "strength": 0.001, "max_blur": 10.0},
        ),
        _Rival("FDM", "fdm", {"superpixels": 200, "sigma": 0.75}),
    ]
    caption = "Top: unrefined. Bottom: refined by our filter. Ours at step 32, without overlap, as in the paper."
    return _compared(
        "fig8", caption, rivals, context.inputs.small_scene, context, step=32, missing=_DMENET, notes=_ONE_SCENE
    )


def make_figure9(context: Context) -> ItemResult:
    """The same with the other settings of Yi and Eramian, under Fig. 9."""
    rivals = [
        _Rival("Yi and Eramian", "lbp", {"threshold": 0.005, "windows": (11, 15, 21), "beta": 0.5}),
        _Rival("Zhuo and Sim", "zhuo_sim", {}),
        _Rival("FDM", "fdm", {"sigma": 0.75}),
    ]
    caption = "Top: unrefined. Bottom: refined by our filter. Ours at step 8."
    return _compared(
        "fig9", caption, rivals, context.inputs.small_scene, context, step=8, missing=_DMENET, notes=_ONE_SCENE
    )


FIGURES = (
    Item(
        key="fig5",
        title="Figure 5: refinement of the map",
        paper="step 8, r = 16, eps = 0.005, 7 iterations; a fish before others out of focus",
        make=make_figure5,
    ),
    Item(key="fig6", title="Figure 6: refinement at step 16", paper="two photographs, step 16", make=make_figure6),
    Item(
        key="fig7",
        title="Figure 7: classical measures",
        paper="ours, entropy, standard deviation and variance of the Laplacian in 16x16 windows, as they are and "
        "refined",
        make=make_figure7,
    ),
    Item(
        key="fig8",
        title="Figure 8: modern methods",
        paper="Yi (beta 0.25, windows 7, 11, 15, T 0.025), Zhuo (e 0.01, sigma 1, lambda 0.001, M 10), DMENet, FDM "
        "(200 superpixels, sigma 0.75), ours at step 32",
        make=make_figure8,
    ),
    Item(
        key="fig9",
        title="Figure 9: modern methods, second photograph",
        paper="Yi (beta 0.5, windows 11, 15, 21, T 0.005), Zhuo, DMENet, FDM (sigma 0.75), ours",
        make=make_figure9,
    ),
)
