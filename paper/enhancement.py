"""Figures 10 to 12: adaptive sharpening and shallow depth of field."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from defocus_backend.compare import sharpen_with
from defocus_backend.compare.lens import lens_blur
from defocus_backend.defocus import defocus_map
from defocus_backend.metrics import psnr
from defocus_backend.params import SharpenParams
from defocus_backend.render import Scale, SheetPanel, draw_contact_sheet
from defocus_backend.shallow import shallow_depth_of_field, shallow_weights
from defocus_backend.sharpen import gain_map, sharpen
from paper.charts import draw_curves
from paper.inputs import Pixels, RenderedScene
from paper.result import Cell, Context, Figure, Item, ItemResult, Table

_LEVELS = 19.0


def of_paper(alpha1: float, beta1: float, alpha2: float, beta2: float) -> dict[str, float]:
    """The options of `sharpen` for the symbols of eqs 9 and 10, whose blur is divided by 19 px."""
    span = 2 * math.log(9) * _LEVELS
    found = {"rise_at": _LEVELS * beta1, "rise_width": span / alpha1}
    return found | {"fall_at": _LEVELS * beta2, "fall_width": span / alpha2}


_FIG10 = (50.0, 0.1, 25.0)
_FIG10_BETA2 = (0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
_FIG11: dict[str, Any] = {"max_gain": 2.0, **of_paper(30.0, 0.15, 92.0, 0.4)}
_FIG12: dict[str, Any] = {"radius": 33, "edge_tolerance": 128.0, "iterations": 5, "sharpen_gain": 0.25}
_LOW_PASS = SharpenParams.low_pass
_C0, _C1, _W0, _W1 = 1.0, 7.0, 0.999, 0.001

_SIGMA = Scale(low=0, high=12)
_GAIN = Scale(low=0, high=2, label="gain", colormap="magma")
_WEIGHT = Scale(low=0, high=1, label="weight", colormap="gray")
_PHOTOS = "the paper's own photographs, which are not published"


def make_figure10(context: Context) -> ItemResult:
    """The gain over the normalised blur for several beta2."""
    context.check()
    share = np.linspace(0, 1, 201, dtype=np.float32)
    curves = {
        f"beta2 = {beta2}": gain_map(share[None] * _LEVELS, max_gain=1.0, **of_paper(*_FIG10, beta2))[0]
        for beta2 in _FIG10_BETA2
    }
    rows: list[tuple[Cell, ...]] = []
    for beta2 in _FIG10_BETA2:
        at = gain_map(np.array([[0.1, beta2]], dtype=np.float32) * _LEVELS, max_gain=1.0, **of_paper(*_FIG10, beta2))[0]
        rows.append((beta2, round(float(at[0]), 4), 0.5, round(float(at[1]), 4), 0.5))
    chart = draw_curves(
        share.tolist(),
        {name: values.tolist() for name, values in curves.items()},
        x_label="blur / 19 px",
        y_label="gain",
        title="Gain of eqs 8 to 10: alpha1 = 50, beta1 = 0.1, alpha2 = 25",
    )
    return ItemResult(
        tables=(
            Table(
                name="fig10",
                caption="Gain where the paper says that it is half of the largest.",
                columns=("beta2", "gain at beta1", "gain at beta1, paper", "gain at beta2", "gain at beta2, paper"),
                rows=tuple(rows),
            ),
            Table(
                name="fig10_curves",
                caption="The curves at every twentieth of the range.",
                columns=("blur / 19 px", *curves),
                rows=tuple(
                    (round(float(x), 3), *(round(float(values[n]), 4) for values in curves.values()))
                    for n, x in enumerate(share)
                    if n % 10 == 0
                ),
            ),
        ),
        pictures=(
            Figure(name="fig10", caption="The gain for several beta2; the paper does not list its own.", png=chart),
        ),
        notes=(
            "Half the gain is reached at beta1 and beta2 only where the two lie far apart: the gain is the product of "
            "both sigmoids.",
            "M is divided by 19, so that the gain depends on the blur alone. Scaled by the least and the largest "
            "value of each map, the same blur would get another gain in another picture.",
        ),
    )


def make_figure11(context: Context) -> ItemResult:
    """Ours beside unsharp masking, GUM and CAS on a scene of known blur."""
    scene = context.inputs.known_scene
    sigma = defocus_map(
        scene.picture, channel_axis=-1, map_method="mobilenetv2", step=16, device=context.device, cancel=context.cancel
    ).sigma
    own = sharpen(scene.picture, sigma, channel_axis=-1, **_FIG11, device=context.device)
    context.check()
    made: dict[str, Pixels] = {
        "unsharp mask, 2": sharpen_with("unsharp", scene.picture, channel_axis=-1, gain=2.0, sigma=_LOW_PASS),
        "GUM": sharpen_with("gum", scene.picture, channel_axis=-1, gain=7.0, contrast=5e-4),
        "CAS": sharpen_with("cas", scene.picture, channel_axis=-1),
        "ours": own.image,
    }
    rows = [_change("not sharpened", scene.picture, scene)]
    rows += [_change(name, image, scene) for name, image in made.items()]
    panels = [
        SheetPanel("picture", scene.picture),
        SheetPanel("refined map, step 16", sigma, _SIGMA),
        SheetPanel("gain", own.gain, _GAIN),
        *(SheetPanel(name, image) for name, image in made.items()),
    ]
    return ItemResult(
        tables=(
            Table(
                name="fig11",
                caption="PSNR in dB to the sharp photograph by true sigma, and the mean change of gray value that "
                "sharpening made.",
                columns=("method", *(f"PSNR {name}" for name in _ZONES), *(f"change {name}" for name in _ZONES)),
                rows=tuple(rows),
            ),
        ),
        pictures=(
            Figure(
                name="fig11",
                caption="Image, refined map, gain; unsharp mask with gain 2, GUM, CAS, ours.",
                png=draw_contact_sheet(panels, columns=4, panel_width=330),
            ),
        ),
        used=(f"a rendered photograph of known blur ({context.inputs.source})",),
        missing=(_PHOTOS,),
        notes=(
            "What matters is where a method sharpens: the paper wants no change where the picture is sharp already, "
            "nor where it is blurred beyond repair.",
            "The paper's lambda = -0.125 of CAS is the mild end of AMD's range, -1/8 to -1/5: sharpness 0 here.",
            "The low pass of eq 7 is a Gaussian of 2 px for ours and for the unsharp mask; the paper does not give "
            "its own.",
        ),
    )


_ZONES = {"below 1 px": (0.0, 1.0), "2 to 6 px": (2.0, 6.0), "above 9 px": (9.0, math.inf)}


def _change(name: str, image: Pixels, scene: RenderedScene) -> tuple[Cell, ...]:
    """PSNR and mean absolute change in each zone of true sigma; None where a zone is empty."""
    quality: list[Cell] = []
    change: list[Cell] = []
    for low, high in _ZONES.values():
        zone = (scene.sigma >= low) & (scene.sigma < high)
        if not zone.any():
            quality.append(None)
            change.append(None)
            continue
        # A column of pixels is a picture to PSNR.
        quality.append(round(psnr(image[zone][:, None], scene.sharp[zone][:, None], channel_axis=-1), 2))
        change.append(round(float(np.abs(image[zone].astype(float) - scene.picture[zone]).mean()), 2))
    return name, *quality, *change


def printed_weight(sigma: NDArray[np.float64]) -> NDArray[np.float64]:
    """Eq 12 as it is printed, symmetric about M = 10; sigma in pixels."""
    ends = [math.log(-math.log(1 - w)) for w in (_W0, _W1)]
    gamma = (ends[0] - ends[1]) / (math.log(10 - _C0) - math.log(10 - _C1))
    spread = (10 - _C0) / (-math.log(1 - _W0)) ** (1 / gamma)
    return np.asarray(1 - np.exp(-(np.abs((sigma - 10) / spread) ** gamma)))


def make_figure12(context: Context) -> ItemResult:
    """Weights and results on two photographs, and the weight over the blur."""
    levels = np.linspace(0, _LEVELS, 191)
    ours = shallow_weights(
        levels[None].astype(np.float32), sharp_below=_C0, blur_above=_C1, sharp_weight=_W0, blur_weight=_W1
    )[0]
    printed = printed_weight(levels)
    chart = draw_curves(
        levels.tolist(),
        {"printed eq 12": printed.tolist(), "ours": ours.tolist()},
        x_label="sigma / px",
        y_label="weight of the sharp picture",
        title="c0 = 1, c1 = 7, W0 = 0.999, W1 = 0.001",
    )
    panels = []
    for name, picture in (context.inputs.portraits[0], ("rendered", context.inputs.known_scene.picture)):
        context.check()
        sigma = defocus_map(picture, channel_axis=-1, device=context.device, cancel=context.cancel).sigma
        made = shallow_depth_of_field(
            picture,
            sigma,
            channel_axis=-1,
            sharp_below=_C0,
            blur_above=_C1,
            **_FIG12,
            device=context.device,
            cancel=context.cancel,
        )
        lens = lens_blur(picture, sigma, channel_axis=-1)
        panels += [
            SheetPanel(name, picture),
            SheetPanel("weight", made.weights, _WEIGHT),
            SheetPanel("shallow depth of field", made.image),
            SheetPanel("lens renderer on our map", lens),
        ]
    rows = tuple(
        (float(m), round(float(printed[round(10 * m)]), 4), round(float(ours[round(10 * m)]), 4))
        for m in (0, 1, 2, 4, 6, 7, 8, 10, 12, 13, 16, 19)
    )
    return ItemResult(
        tables=(
            Table(
                name="fig12",
                caption="Weight of the sharp picture.",
                columns=("sigma / px", "eq 12 as printed", "ours"),
                rows=rows,
            ),
        ),
        pictures=(
            Figure(
                name="fig12",
                caption="A photograph as it was taken and a rendered one: picture, weight, result with the paper's "
                "settings, and a lens renderer fed with our map.",
                png=draw_contact_sheet(panels, columns=4, panel_width=330),
            ),
            Figure(name="fig12_weight", caption="The weight over the blur.", png=chart),
        ),
        used=(context.inputs.source,),
        missing=(
            _PHOTOS,
            "DeepLens (Wang et al. 2018), whose network is not at hand: its second stage, a lens renderer, on our map",
        ),
        notes=(
            "As printed, eq 12 is symmetric about M = 10: what is blurred by 19 px would be sharpened again. Ours "
            "falls to 0 at 10 px and stays there.",
            "The subject is painted over before the background is blurred, so that its colour does not bleed into it; "
            "the paper says nothing of that.",
        ),
    )


FIGURES = (
    Item(
        key="fig10",
        title="Figure 10: gain over blur",
        paper="alpha1 = 50, beta1 = 0.1, alpha2 = 25, beta2 varies; half the gain at beta1 and beta2",
        make=make_figure10,
    ),
    Item(
        key="fig11",
        title="Figure 11: adaptive sharpening",
        paper="alpha1 = 30, beta1 = 0.15, alpha2 = 92, beta2 = 0.4, gain 2, step 16; unsharp mask 2, GUM (kappa "
        "5e-4, 7), CAS (-0.125)",
        make=make_figure11,
    ),
    Item(
        key="fig12",
        title="Figure 12: shallow depth of field",
        paper="r = 33, eps = 128, 5 iterations, unsharp mask 0.25; beside DeepLens",
        make=make_figure12,
    ),
)
