"""Draw maps as coloured pictures with a colour bar, and contact sheets, with matplotlib (loaded on first use)."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from defocus_backend.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

SIGMA_RANGE = (0.0, 19.0)
"""Sigma in pixels at the ends of the colour bar; the same for all maps, so that pictures can be compared."""

COLORMAP = "viridis"
_NAN_GRAY = "0.6"
_DPI = 100
_LONGEST = 1600
_SHORTEST = 480


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Mapping of values to colours.

    Attributes
    ----------
    low, high : float
        Values at the ends of the colour bar.
    label : str
        Quantity and unit, written along the bar.
    colormap : str
        A matplotlib colormap; the default is perceptually uniform.
    """

    low: float = SIGMA_RANGE[0]
    high: float = SIGMA_RANGE[1]
    label: str = "sigma / px"
    colormap: str = COLORMAP

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise InputError("scale", f"{self.low} to {self.high}", "two finite values, the lower first")


@dataclass(frozen=True)
class SheetPanel:
    """One picture of a contact sheet; with a scale, it is drawn as a map with a colour bar.

    Attributes
    ----------
    title : str
    image : (H, W) or (H, W, 3) array
        A map; or a gray or RGB picture of bool, integers or floats in 0..1.
    scale : Scale or None
    """

    title: str
    image: NDArray[Any]
    scale: Scale | None = None


def draw_map(values: ArrayLike, scale: Scale | None = None, *, title: str = "") -> bytes:
    """Draw a map in colour, with a colour bar and its unit.

    Parameters
    ----------
    values : (H, W) array_like
        Map, such as sigma in pixels. NaN is drawn gray. Values outside the scale get the colour of its end, and the
        colour bar then has an arrow.
    scale : Scale or None
        By default sigma from 0 to 19 px.
    title : str
        Title above the map.

    Returns
    -------
    bytes
        A PNG file.

    Raises
    ------
    InputError
        If the map is not two-dimensional.
    """
    array = np.asarray(values)
    if array.ndim != 2 or not array.size:
        raise InputError("values", f"shape {array.shape}", "a map (H, W)")
    height, width = _display_size(array.shape)
    bar, margin, head = 110, 10, 34 if title else 10
    figure = _figure(width + bar + margin, height + head + margin)
    total_width, total_height = width + bar + margin, height + head + margin
    axes = figure.add_axes((margin / total_width, margin / total_height, width / total_width, height / total_height))
    _show(figure, axes, SheetPanel(title, array, scale or Scale()), bar_width=26 / total_width)
    return _png(figure)


def draw_contact_sheet(panels: Sequence[SheetPanel], *, columns: int = 4, panel_width: int = 420) -> bytes:
    """Draw titled pictures and maps side by side.

    Parameters
    ----------
    panels : sequence of Panel
        Panels, row by row.
    columns : int
        Number of panels in a row.
    panel_width : int
        Width of a panel in pixels.

    Returns
    -------
    bytes
        A PNG file.
    """
    if not panels or columns < 1:
        raise InputError("panels", f"{len(panels)} panels in {columns} columns", "at least one of each")
    gap, bar, head = 12, 92, 30
    rows = [panels[n : n + columns] for n in range(0, len(panels), columns)]
    heights = [max(round(panel_width * p.image.shape[0] / p.image.shape[1]) for p in row) + head + gap for row in rows]
    total_width = columns * (panel_width + bar) + gap
    total_height = sum(heights) + gap
    figure = _figure(total_width, total_height)
    top = total_height - gap
    for row, row_height in zip(rows, heights, strict=True):
        for column, panel in enumerate(row):
            height = round(panel_width * panel.image.shape[0] / panel.image.shape[1])
            left = gap + column * (panel_width + bar)
            box = (left, top - head - height, panel_width, height)
            axes = figure.add_axes(
                (box[0] / total_width, box[1] / total_height, box[2] / total_width, box[3] / total_height)
            )
            _show(figure, axes, panel, bar_width=14 / total_width)
        top -= row_height
    return _png(figure)


def _figure(width: int, height: int) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _show(figure: Figure, axes: Axes, panel: SheetPanel, *, bar_width: float) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    axes.set_axis_off()
    if panel.title:
        axes.set_title(panel.title, fontsize=11, loc="left")
    image = _thin(panel.image)
    if panel.scale is None:
        axes.imshow(_as_display(image), cmap="gray", vmin=0, vmax=1, aspect="auto", interpolation="antialiased")
        return
    scale = panel.scale
    finite = image[np.isfinite(image)]
    below, beyond = (bool(finite.size and f) for f in _overflow(finite, scale))
    # Coloured at display size, because matplotlib needs a hundred bytes for each pixel that it scales down.
    colours = ScalarMappable(Normalize(scale.low, scale.high), _colormap(scale.colormap))
    part = np.ma.masked_invalid(_nearest(image, axes).astype(np.float32))
    axes.imshow(colours.to_rgba(part, bytes=True), aspect="auto", interpolation="nearest")
    box = axes.get_position()
    beside = figure.add_axes((box.x1 + bar_width * 0.5, box.y0, bar_width, box.height))
    extend = {(False, False): "neither", (True, False): "min", (False, True): "max"}.get((below, beyond), "both")
    bar = figure.colorbar(colours, cax=beside, extend=extend)
    bar.set_ticks(_ticks(scale))
    bar.set_label(scale.label, fontsize=10)
    bar.ax.tick_params(labelsize=9)


def _nearest(image: NDArray[Any], axes: Axes) -> NDArray[Any]:
    """Pixels of a map that are visible in axes with fewer pixels."""
    for axis, length in enumerate((axes.bbox.height, axes.bbox.width)):
        size, shown = image.shape[axis], max(1, round(length))
        if shown < size:
            image = image.take(((np.arange(shown) + 0.5) * size / shown).astype(np.intp), axis)
    return image


def _overflow(finite: NDArray[Any], scale: Scale) -> tuple[bool, bool]:
    if not finite.size:
        return False, False
    slack = 1e-3 * (scale.high - scale.low)
    return bool(finite.min() < scale.low - slack), bool(finite.max() > scale.high + slack)


def _ticks(scale: Scale) -> list[float]:
    """Round values and both ends of the scale; round values close to an end are left out."""
    from matplotlib.ticker import MaxNLocator

    span = scale.high - scale.low
    inner = MaxNLocator(nbins=5).tick_values(scale.low, scale.high)
    kept = [float(v) for v in inner if scale.low + 0.1 * span < v < scale.high - 0.1 * span]
    return [scale.low, *kept, scale.high]


def _colormap(name: str) -> Colormap:
    import matplotlib

    return matplotlib.colormaps[name].with_extremes(bad=_NAN_GRAY)


def _display_size(shape: tuple[int, ...]) -> tuple[int, int]:
    """Display size: the size of the map, within limits that keep tiny maps visible and large files small."""
    height, width = shape
    factor = min(1.0, _LONGEST / max(shape))
    if max(shape) < _SHORTEST:
        factor = _SHORTEST / max(shape)
    return max(120, round(height * factor)), max(40, round(width * factor))


def _thin(image: NDArray[Any]) -> NDArray[Any]:
    """Subsample an image that is much larger than its display, because matplotlib copies it as float64."""
    every = max(1, max(image.shape[:2]) // _LONGEST)
    return image[::every, ::every]


def _as_display(image: NDArray[Any]) -> NDArray[np.float32]:
    """Gray or RGB between 0 and 1; 16-bit and float pictures are rescaled to their own range."""
    if image.ndim == 3:
        image = image[..., :3] if image.shape[-1] >= 3 else image[..., 0]
    if image.dtype == np.bool_:
        return image.astype(np.float32)
    values = image.astype(np.float32)
    if image.dtype == np.uint8:
        return np.asarray(values / 255, dtype=np.float32)
    finite = values[np.isfinite(values)]
    if not finite.size:
        return np.zeros_like(values)
    low, high = (float(v) for v in np.percentile(finite, (0.1, 99.9)))
    if np.issubdtype(image.dtype, np.floating) and finite.min() >= 0 and finite.max() <= 1:
        low, high = 0.0, 1.0
    unit = (values - low) / max(high - low, 1e-12)
    return np.asarray(np.clip(np.nan_to_num(unit, nan=0.6), 0, 1), dtype=np.float32)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


def draw_shaded(height: ArrayLike, scale: Scale | None = None, *, relief: float = 0.12) -> bytes:
    """Draw a height map as a shaded relief, lit from the upper left, in colour and with a colour bar.

    Parameters
    ----------
    height : (H, W) array_like
        Height map; NaN is drawn gray.
    scale : Scale or None
        Colour scale; by default from the smallest to the largest height, in slices.
    relief : float
        Height of the relief relative to the longer side of the picture; it only affects the shading.

    Returns
    -------
    bytes
        A PNG file.

    Raises
    ------
    InputError
        If the map is not two-dimensional or has no known pixel.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LightSource, Normalize
    from scipy import ndimage

    array = np.asarray(height, dtype=np.float64)
    if array.ndim != 2 or not np.isfinite(array).any():
        raise InputError("height", f"shape {array.shape}", "a map (H, W) with at least one known pixel")
    width_height = _display_size(array.shape)
    array = _thin(array)
    known = np.isfinite(array)
    if scale is None:
        low, high = float(array[known].min()), float(array[known].max())
        scale = Scale(low=low, high=high if high > low else low + 1, label="height / slices")
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    # The relief is smoothed, because slopes of single pixels look like noise. The colours are those of the unsmoothed
    # map.
    land = ndimage.gaussian_filter(array[tuple(nearest)], 1)
    rows, columns = land.shape
    land = np.pad(land, ((0, rows < 2), (0, columns < 2)), mode="edge")  # a slope needs two rows and two columns
    norm, colours = Normalize(scale.low, scale.high, clip=True), _colormap(scale.colormap)
    rise = relief * max(array.shape) / (scale.high - scale.low)
    light = LightSource(azdeg=315, altdeg=45).hillshade(land, vert_exag=rise)[:rows, :columns]
    shaded = colours(norm(array))[..., :3] * (0.35 + 0.65 * light[..., None])
    shaded[~known] = float(_NAN_GRAY)
    height_px, width_px = width_height
    bar, margin = 110, 10
    total_width, total_height = width_px + bar + margin, height_px + 2 * margin
    figure = _figure(total_width, total_height)
    box = (margin / total_width, margin / total_height, width_px / total_width, height_px / total_height)
    axes = figure.add_axes(box)
    axes.set_axis_off()
    axes.imshow(np.clip(shaded, 0, 1), aspect="auto", interpolation="nearest")
    beside = figure.add_axes(((margin + width_px + 13) / total_width, box[1], 26 / total_width, box[3]))
    drawn = figure.colorbar(ScalarMappable(norm, colours), cax=beside)
    drawn.set_ticks(_ticks(scale))
    drawn.set_label(scale.label, fontsize=10)
    drawn.ax.tick_params(labelsize=9)
    return _png(figure)
