"""Focal stacks with ground truth: a sharp photograph with a depth, seen through a lens at several focus positions.

Depth is measured in slices: a pixel of depth d is in focus in slice d. Small depths are near the lens.
Blur grows linearly with the distance from focus, as for a thin lens whose depth axis is disparity.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from defocus_backend.errors import InputError
from defocus_backend.synthetic.degrade import add_noise, transfer

_LAYERS_PER_SLICE = 4
_MAX_LAYERS = 48
_SAME_SURFACE = 1.0
"""A depth step between neighbours up to this, in slices, is a slope; a larger one is an occluding edge."""

_PSFS = ("disc", "gaussian")


@dataclass(frozen=True)
class FocalStack:
    """A rendered focal stack and its ground truth.

    Attributes
    ----------
    slices : (N, H, W) or (N, H, W, 3) uint8 array
    z : (N,) float64 array
        Position of each slice, in slices.
    depth : (H, W) float32 array
        True depth: the slice, with fractions, in which the pixel is in focus.
    sharp : (H, W) or (H, W, 3) uint8 array
        The photograph, sharp everywhere.
    blur_per_slice : float
        Increase of sigma in pixels from one slice to the next.
    """

    slices: NDArray[np.uint8]
    z: NDArray[np.float64]
    depth: NDArray[np.float32]
    sharp: NDArray[np.uint8]
    blur_per_slice: float

    def true_sigma(self, number: int) -> NDArray[np.float32]:
        """Sigma (H, W) in pixels of one slice, away from edges that occlude."""
        return np.asarray(self.blur_per_slice * np.abs(number - self.depth), dtype=np.float32)


def focal_stack(
    photo: ArrayLike,
    depth: ArrayLike,
    *,
    slices: int = 9,
    blur_per_slice: float = 1.2,
    noise: float = 0.0,
    psf: str = "disc",
    occlusion: bool = True,
    seed: int = 0,
) -> FocalStack:
    """Render a focal stack from a sharp photograph and its depth.

    The depth is divided into layers. From back to front, each layer and its outline are blurred with its own sigma and
    composited over the layers behind it. A blurred foreground therefore spreads over a sharp background, and a sharp
    foreground has a clean edge in front of a blurred background. Behind an occluding edge, the background is extended
    with its nearest colours.

    Parameters
    ----------
    photo : (H, W) or (H, W, 3) uint8 array_like
        All-in-focus photograph.
    depth : (H, W) array_like
        Slice in which each pixel is in focus, with fractions; values outside 0 .. slices - 1 are never
        in focus. Small is near.
    slices : int
        Number of slices, at the positions 0, 1, ... slices - 1.
    blur_per_slice : float
        Increase of sigma in pixels per slice away from focus.
    noise : float
        Standard deviation of the Poisson-Gaussian noise at mid-gray, in gray values.
    psf : {"disc", "gaussian"}
        A lens disc or a Gaussian; a disc of radius R counts as sigma R / 2.
    occlusion : bool
        Whether near layers hide far ones. Use False for a surface without steps: no part of it hides another one, but
        its layers would, and blurred parts would be displaced towards the far side.
    seed : int
        Seed of the noise.

    Returns
    -------
    FocalStack

    Raises
    ------
    InputError
    """
    sharp, where = _check_scene(photo, depth)
    if not (np.isfinite(slices) and slices >= 1):
        raise InputError("slices", repr(slices), "at least 1")
    check_rendering(blur_per_slice=blur_per_slice, noise=noise, psf=psf)
    levels, layer_of = _layers(where)
    planes = np.moveaxis(np.atleast_3d(sharp), -1, 0).astype(np.float32)
    count = int(slices)
    out = np.zeros((count, *planes.shape), dtype=np.float32)
    light = np.zeros((count, *where.shape), dtype=np.float32)
    otf = lru_cache(maxsize=_MAX_LAYERS)(lambda sigma: transfer(where.shape[0], where.shape[1], sigma, psf))
    # Far to near, all slices together: the spectrum of a layer is computed once.
    for number in range(len(levels) - 1, -1, -1):
        if not (layer_of == number).any():
            continue
        if occlusion:
            colours, outline = _layer(planes, where, levels, layer_of, number)
        else:
            colours, outline = planes, (layer_of == number).astype(np.float32)
        spectra = fft.dctn(np.concatenate([colours * outline, outline[None]]), axes=(1, 2), norm="ortho")
        for n in range(count):
            sigma = round(blur_per_slice * abs(n - float(levels[number])), 4)
            blurred = fft.idctn(spectra * otf(sigma) if sigma else spectra, axes=(1, 2), norm="ortho")
            hidden = blurred[-1] if occlusion else 0
            out[n] = out[n] * (1 - hidden) + blurred[:-1]
            light[n] += blurred[-1]
    if not occlusion:
        out /= light[:, None]
    if noise:
        out = add_noise(out, noise, np.random.default_rng(seed))
    images = np.clip(np.rint(out), 0, 255).astype(np.uint8)
    stacked = np.ascontiguousarray(images[:, 0] if sharp.ndim == 2 else np.moveaxis(images, 1, -1))
    return FocalStack(stacked, np.arange(count, dtype=np.float64), where, sharp, float(blur_per_slice))


def tilted_depth(shape: tuple[int, int], slices: int) -> NDArray[np.float32]:
    """A plane (H, W) from slice 0 at its lower edge (near) to the last slice at its upper edge (far)."""
    ramp = np.linspace(slices - 1, 0, shape[0], dtype=np.float32)
    return np.ascontiguousarray(np.broadcast_to(ramp[:, None], shape))


def stepped_depth(shape: tuple[int, int], slices: int, steps: int = 4) -> NDArray[np.float32]:
    """Upright bands (H, W), each at one depth, near on the left and far on the right."""
    if steps < 1:
        raise InputError("steps", repr(steps), "at least 1")
    band = np.minimum(np.arange(shape[1]) * steps // max(1, shape[1]), steps - 1)
    row = np.linspace(0, slices - 1, steps)[band] if steps > 1 else np.zeros(shape[1])
    return np.ascontiguousarray(np.broadcast_to(row.astype(np.float32), shape))


def bump_depth(shape: tuple[int, int], slices: int) -> NDArray[np.float32]:
    """A smooth hill (H, W): slice 0 (near) at its top in the middle, the last slice (far) at its foot."""
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    height = np.exp(-(y[:, None] ** 2 + x[None, :] ** 2) / (2 * 0.45**2))
    return np.asarray((slices - 1) * (1 - height), dtype=np.float32)


def garage_scene(slices: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A sharp photograph (H, W, 3) that comes with scikit-image, and its depth (H, W) in slices, from stereo.

    Blur is linear in disparity for a thin lens, so disparity is the natural depth axis of a focal stack.
    """
    from scipy import ndimage
    from skimage import data

    photo, _, disparity = data.stereo_motorcycle()
    unknown = ~np.isfinite(disparity)
    y, x = ndimage.distance_transform_edt(unknown, return_distances=False, return_indices=True)
    known = np.asarray(disparity, dtype=np.float32)[y, x]
    far, near = np.percentile(known, (1, 99))
    depth = (slices - 1) * (1 - np.clip((known - far) / (near - far), 0, 1))
    return np.asarray(photo), depth.astype(np.float32)


def check_rendering(*, blur_per_slice: float, noise: float, psf: str) -> None:
    """Raise `InputError` unless `focal_stack` can use the options."""
    for name, value in (("blur_per_slice", blur_per_slice), ("noise", noise)):
        if not (np.isfinite(value) and value >= 0):
            raise InputError(name, repr(value), "at least 0")
    if psf not in _PSFS:
        raise InputError("psf", repr(psf), " or ".join(_PSFS))


def _check_scene(photo: ArrayLike, depth: ArrayLike) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    sharp = np.asarray(photo)
    if sharp.dtype != np.uint8 or sharp.ndim not in (2, 3) or (sharp.ndim == 3 and sharp.shape[-1] != 3):
        raise InputError("photo", f"{sharp.dtype} of shape {sharp.shape}", "uint8 (H, W) or (H, W, 3)")
    where = np.asarray(depth, dtype=np.float32)
    if where.shape != sharp.shape[:2]:
        raise InputError("depth", f"shape {where.shape}", f"the photo's shape {sharp.shape[:2]}")
    if not where.size or not np.isfinite(where).all():
        raise InputError("depth", "values that are not finite", "a finite depth for every pixel")
    return sharp, where


def _layers(depth: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Depths of the layers, near first, and the layer of every pixel."""
    values: NDArray[Any] = np.unique(depth)
    if len(values) > _MAX_LAYERS:
        # Layers are at whole fractions of a slice, so that only few sigmas and transfer functions are needed.
        spacing = 1 / _LAYERS_PER_SLICE
        while (values[-1] - values[0]) / spacing > _MAX_LAYERS - 2:
            spacing *= 2
        values = np.arange(np.floor(values[0] / spacing), np.ceil(values[-1] / spacing) + 1) * spacing
    middles = (values[1:] + values[:-1]) / 2
    return values, np.searchsorted(middles, depth)


def _layer(
    planes: NDArray[np.float32],
    depth: NDArray[np.float32],
    levels: NDArray[Any],
    layer_of: NDArray[np.intp],
    number: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Colours (C, H, W) and outline (H, W) of a layer, which is continued behind the layers in front of it."""
    from scipy import ndimage

    outline = (layer_of <= number).astype(np.float32)
    in_front = depth < levels[number] - _SAME_SURFACE
    if not in_front.any():
        return planes, outline
    own = ~in_front & (layer_of <= number)
    if not own.any():
        return planes, np.zeros_like(outline)
    # On a slope the nearer layers are the same surface, so their own colours are the right continuation.
    y, x = ndimage.distance_transform_edt(~own, return_distances=False, return_indices=True)
    return np.where(in_front, planes[:, y, x], planes), outline
