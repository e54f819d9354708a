"""The published blur maps by name, each to be run alone or refined by our weighted guided filter.

A method that needs a network of its own, such as DMENet (Lee et al. 2019), joins as one more `MapMethod`
whose function loads its weights on the first call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from defocus_backend.compare.energy_ratio import energy_ratio_map
from defocus_backend.compare.fdm import fdm_map
from defocus_backend.compare.gray import Array, check_gray
from defocus_backend.compare.lbp import lbp_map
from defocus_backend.compare.window_measures import deviation_map, entropy_map, laplacian_variance_map
from defocus_backend.compare.zhuo_sim import zhuo_sim_map
from defocus_backend.errors import InputError
from defocus_backend.params import DefocusParams

_LARGEST = 19.0


@dataclass(frozen=True, kw_only=True)
class MapMethod:
    """A published way to tell how blurred every pixel of a gray picture is.

    Attributes
    ----------
    name : str
        Key of `MAP_METHODS`.
    function : callable
        ``(gray, **parameters) -> map``: a gray picture (H, W) on the scale 0..255, the paper's parameters as
        keyword defaults, and a float64 map (H, W) that is larger where the picture is more blurred.
    unit : {"px", "relative"}
        Whether the map is a sigma in pixels or only an order.
    citation : str
        Who described it.
    """

    name: str
    function: Callable[..., Array]
    unit: Literal["px", "relative"]
    citation: str

    def __call__(
        self, gray: ArrayLike, *, refine: bool = False, params: DefocusParams | None = None, **parameters: Any
    ) -> Array:
        """The map of a gray picture.

        Parameters
        ----------
        gray : (H, W) array_like
            Gray values 0..255.
        refine : bool
            Refine the map by the iterated weighted guided filter, as in Fig. 7 of Galetto and Deng 2021.
        params : DefocusParams or None
            Settings of that filter.
        **parameters
            Of the method.

        Returns
        -------
        (H, W) float64 array
            In the method's unit.

        Raises
        ------
        InputError
            If an argument cannot be used.
        """
        found = self.function(gray, **parameters)
        return refine_values(found, gray, params) if refine else found


def refine_values(values: Array, gray: ArrayLike, params: DefocusParams | None = None) -> Array:
    """Refine a map of any unit by `defocus.refine_map`; the result stays within the map's range.

    Parameters
    ----------
    values : (H, W) array
        The map.
    gray : (H, W) array_like
        Its picture, gray values 0..255.
    params : DefocusParams or None
        Radius, eps, iterations and subsample of the filter.

    Returns
    -------
    (H, W) float64 array
        In units of `values`.
    """
    import torch

    from defocus_backend.defocus import refine_map

    if values.shape != check_gray(gray).shape:
        raise InputError("values", f"shape {values.shape}", "the shape of the picture")
    low, span = float(values.min()), float(np.ptp(values))
    if span == 0:
        return values.copy()
    # The filter is linear and keeps to 0..19 px: any other unit passes through on that scale.
    scaled: NDArray[np.float32] = ((values - low) * (_LARGEST / span)).astype(np.float32)
    unit = (check_gray(gray) / 255).astype(np.float32)
    refined, _ = refine_map(torch.from_numpy(scaled), torch.from_numpy(unit), params or DefocusParams())
    return np.asarray(refined.numpy().astype(np.float64) * (span / _LARGEST) + low)


_PAPER = "Galetto and Deng 2021, Fig. 7"

MAP_METHODS: dict[str, MapMethod] = {
    method.name: method
    for method in (
        MapMethod(name="entropy", function=entropy_map, unit="relative", citation=_PAPER),
        MapMethod(name="deviation", function=deviation_map, unit="relative", citation=_PAPER),
        MapMethod(
            name="laplacian_variance",
            function=laplacian_variance_map,
            unit="relative",
            citation="Pech-Pacheco et al. 2000, doi:10.1109/ICPR.2000.903548",
        ),
        MapMethod(
            name="lbp",
            function=lbp_map,
            unit="relative",
            citation="Yi and Eramian 2016, doi:10.1109/TIP.2016.2528042",
        ),
        MapMethod(
            name="zhuo_sim",
            function=zhuo_sim_map,
            unit="px",
            citation="Zhuo and Sim 2011, doi:10.1016/j.patcog.2011.03.009",
        ),
        MapMethod(name="fdm", function=fdm_map, unit="px", citation="Chen, Chen and Chang 2016, ICIP"),
        MapMethod(
            name="energy_ratio",
            function=energy_ratio_map,
            unit="px",
            citation="closed form; spectrum as in Field 1987, doi:10.1364/JOSAA.4.002379",
        ),
    )
}
"""All comparison maps by name."""


def map_method(name: str) -> MapMethod:
    """Look a method up by name; raise `InputError` for a name that is not registered."""
    if name not in MAP_METHODS:
        raise InputError("method", repr(name), "one of " + ", ".join(MAP_METHODS))
    return MAP_METHODS[name]
