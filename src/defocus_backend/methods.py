"""Registries of all methods of this package and of published ones, one per kind of operation.

This module imports nothing heavy; the function of a method is imported when it is first called.

Other code can add methods to a registry with `add`. An installed package can add map methods by entry points of the
group ``defocus_backend.map_methods``, each of which refers to a `Method`. A network in ONNX format can be used as the
map method ``onnx:FILE.onnx``, see `compare.onnx_network`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any, Literal

from defocus_backend.registry import Names, Registry

Unit = Literal["px", "relative"]


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How a map method can be run tile by tile on a large image without a change of the map.

    Attributes
    ----------
    halo : int
        Radius in pixels of the neighbourhood on which a value of the map depends. Each tile is extended by this on
        every side; the image is mirrored beyond its border.
    multiple : int
        Tiles begin and end at multiples of this number of pixels, which is the total stride of a network.
    size : (int, int) or None
        Height and width of a tile, if the function only accepts one size; None for any size.
    """

    halo: int
    multiple: int = 1
    size: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method for a map, for sharpening, for blurring or for fusion.

    Attributes
    ----------
    name : str
        Key in the registry.
    text : str
        Short description.
    citation : str
        Source of the method.
    home : str or object
        Module in this package and function, such as ``"compare.lbp:lbp_map"``; or the function itself, for methods from
        other packages.
    unit : {"px", "relative"} or None
        Unit of a map: sigma in pixels, or only an order (larger is more blurred). None for methods other than maps.
    windows : bool
        Whether it classifies 32x32 windows and therefore uses the option `step`.
    colour : bool
        Whether a map method expects RGB (H, W, 3) instead of gray (H, W); gray images are then converted to RGB.
    tiling : Tiling or None
        Tiling of a map method; None if the method needs the whole image.
    """

    name: str
    text: str
    citation: str
    home: Any
    unit: Unit | None = None
    windows: bool = False
    colour: bool = False
    tiling: Tiling | None = None

    @property
    def function(self) -> Callable[..., Any]:
        """Import and return the function."""
        found: Callable[..., Any] = self.load()
        return found

    def load(self) -> Any:
        """Import and return the object at `home`."""
        return _find(self.home) if isinstance(self.home, str) else self.home


def _find(home: str) -> Any:
    module, _, name = home.partition(":")
    return getattr(import_module(f"defocus_backend.{module}"), name)


def _of_onnx(file: str) -> Method:
    found: Method = _find("compare.onnx_network:onnx_method")(file)
    return found


def _of_dmenet(file: str) -> Method:
    found: Method = _find("compare.dmenet:dmenet_method")(file)
    return found


_PAPER = "Galetto and Deng 2021"
_OURS = "this package"

DEFAULT_NETWORK = "pixelnet"
"""Name of the default network in `NETWORK_METHODS`."""

NETWORK_METHODS = Registry(
    "method",
    Method(
        name="pixelnet",
        text="network that classifies every pixel",
        citation=_OURS,
        home="defocus:defocus_map",
        unit="px",
    ),
    Method(
        name="blurnet",
        text="network that classifies 32x32 windows, run over the whole image",
        citation=_OURS,
        home="defocus:defocus_map",
        unit="px",
        windows=True,
    ),
    Method(
        name="mobilenetv2",
        text="the paper's network on 32x32 windows",
        citation=f"{_PAPER}; Sandler et al. 2018, doi:10.1109/CVPR.2018.00474",
        home="defocus:defocus_map",
        unit="px",
        windows=True,
    ),
)
"""Map methods that use a network whose weights come with the package."""

MAP_METHODS = Registry(
    "method",
    Method(
        name="energy_ratio",
        text="closed form from gradient energies at two scales",
        citation="spectrum as in Field 1987, doi:10.1364/JOSAA.4.002379",
        home="compare.energy_ratio:energy_ratio_map",
        unit="px",
    ),
    Method(
        name="zhuo_sim",
        text="gradient ratios at edges, spread by the matting Laplacian",
        citation="Zhuo and Sim 2011, doi:10.1016/j.patcog.2011.03.009",
        home="compare.zhuo_sim:zhuo_sim_map",
        unit="px",
    ),
    Method(
        name="fdm",
        text="gradient ratios at edges, spread over superpixels",
        citation="Chen, Chen and Chang 2016, ICIP",
        home="compare.fdm:fdm_map",
        unit="px",
    ),
    Method(
        name="lbp",
        text="local binary patterns at three scales",
        citation="Yi and Eramian 2016, doi:10.1109/TIP.2016.2528042",
        home="compare.lbp:lbp_map",
        unit="relative",
    ),
    Method(
        name="laplacian_variance",
        text="minus the variance of the Laplacian in a 16x16 window",
        citation="Pech-Pacheco et al. 2000, doi:10.1109/ICPR.2000.903548",
        home="compare.window_measures:laplacian_variance_map",
        unit="relative",
    ),
    Method(
        name="deviation",
        text="minus the standard deviation in a 16x16 window",
        citation=f"{_PAPER}, Fig. 7",
        home="compare.window_measures:deviation_map",
        unit="relative",
    ),
    Method(
        name="entropy",
        text="minus the entropy of gray values in a 16x16 window",
        citation=f"{_PAPER}, Fig. 7",
        home="compare.window_measures:entropy_map",
        unit="relative",
    ),
    entry_points="defocus_backend.map_methods",
    fits=lambda method: method.unit is not None and ":" not in method.name and method.name not in NETWORK_METHODS,
    files={"onnx:FILE.onnx": _of_onnx, "dmenet:FILE.npz": _of_dmenet},
)
"""Map methods without a network of this package, ``(gray, **parameters) -> map``, see `compare.maps.map_with`."""

SHARPEN_METHODS = Registry(
    "name",
    Method(
        name="unsharp",
        text="unsharp mask",
        citation="Ramponi 1998",
        home="compare.unsharp:unsharp_mask",
    ),
    Method(
        name="gum",
        text="generalised unsharp mask",
        citation="Deng 2011, doi:10.1109/TIP.2010.2092441",
        home="compare.gum:gum",
    ),
    Method(
        name="cas",
        text="contrast adaptive sharpening",
        citation="Lottes 2019, AMD FidelityFX",
        home="compare.cas:cas",
    ),
)
"""Published sharpeners, ``(image, *, channel_axis=None, value_range=None, **parameters) -> image``."""

SHALLOW_METHODS = Registry(
    "name",
    Method(
        name="lens",
        text="lens disc whose radius follows any depth or defocus map; near objects cover far ones",
        citation="as DeepLens after its depth stage: Wang et al. 2018, arXiv:1810.08100",
        home="compare.lens:lens_blur",
    ),
)
"""Published renderers, ``(image, depth, *, channel_axis=None, value_range=None, **parameters) -> image``."""

FUSION_METHODS = Registry(
    "name",
    Method(name="mean", text="arithmetic mean", citation="-", home="compare.mean:mean"),
    Method(
        name="laplacian_argmax",
        text="each pixel from the slice with the largest smoothed Laplacian energy",
        citation="Nayar and Nakagawa 1994, doi:10.1109/34.308479",
        home="compare.laplacian_argmax:laplacian_argmax",
    ),
    Method(
        name="pyramid",
        text="Laplacian pyramid",
        citation="Burt and Adelson 1983, doi:10.1109/TCOM.1983.1095851",
        home="compare.pyramid:laplacian_pyramid",
    ),
    Method(
        name="gff",
        text="guided filtering fusion",
        citation="Li, Kang and Hu 2013, doi:10.1109/TIP.2013.2244222",
        home="compare.gff:gff",
    ),
    Method(
        name="gfdf",
        text="guided filter of focus regions",
        citation="Qiu, Li, Zhang and Yuan 2019, doi:10.1016/j.image.2018.12.004",
        home="compare.gfdf:gfdf",
    ),
    Method(
        name="ifgd",
        text="gradient-domain fusion",
        citation="Paul, Sevcenco and Agathoklis 2016, doi:10.1142/S0218126616501231",
        home="compare.ifgd:ifgd",
    ),
)
"""Published fusion methods, ``(sources, *, channel_axis=None, value_range=None, **parameters) -> image``."""

BLENDS = Registry(
    "blend",
    Method(
        name="octaves",
        text="mean of the slices weighted by their scores, with separate weights for each octave of detail",
        citation=f"{_OURS}, after Burt and Adelson 1983, doi:10.1145/245.247",
        home="fusion.octaves:OCTAVE_BLEND",
    ),
    Method(
        name="decision",
        text="weighted sum with decision maps smoothed by a guided filter",
        citation=f"{_PAPER}, eqs 13 to 16",
        home="fusion.blend:DECISION",
    ),
    Method(
        name="pixels",
        text="every pixel from the chosen slice, with seams of about one pixel",
        citation=_OURS,
        home="fusion.blend:PIXELS",
    ),
)
"""Methods by which `fuse` blends the slices; each `home` is a `defocus_backend.fusion.blend.Blend`."""

DECISIONS = Registry(
    "decision",
    Method(
        name="combined",
        text="sigma combined with fine detail",
        citation=_OURS,
        home="fusion.decision:COMBINED",
    ),
    Method(name="sigma", text="sigma alone", citation=f"{_PAPER}, eq 14", home="fusion.decision:SIGMA"),
    Method(
        name="region",
        text="detail averaged over regions; small regions are removed",
        citation="after Qiu, Li, Zhang and Yuan 2019, doi:10.1016/j.image.2018.12.004",
        home="fusion.regions:REGION",
    ),
)
"""Methods by which `fuse` chooses slices; each `home` is a `defocus_backend.fusion.decision.Decision`."""

OWN_METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "sharpen": Method(
            name="adaptive",
            text="unsharp mask with a gain that follows the defocus map",
            citation=f"{_PAPER}, eqs 7 to 10",
            home="sharpen:sharpen",
        ),
        "shallow": Method(
            name="weighted",
            text="mix of the sharp picture and a blurred background, weighted by the defocus map",
            citation=f"{_PAPER}, eqs 11 and 12",
            home="shallow:shallow_depth_of_field",
        ),
        "fuse": Method(
            name="defocus",
            text="decision by the defocus maps of the slices, smoothed by a guided filter",
            citation=f"{_PAPER}, eqs 13 to 16",
            home="fusion:fuse",
        ),
    }
)
"""This package's method for each operation, by the name of the operation; the default on the command line."""


MAP_NAMES = Names(NETWORK_METHODS, MAP_METHODS)
"""Names of all map methods."""

PIXEL_MAP_NAMES = Names(NETWORK_METHODS, MAP_METHODS, where=lambda method: method.unit == "px", condition="in px")
"""Names of the map methods that return sigma in pixels."""


def methods_of(operation: str) -> list[Method]:
    """Methods of the operation ``"map"``, ``"sharpen"``, ``"shallow"`` or ``"fuse"``; the default comes first."""
    others: Mapping[str, Mapping[str, Method]] = {
        "map": MAP_METHODS,
        "sharpen": SHARPEN_METHODS,
        "shallow": SHALLOW_METHODS,
        "fuse": FUSION_METHODS,
    }
    own = NETWORK_METHODS.values() if operation == "map" else [OWN_METHODS[operation]]
    return [*own, *others[operation].values()]
