"""Estimate the blur of every window of an image and, by eq 6, of every pixel.

Windows are on a regular grid that covers the image. Beyond the border the image is mirrored, by the same amount on
both sides. Large images are processed in tiles, which do not change the result.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from defocus_backend.classifier.networks import LEVELS, NETWORKS, WINDOW
from defocus_backend.classifier.pixelnet import LEVELS as PIXEL_LEVELS
from defocus_backend.classifier.pixelnet import PixelNet
from defocus_backend.filters.box import accumulation_dtype
from defocus_backend.filters.gaussian import border_index
from defocus_backend.params import MapParams
from defocus_backend.progress import Reporter

UNIFORM_DEVIATION = math.sqrt((LEVELS**2 - 1) / 12)
"""Standard deviation in pixels of an uninformative classifier: uniform from 0 to 19 px."""

TILE = MapParams.tile
"""Side of a tile in pixels, by default."""

_PATCH_BATCH = 512
# Half the step of an 8-bit gray value squared: below it a window contains nothing but rounding error.
_FLAT_VARIANCE = (0.5 / 255) ** 2


@dataclass(frozen=True)
class WindowGrid:
    """Positions of the 32x32 windows along both axes of an image.

    Attributes
    ----------
    height, width : int
        Image size.
    step : int
        Distance between windows in pixels.
    """

    height: int
    width: int
    step: int

    @property
    def counts(self) -> tuple[int, int]:
        """Number of windows along y and x, just enough to cover the image."""
        return self._count(self.height), self._count(self.width)

    @property
    def origin(self) -> tuple[int, int]:
        """First pixel of the first window, zero or negative: half of the mirrored border."""
        return tuple(-((WINDOW + (n - 1) * self.step - s) // 2) for n, s in self._axes())  # type: ignore[return-value]

    def _axes(self) -> list[tuple[int, int]]:
        return [(self._count(self.height), self.height), (self._count(self.width), self.width)]

    def _count(self, size: int) -> int:
        return max(0, math.ceil((size - WINDOW) / self.step)) + 1

    def tiles(self, tile: int = TILE) -> Iterator[tuple[slice, slice]]:
        """Blocks of the windows that begin within tile x tile pixels, as slices of window indices."""
        ny, nx = self.counts
        side = max(1, tile // self.step)
        for y in range(0, ny, side):
            for x in range(0, nx, side):
                yield slice(y, min(y + side, ny)), slice(x, min(x + side, nx))


@dataclass(frozen=True)
class WindowLevels:
    """Estimates of a classifier for every window.

    Attributes
    ----------
    sigma : (ny, nx) tensor
        Expectation over the 20 levels, in pixels.
    deviation : (ny, nx) tensor
        Standard deviation of that distribution, in pixels.
    confidence : (ny, nx) tensor
        0 where the distribution is uniform or the window is flat, 1 where it is certain.
    grid : WindowGrid
        Positions of the windows.
    """

    sigma: Tensor
    deviation: Tensor
    confidence: Tensor
    grid: WindowGrid


@dataclass(frozen=True)
class PixelLevels:
    """Estimates of a classifier for every pixel: `sigma` and `deviation` in pixels and `confidence`, tensors (H, W)."""

    sigma: Tensor
    deviation: Tensor
    confidence: Tensor


def count_tiles(name: str, shape: tuple[int, int], step: int, tile: int = TILE) -> int:
    """Number of tiles into which an image (H, W) is split for a network."""
    if NETWORKS[name].per_pixel:
        return len(list(_pixel_tiles(shape, tile)))
    return len(list(WindowGrid(*shape, step).tiles(tile)))


@torch.inference_mode()
def classify_windows(
    gray: Tensor,
    network: nn.Module,
    name: str,
    *,
    step: int,
    tile: int = TILE,
    reporter: Reporter | None = None,
) -> WindowLevels:
    """Classify every window of an image.

    Parameters
    ----------
    gray : (H, W) float32 tensor
        Unit range; any size from 1x1 up.
    network : nn.Module
        Trained, in evaluation mode, on the device of `gray`.
    name : str
        Its key in `NETWORKS`.
    step : {4, 8, 16, 32}
        Distance between windows in pixels.
    tile : int
        Side of a tile in pixels; it does not change the result.
    reporter : Reporter or None
        Advanced once per tile of windows.

    Returns
    -------
    WindowLevels
    """
    grid = WindowGrid(int(gray.shape[0]), int(gray.shape[1]), step)
    # A dense run shares the computation in overlaps of neighbouring windows; windows that do not
    # overlap are cheaper one by one.
    dense = NETWORKS[name].dense_stride
    whole = dense is not None and step < WINDOW
    maps = torch.empty(3, *grid.counts, device=gray.device)
    for rows, columns in grid.tiles(tile):
        region = _region(gray, grid, rows, columns)
        if whole and dense is not None:
            logits = _dense_logits(region, network, step, dense)
        else:
            logits = _patch_logits(region, network, step, reporter)
        maps[:, rows, columns] = _summarise(logits, region, step)
        if reporter is not None:
            reporter.advance()
    return WindowLevels(maps[0], maps[1], maps[2], grid)


def _region(gray: Tensor, grid: WindowGrid, rows: slice, columns: slice) -> Tensor:
    """The pixels under a block of windows, mirrored outside the image."""
    index = []
    for part, origin, size in zip((rows, columns), grid.origin, gray.shape, strict=True):
        first = origin + part.start * grid.step
        last = origin + (part.stop - 1) * grid.step + WINDOW
        index.append(border_index(size, first, last, mode="reflect", device=gray.device))
    return gray[index[0][:, None], index[1][None, :]]


def _dense_logits(region: Tensor, network: nn.Module, step: int, stride: int) -> Tensor:
    """Logits (20, ny, nx) from runs over the whole region, one for each offset finer than the stride."""
    ny, nx = ((s - WINDOW) // step + 1 for s in region.shape)
    if step >= stride:
        every = step // stride
        result: Tensor = network(region[None, None])[0][:, ::every, ::every]
        return result
    logits = region.new_empty(LEVELS, ny, nx)
    for y in range(0, stride, step):
        for x in range(0, stride, step):
            part = region[y:, x:]
            if min(part.shape) >= WINDOW:
                # A transposed or strided one-channel batch costs several times a plain one.
                logits[:, y // step :: stride // step, x // step :: stride // step] = network(
                    part.contiguous()[None, None]
                )[0]
    return logits


def _patch_logits(region: Tensor, network: nn.Module, step: int, reporter: Reporter | None = None) -> Tensor:
    """Logits (20, ny, nx) patch by patch, which can take seconds a tile: cancelled between batches."""
    windows = region.unfold(0, WINDOW, step).unfold(1, WINDOW, step)
    ny, nx = windows.shape[:2]
    logits = region.new_empty(ny * nx, LEVELS)
    rows = max(1, _PATCH_BATCH // nx)
    for y in range(0, ny, rows):
        if reporter is not None:
            reporter.check()
        patches = windows[y : y + rows].reshape(-1, 1, WINDOW, WINDOW).contiguous()
        logits[y * nx : y * nx + len(patches)] = network(patches).flatten(1)
    return logits.T.reshape(LEVELS, ny, nx)


def _summarise(logits: Tensor, region: Tensor, step: int) -> Tensor:
    """Expected sigma, its standard deviation and confidence (3, ny, nx)."""
    sigma, deviation, certain = _moments(logits)
    variance = _window_variance(region, step)
    return torch.stack([sigma, deviation, certain * variance / (variance + _FLAT_VARIANCE)])


def _moments(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, standard deviation (pixels) and certainty (0..1) of the distributions along dimension 0."""
    probability = logits.softmax(0)
    levels = torch.arange(LEVELS, dtype=probability.dtype, device=probability.device)
    mean = torch.tensordot(levels, probability, dims=1)
    return mean, *_spread(mean, torch.tensordot(levels**2, probability, dims=1))


def _spread(mean: Tensor, square: Tensor) -> tuple[Tensor, Tensor]:
    """Standard deviation in pixels, and certainty: 0 for the uniform distribution, 1 for a single level."""
    deviation = (square - mean**2).clamp_min(0).sqrt()
    return deviation, (1 - deviation / UNIFORM_DEVIATION).clamp(0, 1)


def _pixel_moments(logits: Tensor) -> Tensor:
    """Median and standard deviation (pixels) and certainty (0..1) of the distributions of pixels, (3, h, w).

    The median is interpolated linearly between the centres of the levels. Where two depths meet, a distribution has
    two peaks: the median selects one of them, while the mean would be a third blur that does not occur.
    """
    probability = logits.permute(1, 2, 0).softmax(2)
    levels = torch.tensor(PIXEL_LEVELS, dtype=probability.dtype, device=probability.device)
    count = len(levels)
    # One product gives the distribution function at every centre, the mean and the mean square.
    reach = (levels[:, None] < levels[None, :]) + 0.5 * torch.eye(count, device=levels.device, dtype=levels.dtype)
    sums = probability @ torch.cat([reach, levels[:, None], levels[:, None] ** 2], dim=1)
    reached, mean, square = sums[..., :count], sums[..., count], sums[..., count + 1]
    above = (reached < 0.5).sum(2, keepdim=True).clamp(1, count - 1)
    low, high = (reached.gather(2, above - n)[..., 0] for n in (1, 0))
    share = ((0.5 - low) / (high - low).clamp_min(1e-6)).clamp(0, 1)
    median = torch.lerp(levels[above[..., 0] - 1], levels[above[..., 0]], share)
    return torch.stack([median, *_spread(mean, square)])


def _window_variance(region: Tensor, step: int) -> Tensor:
    # The mean is subtracted first, since float32 would lose digits on a bright image without contrast.
    centred = (region - region.mean())[None, None]
    pool = nn.functional.avg_pool2d
    small = 4
    moments = torch.cat([pool(centred, small), pool(centred**2, small)])
    mean, square = pool(moments, WINDOW // small, step // small)[:, 0]
    result: Tensor = (square - mean**2).clamp_min(0)
    return result


def _pixel_tiles(shape: tuple[int, int], tile: int) -> Iterator[tuple[slice, slice]]:
    """Cores of the tiles of a per-pixel network; their origins are multiples of its coarsest stride."""
    side = max(1, tile // PixelNet.align) * PixelNet.align
    for y in range(0, shape[0], side):
        for x in range(0, shape[1], side):
            yield slice(y, min(y + side, shape[0])), slice(x, min(x + side, shape[1]))


@torch.inference_mode()
def classify_pixels(
    gray: Tensor,
    network: PixelNet,
    *,
    tile: int = TILE,
    precision: torch.dtype = torch.float32,
    every: int = 1,
    reporter: Reporter | None = None,
) -> PixelLevels:
    """Classify every pixel with a per-pixel network; sigma is the median of a pixel's distribution.

    Parameters
    ----------
    gray : (H, W) float32 tensor
        Unit range; any size from 1x1 up. The image is mirrored beyond its border.
    network : nn.Module
        Trained, in evaluation mode, on the device of `gray`.
    tile : int
        Side of a tile in pixels, rounded down to a multiple of 64; it does not change the result.
    precision : torch.dtype
        Number format of the body of the network: float32, or bfloat16 if the device supports it. The first convolution,
        the head and the following steps use float32.
    every : {1, 2, 4, 8}
        Classify every n-th pixel along both axes, for measures of whole pictures. The head and the following steps,
        which take half of the time, run on these pixels only.
    reporter : Reporter or None
        Advanced once per tile.

    Returns
    -------
    PixelLevels
        `sigma` and `deviation` in pixels and `confidence`, each (H, W), or (ceil(H / every), ceil(W / every)).
    """
    shape = int(gray.shape[0]), int(gray.shape[1])
    maps = torch.empty(3, *(-(-n // every) for n in shape), device=gray.device)
    for rows, columns in _pixel_tiles(shape, tile):
        region, inner = _padded_tile(gray, network, rows, columns)
        with torch.autocast(gray.device.type, dtype=torch.bfloat16, enabled=precision == torch.bfloat16):
            logits = network(region[None, None], max(1, every // 2))[0]
        found = _pixel_moments(logits)
        if every == 1:
            found = nn.functional.interpolate(found[None], size=region.shape, mode="bilinear", align_corners=False)[0]
        found[2] *= _local_contrast(region, every)
        # Tiles and their borders begin at multiples of 8 pixels.
        at, within = (
            tuple(slice(p.start // every, -(-p.stop // every)) for p in two) for two in ((rows, columns), inner)
        )
        maps[:, at[0], at[1]] = found[:, within[0], within[1]]
        if reporter is not None:
            reporter.advance()
    return PixelLevels(*maps)


def _padded_tile(gray: Tensor, network: PixelNet, rows: slice, columns: slice) -> tuple[Tensor, tuple[slice, slice]]:
    """The pixels of a tile with its neighbourhood, mirrored beyond the border, and the position of the tile in them."""
    index, inner = [], []
    for part, size in zip((rows, columns), gray.shape, strict=True):
        # Tiles begin a whole number of strides from the origin of the image, so that the same pixels are pooled.
        reach = network.halo + network.margin
        first = max(part.start - reach, -network.margin)
        last = min(part.stop + reach, size + network.margin)
        total = -(-(last - first) // network.align) * network.align
        index.append(border_index(size, first, first + total, mode="reflect", device=gray.device))
        inner.append(slice(part.start - first, part.stop - first))
    return gray[index[0][:, None], index[1][None, :]].contiguous(), (inner[0], inner[1])


def _local_contrast(region: Tensor, every: int = 1) -> Tensor:
    """Near 0 where the neighbourhood contains nothing but rounding error, near 1 elsewhere; of every n-th pixel."""
    centred = (region - region.mean())[None, None]
    pool = nn.functional.avg_pool2d
    moments = pool(torch.cat([centred, centred**2]), WINDOW, WINDOW // 2, padding=WINDOW // 4)
    variance = (moments[1] - moments[0] ** 2).clamp_min(0)
    share = variance / (variance + _FLAT_VARIANCE)
    size = [n // every for n in region.shape]
    return nn.functional.interpolate(share[None], size=size, mode="bilinear")[0, 0]


def spread_windows(values: Tensor, grid: WindowGrid) -> Tensor:
    """Return for every pixel the mean over all windows that contain it (eq 6).

    Parameters
    ----------
    values : (..., ny, nx) tensor
        One value per window.
    grid : WindowGrid
        Positions of the windows.

    Returns
    -------
    (..., H, W) tensor
        Constant on cells of step x step pixels.
    """
    cells = _mean_over_windows(_mean_over_windows(values, grid.step, -1), grid.step, -2)
    y, x = (-o for o in grid.origin)
    full = cells.repeat_interleave(grid.step, -2)[..., y : y + grid.height, :]
    return full.repeat_interleave(grid.step, -1)[..., x : x + grid.width].contiguous()


def _mean_over_windows(values: Tensor, step: int, dim: int) -> Tensor:
    """Along one axis, cell i is in the windows i - 32/step + 1 ... i, as far as these exist."""
    covers = WINDOW // step
    count = values.shape[dim]
    padded = nn.functional.pad(values.transpose(dim, -1), (covers, covers - 1))
    sums = padded.to(accumulation_dtype(padded)).cumsum(-1)
    total = sums[..., covers:] - sums[..., :-covers]
    index = torch.arange(count + covers - 1, device=values.device)
    held = (index.clamp(max=count - 1) - (index - covers + 1).clamp_min(0) + 1).to(total)
    return (total / held).to(values.dtype).transpose(dim, -1)
