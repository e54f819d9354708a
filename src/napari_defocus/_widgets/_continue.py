"""Results of an earlier session, or of a dock that was closed, taken up again from their layers."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from defocus_backend.errors import DefocusError
from napari_defocus._fusing import FusedStack
from napari_defocus._layers import identity, made_by
from napari_defocus._stacks import StackChoice, find_sources

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer


@dataclass(frozen=True)
class Earlier:
    """A fusion that can be painted on again.

    Attributes
    ----------
    stack : FusedStack
    sources : list of Layer
        The layers that were fused.
    labels, image : Layer
        Decision map and fused image.
    automatic, original : array
        Both as the run made them.
    layers : dict
        All layers of that run, by role.
    settings : dict
        Arguments of the run.
    """

    stack: FusedStack
    sources: list[Layer]
    labels: Any
    image: Layer
    automatic: NDArray[Any]
    original: NDArray[Any]
    layers: dict[str, Layer]
    settings: dict[str, Any]


def find_earlier(viewer: Viewer) -> Earlier | None:
    """The newest fusion among the layers whose stack is open; None if there is none."""
    for labels in reversed(list(viewer.layers)):
        about = made_by(labels)
        if about.get("role") != "index" or about.get("automatic") is None or "choice" not in about:
            continue
        layers = {made_by(x)["role"]: x for x in viewer.layers if made_by(x).get("run") == about.get("run")}
        image = layers.get("fused")
        held = deepcopy(about["choice"])
        sources = find_sources(held, viewer)
        if image is None or sources is None or about["automatic"].shape != np.shape(labels.data):
            continue
        original = made_by(image).get("original")
        try:
            choice = StackChoice.from_dict(held, sources)
            stack = FusedStack.again(
                choice, about["options"], about["aligned"], about["border"], about.get("gains", ())
            )
        except (DefocusError, KeyError, TypeError):
            continue
        wanted = {s.identity for s in sources}
        return Earlier(
            stack,
            [x for x in viewer.layers if identity(x) in wanted],
            labels,
            image,
            about["automatic"],
            np.array(image.data if original is None else original),
            layers,
            {**about.get("arguments", {}), "align": about.get("arguments", {}).get("align", "off")},
        )
    return None


def missing_stack(viewer: Viewer) -> tuple[str, str | None] | None:
    """Name and file of a stack whose results are open while it is not; None if there is none."""
    for labels in viewer.layers:
        held = made_by(labels).get("choice") if made_by(labels).get("role") == "index" else None
        if held is not None and find_sources(deepcopy(held), viewer) is None:
            return held["names"][0], held["paths"][0]
    return None
