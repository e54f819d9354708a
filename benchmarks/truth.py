"""Focal stacks with all difficulties of fusion, with ground truth and a mask of each difficulty.

A scene has tilted, bumpy and terraced ground, an object in front of it with an occluding edge, thin bars in front of
both, and a hole with a background that is never in focus.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, ndimage

from defocus_backend.errors import InputError
from defocus_backend.synthetic.degrade import add_noise, transfer
from defocus_backend.synthetic.scenes import FocalStack, check_rendering

_DEPTH_GRID = 8
"""Depths are whole parts of 1/8 slice, so that what is rendered is the truth itself and not a rounded one."""
_BAR_WIDTH = 3
_STEP = 1.0
"""Slices by which the depths of neighbours differ at an edge that counts as occluding."""
_ABOVE = 1.5
"""Slices by which the object lies before the ground, and the bars before both."""
_BESIDE = 6
"""Reach in pixels of what counts as beside an occluding edge."""
_TEXTURE = 4.0
"""Standard deviation of the Laplacian, in gray values, above which a place has texture."""
_BEYOND = 4.0
"""Slices between the last slice and what is never in focus."""


@dataclass(frozen=True)
class SceneWithTruth:
    """A rendered focal stack with masks of its difficulties.

    Attributes
    ----------
    stack : FocalStack
        The slices, the depth in slices and the picture that is sharp everywhere.
    textured : (H, W) bool array
        Places with texture that some slice has in focus, farther than 6 px from any edge at which the depth jumps by
        more than one slice.
    occlusion : (H, W) bool array
        Such places nearer to such an edge, the bars among them.
    bars : (H, W) bool array
        Bars of 3 px in front of everything.
    never : (H, W) bool array
        In focus in no slice.
    """

    stack: FocalStack
    textured: NDArray[np.bool_]
    occlusion: NDArray[np.bool_]
    bars: NDArray[np.bool_]
    never: NDArray[np.bool_]


def scene_with_truth(
    photo: ArrayLike,
    front: ArrayLike | None = None,
    *,
    slices: int = 9,
    blur_per_slice: float = 1.0,
    noise: float = 0.0,
    psf: str = "disc",
    seed: int = 0,
) -> SceneWithTruth:
    """Compose and render a scene.

    Parameters
    ----------
    photo : (H, W) or (H, W, 3) uint8 array_like
        Picture of the ground, sharp everywhere; 96 px or more a side.
    front : array_like or None
        Picture of the object before it, of the same shape; the photo turned by half a circle where not given.
    slices : int
        Number of slices, 5 or more.
    blur_per_slice, noise, psf
        See `synthetic.scenes.focal_stack`.
    seed : int
        Seed of the shapes and the noise.

    Returns
    -------
    SceneWithTruth

    Raises
    ------
    InputError
    """
    ground = np.asarray(photo)
    if ground.ndim not in (2, 3) or min(ground.shape[:2]) < 96 or ground.shape[2:] not in ((), (3,)):
        raise InputError("photo", f"shape {ground.shape}", "(H, W) or (H, W, 3), 96 px or more a side")
    if slices < 5:
        raise InputError("slices", repr(slices), "at least 5")
    near = np.ascontiguousarray(ground[::-1, ::-1]) if front is None else np.asarray(front)
    if near.shape != ground.shape:
        raise InputError("front", f"shape {near.shape}", f"the photo's shape {ground.shape}")
    check_rendering(blur_per_slice=blur_per_slice, noise=noise, psf=psf)
    rng = np.random.default_rng(seed)
    shape = ground.shape[:2]
    last = slices - 1.0
    hole, thing, bars = _ellipse(shape, rng), _blob(shape, rng), _bars(shape, rng)
    thing &= ~ndimage.binary_dilation(hole, iterations=8)
    everywhere = np.ones(shape, dtype=bool)
    land = _ground_depth(shape, 0.3 * last, last, rng)
    hill = np.clip(float(land[thing].mean() if thing.any() else last) - _ABOVE, 0, None) + _slope(shape, 0.5, rng)
    wires = np.where(thing, hill, land) - _ABOVE
    surfaces = [
        _Surface(ground, _on_grid(np.full(shape, last + _BEYOND)), everywhere),
        _Surface(ground, _on_grid(land), ~hole),
        _Surface(near, _on_grid(hill.clip(0)), thing),
        _Surface(
            _bar_picture(_over(ground, near, thing), rng), _on_grid(ndimage.gaussian_filter(wires, 12).clip(0)), bars
        ),
    ]
    sharp: NDArray[Any] = surfaces[0].picture
    depth: NDArray[Any] = surfaces[0].depth
    for surface in surfaces[1:]:
        sharp, depth = _over(sharp, surface.picture, surface.mask), _over(depth, surface.depth, surface.mask)
    planes = _render(surfaces, slices, blur_per_slice, psf)
    if noise:
        planes = add_noise(planes, noise, rng)
    images = np.moveaxis(np.clip(np.rint(planes), 0, 255).astype(np.uint8), 1, -1)
    stack = FocalStack(
        np.ascontiguousarray(images[..., 0] if ground.ndim == 2 else images),
        np.arange(slices, dtype=np.float64),
        depth.astype(np.float32),
        sharp,
        float(blur_per_slice),
    )
    never = hole & ~thing & ~bars
    textured = _texture(sharp) & ~never
    beside = ndimage.distance_transform_edt(~_jumps(depth)) <= _BESIDE
    return SceneWithTruth(stack, textured & ~beside, textured & beside, bars, never)


@dataclass(frozen=True)
class _Surface:
    """A picture (H, W[, 3]) on a surface of some depth (H, W), there where the mask (H, W) is True."""

    picture: NDArray[np.uint8]
    depth: NDArray[np.float32]
    mask: NDArray[np.bool_]


def _render(surfaces: list[_Surface], slices: int, blur_per_slice: float, psf: str) -> NDArray[np.float32]:
    """The slices (N, C, H, W): surfaces blurred with their outlines, each laid over those behind it.

    Within a surface light is gathered from slabs of one depth and divided by their common coverage, so that its
    outline is blurred once, however many depths it has.
    """
    shape = surfaces[0].mask.shape
    otf = lru_cache(maxsize=256)(lambda sigma: transfer(shape[0], shape[1], sigma, psf))
    channels = 1 if surfaces[0].picture.ndim == 2 else surfaces[0].picture.shape[2]
    out = np.zeros((slices, channels, *shape), dtype=np.float32)
    for surface in surfaces:
        planes = np.moveaxis(np.atleast_3d(surface.picture), -1, 0).astype(np.float32)
        light = np.zeros((slices, channels + 1, *shape), dtype=np.float32)
        for depth in np.unique(surface.depth[surface.mask]):
            slab = (surface.mask & (surface.depth == depth)).astype(np.float32)
            spectra = fft.dctn(np.concatenate([planes * slab, slab[None]]), axes=(1, 2), norm="ortho")
            for n in range(slices):
                sigma = round(blur_per_slice * abs(n - float(depth)), 4)
                light[n] += fft.idctn(spectra * otf(sigma) if sigma else spectra, axes=(1, 2), norm="ortho")
        coverage = light[:, -1:]
        opaque = np.clip(coverage, 0, 1)
        out = out * (1 - opaque) + light[:, :-1] * (opaque / np.maximum(coverage, 1e-6))
    return out


def _on_grid(depth: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(np.round(depth * _DEPTH_GRID) / _DEPTH_GRID, dtype=np.float32)


def _grid(shape: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y, x = np.meshgrid(np.linspace(-1, 1, shape[0]), np.linspace(-1, 1, shape[1]), indexing="ij")
    return y, x


def _slope(shape: tuple[int, int], rise: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """A plane of any direction from -rise to rise."""
    y, x = _grid(shape)
    angle = rng.uniform(0, 2 * np.pi)
    along = x * np.cos(angle) + y * np.sin(angle)
    return np.asarray(rise * along / np.abs(along).max())


def _ground_depth(
    shape: tuple[int, int], nearest: float, farthest: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """A tilted plane with hills, one part of it in terraces of one slice."""
    y, x = _grid(shape)
    depth = _slope(shape, 0.8, rng)
    for _ in range(3):
        cy, cx, width = rng.uniform(-0.8, 0.8), rng.uniform(-0.8, 0.8), rng.uniform(0.15, 0.35)
        depth += rng.uniform(-0.7, 0.7) * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * width**2))
    depth = nearest + (farthest - nearest) * (depth - depth.min()) / np.ptp(depth)
    terraces = _part(shape, int(rng.integers(4)))
    return np.asarray(np.where(terraces, np.clip(np.round(depth), np.ceil(nearest), np.floor(farthest)), depth))


def _part(shape: tuple[int, int], number: int) -> NDArray[np.bool_]:
    """One half of the picture: upper, lower, left or right."""
    y, x = _grid(shape)
    return np.asarray(((y if number < 2 else x) < 0) == bool(number & 1))


def _ellipse(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.bool_]:
    y, x = _grid(shape)
    (cy, cx), (ry, rx) = rng.uniform(-0.7, 0.7, 2), rng.uniform(0.28, 0.4, 2)
    return np.asarray(((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1)


def _blob(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.bool_]:
    """A smooth outline that covers about a quarter of the picture."""
    rough = ndimage.gaussian_filter(rng.standard_normal(shape), min(shape) / 9, mode="nearest")
    return np.asarray(rough > np.quantile(rough, 0.75))


def _bars(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.bool_]:
    """A straight bar and a ring, 3 px wide."""
    rows, columns = np.indices(shape).astype(float)
    angle, (cy, cx) = rng.uniform(0, np.pi), rng.uniform(0.25, 0.75, 2) * shape
    bar = np.abs((rows - cy) * np.cos(angle) + (columns - cx) * np.sin(angle))
    cy, cx = rng.uniform(0.3, 0.7, 2) * shape
    ring = np.abs(np.hypot(rows - cy, columns - cx) - rng.uniform(0.1, 0.2) * min(shape))
    return np.asarray(np.minimum(bar, ring) <= _BAR_WIDTH / 2)


def _bar_picture(photo: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Bright before dark and dark before bright, with some grain."""
    gray = photo if photo.ndim == 2 else photo.mean(axis=2)
    around = ndimage.uniform_filter(gray.astype(float), 31, mode="nearest")
    grain = 12 * ndimage.gaussian_filter(rng.standard_normal(gray.shape), 1.0) / 0.28
    bars = np.clip(np.where(around < 128, around + 60, around - 60) + grain, 0, 255).astype(np.uint8)
    return bars if photo.ndim == 2 else np.repeat(bars[..., None], 3, axis=2)


def _over(back: NDArray[Any], front: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
    return np.where(mask if back.ndim == 2 else mask[..., None], front, back)


def _texture(photo: NDArray[np.uint8]) -> NDArray[np.bool_]:
    gray = (photo if photo.ndim == 2 else photo.mean(axis=2)).astype(float)
    curvature = ndimage.laplace(ndimage.gaussian_filter(gray, 0.8))
    return np.asarray(np.sqrt(ndimage.gaussian_filter(curvature**2, 2.0)) > _TEXTURE)


def _jumps(depth: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels beside which the depth differs by more than a slice; NaN has no neighbours."""
    jumps = np.zeros(depth.shape, dtype=bool)
    for pad in (((1, 0), (0, 0)), ((0, 0), (1, 0))):
        wide = np.abs(np.diff(depth, axis=0 if pad[0][0] else 1)) > _STEP
        jumps |= np.pad(wide, pad) | np.pad(wide, [side[::-1] for side in pad])
    return jumps
