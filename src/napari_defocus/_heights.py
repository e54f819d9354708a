"""The height map of a fusion as the library's surface functions take it, with its unit and the size of a pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_defocus._layers import Result, provenance
from napari_defocus._stacks import StackChoice

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_defocus._widgets._repaint import Repainter


@dataclass(frozen=True, eq=False)
class HeightMap:
    """Height and fused image of one stack.

    Attributes
    ----------
    values : (H, W) float32 array
        NaN where the height is unknown. Painted pixels have the height of the slice that was chosen.
    image : (H, W[, C]) array
        The fused image.
    channel_axis : int or None
        Of the image.
    unit : str
        Of the height.
    pixel_size : float or None
        In the same unit; None where rows, columns and height have no unit in common.
    place : dict
        Scale, translation and units of a layer (H, W).
    made : dict
        What the metadata of layers says that are made from this height.
    """

    values: NDArray[np.float32]
    image: NDArray[Any]
    channel_axis: int | None
    unit: str
    pixel_size: float | None
    place: dict[str, Any]
    made: dict[str, Any]

    @property
    def length_unit(self) -> str:
        """Unit of lengths along rows and columns."""
        return "px" if self.pixel_size is None else self.unit

    @property
    def range(self) -> tuple[float, float]:
        """Smallest and largest known height."""
        return float(np.nanmin(self.values)), float(np.nanmax(self.values))

    def layer(self, role: str, title: str, data: Any, **show: Any) -> Result:
        """A layer (H, W[, C]) that lies on the fused image."""
        return Result(role, title, data, self.place, show=show)


def height_of(repainter: Repainter, height: NDArray[Any], viewer: Viewer) -> HeightMap:
    """The height of the stack in view, with what was painted.

    Parameters
    ----------
    repainter : Repainter
    height : (H, W) array
        As `fuse` returned it for the stack in view.
    viewer : Viewer
    """
    stack, frame = repainter.stack, repainter.frame_in_view(viewer)
    choice, where = stack.choice, stack.map_at(frame)
    source, labels, z = choice.source, np.asarray(repainter.labels.data)[where], choice.z()
    places = np.arange(len(choice)) if z is None else z
    painted = labels != repainter.automatic[where]
    values = np.where(painted, places[np.clip(choice.place_of(labels), 0, None)], height).astype(np.float32)
    image = np.asarray(repainter.image.data[stack.image_at(frame, choice.judge)])
    at = {source.axis_name(axis): n for axis, n in zip(choice.looped, frame, strict=True)}
    return HeightMap(
        values=values,
        image=image,
        channel_axis=image.ndim - 1 if image.ndim == 3 else None,
        unit=choice.z_unit,
        pixel_size=_pixel_size(choice),
        place=source.without(range(source.ndim - 2)).shifted(stack.start).spatial,
        made=provenance(source, "surface", {}, {**choice.place, **at}),
    )


def _pixel_size(choice: StackChoice) -> float | None:
    """Size of a pixel in the unit of the height; None where they have no unit in common, or pixels are not square."""
    if choice.z_unit == "slices":
        return None
    rows, columns = (abs(float(side)) for side in choice.source.transforms["scale"][-2:])
    units = {choice.source.unit(axis) for axis in (choice.axis, -2, -1)}
    return columns if len(units) == 1 and np.isclose(rows, columns, rtol=1e-3) else None
