"""Figures 14 and 15: the steps of a fusion, and results beside other methods."""

from __future__ import annotations

import numpy as np
import torch

from defocus_backend.arrays import as_image
from defocus_backend.fusion import fuse_by_index
from defocus_backend.fusion.blend import guided_weight
from defocus_backend.params import BlendParams
from defocus_backend.render import Scale, SheetPanel, draw_contact_sheet
from paper.fusion_scores import COOKIE, SHOWN, fused_by, paper_maps, truth_scores
from paper.inputs import Pair
from paper.result import Cell, Context, Figure, Item, ItemResult, Table

_PAPER = BlendParams(radius=7, edge_tolerance=1e-3)
_SIGMA = Scale(low=0, high=6)
_WEIGHT = Scale(low=0, high=1, label="weight", colormap="gray")
_SECOND_LYTRO = 13
_TITLES = {
    "gff": "GFF",
    "gfdf": "GFDF",
    "ifgd": "IFGD",
    "paper, mobilenetv2": "as the paper",
    "default": "ours, default",
    "region": "ours, whole regions",
}


def _pairs(context: Context) -> tuple[tuple[Pair, ...], tuple[str, ...]]:
    """Two pairs to show, and the inputs that are not available."""
    if context.inputs.pictures == "data":
        found = [context.inputs.lytro(number) for number in (COOKIE, _SECOND_LYTRO)]
        if all(found):
            return tuple(pair for pair in found if pair is not None), (
                "the paper's second pair, which it does not name",
            )
    return context.inputs.rendered_pairs, (
        "the Lytro pairs, which may not be shown here: rendered pairs with truth instead",
    )


def make_figure14(context: Context) -> ItemResult:
    """The steps of a fusion by the paper's rule."""
    pairs, missing = _pairs(context)
    pair = pairs[0]
    sigmas = [found.sigma for found in paper_maps(pair, "mobilenetv2", context)]
    index = np.argmin(sigmas, axis=0)
    decisions = [index == n for n in range(2)]
    weights = torch.stack(
        [
            guided_weight(torch.from_numpy(decision), as_image(image, channel_axis=-1).gray, _PAPER)
            for decision, image in zip(decisions, pair.slices, strict=True)
        ]
    )
    shares = (weights / weights.sum(0)).numpy()
    fused = fuse_by_index(pair.slices, index, channel_axis=-1, blend_settings=_PAPER, device=context.device)
    panels = []
    for number, image in enumerate(pair.slices):
        panels += [
            SheetPanel("input, near" if number == 0 else "input, far", image),
            SheetPanel("defocus map", sigmas[number], _SIGMA),
            SheetPanel("decision", decisions[number]),
            SheetPanel("weight", shares[number], _WEIGHT),
            *([SheetPanel("fused", fused)] if number == 0 else []),
        ]
    sheet = draw_contact_sheet(panels, columns=5, panel_width=260)
    return ItemResult(
        pictures=(
            Figure(name="fig14", caption="Inputs, maps, decisions, weights (r = 7, eps = 1e-3), result.", png=sheet),
        ),
        used=(pair.name,),
        missing=missing,
        notes=(
            "A tie goes to the lowest index, and the minimum is taken over all pictures; eq 14 as printed takes ties "
            "twice.",
        ),
    )


def make_figure15(context: Context) -> ItemResult:
    """Results of other methods and ours on two pairs."""
    pairs, missing = _pairs(context)
    panels: list[SheetPanel] = []
    rows: list[tuple[Cell, ...]] = []
    for pair in pairs:
        panels += [SheetPanel("A", pair.slices[0]), SheetPanel("B", pair.slices[1])]
        for number, name in enumerate(SHOWN):
            context.check()
            if context.progress is not None:
                context.progress(number, len(SHOWN), f"methods, {pair.name}")
            if name not in _TITLES and pair.truth is None:
                continue
            fused = fused_by(name, pair, context)
            if name in _TITLES:
                panels.append(SheetPanel(_TITLES[name], fused))
            if pair.truth is not None:
                rows.append((pair.name, _TITLES.get(name, f"as the {name}"), *truth_scores(fused, pair)))
    table = Table(
        name="fig15",
        caption="Against the sharp picture from which the pair was rendered.",
        columns=("pair", "method", "PSNR / dB", "SSIM"),
        rows=tuple(rows),
    )
    sheet = draw_contact_sheet(panels, columns=len(_TITLES) + 2, panel_width=230)
    return ItemResult(
        tables=(table,) if rows else (),
        pictures=(Figure(name="fig15", caption="A, B, " + ", ".join(_TITLES.values()) + ".", png=sheet),),
        used=tuple(pair.name for pair in pairs),
        missing=missing,
    )


FIGURES = (
    Item(
        key="fig14",
        title="Figure 14: steps of a fusion",
        paper="inputs, defocus maps, decision maps, weights with r = 7 and eps = 1e-3, result",
        make=make_figure14,
    ),
    Item(
        key="fig15",
        title="Figure 15: fused pairs",
        paper="two Lytro pairs by GFF (45, 0.3, 7, 1e-6), GFDF (5, 0.3, 7), IFGD, ours (step 4, r = 7, eps = 1e-3)",
        make=make_figure15,
    ),
)
