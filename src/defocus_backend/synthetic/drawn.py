"""Drawn parts of training scenes: microscopy-like textures, and the shapes of front layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from defocus_backend.synthetic.degrade import NATIVE, Gray, blur


def draw_filaments(side: int, rng: np.random.Generator) -> Gray:
    """Bright threads and dots on a dark ground, like a fluorescence picture (side, side), gray values."""
    points = []
    for _ in range(int(rng.integers(3, 30))):
        length = int(rng.integers(50, 3 * side))
        heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, rng.uniform(0.01, 0.12), length))
        path = rng.uniform(0, side, 2) + 0.7 * np.cumsum(np.stack([np.sin(heading), np.cos(heading)], 1), 0)
        points.append(np.column_stack([path, np.full(length, rng.uniform(0.3, 1))]))
    dots = int(rng.integers(0, 150))
    points.append(np.column_stack([rng.uniform(0, side, (dots, 2)), rng.uniform(0.5, 4, dots)]))
    every = np.concatenate(points)
    cell = np.floor(every[:, :2]).astype(int)
    picture = np.zeros((side, side), dtype=np.float32)
    # Bilinear splatting places threads at sub-pixel positions, without staircase artefacts.
    for dy in (0, 1):
        for dx in (0, 1):
            share = np.prod(1 - np.abs(every[:, :2] - cell - (dy, dx)), axis=1) * every[:, 2]
            np.add.at(picture, tuple(np.mod(cell + np.array([dy, dx]), side).T), share)
    low = rng.uniform(2, 40)
    return np.asarray(np.clip(low + picture * rng.uniform(40, 160), 0, 255), dtype=np.float32)


def draw_phase_contrast(side: int, rng: np.random.Generator) -> Gray:
    """Dark bodies and threads with bright halos on gray, like a phase contrast picture (side, side), gray values."""
    threads = draw_filaments(side, rng)
    bodies = draw_blob(side, rng) * rng.uniform(0.2, 1) + threads / threads.max() * rng.uniform(0.2, 1)
    # The phase ring transmits a part of the low frequencies, which causes the halo.
    phase = bodies - blur(bodies, float(rng.uniform(3, 15))) * rng.uniform(0.6, 1)
    return np.asarray(np.clip(rng.uniform(80, 170) - rng.uniform(50, 150) * phase, 0, 255), dtype=np.float32)


_RIM = float(np.sqrt(12)) * NATIVE
"""Width of the rim of a leaf in px: a box with the standard deviation `NATIVE`."""


def draw_leaves(side: int, rng: np.random.Generator, pictures: Sequence[Gray] = ()) -> Gray:
    """Textured ellipses of all sizes that hide each other (side, side), gray values.

    The dead leaves model (Matheron 1968; Lee, Mumford and Huang 2001): it has the edges and the scaling of natural
    pictures, in unlimited number and as sharp as a photograph. The leaves show parts of `pictures`, each (side, side)
    in gray values, with changed brightness and contrast; without pictures, they show noise with a natural spectrum.
    """
    grains = [(p - p.mean()) / max(float(p.std()), 4.0) for p in pictures]
    if not grains:
        grains = [_power_noise(side, rng.uniform(1, 1.6), rng)]
    picture = np.asarray(128 + rng.uniform(5, 40) * grains[0], dtype=np.float32)
    smallest = rng.uniform(2, 6)
    for _ in range(int(rng.integers(100, 600))):
        # The number of leaves decreases with the cube of their size.
        radius = min(smallest / np.sqrt(max(rng.random(), 1e-4)), 0.4 * side)
        flat, angle = rng.uniform(0.3, 1), rng.uniform(0, np.pi)
        y, x = rng.uniform(0, side, 2)
        top, left = (max(0, int(c - radius - 1)) for c in (y, x))
        bottom, right = (min(side, int(c + radius + 2)) for c in (y, x))
        yy, xx = np.ogrid[top:bottom, left:right]
        along = (xx - x) * np.cos(angle) + (yy - y) * np.sin(angle)
        across = ((yy - y) * np.cos(angle) - (xx - x) * np.sin(angle)) / flat
        cover = np.clip((radius - np.hypot(along, across)) * flat / _RIM + 0.5, 0, 1).astype(np.float32)
        shift = rng.integers(side - max(bottom - top, right - left) + 1, size=2)
        grain = grains[rng.integers(len(grains))]
        texture = grain[shift[0] : shift[0] + bottom - top, shift[1] : shift[1] + right - left]
        colour = rng.uniform(10, 245) + rng.uniform(0, 40) * texture + rng.normal(0, 0.3) * along
        part = picture[top:bottom, left:right]
        part += cover * (colour.astype(np.float32) - part)
    return np.asarray(np.clip(picture, 0, 255), dtype=np.float32)


def _power_noise(side: int, power: float, rng: np.random.Generator) -> Gray:
    """Noise (side, side) whose amplitude decreases with the given power of the frequency; standard deviation 1."""
    frequency = np.hypot(*np.meshgrid(np.fft.rfftfreq(side), np.fft.fftfreq(side)))
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(rng.standard_normal((side, side))) / frequency**power
    spectrum[0, 0] = 0
    noise = np.fft.irfft2(spectrum, s=(side, side))
    return np.asarray(noise / noise.std(), dtype=np.float32)


def draw_texture(side: int, rng: np.random.Generator) -> Gray:
    """A drawn picture (side, side), gray values: dead leaves, fluorescence or phase contrast."""
    chance = rng.random()
    if chance < 0.5:
        return draw_leaves(side, rng)
    return draw_filaments(side, rng) if chance < 0.75 else draw_phase_contrast(side, rng)


def draw_blob(side: int, rng: np.random.Generator) -> Gray:
    """Shape with a smooth random outline (side, side), 0 or 1."""
    width = rng.uniform(8, 40)
    smooth = blur(rng.standard_normal((side, side)).astype(np.float32), width)
    return (smooth > np.quantile(smooth, rng.uniform(0.3, 0.7))).astype(np.float32)


def draw_mask(side: int, rng: np.random.Generator) -> Gray:
    """Shape of a front layer (side, side), 0 or 1: a half-plane, a blob, bars or discs."""
    yy, xx = np.mgrid[0:side, 0:side].astype(np.float32)
    kind = rng.integers(4)
    if kind == 0:
        return half_plane(side, rng)
    if kind == 1:
        return draw_blob(side, rng)
    mask = np.zeros((side, side), dtype=bool)
    for _ in range(int(rng.integers(1, 6))):
        if kind == 2:
            angle = rng.uniform(0, np.pi)
            across = (xx - rng.uniform(0, side)) * np.cos(angle) + (yy - rng.uniform(0, side)) * np.sin(angle)
            mask |= np.abs(across) < np.exp(rng.uniform(0, np.log(16)))
        else:
            radius = rng.uniform(10, 90)
            mask |= (xx - rng.uniform(0, side)) ** 2 + (yy - rng.uniform(0, side)) ** 2 < radius**2
    return mask.astype(np.float32)


def half_plane(side: int, rng: np.random.Generator) -> Gray:
    """A straight edge of any direction through the middle part of a square (side, side), 0 or 1."""
    yy, xx = np.mgrid[0:side, 0:side].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    across = (xx - side / 2) * np.cos(angle) + (yy - side / 2) * np.sin(angle)
    return np.asarray((across + rng.uniform(-0.2, 0.2) * side > 0).astype(np.float32))
